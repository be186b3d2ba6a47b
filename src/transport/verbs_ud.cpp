#include "transport/verbs_ud.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.hpp"
#include "transport/handshake.hpp"
#include "transport/reliable.hpp"

namespace dsm::transport {
namespace {

constexpr std::size_t route_header = sizeof(ibv_grh);  // ahead of every datagram received
// The longest that any port sends, whatever this one's MTU: a datagram that is longer than its slot
// breaks the queue pair (of some devices), and a stranger may send it.
constexpr std::size_t datagram_max = 4096;
constexpr std::size_t receive_bytes =
    (route_header + datagram_max + cache_line - 1) / cache_line * cache_line;
constexpr std::uint32_t send_slots_wanted = 256;
// Datagrams that a peer may have under way to one node, and those that belong to no peer.
constexpr std::uint32_t receive_slots_a_peer = 64;
constexpr std::uint32_t receive_slots_spare = 64;
constexpr std::uint32_t receive_slots_max = 16384;
constexpr std::uint32_t repost_batch_max = 16;
constexpr int completions_a_look = 16;
constexpr std::uint32_t arms_per_look = 16;
// How many polls between two looks at what nobody reports: failed sends, events of the device.
constexpr std::uint32_t polls_a_look = 4096;

static_assert(route_header == 40);

constexpr std::uint32_t address_magic = 0x32647576;  // "vud2"
// Set in the name of a work request that goes to the group.
constexpr std::uint64_t group_mark = std::uint64_t{1} << 63;

// The highest bit set would mean "take the queue pair's own".
std::uint32_t queue_key_of(std::string_view job_key) {
  const LinkKey key = link_key(job_key, "verbs queue key");
  std::uint32_t value;
  std::memcpy(&value, key.data(), sizeof value);
  return value & 0x7fffffff;
}

}  // namespace

Result<std::unique_ptr<VerbsUd>> VerbsUd::open(std::shared_ptr<const VerbsDevice> shared,
                                               std::uint32_t nodes, std::string_view job_key) {
  const Status ready = sodium_ready();
  if (!ready.ok()) return ready;
  const VerbsDevice& device = *shared;
  const std::uint32_t others = std::max(nodes, 1u) - 1;
  const std::uint32_t depth = device.limits().queue_depth;
  const std::uint32_t least = std::max(others * slots_min, 1u);
  if (depth < least)
    return Status(Code::unavailable,
                  "verbs: " + device.text() + " has queues of at most " + std::to_string(depth) +
                      " work requests, and a job of " + std::to_string(nodes) + " nodes needs " +
                      std::to_string(least) + ": use fewer nodes, or choose tcp");
  const std::uint32_t wanted =
      std::min(others * receive_slots_a_peer + receive_slots_spare, receive_slots_max);
  std::unique_ptr<VerbsUd> port(
      new VerbsUd(std::move(shared), std::min(send_slots_wanted, depth), std::min(wanted, depth)));
  const Status made = port->make(job_key);
  if (!made.ok()) return made;
  return port;
}

VerbsUd::VerbsUd(std::shared_ptr<const VerbsDevice> device, std::uint32_t send_slots,
                 std::uint32_t receive_slots)
    : owned_(std::move(device)),
      device_(*owned_),
      send_slots_(send_slots),
      receive_slots_(receive_slots),
      repost_batch_(std::clamp(receive_slots / 16, 1u, repost_batch_max)),
      mtu_(device_.port().mtu),
      ring_(send_slots) {
  free_.reserve(receive_slots);
  lent_.resize(receive_slots);
  stash_.resize(completions_a_look);
}

VerbsUd::~VerbsUd() = default;

Status VerbsUd::make(std::string_view job_key) {
  queue_key_ = queue_key_of(job_key);
  auto sends = DeviceMemory::make(device_, std::size_t{send_slots_} * mtu_);
  if (!sends.ok()) return sends.status();
  send_memory_ = std::move(sends).value();
  auto receives = DeviceMemory::make(device_, std::size_t{receive_slots_} * receive_bytes);
  if (!receives.ok()) return receives.status();
  receive_memory_ = std::move(receives).value();
  auto channel = device_.make_channel();
  if (!channel.ok()) return channel.status();
  channel_ = std::move(channel).value();
  auto send_queue = device_.make_queue(send_slots_, channel_.get());
  if (!send_queue.ok()) return send_queue.status();
  send_queue_ = std::move(send_queue).value();
  auto receive_queue = device_.make_queue(receive_slots_, channel_.get());
  if (!receive_queue.ok()) return receive_queue.status();
  receive_queue_ = std::move(receive_queue).value();

  ibv_qp_init_attr attributes{};
  attributes.send_cq = send_queue_.get();
  attributes.recv_cq = receive_queue_.get();
  attributes.cap = {.max_send_wr = send_slots_,
                    .max_recv_wr = receive_slots_,
                    .max_send_sge = 1,
                    .max_recv_sge = 1,
                    .max_inline_data = 0};
  attributes.qp_type = IBV_QPT_UD;
  auto pair = device_.make_pair(attributes);
  if (!pair.ok()) return pair.status();
  pair_ = std::move(pair).value();
  inline_max_ = attributes.cap.max_inline_data;
  for (std::uint32_t i = 0; i < receive_slots_; ++i) free_.push_back(i);
  if (Status started = start(); !started.ok()) return started;
  if (device_.options().multicast == Multicast::on) join_group(job_key);
  return watch();
}

void VerbsUd::join_group(std::string_view job_key) {
  auto joined = VerbsGroup::join(device_, pair_.get(), job_key);
  if (joined.ok()) {
    group_ = std::move(joined).value();
  } else {
    leave_group(joined.status().message());
  }
}

// The addresses of all nodes are known; `without` has not joined, if it is one.
void VerbsUd::meet_group(NodeId without) {
  if (!group_.joined()) return;
  if (without != no_node) return leave_group("node " + std::to_string(without.value) + " has none");
  auto path = path_to(group_.port());
  if (!path.ok()) return leave_group(path.status().message());
  everybody_ = {.path = std::move(path).value(),
                .pair = VerbsGroup::pair_number,
                .mtu = mtu_,
                .port = group_.port()};
  for (const Peer& peer : peers_) everybody_.mtu = std::min(everybody_.mtu, peer.mtu);
  group_works_.store(true);
}

void VerbsUd::leave_group(const std::string& why) {
  group_works_.store(false);
  log_line("verbs: %s: multicast is not used: %s; messages for many nodes go by a tree",
           device_.text().c_str(), why.c_str());
}

// Everything that may happen, on one descriptor.
Status VerbsUd::watch() {
  epoll_fd_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  bool good = static_cast<bool>(epoll_fd_);
  for (const int fd : {channel_->fd, device_.context()->async_fd}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    good = good && ::epoll_ctl(epoll_fd_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }
  if (good) return {};
  return Status(Code::exhausted, std::string("verbs: epoll: ") + std::strerror(errno) +
                                     (errno == EMFILE ? " (raise ulimit -n)" : ""));
}

// From a pair that is reset to one that sends and receives.

Status VerbsUd::start() {
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_INIT;
  attr.pkey_index = device_.pkey_index();
  attr.port_num = device_.port_number();
  attr.qkey = queue_key_;
  if (const int failed = ::ibv_modify_qp(
          pair_.get(), &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY))
    return device_.error("a UD queue pair cannot be initialised", failed);
  post_receives();
  attr = {};
  attr.qp_state = IBV_QPS_RTR;
  if (const int failed = ::ibv_modify_qp(pair_.get(), &attr, IBV_QP_STATE))
    return device_.error("a UD queue pair cannot receive", failed);
  attr.qp_state = IBV_QPS_RTS;
  attr.sq_psn = 0;
  if (const int failed = ::ibv_modify_qp(pair_.get(), &attr, IBV_QP_STATE | IBV_QP_SQ_PSN))
    return device_.error("a UD queue pair cannot send", failed);
  if (faulty_.load()) {
    MutexLock hold(fault_lock_);
    return Status(Code::unavailable, fault_);
  }
  return {};
}

Bytes VerbsUd::address() const {
  Bytes bytes;
  Writer writer(bytes);
  writer.put(address_magic);
  device_.port().encode(writer);
  writer.put(pair_->qp_num);
  writer.put(static_cast<std::uint8_t>(group_.joined()));
  return bytes;
}

Status VerbsUd::connect(std::span<const Bytes> addresses) {
  NodeId without_group = no_node;
  for (std::uint32_t i = 0; i < addresses.size(); ++i) {
    Reader reader(addresses[i]);
    const auto magic = reader.get<std::uint32_t>();
    const VerbsPort port = VerbsPort::decode(reader);
    const auto pair = reader.get<std::uint32_t>();
    if (reader.get<std::uint8_t>() == 0) without_group = NodeId(i);
    const std::string who = "the address of node " + std::to_string(i);
    if (!reader.done() || magic != address_magic)
      return Status(Code::invalid, "verbs: " + who + " is none: does it use verbs too?");
    if (port.ethernet != device_.port().ethernet)
      return Status(Code::invalid, "verbs: " + who + " is on " +
                                       (port.ethernet ? "Ethernet" : "InfiniBand") +
                                       " and this node's is not: give both nodes' DSM_VERBS a "
                                       "device of one network");
    auto path = path_to(port);
    if (!path.ok())
      return Status(path.status().code(),
                    path.status().message() + ", of node " + std::to_string(i));
    peers_.push_back({.path = std::move(path).value(),
                      .pair = pair,
                      .mtu = std::min<std::size_t>(port.mtu, mtu_),
                      .port = port});
  }
  meet_group(without_group);
  return {};
}

Result<VerbsPath> VerbsUd::path_to(const VerbsPort& port) const {
  ibv_ah_attr route = device_.route(port);
  VerbsPath path(::ibv_create_ah(device_.domain(), &route));
  if (!path) return device_.error("no route to a peer's port", errno);
  return path;
}

std::byte* VerbsUd::receive_slot(std::uint32_t index) const {
  return receive_memory_.data() + std::size_t{index} * receive_bytes;
}

// All of free_, as one chain.
void VerbsUd::post_receives() {
  constexpr std::size_t chain_max = 64;
  while (!free_.empty()) {
    std::array<ibv_recv_wr, chain_max> requests;
    std::array<ibv_sge, chain_max> places;
    const std::size_t count = std::min(free_.size(), chain_max);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t slot = free_[free_.size() - 1 - i];
      places[i] = {.addr = reinterpret_cast<std::uintptr_t>(receive_slot(slot)),
                   .length = static_cast<std::uint32_t>(route_header + datagram_max),
                   .lkey = receive_memory_.key()};
      requests[i] = {.wr_id = slot,
                     .next = i + 1 < count ? &requests[i + 1] : nullptr,
                     .sg_list = &places[i],
                     .num_sge = 1};
    }
    ibv_recv_wr* bad = nullptr;
    if (const int failed = ibv_post_recv(pair_.get(), requests.data(), &bad))
      return fault(device_.error("posting receives", failed).message());
    free_.resize(free_.size() - count);
  }
}

Status VerbsUd::send(NodeId peer, ByteView header, ByteView body, Urgency urgency) {
  return send(peers_[peer.value], header, body, urgency);
}

Status VerbsUd::send_to_all(ByteView datagram) {
  if (multicast_max() == 0) return Status(Code::unavailable, "verbs: there is no multicast");
  return send(everybody_, datagram, {}, Urgency::prompt);
}

std::uint32_t VerbsUd::fan_out() const {
  return device_.options().multicast == Multicast::off ? 0 : device_.options().fan_out;
}

Status VerbsUd::send(const Peer& to, ByteView header, ByteView body, Urgency urgency) {
  const std::size_t size = header.size() + body.size();
  DSM_CHECK_WITH(size <= to.mtu, "a datagram fits both ends", {"bytes", size});
  std::optional<std::uint32_t> slot = ring_.reserve();
  if (!slot) {
    reap();
    slot = ring_.reserve();
  }
  if (!slot) {
    // From here on a report wakes whoever sleeps on this port; what came before is looked at here.
    blocked_.store(true);
    ask_for_room();
    reap();
    slot = ring_.reserve();
    if (!slot) return Status::would_block();
  }
  std::byte* const at = send_memory_.data() + std::size_t{*slot} * mtu_;
  if (!header.empty()) std::memcpy(at, header.data(), header.size());
  if (!body.empty()) std::memcpy(at + header.size(), body.data(), body.size());

  ibv_sge place{.addr = reinterpret_cast<std::uintptr_t>(at),
                .length = static_cast<std::uint32_t>(size),
                .lkey = send_memory_.key()};
  ibv_send_wr request{};
  request.sg_list = &place;
  request.num_sge = 1;
  request.opcode = IBV_WR_SEND;
  if (size <= inline_max_) request.send_flags |= IBV_SEND_INLINE;
  if (urgency == Urgency::prompt) request.send_flags |= IBV_SEND_SOLICITED;
  request.wr.ud.remote_qpn = to.pair;
  request.wr.ud.remote_qkey = queue_key_;
  ibv_send_wr* bad = nullptr;
  int failed = 0;
  {
    MutexLock hold(post_lock_);
    const SendRing::Post post = ring_.post(*slot);
    request.wr_id = post.number | (&to == &everybody_ ? group_mark : 0);
    if (post.signalled) request.send_flags |= IBV_SEND_SIGNALED;
    request.wr.ud.ah = to.path.get();
    failed = ibv_post_send(pair_.get(), &request, &bad);
  }
  if (failed == 0) return {};
  const Status status = device_.error("sending a datagram", failed);
  fault(status.message());
  if (&to == &everybody_) leave_group(std::strerror(failed));
  return status;
}

// Takes reports of sends; any thread.
void VerbsUd::reap() {
  MutexLock hold(reap_lock_);  // reports stay in order
  std::array<ibv_wc, completions_a_look> reports;
  for (;;) {
    const int count = ibv_poll_cq(send_queue_.get(), completions_a_look, reports.data());
    for (int i = 0; i < count; ++i) {
      const ibv_wc& report = reports[static_cast<std::size_t>(i)];
      if (report.status == IBV_WC_SUCCESS) {
        ring_.done(report.wr_id & ~group_mark);
        continue;
      }
      fault("verbs: " + device_.text() + ": datagrams cannot be sent: " + words_of(report.status));
      if ((report.wr_id & group_mark) != 0 && report.status != IBV_WC_WR_FLUSH_ERR && group_works_)
        leave_group(words_of(report.status));
    }
    if (count < completions_a_look) return;
  }
}

std::size_t VerbsUd::take(std::span<Datagram> out) {
  std::array<ibv_wc, completions_a_look> arrivals;
  std::size_t taken = 0;
  while (taken < out.size()) {
    const int wanted = static_cast<int>(std::min<std::size_t>(out.size() - taken, arrivals.size()));
    const int count = ibv_poll_cq(receive_queue_.get(), wanted, arrivals.data());
    for (int i = 0; i < count; ++i) {
      const ibv_wc& arrival = arrivals[static_cast<std::size_t>(i)];
      const auto slot = static_cast<std::uint32_t>(arrival.wr_id);
      if (arrival.status != IBV_WC_SUCCESS) {
        fault("verbs: " + device_.text() + ": a receive failed: " + words_of(arrival.status));
        continue;
      }
      if (arrival.byte_len < route_header) {
        free_.push_back(slot);
        continue;
      }
      lent_[slot] = true;
      out[taken++] = {
          .bytes = ByteView(receive_slot(slot) + route_header, arrival.byte_len - route_header),
          .buffer = slot};
    }
    if (count > 0) note_arrival();
    if (count < wanted) break;
  }
  return taken;
}

std::size_t VerbsUd::poll(std::span<Datagram> out) {
  if (++polls_ >= polls_a_look) look_around();
  std::size_t count = 0;
  while (stash_first_ != 0 && count < out.size()) out[count++] = stash_[--stash_first_];
  return count + take(out.subspan(count));
}

void VerbsUd::recycle(std::span<const Datagram> datagrams) {
  for (const Datagram& datagram : datagrams) {
    const auto slot = static_cast<std::uint32_t>(datagram.buffer);
    lent_[slot] = false;
    free_.push_back(slot);
  }
  if (free_.size() >= repost_batch_) post_receives();
}

void VerbsUd::note_arrival() {
  came_ = true;
  if (asked_ == Asked::prompt) perhaps_told_ = true;
  if (asked_ != Asked::all) return;
  asked_ = Asked::nothing;
  told_ = true;
}

// A request to be told of the next arrival stands until there is one; then the channel has an
// event, or soon will. Each look at it is a system call, so it is looked at when there should be
// one: also when a thread woke and found nothing, and now and then in case that one came late. A
// request for prompt arrivals is met by those that were sent so, which they do not show.
bool VerbsUd::arm(Urgency least) {
  const bool woke_for_nothing = perhaps_told_ && !came_;
  if (told_ || woke_for_nothing || told_of_room_.exchange(false) || ++arms_ % arms_per_look == 0)
    drain_channel();
  polls_ += polls_a_look / arms_per_look;
  told_ = came_ = false;
  const Asked wanted = least == Urgency::prompt ? Asked::prompt : Asked::all;
  if (asked_ < wanted) {
    ibv_req_notify_cq(receive_queue_.get(), wanted == Asked::prompt);
    asked_ = wanted;
  }
  if (stash_first_ == 0) stash_first_ = take(stash_);
  bool work = stash_first_ != 0;
  if (blocked_.load()) {
    ask_for_room();
    reap();
    if (!ring_.is_full()) {
      blocked_.store(false);
      work = true;
    }
  }
  return !work;
}

// Any thread.
void VerbsUd::ask_for_room() {
  told_of_room_.store(true);
  ibv_req_notify_cq(send_queue_.get(), 0);
}

void VerbsUd::drain_channel() {
  ibv_cq* queue = nullptr;
  void* context = nullptr;
  while (::ibv_get_cq_event(channel_.get(), &queue, &context) == 0) {
    ::ibv_ack_cq_events(queue, 1);
    if (queue == receive_queue_.get() && asked_ == Asked::prompt) asked_ = Asked::nothing;
  }
  perhaps_told_ = false;
}

// The pair failed, or may have.
void VerbsUd::fault(std::string why) {
  MutexLock hold(fault_lock_);
  if (!faulty_.load()) fault_ = std::move(why);
  faulted_at_ = std::chrono::steady_clock::now();
  faulty_.store(true, std::memory_order_release);
}

}  // namespace dsm::transport
