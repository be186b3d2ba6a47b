#include "transport/shm.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>

#include "transport/direct.hpp"
#include "transport/handshake.hpp"
#include "transport/local_events.hpp"
#include "transport/memory_key.hpp"
#include "transport/mesh.hpp"
#include "transport/shm_peer.hpp"
#include "transport/stable_table.hpp"

namespace dsm::transport {
namespace {

constexpr Caps shm_caps{.name = "shm",
                        .one_sided = true,
                        .ordered = true,
                        .atomics = true,
                        .atomic_with_processor = true,
                        .message_max = shm_message_max,
                        .operation_max = std::size_t{1} << 40};

constexpr int pass_timeout_ms = 5000;
// How many polls between two looks at the sockets, which tell of ended peers.
constexpr std::uint32_t polls_per_socket_check = 1024;
constexpr std::uint32_t armed_polls_per_socket_check = 8;
constexpr std::uint32_t bell_tag = ~std::uint32_t{0};  // in epoll's data; else a rank

std::string boot_id() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

SocketAddress abstract_address(std::string_view name) {
  SocketAddress address;
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  const std::size_t size = std::min(name.size(), sizeof local.sun_path - 1);
  std::memcpy(local.sun_path + 1, name.data(), size);
  std::memcpy(&address.storage, &local, sizeof local);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
  return address;
}

std::string fresh_name() {
  static constexpr char digits[] = "0123456789abcdef";
  std::string name = "dsm-";
  const Nonce nonce = fresh_nonce();
  for (std::size_t i = 0; i < 16; ++i) name += {digits[nonce[i] >> 4], digits[nonce[i] & 15]};
  return name;
}

Status system_error(const char* call) {
  return Status(
      errno == EMFILE || errno == ENFILE || errno == ENOMEM ? Code::exhausted : Code::unavailable,
      std::string("shm: ") + call + ": " + std::strerror(errno) +
          (errno == EMFILE ? " (raise ulimit -n)" : ""));
}

// What a transport opens; made whole before the transport is.
struct Parts {
  std::string name;
  Fd listener;
  Fd inbox_fd;
  Mapping inbox;
  Fd bell_fd;
  Fd epoll_fd;
};

Result<Parts> make_parts(std::uint32_t nodes) {
  const Status ready = sodium_ready();
  if (!ready.ok()) return ready;
  Parts parts;
  parts.name = fresh_name();
  parts.listener = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!parts.listener) return system_error("socket");
  const SocketAddress address = abstract_address(parts.name);
  if (::bind(parts.listener.get(), address.get(), address.size) != 0) return system_error("bind");
  if (::listen(parts.listener.get(), static_cast<int>(nodes) + 64) != 0)
    return system_error("listen");
  parts.inbox_fd = Fd(::memfd_create("dsm-inbox", MFD_CLOEXEC));
  const std::size_t size = InboxLayout(nodes).size(nodes);
  if (!parts.inbox_fd) return system_error("memfd_create");
  if (::ftruncate(parts.inbox_fd.get(), static_cast<off_t>(size)) != 0)
    return system_error("ftruncate");
  auto mapped = Mapping::of(parts.inbox_fd.get(), size, 0);
  if (!mapped.ok()) return mapped.status();
  parts.inbox = std::move(mapped).value();
  parts.bell_fd = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!parts.bell_fd) return system_error("eventfd");
  parts.epoll_fd = Fd(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event bell{.events = EPOLLIN, .data = {.u32 = bell_tag}};
  if (!parts.epoll_fd ||
      ::epoll_ctl(parts.epoll_fd.get(), EPOLL_CTL_ADD, parts.bell_fd.get(), &bell) != 0)
    return system_error("epoll");
  return parts;
}

class Shm final : public Transport {
 public:
  Shm(const Options& options, Parts parts)
      : self_(options.self),
        nodes_(options.nodes),
        job_key_(options.job_key),
        timeout_ms_(options.connect_timeout_ms),
        layout_(options.nodes),
        parts_(std::move(parts)),
        bell_(reinterpret_cast<std::atomic<std::uint32_t>*>(parts_.inbox.data()),
              parts_.bell_fd.get()),
        local_(bell_),
        peers_(options.nodes) {}

  ~Shm() override {
    // A fork()ed child that lives on may hold the sockets too.
    for (const auto& peer : peers_)
      if (peer) ::shutdown(peer->socket(), SHUT_RDWR);
  }

  const Caps& caps() const override { return shm_caps; }

  Bytes address() const override {
    Bytes bytes;
    Writer writer(bytes);
    writer.put_string(parts_.name);
    writer.put_string(boot_id());
    return bytes;
  }

  Status connect(std::span<const Bytes> addresses) override;
  Result<Bytes> expose(std::span<std::byte> memory, int fd, std::uint64_t fd_offset) override;
  Result<RemoteMemory> import_memory(NodeId peer, ByteView key) override;
  Status send(NodeId peer, ByteView header, ByteView body, Urgency urgency) override;
  std::size_t post(NodeId peer, std::span<const Operation> operations) override;
  std::size_t poll(std::span<Event> out) override;
  void recycle(const Event& message) override;
  int wait_fd() const override { return parts_.epoll_fd.get(); }
  bool arm(Urgency least) override;

