#include "transport/mesh.hpp"

#include <poll.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>

#include "transport/handshake.hpp"

namespace dsm::transport {
namespace {

constexpr int handshake_timeout_ms = 5000;
constexpr int redial_ms = 20;
// Connections that have proved nothing yet, beyond those that the job itself needs; the oldest is
// dropped for a newer one.
constexpr std::size_t strangers_max = 64;

using Clock = std::chrono::steady_clock;

bool same_user(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 &&
         credentials.uid == ::geteuid();
}

// One stream on its way to being authenticated.
struct Attempt {
  Handshake handshake;
  Fd socket;  // none: to be dialled at `at`
  bool connecting = false;
  Clock::time_point at{};  // dial then, or give up then
  std::array<std::byte, std::max(Handshake::hello_bytes, Handshake::proof_bytes)> bytes{};
  std::size_t received =
      0;  // of the bytes that the handshake wants next: never more, what follows is not ours
};

class Mesh {
 public:
  Mesh(int listener, std::span<const SocketAddress> addresses, const MeshOptions& options)
      : listener_(listener),
        addresses_(addresses),
        options_(options),
        key_(link_key(options.job_key, options.wire)),
        end_(Clock::now() + std::chrono::milliseconds(options.timeout_ms)),
        streams_(options.nodes),
        missing_(options.nodes - 1) {}

  Result<std::vector<Fd>> run() {
    for (NodeId peer{0}; peer < options_.self; ++peer) attempts_.push_back(dialer(peer));
    while (missing_ != 0 && error_.ok()) {
      if (Clock::now() >= end_) return timed_out();
      wait();
      advance_all();
      accept_all();
    }
    if (!error_.ok()) return error_;
    return std::move(streams_);
  }

 private:
  Attempt dialer(NodeId peer) {
    return {Handshake(Handshake::Role::dialer, key_, options_.self, options_.nodes, peer,
                      fresh_nonce()),
            Fd(),
            false,
            Clock::now(),
            {},
            0};
  }

  std::string about(NodeId peer, const char* what) const {
    return std::string(options_.wire) + ": node " + std::to_string(peer.value) + " " + what;
  }

  Status timed_out() const {
    NodeId first{0};
    while (first == options_.self || streams_[first.value]) ++first;
    std::string text =
        about(first, "did not connect within ") + std::to_string(options_.timeout_ms) + " ms";
    if (missing_ > 1) text += ", nor did " + std::to_string(missing_ - 1) + " more";
    if (refused_ != 0)
      text += "; " + std::to_string(refused_) + " connection(s) were refused, the last because " +
              last_refusal_;
    return Status(Code::timed_out,
                  text + ": see whether it started, and whether its job key is this one's");
  }

  // Sleeps until a socket is ready, a dial is due, or time is up.
  void wait() {
    polled_.clear();
    polled_.push_back({.fd = listener_, .events = POLLIN, .revents = 0});
    Clock::time_point wake = end_;
    for (const Attempt& attempt : attempts_) {
      wake = std::min(wake, attempt.at);
      const bool writes = attempt.connecting || !attempt.handshake.output().empty();
      if (attempt.socket)
        polled_.push_back({.fd = attempt.socket.get(),
                           .events = static_cast<short>(writes ? POLLOUT : POLLIN),
                           .revents = 0});
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(wake - Clock::now()).count();
    ::poll(polled_.data(), polled_.size(), static_cast<int>(std::max<long>(0, left) + 1));
  }

  void accept_all() {
    for (;;) {
      Fd socket(::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket) return;
      if (options_.same_user && !same_user(socket.get())) {
        note_refusal("it belongs to another user");
        continue;
      }
      if (static_cast<std::size_t>(std::count_if(attempts_.begin(), attempts_.end(), accepted)) >=
          strangers_max + missing_)
        attempts_.erase(std::find_if(attempts_.begin(), attempts_.end(), accepted));
      attempts_.push_back({Handshake(Handshake::Role::acceptor, key_, options_.self, options_.nodes,
                                     no_node, fresh_nonce()),
                           std::move(socket),
                           false,
                           Clock::now() + std::chrono::milliseconds(handshake_timeout_ms),
                           {},
                           0});
    }
  }

  static bool accepted(const Attempt& attempt) {
    return attempt.handshake.role() == Handshake::Role::acceptor;
  }

  void note_refusal(const char* why) {
    ++refused_;
    last_refusal_ = why;
  }

  void advance_all() {
    for (auto it = attempts_.begin(); it != attempts_.end() && error_.ok();) {
      const bool over = advance(*it);
      it = over ? attempts_.erase(it) : std::next(it);
    }
  }

  // True when the attempt is over, well or ill.
  bool advance(Attempt& attempt) {
    if (!attempt.socket) {
      if (Clock::now() >= attempt.at) dial(attempt);
      if (!attempt.socket) return false;
    }
    if (attempt.connecting && !finish_dial(attempt)) return false;
    while (flush(attempt)) {
      if (attempt.handshake.state() == Handshake::State::done) return adopt(attempt);
      const std::size_t lacking = attempt.handshake.wanted() - attempt.received;
      const ssize_t count =
          ::recv(attempt.socket.get(), attempt.bytes.data() + attempt.received, lacking, 0);
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) return expired(attempt);
      if (count <= 0) return closed(attempt);
      attempt.received += static_cast<std::size_t>(count);
      if (attempt.received < attempt.handshake.wanted()) continue;
      attempt.handshake.feed(std::span(attempt.bytes).first(attempt.received));
      attempt.received = 0;
      if (attempt.handshake.state() == Handshake::State::refused) return refuse(attempt);
    }
    return closed(attempt);
  }

