#include "dsm/launch/rendezvous_client.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/mutex.hpp"
#include "dsm/launch/frame.hpp"
#include "dsm/launch/interface.hpp"
#include "dsm/launch/socket.hpp"

namespace dsm::launch {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds connect_retry{50};
constexpr milliseconds send_timeout{10'000};
constexpr milliseconds receipt_timeout{1'000};
// The server's verdict on who is missing is better than this node's own, and arrives a little
// later.
constexpr milliseconds verdict_margin{2'000};
constexpr std::size_t read_bytes = 16 * 1024;

milliseconds until(Clock::time_point deadline) {
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(deadline - Clock::now()));
}

Status lost(const char* why) {
  return Status(Code::peer_lost,
                std::string("the rendezvous (dsmrun, or node 0) was lost: ") + why);
}

Status send_all(int socket, ByteView bytes, Clock::time_point deadline) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0)
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    else if (errno == EAGAIN && !wait_writable(socket, until(deadline)))
      return lost("it takes no more bytes");
    else if (errno != EAGAIN && errno != EINTR)
      return lost(std::strerror(errno));
  }
  return Status();
}

// Appends what has arrived. would_block: nothing has.
Status receive_some(int socket, Bytes& stream) {
  std::array<std::byte, read_bytes> buffer;
  const ssize_t n = ::recv(socket, buffer.data(), buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Status::would_block();
  if (n < 0) return lost(std::strerror(errno));
  if (n == 0) return lost("it closed the connection");
  stream.insert(stream.end(), buffer.begin(), buffer.begin() + n);
  return Status();
}

// A connection whose server has proved that it knows the key.
struct Greeted {
  Fd socket;
  Session session;
  Bytes stream;  // what came behind the challenge
};

// refused: what listens there is not this job's rendezvous. Any other error may pass.
Result<Greeted> greet(const Job& job, Clock::time_point deadline) {
  auto socket = connect_tcp(job.rendezvous, until(deadline));
  if (!socket) return socket.status();
  const int fd = socket->get();
  const Nonce node = random_nonce();
  if (Status sent = send_all(fd, encode_hello(node), deadline); !sent) return sent;
  Bytes stream;
  while (stream.size() < challenge_bytes) {
    if (!wait_readable(fd, until(deadline)))
      return Status(Code::timed_out, "what listens there does not answer");
    if (Status got = receive_some(fd, stream); !got && got.code() != Code::would_block) return got;
  }
  const auto server = decode_challenge(job.key, node, ByteView(stream).first(challenge_bytes));
  if (!server) return server.status();
  stream.erase(stream.begin(), stream.begin() + challenge_bytes);
  watch_peer(fd);
  return Greeted{std::move(*socket), Session(Side::node, job.key, node, server.value()),
                 std::move(stream)};
}

// Until the time-out, since the server may start later than this node.
Result<Greeted> greet_patiently(const Job& job) {
  const auto deadline = Clock::now() + job.join_timeout;
  for (;;) {
    auto greeted = greet(job, deadline);
    if (greeted) return greeted;
    const std::string at = job.rendezvous.text();
    if (greeted.status().code() == Code::refused)
      return Status(Code::refused, "DSM_RENDEZVOUS=" + at + ": " + greeted.status().message());
    if (until(deadline) <= connect_retry)
      return Status(Code::timed_out,
                    "no rendezvous at DSM_RENDEZVOUS=" + at + " within " +
                        std::to_string(std::chrono::seconds(job.join_timeout).count()) + " s (" +
                        greeted.status().message() + "): start node 0 there, or dsmrun");
    std::this_thread::sleep_for(connect_retry);
  }
}

class Client final : public Rendezvous {
 public:
  Client(NodeId self, Greeted greeted, std::unique_ptr<RendezvousServer> served)
      : self_(self),
        served_(std::move(served)),
        socket_(std::move(greeted.socket)),
        near_host_(near_address(socket_.get())),
        out_(greeted.session.out),
        in_(greeted.session.in),
        stream_(std::move(greeted.stream)) {}
  ~Client() override {
    if (open())
      abort(Code::peer_lost,
            "rank " + std::to_string(self_.value) + " left the job without finishing it");
  }

  Status join(const Job& job, const Agreement& agreement) DSM_EXCLUDES(receive_mutex_) {
    std::array<char, name_bytes_max> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
    Join join{job.rank, job.size, static_cast<std::uint32_t>(::getpid()), host.data(), agreement};
    if (Status sent = send(join); !sent) return sent;
    MutexLock lock(receive_mutex_);
    auto welcome =
        wait_for<Welcome>(job.join_timeout + verdict_margin, [](const Welcome&) { return true; });
    return welcome.status();
  }

  Status publish(std::string_view key, ByteView value) override {
    if (key.size() > name_bytes_max || value.size() > value_bytes_max)
      return Status(Code::too_large,
                    "a value for the rendezvous is at most 256 KiB, its key at most 256 bytes");
    return send(Publish{std::string(key), Bytes(value.begin(), value.end())});
  }

  // The request leaves under the lock, too: another waiting thread would take the answer for a late
  // one.
  Result<Bytes> lookup(NodeId rank, std::string_view key, milliseconds timeout) override
      DSM_EXCLUDES(receive_mutex_) {
    if (key.size() > name_bytes_max)
      return Status(Code::too_large, "a key of the rendezvous is at most 256 bytes");
    MutexLock lock(receive_mutex_);
    const std::uint64_t request = ++requests_;
    if (Status sent = send(Lookup{request, rank, std::string(key)}); !sent) return sent;
    auto value =
        wait_for<Value>(timeout, [request](const Value& v) { return v.request == request; });
    if (!value) return value.status();
    return std::move(value->value);
  }

  Status fence(milliseconds timeout) override DSM_EXCLUDES(receive_mutex_) {
    MutexLock lock(receive_mutex_);
    const std::uint64_t number = ++fences_;
    if (Status sent = send(Fence{number}); !sent) return sent;
    return wait_for<FenceDone>(timeout,
                               [number](const FenceDone& done) { return done.number == number; })
        .status();
  }

  void abort(Code code, std::string_view text) override {
    (void)send(Abort{no_node, code, std::string(text.substr(0, text_bytes_max))});
  }

  // Waits for the server's end of the connection: then it has read all that this node sent.
  void finish() override DSM_EXCLUDES(receive_mutex_) {
    (void)send(Finish{});
    MutexLock lock(receive_mutex_);
    const auto deadline = Clock::now() + receipt_timeout;
    while (open() && wait_readable(socket_.get(), until(deadline)) && until(deadline).count() > 0) {
      stream_.clear();
      const Status got = receive_some(socket_.get(), stream_);
      if (!got && got.code() != Code::would_block) break;
    }
    end(Status(Code::invalid, "this node has left the rendezvous"));
  }

  std::string near_host() const override { return near_host_; }
  int wait_fd() const override { return socket_.get(); }

  Status check() override DSM_EXCLUDES(receive_mutex_) {
    if (receive_mutex_.try_lock()) {
      while (open() && take_one()) {
      }
      receive_mutex_.unlock();
    }
    MutexLock lock(end_mutex_);
    return farewell_ ? Status() : end_;
  }

 private:
  Status send(const Message& message) DSM_EXCLUDES(send_mutex_) {
    if (Status over = ended(); !over) return over;
    MutexLock lock(send_mutex_);
    return send_all(socket_.get(), out_.seal(message), Clock::now() + send_timeout);
  }

  template <typename Wanted, typename Match>
  Result<Wanted> wait_for(milliseconds timeout, Match matches) DSM_REQUIRES(receive_mutex_) {
    const auto deadline = Clock::now() + timeout;
    for (;;) {
      while (auto message = take_one())
        if (auto* wanted = std::get_if<Wanted>(&*message); wanted != nullptr && matches(*wanted))
          return std::move(*wanted);
      if (Status over = ended(); !over) return over;
      if (!wait_readable(socket_.get(), until(deadline)))
        return Status(Code::timed_out,
                      "the rendezvous does not answer in time: another node is late or stopped");
    }
  }

  // The next message that has arrived, if any; what ends the job is noted on the way.
  std::optional<Message> take_one() DSM_REQUIRES(receive_mutex_) {
    auto message = in_.open(stream_, body_bytes_max);
    while (message && !*message) {
      const Status got = receive_some(socket_.get(), stream_);
      if (!got && got.code() != Code::would_block) end(got);
      if (!got) return std::nullopt;
      message = in_.open(stream_, body_bytes_max);
    }
    if (!message) {
      end(lost(message.status().message().c_str()));
      return std::nullopt;
    }
    if (const auto* abort = std::get_if<Abort>(&**message)) end(Status(abort->code, abort->text));
    if (std::holds_alternative<Farewell>(**message)) {
      MutexLock lock(end_mutex_);
      farewell_ = true;
      set_end(Status(Code::unavailable,
                     "the rendezvous is closed: node 0, which served it, has left the job"));
    }
    return std::move(*message);
  }

  Status ended() const DSM_EXCLUDES(end_mutex_) {
    MutexLock lock(end_mutex_);
    return end_;
  }
  bool open() const { return ended().ok(); }
  void end(Status why) DSM_EXCLUDES(end_mutex_) {
    MutexLock lock(end_mutex_);
    set_end(std::move(why));
  }

  // The first reason stays. From now on wait_fd() is silent: an eventfd that nobody writes takes
  // the socket's place, so that whoever polls the number does not spin on the end of a stream.
  void set_end(Status why) DSM_REQUIRES(end_mutex_) {
    if (!end_.ok()) return;
    end_ = std::move(why);
    const Fd silent(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (silent) (void)::dup3(silent.get(), socket_.get(), O_CLOEXEC);
  }

  const NodeId self_;
  const std::unique_ptr<RendezvousServer> served_;  // ends last
  Fd socket_;
  const std::string near_host_;

  Mutex send_mutex_;
  Sealer out_ DSM_GUARDED_BY(send_mutex_);

  Mutex receive_mutex_;
  Opener in_ DSM_GUARDED_BY(receive_mutex_);
  Bytes stream_ DSM_GUARDED_BY(receive_mutex_);
  std::uint64_t requests_ DSM_GUARDED_BY(receive_mutex_) = 0;
  std::uint64_t fences_ DSM_GUARDED_BY(receive_mutex_) = 0;

  mutable Mutex end_mutex_;
  Status end_ DSM_GUARDED_BY(end_mutex_);
  bool farewell_ DSM_GUARDED_BY(end_mutex_) = false;
};

}  // namespace

Result<std::unique_ptr<Rendezvous>> join_over_tcp(const Job& job, const Agreement& agreement,
                                                  std::unique_ptr<RendezvousServer> served) {
  auto greeted = greet_patiently(job);
  if (!greeted) return greeted.status();
  auto client = std::make_unique<Client>(job.rank, std::move(*greeted), std::move(served));
  if (Status joined = client->join(job, agreement); !joined) return joined;
  return std::unique_ptr<Rendezvous>(std::move(client));
}

}  // namespace dsm::launch
