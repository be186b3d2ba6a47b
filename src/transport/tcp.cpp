#include "transport/tcp.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/handshake.hpp"
#include "transport/memory_key.hpp"
#include "transport/mesh.hpp"
#include "transport/tcp_peer.hpp"

namespace dsm::transport {
namespace {

constexpr Caps tcp_caps{.name = "tcp",
                        .one_sided = false,
                        .ordered = true,
                        .atomics = true,
                        .atomic_with_processor = true,
                        .wakes_unarmed = true,
                        .message_max = frame_message_max,
                        .operation_max = frame_operation_max};

constexpr std::size_t direct_peers_max = 8;  // above, epoll says which sockets have something
constexpr std::uint32_t bell_tag = ~std::uint32_t{0};  // in epoll's data; else a rank
// An idle stream's host is found gone within 5 s.
constexpr int keepalive_idle_s = 2;
constexpr int keepalive_interval_s = 1;
constexpr int keepalive_probes = 3;

Status system_error(const char* call) {
  const bool few = errno == EMFILE || errno == ENFILE;
  return Status(few || errno == ENOMEM ? Code::exhausted : Code::unavailable,
                std::string("tcp: ") + call + ": " + std::strerror(errno) +
                    (few ? " (raise ulimit -n)" : ""));
}

// A numeric address or a name, any port. The first that can be bound.
Result<Fd> listen_on(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0)
    return Status(Code::invalid,
                  "tcp: '" + host + "' is no address of this host: " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, ::freeaddrinfo);
  for (const addrinfo* each = found; each; each = each->ai_next) {
    Fd fd(::socket(each->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd && ::bind(fd.get(), each->ai_addr, each->ai_addrlen) == 0 &&
        ::listen(fd.get(), SOMAXCONN) == 0)
      return fd;
  }
  return Status(errno == EADDRNOTAVAIL ? Code::invalid : Code::unavailable,
                "tcp: cannot listen on '" + host + "': " + std::strerror(errno) +
                    " (see `ip addr` for this host's addresses)");
}

Result<Fd> make_listener(const std::string& bind_host) {
  if (!bind_host.empty()) return listen_on(bind_host);
  auto v4 = listen_on("127.0.0.1");
  if (v4.ok()) return v4;
  auto v6 = listen_on("::1");
  return v6.ok() ? std::move(v6) : std::move(v4);
}

// Family, port and address bytes: the same on every node.
Result<Bytes> encode_address(int listener) {
  SocketAddress address;
  address.size = sizeof address.storage;
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0)
    return system_error("getsockname");
  Bytes bytes;
  Writer writer(bytes);
  if (address.storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.storage);
    if (v4.sin_addr.s_addr == INADDR_ANY)
      return Status(Code::invalid,
                    "tcp: 0.0.0.0 is no address to be reached at: name one of this host");
    writer.put(std::uint8_t{4});
    writer.put(static_cast<std::uint16_t>(v4.sin_port));
    writer.put_bytes(std::as_bytes(std::span(&v4.sin_addr, 1)));
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
    if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr))
      return Status(Code::invalid, "tcp: :: is no address to be reached at: name one of this host");
    writer.put(std::uint8_t{6});
    writer.put(static_cast<std::uint16_t>(v6.sin6_port));
    writer.put_bytes(std::as_bytes(std::span(&v6.sin6_addr, 1)));
    writer.put(static_cast<std::uint32_t>(v6.sin6_scope_id));
  }
  return bytes;
}

Result<SocketAddress> decode_address(ByteView bytes, NodeId node) {
  Reader reader(bytes);
  SocketAddress address;
  const auto family = reader.get<std::uint8_t>();
  const auto port = reader.get<std::uint16_t>();
  if (family == 4) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
    v4.sin_family = AF_INET;
    v4.sin_port = port;
    const ByteView host = reader.get_bytes(sizeof v4.sin_addr);
    if (reader.ok()) std::memcpy(&v4.sin_addr, host.data(), host.size());
    address.size = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = port;
    const ByteView host = reader.get_bytes(sizeof v6.sin6_addr);
    if (reader.ok()) std::memcpy(&v6.sin6_addr, host.data(), host.size());
    v6.sin6_scope_id = reader.get<std::uint32_t>();
    address.size = sizeof v6;
  }
  if (!reader.done() || (family != 4 && family != 6))
    return Status(Code::invalid, "tcp: the address of node " + std::to_string(node.value) +
                                     " is none: does it use tcp too?");
  return address;
}