 private:
  struct Exposure {
    std::span<std::byte> memory;
    ControlRecord record;
    Fd fd;  // kept for those who connect later
  };
  struct Imported {
    NodeId peer;
    std::span<std::byte> memory;
  };

  ShmPeer& peer(NodeId id) {
    DSM_CHECK_WITH(id.value < nodes_ && peers_[id.value], "a peer is a connected node of the job",
                   {"peer", id.value});
    return *peers_[id.value];
  }
  void check_sockets();
  void report_gone();

  const NodeId self_;
  const std::uint32_t nodes_;
  std::string job_key_;
  const int timeout_ms_;
  const InboxLayout layout_;
  Parts parts_;
  const Doorbell bell_;  // wakes this node
  LocalEvents local_;
  std::vector<std::unique_ptr<ShmPeer>> peers_;  // by rank; none for this node

  StableTable<Exposure> exposed_;
  StableTable<Imported> imported_;
  std::vector<Mapping> mappings_;  // set-up thread only

  // The polling thread's.
  std::vector<ShmPeer*> live_;  // not yet reported down
  std::size_t first_ = 0;       // where the next poll starts, so that none starves
  std::uint32_t polls_ = 0;
  bool armed_ = false;
};

Status Shm::connect(std::span<const Bytes> addresses) {
  std::vector<SocketAddress> sockets;
  for (std::uint32_t i = 0; i < addresses.size(); ++i) {
    Reader reader(addresses[i]);
    const std::string name = reader.get_string();
    const std::string boot = reader.get_string();
    if (!reader.done())
      return Status(Code::invalid, "shm: the address of node " + std::to_string(i) +
                                       " is none: does it use shm too?");
    if (boot != boot_id())
      return Status(Code::refused,
                    "shm: node " + std::to_string(i) + " runs on another host: choose tcp");
    sockets.push_back(abstract_address(name));
  }
  auto streams = connect_mesh(parts_.listener.get(), sockets,
                              {.wire = "shm",
                               .self = self_,
                               .nodes = nodes_,
                               .job_key = job_key_,
                               .timeout_ms = timeout_ms_,
                               .same_user = true});
  if (!streams.ok()) return streams.status();
  parts_.listener.reset();

  for (NodeId id{0}; id.value < nodes_; ++id) {
    if (id == self_) continue;
    auto added = std::make_unique<ShmPeer>(self_, id, std::move((*streams)[id.value]),
                                           parts_.inbox.data(), layout_);
    Status passed =
        added->pass({ControlRecord::Kind::inbox, 0, 0, 0}, parts_.inbox_fd.get(), timeout_ms_);
    if (passed.ok())
      passed = added->pass({ControlRecord::Kind::bell, 0, 0, 0}, parts_.bell_fd.get(), timeout_ms_);
    for (std::uint32_t i = 0; i < exposed_.size() && passed.ok(); ++i)
      passed = added->pass(exposed_[i].record, exposed_[i].fd.get(), timeout_ms_);
    if (!passed.ok())
      return Status(passed.code(),
                    "shm: node " + std::to_string(id.value) + ": " + passed.message());
    peers_[id.value] = std::move(added);
  }
  for (const auto& each : peers_) {
    if (!each) continue;
    const Status met = each->meet(timeout_ms_);
    if (!met.ok()) return met;
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.u32 = each->id().value}};
    if (::epoll_ctl(parts_.epoll_fd.get(), EPOLL_CTL_ADD, each->socket(), &event) != 0)
      return system_error("epoll_ctl");
    live_.push_back(each.get());
  }
  for (std::uint32_t i = 0; i < exposed_.size(); ++i) exposed_[i].fd.reset();
  return {};
}

Result<Bytes> Shm::expose(std::span<std::byte> memory, int fd, std::uint64_t fd_offset) {
  const bool connected = !parts_.listener;
  Fd kept;
  if (!connected) {
    kept = Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!kept) return system_error("fcntl");
  }
  const ControlRecord record{ControlRecord::Kind::exposure, exposed_.size(), memory.size(),
                             fd_offset};
  const std::uint32_t id = exposed_.append({memory, record, std::move(kept)});
  if (connected) {
    for (const auto& each : peers_) {
      const Status passed =
          each && !each->gone() ? each->pass(record, fd, pass_timeout_ms) : Status();
      if (!passed.ok() && passed.code() != Code::peer_lost)
        return Status(passed.code(),
                      "shm: node " + std::to_string(each->id().value) + ": " + passed.message());
    }
  }
  return MemoryKey{.id = id, .size = memory.size()}.encode();
}

