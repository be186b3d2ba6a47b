#include "dsm/launch/rendezvous_server.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <thread>

#include "base/log.hpp"
#include "base/mutex.hpp"
#include "dsm/launch/board.hpp"
#include "dsm/launch/socket.hpp"

namespace dsm::launch {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t events_max = 64;
constexpr std::size_t read_bytes = 16 * 1024;
constexpr std::chrono::milliseconds accept_pause{100};  // when descriptors are used up

struct Connection {
  enum class State : std::uint8_t {
    hello,
    joining,
    joined,
    closing
  };  // closing: the rest of `out`, then the end

  Fd socket;
  State state = State::hello;
  Clock::time_point deadline;  // of a stranger
  NodeId rank = no_node;       // once joined
  std::optional<Session> session;
  Bytes in;
  Bytes out;
};

}  // namespace

class RendezvousServer::Impl {
 public:
  Impl(const Options& options, Listener listener, Fd epoll, Fd wake)
      : options_(options),
        listener_(std::move(listener)),
        epoll_(std::move(epoll)),
        wake_(std::move(wake)),
        board_(options.size, options.join_timeout),
        by_rank_(options.size, -1) {
    watch(listener_.socket.get(), EPOLLIN, EPOLL_CTL_ADD);
    watch(wake_.get(), EPOLLIN, EPOLL_CTL_ADD);
  }
  ~Impl() {
    stopping_.store(true);
    wake();
    if (thread_.joinable()) thread_.join();
  }

  const Endpoint& endpoint() const { return listener_.endpoint; }

  void start() {
    // The thread inherits the mask: signals are for the program's own threads.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { serve(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void process_ended(NodeId rank) DSM_EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      ended_processes_.push_back(rank);
    }
    wake();
  }

  std::optional<Abort> ended() const DSM_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return ended_;
  }

 private:
  using Connections = std::map<int, Connection>;

  void serve();
  void serve_event(int fd, std::uint32_t events);
  void accept_all();
  void read_from(Connection& connection);
  bool take_input(Connection& connection);
  bool take_hello(Connection& connection);
  bool take_join(Connection& connection, const Message& message);
  void act();
  void publish_end() DSM_EXCLUDES(mutex_);
  void write_to(Connection& connection);
  void drop(int fd, const char* why);
  void drop_oldest_stranger();
  void drop_late_strangers();
  void say_farewell();
  void take_ended_processes() DSM_EXCLUDES(mutex_);
  int patience_ms() const;

  bool is_stranger(const Connection& c) const {
    return c.state == Connection::State::hello || c.state == Connection::State::joining;
  }
  Board::Time now() const {
    return std::chrono::duration_cast<Board::Time>(Clock::now() - started_);
  }
  void wake() {
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }
  void watch(int fd, std::uint32_t events, int how) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), how, fd, &event);
  }

  const Options options_;
  Listener listener_;
  Fd epoll_;
  Fd wake_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;

  // The thread's own.
  const Clock::time_point started_ = Clock::now();
  Board board_;
  Connections connections_;
  std::vector<int> by_rank_;  // the connection of each node that has joined, or -1
  std::optional<Clock::time_point> accept_again_;

  mutable Mutex mutex_;
  std::vector<NodeId> ended_processes_ DSM_GUARDED_BY(mutex_);
  std::optional<Abort> ended_ DSM_GUARDED_BY(mutex_);
};

void RendezvousServer::Impl::serve() {
  std::array<epoll_event, events_max> events;
  for (bool stopping = false; !stopping;) {
    stopping = stopping_.load();  // once more then, for what was sent before
    const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                               stopping ? 0 : patience_ms());
    for (const epoll_event& event :
         std::span(events).first(static_cast<std::size_t>(std::max(n, 0))))
      serve_event(event.data.fd, event.events);
    take_ended_processes();
    drop_late_strangers();
    if (accept_again_ && Clock::now() >= *accept_again_) {
      accept_again_.reset();
      watch(listener_.socket.get(), EPOLLIN, EPOLL_CTL_MOD);
    }
    board_.tick(now());
    act();
  }
  say_farewell();
}