void tune(int socket) {
  const auto set = [socket](int level, int option, int value) {
    ::setsockopt(socket, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, keepalive_idle_s);
  set(IPPROTO_TCP, TCP_KEEPINTVL, keepalive_interval_s);
  set(IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes);
}

// What a transport opens; made whole before the transport is.
struct Parts {
  Fd listener;
  Bytes address;
  Fd bell_fd;
  Fd epoll_fd;
};

Result<Parts> make_parts(const std::string& bind_host) {
  const Status ready = sodium_ready();
  if (!ready.ok()) return ready;
  Parts parts;
  auto listener = make_listener(bind_host);
  if (!listener.ok()) return listener.status();
  parts.listener = std::move(listener).value();
  auto address = encode_address(parts.listener.get());
  if (!address.ok()) return address.status();
  parts.address = std::move(address).value();
  parts.bell_fd = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  parts.epoll_fd = Fd(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event bell{.events = EPOLLIN, .data = {.u32 = bell_tag}};
  if (!parts.bell_fd || !parts.epoll_fd ||
      ::epoll_ctl(parts.epoll_fd.get(), EPOLL_CTL_ADD, parts.bell_fd.get(), &bell) != 0)
    return system_error("eventfd and epoll");
  return parts;
}

class Tcp final : public Transport {
 public:
  Tcp(const Options& options, Parts parts)
      : self_(options.self),
        nodes_(options.nodes),
        job_key_(options.job_key),
        timeout_ms_(options.connect_timeout_ms),
        parts_(std::move(parts)),
        peers_(options.nodes) {}

  ~Tcp() override {
    // A fork()ed child that lives on may hold the sockets too.
    for (const auto& peer : peers_)
      if (peer) ::shutdown(peer->socket(), SHUT_RDWR);
  }

  const Caps& caps() const override { return tcp_caps; }
  Bytes address() const override { return parts_.address; }
  Status connect(std::span<const Bytes> addresses) override;

  Result<Bytes> expose(std::span<std::byte> memory, int, std::uint64_t) override {
    return MemoryKey{.id = target_.expose(memory), .size = memory.size()}.encode();
  }

  Result<RemoteMemory> import_memory(NodeId peer, ByteView bytes) override {
    const Result<MemoryKey> key = MemoryKey::decode(bytes);
    if (!key.ok()) return key.status();
    if (peer == self_ && !target_.exposed(key.value().id))
      return Status(Code::invalid, "tcp: a key that this node never made");
    return RemoteMemory(imported_.append({peer, key.value().id}));
  }

  Status send(NodeId id, ByteView header, ByteView body, Urgency) override {
    if (header.size() + body.size() > frame_message_max)
      return Status(Code::too_large, "tcp: a message above 256 MiB: send it in parts");
    return id == self_ ? local_.push_message(self_, header, body) : peer(id).send(header, body);
  }

  std::size_t post(NodeId id, std::span<const Operation> operations) override {
    return id == self_ ? post_to_self(operations) : peer(id).post(operations);
  }

  std::size_t poll(std::span<Event> out) override;

  void recycle(const Event& message) override {
    if (message.peer == self_)
      local_.recycle(message);
    else
      chunks_.drop(reinterpret_cast<Chunk*>(static_cast<std::uintptr_t>(message.buffer)));
  }

  int wait_fd() const override { return parts_.epoll_fd.get(); }
  bool arm(Urgency least) override;
  Tally tally() const override { return {.served = target_.served()}; }
  std::uint64_t served() const override { return target_.served(); }

 private:
  TcpPeer& peer(NodeId id) {
    DSM_CHECK_WITH(id.value < nodes_ && peers_[id.value], "a peer is a connected node of the job",
                   {"peer", id.value});
    return *peers_[id.value];
  }
  std::size_t post_to_self(std::span<const Operation> operations);
  std::size_t poll_few(std::span<Event> out);
  std::size_t poll_many(std::span<Event> out);
  void report_ended();
  void disarm();

  const NodeId self_;
  const std::uint32_t nodes_;
  const std::string job_key_;
  const int timeout_ms_;
  Parts parts_;
  std::atomic<std::uint32_t> armed_flag_{0};
  const Doorbell bell_{&armed_flag_, parts_.bell_fd.get()};
  LocalEvents local_{bell_};
  RmaTarget target_;
  StableTable<TcpMemory> imported_;
  ChunkPool chunks_;
  std::vector<std::unique_ptr<TcpPeer>> peers_;  // by rank; none for this node

  // The polling thread's.
  std::vector<TcpPeer*> live_;  // not yet reported down
  std::size_t first_ = 0;       // where the next poll starts, so that none starves
  bool armed_ = false;
  bool rung_ = false;  // the bell's descriptor is or will be readable
};

Status Tcp::connect(std::span<const Bytes> addresses) {
  std::vector<SocketAddress> sockets;
  for (std::uint32_t i = 0; i < addresses.size(); ++i) {
    auto address = decode_address(addresses[i], NodeId(i));
    if (!address.ok()) return address.status();
    sockets.push_back(*address);
  }
  auto streams = connect_mesh(parts_.listener.get(), sockets,
                              {.wire = "tcp",
                               .self = self_,
                               .nodes = nodes_,
                               .job_key = job_key_,
                               .timeout_ms = timeout_ms_});
  if (!streams.ok()) return streams.status();
  parts_.listener.reset();
  const TcpShared shared{local_, target_, chunks_, imported_, parts_.epoll_fd.get()};
  for (NodeId id{0}; id.value < nodes_; ++id) {
    if (id == self_) continue;
    tune((*streams)[id.value].get());
    auto added = std::make_unique<TcpPeer>(id, std::move((*streams)[id.value]), shared);
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.u32 = id.value}};
    if (::epoll_ctl(parts_.epoll_fd.get(), EPOLL_CTL_ADD, added->socket(), &event) != 0)
      return system_error("epoll_ctl");
    live_.push_back(added.get());
    peers_[id.value] = std::move(added);
  }
  return {};
}