Result<RemoteMemory> Shm::import_memory(NodeId id, ByteView bytes) {
  const Result<MemoryKey> key = MemoryKey::decode(bytes);
  if (!key.ok()) return key.status();
  if (id == self_) {
    const Exposure* const own = exposed_.find(key.value().id);
    if (!own) return Status(Code::invalid, "shm: a key that this node never made");
    return RemoteMemory(imported_.append({id, own->memory}));
  }
  const std::string who = "shm: node " + std::to_string(id.value);
  ControlRecord record;
  const Fd fd =
      peer(id).take_record(ControlRecord::Kind::exposure, key.value().id, record, pass_timeout_ms);
  if (!fd)
    return Status(Code::peer_lost,
                  who + " passed no such memory: was it imported before, or did the node end?");
  if (record.size == 0) return RemoteMemory(imported_.append({id, {}}));
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t slack = record.offset % page;
  struct stat status {};
  const bool within = ::fstat(fd.get(), &status) == 0 &&
                      record.size <= static_cast<std::uint64_t>(status.st_size) &&
                      record.offset <= static_cast<std::uint64_t>(status.st_size) - record.size;
  if (!within || record.size != key.value().size)
    return Status(Code::invalid, who + " exposed more than its memfd holds");
  auto mapped =
      Mapping::of(fd.get(), record.size + slack, static_cast<off_t>(record.offset - slack));
  if (!mapped.ok()) return Status(mapped.status().code(), who + ": " + mapped.status().message());
  const std::span<std::byte> memory(mapped->data() + slack, record.size);
  mappings_.push_back(std::move(mapped).value());
  return RemoteMemory(imported_.append({id, memory}));
}

Status Shm::send(NodeId id, ByteView header, ByteView body, Urgency urgency) {
  if (header.size() + body.size() > shm_message_max)
    return Status(Code::too_large, "shm: a message above 256 MiB: send it in parts");
  if (id == self_) return local_.push_message(self_, header, body);
  return peer(id).send(header, body, urgency);
}

std::size_t Shm::post(NodeId id, std::span<const Operation> operations) {
  const std::size_t accepted = local_.reserve(operations.size());
  const bool gone = id != self_ && peer(id).gone();
  DirectBatch batch;
  std::size_t silent = 0;
  for (const Operation& operation : operations.first(accepted)) {
    const Imported* const imported = imported_.find(operation.memory.value);
    DSM_CHECK_WITH(imported && imported->peer == id,
                   "an operation names memory imported from its peer", {"peer", id.value},
                   {"memory", operation.memory.value});
    const Code code = gone ? Code::peer_lost : batch.perform(imported->memory, operation);
    if (operation.cookie != 0 || code == Code::invalid)
      local_.push_completion(id, operation.cookie, code);
    else
      ++silent;
  }
  local_.release(silent);
  return accepted;
}

std::size_t Shm::poll(std::span<Event> out) {
  // Usually no system call where nobody rang. What the sockets have to say (a peer's end) keeps
  // wait_fd() readable, so a sleeper comes back until they are looked at: soon, if it was armed.
  const bool rung = armed_ && bell_.lower();
  polls_ += armed_ ? polls_per_socket_check / armed_polls_per_socket_check : 1;
  armed_ = false;
  if (rung || polls_ >= polls_per_socket_check) {
    polls_ = 0;
    check_sockets();
  }
  std::size_t count = local_.pop(out);
  if (count != 0) local_.take_room_again();
  for (std::size_t i = 0; i < live_.size() && count < out.size(); ++i) {
    ShmPeer& from = *live_[(first_ + i) % live_.size()];
    while (count < out.size() && from.receive(out[count])) ++count;
  }
  if (++first_ >= live_.size()) first_ = 0;
  return count;
}

void Shm::recycle(const Event& message) {
  if (message.peer == self_)
    local_.recycle(message);
  else
    peer(message.peer).recycle(message);
}

bool Shm::arm(Urgency least) {
  bell_.arm(least);
  bool work = !local_.empty();
  for (ShmPeer* each : live_)
    work = work || each->ready() || each->gone() || each->take_room_again();
  armed_ = !work;
  if (work) bell_.disarm();
  return armed_;
}

void Shm::check_sockets() {
  epoll_event events[16];
  const int count = ::epoll_wait(parts_.epoll_fd.get(), events, 16, 0);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u32 == bell_tag) {
      bell_.drain();
    } else {
      peers_[events[i].data.u32]->read_socket();
    }
  }
  report_gone();
}

// What a peer sent before it ended is received first.
void Shm::report_gone() {
  const auto ended = [this](ShmPeer* each) {
    if (!each->ended()) return false;
    ::epoll_ctl(parts_.epoll_fd.get(), EPOLL_CTL_DEL, each->socket(), nullptr);
    local_.push_peer_down(each->id());
    return true;
  };
  live_.erase(std::remove_if(live_.begin(), live_.end(), ended), live_.end());
}

Status usable_shm() {
  auto parts = make_parts(2);
  return parts.ok() ? Status() : parts.status();
}

Result<std::unique_ptr<Transport>> open_shm(const Options& options) {
  auto parts = make_parts(options.nodes);
  if (!parts.ok()) return parts.status();
  return std::unique_ptr<Transport>(std::make_unique<Shm>(options, std::move(parts).value()));
}

}  // namespace

constinit const Backend shm_backend{.name = "shm",
                                    .summary = "processes of one host, through shared memory",
                                    .joins_nodes = true,
                                    .usable = usable_shm,
                                    .open = open_shm,
                                    .one_host = true};

}  // namespace dsm::transport