  void dial(Attempt& attempt) {
    const SocketAddress& address = addresses_[attempt.handshake.peer().value];
    attempt.handshake = dialer(attempt.handshake.peer()).handshake;
    attempt.received = 0;
    attempt.at = Clock::now() + std::chrono::milliseconds(redial_ms);
    Fd socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) {
      error_ = Status(Code::exhausted, std::string(options_.wire) + ": no socket: " +
                                           std::strerror(errno) + " (see ulimit -n)");
      return;
    }
    if (::connect(socket.get(), address.get(), address.size) == 0 || errno == EINPROGRESS) {
      attempt.connecting = true;
      attempt.at = end_;
      attempt.socket = std::move(socket);
    } else if (errno != EAGAIN && errno != EINTR) {
      unreachable(attempt.handshake.peer(), errno);
    }
  }

  bool finish_dial(Attempt& attempt) {
    pollfd one{.fd = attempt.socket.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&one, 1, 0) != 1) return false;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(attempt.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      unreachable(attempt.handshake.peer(), error);
      return false;
    }
    if (options_.same_user && !same_user(attempt.socket.get())) {
      error_ = Status(Code::refused, about(attempt.handshake.peer(),
                                           "is not of this job: it belongs to another user"));
      return false;
    }
    attempt.connecting = false;
    return true;
  }

  void unreachable(NodeId peer, int error) {
    const bool gone = error == ECONNREFUSED || error == ENOENT;
    error_ =
        Status(Code::peer_lost, about(peer, "cannot be reached: ") + std::strerror(error) +
                                    (gone ? " (it ended, or it runs in another network namespace)"
                                          : " (see routes and firewalls)"));
  }

  // False: the stream is broken. The few bytes of a handshake always fit a fresh socket.
  bool flush(Attempt& attempt) {
    const ByteView output = attempt.handshake.output();
    if (output.empty()) return true;
    const ssize_t sent = ::send(attempt.socket.get(), output.data(), output.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(output.size())) return false;
    attempt.handshake.sent(output.size());
    return true;
  }

  bool expired(const Attempt& attempt) {
    if (!accepted(attempt) || Clock::now() < attempt.at) return false;
    note_refusal("it was silent");
    return true;
  }

  bool refuse(const Attempt& attempt) {
    if (accepted(attempt))
      note_refusal(attempt.handshake.refusal());
    else
      error_ = Status(Code::refused, about(attempt.handshake.peer(), "is not of this job: ") +
                                         attempt.handshake.refusal());
    return true;
  }

  bool closed(Attempt& attempt) {
    if (accepted(attempt)) {
      note_refusal("it hung up");
      return true;
    }
    if (attempt.handshake.proving()) {
      error_ = Status(
          Code::refused,
          about(attempt.handshake.peer(), "refused this node: their job keys differ, or it ended"));
      return true;
    }
    attempt.socket.reset();  // pushed out by strangers before it could prove itself
    attempt.at = Clock::now() + std::chrono::milliseconds(redial_ms);
    return false;
  }

  bool adopt(Attempt& attempt) {
    const NodeId peer = attempt.handshake.peer();
    if (streams_[peer.value] || (accepted(attempt) && peer < options_.self)) {
      note_refusal("that node is connected already");
      return true;
    }
    streams_[peer.value] = std::move(attempt.socket);
    --missing_;
    return true;
  }

  const int listener_;
  const std::span<const SocketAddress> addresses_;
  const MeshOptions& options_;
  const LinkKey key_;
  const Clock::time_point end_;
  std::list<Attempt> attempts_;
  std::vector<pollfd> polled_;
  std::vector<Fd> streams_;
  std::size_t missing_;
  std::size_t refused_ = 0;
  const char* last_refusal_ = "";
  Status error_;
};

}  // namespace

Result<std::vector<Fd>> connect_mesh(int listener, std::span<const SocketAddress> addresses,
                                     const MeshOptions& options) {
  if (options.job_key.empty() && options.nodes > 1)
    return Status(Code::invalid,
                  std::string(options.wire) + ": no job key: nobody could be told from a stranger");
  if (addresses.size() != options.nodes)
    return Status(Code::invalid, std::string(options.wire) + ": " +
                                     std::to_string(addresses.size()) + " addresses for " +
                                     std::to_string(options.nodes) + " nodes");
  const Status ready = sodium_ready();
  if (!ready.ok()) return ready;
  return Mesh(listener, addresses, options).run();
}

}  // namespace dsm::transport