std::size_t Tcp::post_to_self(std::span<const Operation> operations) {
  const std::size_t accepted = local_.reserve(operations.size());
  DirectBatch batch;
  std::size_t silent = 0;
  for (const Operation& operation : operations.first(accepted)) {
    const TcpMemory* const memory = imported_.find(operation.memory.value);
    DSM_CHECK_WITH(memory && memory->peer == self_,
                   "an operation names memory imported from its peer", {"peer", self_.value},
                   {"memory", operation.memory.value});
    const Code code = batch.perform(*target_.exposed(memory->id), operation);
    if (operation.cookie != 0 || code != Code::ok)
      local_.push_completion(self_, operation.cookie, code);
    else
      ++silent;
  }
  local_.release(silent);
  return accepted;
}

std::size_t Tcp::poll(std::span<Event> out) {
  disarm();
  std::size_t count = local_.pop(out);
  if (count != 0) local_.take_room_again();
  if (count == out.size()) return count;
  count += live_.size() <= direct_peers_max ? poll_few(out.subspan(count))
                                            : poll_many(out.subspan(count));
  return count;
}

std::size_t Tcp::poll_few(std::span<Event> out) {
  std::size_t count = 0;
  bool ended = false;
  for (std::size_t i = 0; i < live_.size() && count < out.size(); ++i) {
    TcpPeer& from = *live_[(first_ + i) % live_.size()];
    count += from.poll(out.subspan(count));
    ended = ended || from.ended();
  }
  if (++first_ >= live_.size()) first_ = 0;
  if (ended) report_ended();
  return count;
}

std::size_t Tcp::poll_many(std::span<Event> out) {
  std::size_t count = 0;
  bool ended = false;
  const auto visit = [&](TcpPeer& from) {
    count += from.poll(out.subspan(count));
    ended = ended || from.ended();
  };
  for (std::size_t i = 0; i < live_.size() && count < out.size(); ++i)
    if (TcpPeer& from = *live_[(first_ + i) % live_.size()]; from.backlog()) visit(from);
  if (++first_ >= live_.size()) first_ = 0;
  epoll_event events[64];
  const int ready = count < out.size() ? ::epoll_wait(parts_.epoll_fd.get(), events, 64, 0) : 0;
  for (int i = 0; i < ready && count < out.size(); ++i)
    if (events[i].data.u32 != bell_tag) visit(*peers_[events[i].data.u32]);
  if (ended) report_ended();
  return count;
}

void Tcp::report_ended() {
  std::erase_if(live_, [this](TcpPeer* each) {
    if (!each->ended()) return false;
    ::epoll_ctl(parts_.epoll_fd.get(), EPOLL_CTL_DEL, each->socket(), nullptr);
    each->report_down();
    return true;
  });
}

bool Tcp::arm(Urgency) {
  bell_.arm();
  bool work = !local_.empty();
  for (TcpPeer* each : live_)
    work = work || each->backlog() || each->ended() || each->take_room_again();
  armed_ = true;
  if (work) disarm();
  return armed_;
}

// No system call where nobody rang.
void Tcp::disarm() {
  if (std::exchange(armed_, false) && bell_.lower()) rung_ = true;
  if (rung_ && bell_.drain()) rung_ = false;
}

Status usable_tcp() {
  const auto parts = make_parts("");
  return parts.ok() ? Status() : parts.status();
}

Result<std::unique_ptr<Transport>> open_tcp(const Options& options) {
  auto parts = make_parts(options.bind_host);
  if (!parts.ok()) return parts.status();
  return std::unique_ptr<Transport>(std::make_unique<Tcp>(options, std::move(parts).value()));
}

}  // namespace

constinit const Backend tcp_backend{.name = "tcp",
                                    .summary = "streams between hosts, IPv4 and IPv6",
                                    .joins_nodes = true,
                                    .usable = usable_tcp,
                                    .open = open_tcp};

}  // namespace dsm::transport