// Sleeps until something happens; wakes by itself only while a time-out runs.
int RendezvousServer::Impl::patience_ms() const {
  auto until = Clock::time_point::max();
  if (accept_again_) until = *accept_again_;
  if (const auto at = board_.deadline()) until = std::min(until, started_ + *at);
  for (const auto& entry : connections_)
    if (entry.second.state != Connection::State::joined)
      until = std::min(until, entry.second.deadline);
  if (until == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
}

void RendezvousServer::Impl::serve_event(int fd, std::uint32_t events) {
  if (fd == listener_.socket.get()) return accept_all();
  if (fd == wake_.get()) {
    std::uint64_t count = 0;
    (void)!::read(fd, &count, sizeof count);
    return;
  }
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;  // closed earlier in this round
  if ((events & EPOLLOUT) != 0) write_to(found->second);
  if (connections_.count(fd) != 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
    read_from(connections_.at(fd));
}

void RendezvousServer::Impl::accept_all() {
  for (;;) {
    Fd socket(::accept4(listener_.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        drop_oldest_stranger();
        accept_again_ = Clock::now() + accept_pause;
        watch(listener_.socket.get(), 0, EPOLL_CTL_MOD);
      }
      return;
    }
    const auto strangers =
        std::count_if(connections_.begin(), connections_.end(),
                      [this](const auto& entry) { return is_stranger(entry.second); });
    if (static_cast<std::size_t>(strangers) >= strangers_max) drop_oldest_stranger();
    watch_peer(socket.get());
    const int fd = socket.get();
    Connection connection;
    connection.socket = std::move(socket);
    connection.deadline = Clock::now() + authentication_timeout;
    connections_[fd] = std::move(connection);
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
  }
}

void RendezvousServer::Impl::read_from(Connection& connection) {
  const int fd = connection.socket.get();
  std::array<std::byte, read_bytes> buffer;
  const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return drop(fd, n == 0 ? "it closed the connection" : std::strerror(errno));
  if (connection.state == Connection::State::closing) return;
  connection.in.insert(connection.in.end(), buffer.begin(), buffer.begin() + n);
  while (connections_.count(fd) != 0 && take_input(connection)) {
  }
}

// Consumes one message of what has arrived; false when there is none, or when the connection is
// gone.
bool RendezvousServer::Impl::take_input(Connection& connection) {
  if (connection.state == Connection::State::hello) return take_hello(connection);
  if (connection.state == Connection::State::closing) return false;
  const bool joined = connection.state == Connection::State::joined;
  auto frame = connection.session->in.open(connection.in, joined ? body_bytes_max : join_bytes_max);
  if (!frame) {
    drop(connection.socket.get(), frame.status().message().c_str());
    return false;
  }
  if (!*frame) return false;
  if (!joined) return take_join(connection, **frame);
  board_.receive(connection.rank, **frame);
  if (std::holds_alternative<Finish>(**frame)) {
    by_rank_[connection.rank.value] = -1;
    drop(connection.socket.get(), "it finished");  // and this end of the connection is its receipt
    act();
    return false;
  }
  act();
  return true;
}

bool RendezvousServer::Impl::take_hello(Connection& connection) {
  if (connection.in.size() < hello_bytes) return false;
  const auto node = decode_hello(ByteView(connection.in).first(hello_bytes));
  if (!node) {
    drop(connection.socket.get(), "its first bytes are not a node's");
    return false;
  }
  connection.in.erase(connection.in.begin(), connection.in.begin() + hello_bytes);
  const Nonce server = random_nonce();
  connection.session.emplace(Side::server, options_.key, *node, server);
  connection.state = Connection::State::joining;
  connection.out = encode_challenge(options_.key, *node, server);
  const int fd = connection.socket.get();
  write_to(connection);
  return connections_.count(fd) != 0;
}

bool RendezvousServer::Impl::take_join(Connection& connection, const Message& message) {
  const Join* join = std::get_if<Join>(&message);
  if (join == nullptr) {
    drop(connection.socket.get(), "it did not begin by joining");
    return false;
  }
  const Status joined = board_.join(*join, now());
  publish_end();
  if (joined) {
    connection.state = Connection::State::joined;
    connection.rank = join->rank;
    by_rank_[join->rank.value] = connection.socket.get();
    act();
    return true;
  }
  const Bytes refusal = connection.session->out.seal(
      Abort{no_node, joined.code(), joined.message().substr(0, text_bytes_max)});
  connection.out.insert(connection.out.end(), refusal.begin(), refusal.end());
  connection.state = Connection::State::closing;
  write_to(connection);
  act();
  return false;
}

// Before any node hears of it: a launcher that sees the nodes end finds the reason here.
void RendezvousServer::Impl::publish_end() {
  if (!board_.ended()) return;
  MutexLock lock(mutex_);
  if (!ended_) ended_ = board_.ended();
}

// Sends what the board decided. Writing may lose a connection, which the board may answer with
// more.
void RendezvousServer::Impl::act() {
  for (;;) {
    publish_end();
    const auto effects = board_.take_effects();
    if (effects.empty()) return;
    for (const Board::Effect& effect : effects) {
      const int fd = by_rank_[effect.to.value];
      if (fd < 0) continue;
      Connection& connection = connections_.at(fd);
      const Bytes frame = connection.session->out.seal(effect.message);
      connection.out.insert(connection.out.end(), frame.begin(), frame.end());
      write_to(connection);
    }
  }
}

void RendezvousServer::Impl::write_to(Connection& connection) {
  const int fd = connection.socket.get();
  while (!connection.out.empty()) {
    const ssize_t n = ::send(fd, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return drop(fd, std::strerror(errno));
    connection.out.erase(connection.out.begin(), connection.out.begin() + n);
  }
  if (connection.out.empty() && connection.state == Connection::State::closing)
    ::shutdown(fd, SHUT_WR);
  watch(fd, connection.out.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

void RendezvousServer::Impl::drop(int fd, const char* why) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  const NodeId rank = found->second.rank;
  if (log_debug()) {
    if (rank == no_node)
      log_line("rendezvous: a stranger was turned away: %s", why);
    else
      log_line("rendezvous: rank %u left: %s", rank.value, why);
  }
  connections_.erase(found);
  if (rank == no_node) return;
  by_rank_[rank.value] = -1;
  board_.lost(rank);  // the caller's act() tells the others; a node that finished is not lost
}

void RendezvousServer::Impl::drop_oldest_stranger() {
  auto oldest = connections_.end();
  for (auto c = connections_.begin(); c != connections_.end(); ++c)
    if (is_stranger(c->second) &&
        (oldest == connections_.end() || c->second.deadline < oldest->second.deadline))
      oldest = c;
  if (oldest != connections_.end()) drop(oldest->first, "there are too many like it");
}

void RendezvousServer::Impl::drop_late_strangers() {
  std::vector<int> late;
  for (const auto& entry : connections_)
    if (entry.second.state != Connection::State::joined && Clock::now() >= entry.second.deadline)
      late.push_back(entry.first);
  for (const int fd : late) drop(fd, "it took too long");
}

void RendezvousServer::Impl::take_ended_processes() {
  std::vector<NodeId> ranks;
  {
    MutexLock lock(mutex_);
    ranks.swap(ended_processes_);
  }
  for (const NodeId rank : ranks) board_.process_ended(rank);
}

void RendezvousServer::Impl::say_farewell() {
  board_.close();
  act();
  const auto deadline = Clock::now() + farewell_timeout;
  for (auto& entry : connections_) {
    Connection& connection = entry.second;
    while (!connection.out.empty() && Clock::now() < deadline) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
      if (!wait_writable(entry.first, left)) break;
      const ssize_t n =
          ::send(entry.first, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN && errno != EINTR) break;
      if (n > 0) connection.out.erase(connection.out.begin(), connection.out.begin() + n);
    }
  }
}

RendezvousServer::RendezvousServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RendezvousServer::~RendezvousServer() = default;

Result<std::unique_ptr<RendezvousServer>> RendezvousServer::open(const Options& options) {
  auto listener = listen_tcp(options.listen);
  if (!listener) return listener.status();
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll || !wake)
    return Status(Code::exhausted, std::string("the rendezvous gets no descriptors: ") +
                                       std::strerror(errno) + ": raise ulimit -n");
  return std::unique_ptr<RendezvousServer>(new RendezvousServer(
      std::make_unique<Impl>(options, std::move(*listener), std::move(epoll), std::move(wake))));
}

const Endpoint& RendezvousServer::endpoint() const {
  return impl_->endpoint();
}
void RendezvousServer::start() {
  impl_->start();
}
void RendezvousServer::process_ended(NodeId rank) {
  impl_->process_ended(rank);
}
std::optional<Abort> RendezvousServer::ended() const {
  return impl_->ended();
}

}  // namespace dsm::launch
