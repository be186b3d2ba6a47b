// What happens to a port under a job: its pair fails, it goes down and comes up, its address
// changes, the device goes.
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.hpp"
#include "transport/verbs_ud.hpp"

namespace dsm::transport {
namespace {

// Between two attempts to mend: each datagram that leaves a port without a route breaks the pair
// again.
constexpr std::chrono::milliseconds mend_step{10};

// A fault that is older has been mended.
constexpr std::chrono::seconds fault_fresh{3};

bool is_gone(int error) {
  return error == ENODEV || error == EIO || error == ENXIO;
}

}  // namespace

// All that polling a queue does not tell.
void VerbsUd::look_around() {
  polls_ = 0;
  take_events();
  reap();
  if (!faulty_.load(std::memory_order_acquire)) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < mended_at_ + mend_step) return;
  mended_at_ = now;
  mend();
}

void VerbsUd::take_events() {
  ibv_async_event event{};
  bool look = false;
  while (::ibv_get_async_event(device_.context(), &event) == 0) {
    const ibv_event_type type = event.event_type;
    const bool of_pair = type == IBV_EVENT_QP_FATAL || type == IBV_EVENT_QP_REQ_ERR ||
                         type == IBV_EVENT_QP_ACCESS_ERR;
    const bool of_port = type == IBV_EVENT_PORT_ACTIVE || type == IBV_EVENT_PORT_ERR ||
                         type == IBV_EVENT_LID_CHANGE || type == IBV_EVENT_GID_CHANGE;
    const std::uint32_t pair = of_pair ? event.element.qp->qp_num : 0;
    look = look || (of_port && event.element.port_num == device_.port_number());
    // Before the pair is destroyed, which waits for this.
    ::ibv_ack_async_event(&event);
    if (of_pair && pair == pair_->qp_num)
      fault("verbs: " + device_.text() + ": " + ::ibv_event_type_str(type));
    else if (of_pair && pair_failed_)
      pair_failed_(pair);
    if (type == IBV_EVENT_DEVICE_FATAL || type == IBV_EVENT_CQ_ERR)
      failure_ = "verbs: " + device_.text() + ": the device has failed or was removed (" +
                 ::ibv_event_type_str(type) + ")";
  }
  if (look) look_at_port();
}

void VerbsUd::look_at_port() {
  const std::string before = device_.text();
  const VerbsDevice::Look was = std::exchange(port_state_, device_.look_again());
  const std::string text = device_.text();
  if (was.active && !port_state_.active)
    log_line("verbs: %s: the port is down; the job goes on if it is up again soon", text.c_str());
  if (!was.active && port_state_.active) log_line("verbs: %s: the port is up again", text.c_str());
  if (was.addressed && !port_state_.addressed)
    log_line("verbs: %s: the address is gone; the job goes on if there is another one soon",
             before.c_str());
  if (!port_state_.moved) return;
  log_line("verbs: %s: the address has changed; it was %s", text.c_str(), before.c_str());
  old_paths_.clear();
  for (Peer& peer : peers_) {
    auto path = path_to(peer.port);
    if (path.ok()) use_path(peer, std::move(path).value());
  }
  if (multicast_max() != 0) {
    auto path = path_to(everybody_.port);
    if (path.ok()) use_path(everybody_, std::move(path).value());
  }
  ++version_;
  has_news_ = true;
}

void VerbsUd::use_path(Peer& peer, VerbsPath path) {
  MutexLock hold(post_lock_);
  std::swap(peer.path, path);
  old_paths_.push_back(std::move(path));
}

// The pair as good as new. What was under way is lost, which datagrams may be.
void VerbsUd::mend() {
  MutexLock posting(post_lock_);
  MutexLock reporting(reap_lock_);
  faulty_.store(false, std::memory_order_release);
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_RESET;
  if (const int failed = ::ibv_modify_qp(pair_.get(), &attr, IBV_QP_STATE)) {
    const std::string why = device_.error("a UD queue pair cannot be reset", failed).message();
    if (is_gone(failed)) failure_ = why;
    return fault(why);
  }
  ibv_wc old{};
  for (ibv_cq* const queue : {send_queue_.get(), receive_queue_.get()})
    while (ibv_poll_cq(queue, 1, &old) == 1) continue;
  ring_.all_done();
  free_.clear();
  for (std::uint32_t i = 0; i < receive_slots_; ++i)
    if (!lent_[i]) free_.push_back(i);
  if (const Status started = start(); !started.ok()) fault(started.message());
}

std::string VerbsUd::trouble() const {
  if (!port_state_.active) return "verbs: " + device_.text() + ": the port is down";
  if (!port_state_.addressed) return "verbs: " + device_.text() + ": the port has no address";
  MutexLock hold(fault_lock_);
  const bool fresh = std::chrono::steady_clock::now() < faulted_at_ + fault_fresh;
  return !fault_.empty() && fresh ? fault_ : std::string();
}

Bytes VerbsUd::take_news() {
  Bytes bytes;
  if (!std::exchange(has_news_, false)) return bytes;
  Writer writer(bytes);
  writer.put(version_);
  device_.port().encode(writer);
  return bytes;
}

void VerbsUd::hear(NodeId id, ByteView news) {
  Reader reader(news);
  const auto version = reader.get<std::uint32_t>();
  const VerbsPort port = VerbsPort::decode(reader);
  Peer& peer = peers_[id.value];
  if (!reader.done() || version <= peer.heard || port.ethernet != peer.port.ethernet) return;
  auto path = path_to(port);
  if (!path.ok()) return;  // it will be told again
  log_line("verbs: node %u has another address", id.value);
  use_path(peer, std::move(path).value());
  peer.port = port;
  peer.heard = version;
}

void VerbsUd::fail_pair() {
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_ERR;
  ::ibv_modify_qp(pair_.get(), &attr, IBV_QP_STATE);
}

}  // namespace dsm::transport
