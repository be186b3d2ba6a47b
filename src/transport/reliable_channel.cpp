#include "transport/reliable_channel.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "transport/bundle.hpp"
#include "transport/reliable_channel_peer.hpp"

namespace dsm::transport {
namespace {

constexpr std::size_t batch_max = 32;  // datagrams taken off the wire at once
constexpr int byes = 3;                // good-byes said: nobody answers them
// A node that is connected to all waits so long for them to be connected to it: who is not may have
// missed an answer, and asks again.
constexpr Time others_max = std::chrono::milliseconds(500);
constexpr Time nap_max = std::chrono::milliseconds(50);

// Looks at an empty port between two at the clock.
constexpr std::uint32_t looks_per_clock = 16;
// A timer that is to go off so much too early is set anew; a little too early is as well.
constexpr Time early_max = std::chrono::milliseconds(5);
constexpr std::uint32_t arms_per_look = 16;

void add(std::atomic<std::uint64_t>& counter) {
  counter.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Time ReliableChannel::now() {
  return quick_now().time_since_epoch();
}

ReliableChannel::ReliableChannel(std::unique_ptr<DatagramPort> port, const Setup& setup)
    : wire_(setup.wire),
      self_(setup.self),
      nodes_(setup.nodes),
      timeout_ms_(setup.connect_timeout_ms),
      dead_after_(setup.dead_after),
      linger_(setup.linger),
      port_(std::move(port)),
      peers_(setup.nodes),
      earliest_(never.count()) {
  if (!setup.job_key.empty()) job_key_ = link_key(setup.job_key, wire_);
  nonce_ = fresh_nonce();
}

Result<std::unique_ptr<ReliableChannel>> ReliableChannel::make(std::unique_ptr<DatagramPort> port,
                                                               const Setup& setup) {
  const Status ready = sodium_ready();
  if (!ready.ok()) return ready;
  if (setup.job_key.empty() && setup.nodes > 1)
    return Status(Code::invalid,
                  std::string(setup.wire) + ": no job key: nobody could be told from a stranger");
  std::unique_ptr<ReliableChannel> channel(new ReliableChannel(std::move(port), setup));
  const Status opened = channel->open();
  if (!opened.ok()) return opened;
  return channel;
}

Status ReliableChannel::open() {
  bell_fd_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  timer_fd_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  epoll_fd_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  bell_ = Doorbell(&armed_flag_, bell_fd_.get());
  bool good = bell_fd_ && timer_fd_ && epoll_fd_;
  for (const int fd : {bell_fd_.get(), timer_fd_.get(), port_->wait_fd()}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    good = good && ::epoll_ctl(epoll_fd_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }
  if (good) return {};
  const bool few = errno == EMFILE || errno == ENFILE;
  return Status(few || errno == ENOMEM ? Code::exhausted : Code::unavailable,
                wire_ + ": eventfd, timerfd and epoll: " + std::strerror(errno) +
                    (few ? " (raise ulimit -n)" : ""));
}

ReliableChannel::~ReliableChannel() {
  if (!epoll_fd_) return;
  linger();
}

// Until all that was sent has been acknowledged, at most linger_; then good-bye.
void ReliableChannel::linger() {
  const Time end = now() + linger_;
  for (;;) {
    bool open = false;
    for (const auto& each : peers_) {
      if (!each || each->down.load()) continue;
      MutexLock hold(each->lock);
      open = open || (!each->reliable.has_parted() && !each->reliable.all_acknowledged());
    }
    if (!open || now() >= end) break;
    drain(batch_max, true);
    while (!ready_.empty()) recycle(ready_.pop_front());
    if (!arm()) continue;
    pollfd one{.fd = wait_fd(), .events = POLLIN, .revents = 0};
    const Time left = std::min(nap_max, std::max(Time(0), end - now()));
    ::poll(&one, 1, static_cast<int>(left.count() / 1'000'000 + 1));
  }
  for (int i = 0; i < byes; ++i) {
    for (const auto& each : peers_) {
      if (!each || each->down.load()) continue;
      MutexLock hold(each->lock);
      each->reliable.part();
      flush(*each, now(), false);
    }
  }
}

Bytes ReliableChannel::address() const {
  Bytes bytes;
  Writer writer(bytes);
  writer.put_sized(port_->address());
  writer.put_bytes(std::as_bytes(std::span(nonce_)));
  return bytes;
}

// --- connecting ---

Status ReliableChannel::connect(std::span<const Bytes> addresses) {
  if (addresses.size() != nodes_)
    return Status(Code::invalid, wire_ + ": " + std::to_string(addresses.size()) +
                                     " addresses for " + std::to_string(nodes_) + " nodes");
  std::vector<Bytes> ports(nodes_);
  std::vector<Nonce> nonces(nodes_);
  for (std::uint32_t i = 0; i < nodes_; ++i) {
    Reader reader(addresses[i]);
    const ByteView port = reader.get_sized();
    const ByteView nonce = reader.get_bytes(nonces[i].size());
    if (!reader.done())
      return Status(Code::invalid, wire_ + ": the address of node " + std::to_string(i) +
                                       " is none: does it use " + wire_ + " too?");
    ports[i].assign(port.begin(), port.end());
    std::memcpy(nonces[i].data(), nonce.data(), nonce.size());
  }
  const Status reachable = port_->connect(ports);
  if (!reachable.ok() || nodes_ == 1) return reachable;
  // What this node sends to all may come back to it.
  const std::size_t multicast = port_->multicast_max();
  const std::size_t senders = nodes_ - 1 + (multicast != 0 ? 1 : 0);
  {
    MutexLock hold(bundle_lock_);
    bundle_.resize(std::min(multicast, Bundle::bytes_max));
  }
  plant_tree();
  const std::size_t slots = port_->receive_slots() / senders;
  if (slots < slots_min)
    return Status(Code::exhausted,
                  wire_ + ": a receive ring of " + std::to_string(port_->receive_slots()) +
                      " datagrams is too short for " + std::to_string(senders) +
                      " senders, each of which needs " + std::to_string(slots_min) +
                      ": use fewer nodes, or enlarge it" + port_->how_to_enlarge());
  const Time start = now();
  for (NodeId id{0}; id.value < nodes_; ++id) {
    if (id == self_) continue;
    const Reliable::Setup setup{
        .self = self_,
        .nodes = nodes_,
        .datagram = port_->payload_max(id),
        .slots = static_cast<std::uint32_t>(std::min<std::size_t>(slots, slots_max)),
        .dead_after = dead_after_};
    auto added = std::make_unique<Peer>(id, setup, received_);
    added->sends = seal_key(job_key_, nodes_, self_, nonces[self_.value], id, nonces[id.value]);
    added->receives = seal_key(job_key_, nodes_, id, nonces[id.value], self_, nonces[self_.value]);
    peers_[id.value] = std::move(added);
  }
  for (const auto& each : peers_) {
    if (!each) continue;
    MutexLock hold(each->lock);
    each->reliable.greet(start);
    flush(*each, start, false);
  }
  Time end = start + std::chrono::milliseconds(timeout_ms_);
  for (bool complete = false;;) {
    // However many messages wait: behind those of a peer that is connected come the hellos of
    // others.
    drain(std::numeric_limits<std::size_t>::max(), true);
    const Status found = missing();
    if (found.ok() && !complete) {
      complete = true;
      end = now() + others_max;
    }
    if (!failure_.empty()) return Status(Code::unavailable, failure_);
    if (now() >= end || (complete && all_know())) return complete ? Status() : found;
    if (!arm()) continue;
    pollfd one{.fd = wait_fd(), .events = POLLIN, .revents = 0};
    const Time left = std::min(nap_max, std::max(Time(0), end - now()));
    ::poll(&one, 1, static_cast<int>(left.count() / 1'000'000 + 1));
  }
}

// Every node passes on, also one that sends nothing so itself.
void ReliableChannel::plant_tree() {
  fan_out_ = port_->fan_out();
  std::size_t least = reliable_message_max;
  std::size_t most = port_->multicast_max();
  for (NodeId id{0}; id.value < nodes_; ++id) {
    if (id == self_) continue;
    least = std::min(least, port_->payload_max(id));
    most = std::max(most, port_->payload_max(id));
  }
  unbundled_.resize(most);
  MutexLock hold(bundle_lock_);
  tree_.emplace(self_, nodes_, fan_out_ != 0 ? fan_out_ : fan_out_default, least);
  receivers_.reserve(nodes_);
}

// Who has not heard this node, or was not heard.
Status ReliableChannel::missing() const {
  std::uint32_t count = 0;
  NodeId first = no_node;
  bool half = false;
  for (const auto& each : peers_) {
    if (!each) continue;
    MutexLock hold(each->lock);
    if (each->reliable.connected()) continue;
    if (each->reliable.down() || each->reliable.has_parted())
      return Status(Code::peer_lost, wire_ + ": node " + std::to_string(each->id.value) +
                                         " ended while it connected");
    if (count++ == 0) {
      first = each->id;
      half = each->reliable.greeted();
    }
  }
  if (count == 0) return {};
  std::string text = wire_ + ": node " + std::to_string(first.value) +
                     (half ? " was heard but hears nothing within " : " did not connect within ") +
                     std::to_string(timeout_ms_) + " ms";
  if (count > 1) text += ", nor did " + std::to_string(count - 1) + " more";
  if (const Refused strange = refused(); strange.sum() != 0)
    text += "; " + std::to_string(strange.sum()) + " datagram(s) were refused" +
            (strange.forged != 0 ? ", of another job's key or an earlier session" : "");
  return Status(Code::timed_out, text + ": see whether it started, whether its job key is this " +
                                     "one's, and routes and firewalls");
}

bool ReliableChannel::all_know() const {
  return std::all_of(peers_.begin(), peers_.end(), [](const auto& each) {
    if (!each) return true;
    MutexLock hold(each->lock);
    return each->reliable.peer_connected() || each->reliable.down() || each->reliable.has_parted();
  });
}

// --- sending ---

ReliableChannel::Peer& ReliableChannel::peer(NodeId id) const {
  DSM_CHECK_WITH(id.value < nodes_ && peers_[id.value], "a peer is a connected node of the job",
                 {"peer", id.value});
  return *peers_[id.value];
}

Status ReliableChannel::send(NodeId id, Lane lane, ByteView header, ByteView body, Room room,
                             Urgency urgency) {
  if (header.size() + body.size() > message_max)
    return Status(Code::too_large, wire_ + ": a message above 1 GiB: send it in parts");
  Peer& to = peer(id);
  MutexLock hold(to.lock);
  if (to.down.load(std::memory_order_relaxed) || to.reliable.down())
    return Status(Code::peer_lost, "node " + std::to_string(id.value) + " is gone");
  if (!to.reliable.send(lane, header, body, room == Room::made, urgency)) {
    refused_room_.store(true, std::memory_order_relaxed);
    return Status::would_block();
  }
  flush(to, now(), false);
  return {};
}

bool ReliableChannel::has_room(NodeId id, Lane lane, std::size_t size) {
  Peer& to = peer(id);
  MutexLock hold(to.lock);
  if (to.reliable.down() || to.reliable.has_room(lane, size)) return true;
  refused_room_.store(true, std::memory_order_relaxed);
  return false;
}

// All that may leave leaves. What the port does not take is tried again by poll().
void ReliableChannel::flush(Peer& to, Time at, bool drained) DSM_NO_THREAD_SAFETY_ANALYSIS {
  to.stuck.store(false, std::memory_order_relaxed);
  while (const std::size_t size = to.reliable.next(at, drained, to.scratch)) {
    const std::span<std::byte> datagram = std::span(to.scratch).first(size);
    seal(to.sends, datagram);
    const Status sent = port_->send(to.id, datagram, {}, to.reliable.urgency());
    if (sent.code() == Code::would_block) {
      to.stuck.store(true, std::memory_order_relaxed);
      break;
    }
    // As if it had been lost: if the port does not mend, the peers fall silent.
    if (!sent.ok() && !complained_.exchange(true)) log_line("%s", sent.message().c_str());
    // This thread may have stood still on the way: what leaves late must not be taken for lost.
    to.reliable.left(now());
  }
  note_state(to);
}

// What others look at without its lock.
void ReliableChannel::note_state(Peer& to) DSM_NO_THREAD_SAFETY_ANALYSIS {
  const bool starved = to.reliable.has_data();
  if (starved != to.starved.load(std::memory_order_relaxed)) {
    to.starved.store(starved, std::memory_order_relaxed);
    // Who sleeps may not be waiting for acknowledgements.
    if (starved) bell_.ring();
  }
  const Time due = to.reliable.due();
  to.due.store(due.count(), std::memory_order_relaxed);
  note_due(due);
}

// --- time ---

void ReliableChannel::note_due(Time due) {
  std::int64_t before = earliest_.load(std::memory_order_relaxed);
  while (due.count() < before && !earliest_.compare_exchange_weak(before, due.count())) continue;
  if (armed_flag_.load(std::memory_order_seq_cst) != 0) set_timer();
}

void ReliableChannel::set_timer() {
  MutexLock hold(timer_lock_);
  const Time due(earliest_.load(std::memory_order_seq_cst));
  const bool is_set = timer_at_ != 0 && timer_at_ <= due.count();
  if (due == never || (is_set && due.count() - timer_at_ <= early_max.count())) return;
  timer_at_ = std::max<std::int64_t>(1, due.count());
  itimerspec when{};
  when.it_value.tv_sec = timer_at_ / 1'000'000'000;
  when.it_value.tv_nsec = timer_at_ % 1'000'000'000;
  ::timerfd_settime(timer_fd_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

// One that has gone off makes the descriptor readable until then.
void ReliableChannel::clear_timer(Time at) {
  MutexLock hold(timer_lock_);
  if (timer_at_ == 0 || at.count() < timer_at_) return;
  timer_at_ = 0;
  const itimerspec off{};
  ::timerfd_settime(timer_fd_.get(), 0, &off, nullptr);
}

void ReliableChannel::tick(Time at, bool drained) {
  earliest_.store(never.count(), std::memory_order_relaxed);
  std::int64_t earliest = never.count();
  for (const auto& each : peers_) {
    if (!each || each->reported) continue;
    const bool stuck = each->stuck.load(std::memory_order_relaxed);
    if (stuck || each->due.load(std::memory_order_relaxed) <= at.count()) {
      MutexLock hold(each->lock);
      if (each->vouched.exchange(false, std::memory_order_relaxed)) each->reliable.vouch(at);
      each->reliable.tick(at);
      flush(*each, at, drained);
      if (each->reliable.down()) {
        each->down.store(true, std::memory_order_relaxed);
        if (std::string why = port_->trouble(); !why.empty()) fail(std::move(why));
      }
    }
    earliest = std::min(earliest, each->due.load(std::memory_order_relaxed));
  }
  note_due(Time(earliest));
}

// --- receiving: the polling thread ---

// From a datagram to a packet of a peer, or nothing. It is valid until the next one is opened.
ReliableChannel::Peer* ReliableChannel::open_packet(ByteView bytes, Packet& packet) {
  if (!Packet::is_long_enough(bytes)) return add(refusals_.truncated), nullptr;
  if (!Packet::is_of_this_protocol(bytes)) return add(refusals_.foreign), nullptr;
  const NodeId from = Packet::sender(bytes);
  if (from.value >= nodes_ || !peers_[from.value]) return add(refusals_.stranger), nullptr;
  Peer& sender = *peers_[from.value];
  if (!is_sealed(sender.receives, bytes)) return add(refusals_.forged), nullptr;
  const std::optional<Packet> opened = Packet::decode(bytes);
  if (!opened) return add(refusals_.malformed), nullptr;
  packet = *opened;
  return &sender;
}

void ReliableChannel::receive(std::span<const Datagram> datagrams, Time at) {
  for (const Datagram& datagram : datagrams) {
    if (Bundle::is_one(datagram.bytes))
      take_bundle(datagram.bytes, at);
    else
      take_packet(datagram.bytes, at);
  }
}

// Whether it is a peer's, and had not come before.
bool ReliableChannel::take_packet(ByteView bytes, Time at) {
  Packet packet;
  Peer* const from = open_packet(bytes, packet);
  if (!from || from->reported) return false;
  if (packet.kind == Packet::Kind::probe && !packet.piece.empty())
    port_->hear(from->id, packet.piece);
  MutexLock hold(from->lock);
  const bool is_new = from->reliable.receive(packet, at);
  collect(*from);
  from->parted = from->reliable.has_parted();
  if (!std::exchange(from->touched, true)) touched_.push_back(from);
  return is_new;
}

void ReliableChannel::collect(Peer& from) DSM_NO_THREAD_SAFETY_ANALYSIS {
  while (from.reliable.has_message()) {
    const Reliable::Whole whole = from.reliable.take_message();
    ready_.push_back({.lane = whole.lane,
                      .peer = from.id,
                      .bytes = ByteView(whole.buffer->bytes.get(), whole.size),
                      .buffer = whole.buffer});
  }
}

// Reads the port until it is empty, or until so many messages wait; answers; looks at the clock,
// unless there was nothing to read and it was looked at lately.
bool ReliableChannel::drain(std::size_t enough, bool reads_clock) {
  std::array<Datagram, batch_max> datagrams;
  bool dry = false;
  Time at{0};
  if (reads_clock) {
    read_at_ = at = now();
    clear_timer(at);
  }
  // This thread may stand still anywhere. So what came did so at the latest when the clock is read
  // behind this look, and that nothing else lay here is said of a moment ahead of it.
  Time before = read_at_;
  while (!dry && ready_.size() < enough) {
    const std::size_t count = port_->poll(datagrams);
    before = read_at_;
    if (count != 0) read_at_ = at = now();
    const std::span<const Datagram> some = std::span<const Datagram>(datagrams).first(count);
    receive(some, at);
    if (count != 0) port_->recycle(some);
    dry = count < datagrams.size();
    for (Peer* const each : touched_) {
      each->touched = false;
      MutexLock hold(each->lock);
      flush(*each, dry ? before : at, dry);
      if (refused_room_.load(std::memory_order_relaxed) && each->reliable.is_half_empty())
        room_again_.store(true, std::memory_order_relaxed);
    }
    touched_.clear();
  }
  look_after_port(at);
  bool stuck = false;
  for (const auto& each : peers_)
    stuck = stuck || (each && each->stuck.load(std::memory_order_relaxed));
  if (at == Time(0) && (stuck || ++looks_ % looks_per_clock == 0)) read_at_ = at = now();
  if (at != Time(0) && (stuck || at.count() >= earliest_.load(std::memory_order_relaxed)))
    tick(at, dry && at == before);
  // The end of a peer comes behind what it sent.
  for (const auto& each : peers_) {
    if (!each || each->reported) continue;
    if (!each->down.load(std::memory_order_relaxed) && !(each->parted && dry)) continue;
    MutexLock hold(each->lock);
    each->reliable.give_up();
    each->down.store(true, std::memory_order_relaxed);
    each->due.store(never.count(), std::memory_order_relaxed);
    each->stuck.store(false, std::memory_order_relaxed);
    each->reported = true;
    ready_.push_back({.kind = Arrival::Kind::peer_down, .peer = each->id});
  }
  return dry;
}

// What the port has to say of itself.
void ReliableChannel::look_after_port(Time at) {
  if (const Bytes news = port_->take_news(); !news.empty()) {
    for (const auto& each : peers_) {
      if (!each || each->reported) continue;
      MutexLock hold(each->lock);
      each->reliable.announce(news, at);
      flush(*each, at, false);
    }
  }
  if (std::string why = port_->failure(); !why.empty()) fail(std::move(why));
}

void ReliableChannel::fail(std::string why) {
  if (!failure_.empty()) return;
  failure_ = std::move(why);
  ready_.push_back({.kind = Arrival::Kind::peer_down,
                    .peer = self_,
                    .bytes = std::as_bytes(std::span(std::as_const(failure_)))});
}

std::size_t ReliableChannel::poll(std::span<Arrival> out) {
  const bool was_armed = std::exchange(armed_, false);
  if (was_armed && (bell_.lower() || ++arms_ % arms_per_look == 0)) bell_.drain();
  if (ready_.size() < out.size()) drain(out.size(), was_armed);
  std::size_t count = 0;
  while (count < out.size() && !ready_.empty()) out[count++] = ready_.pop_front();
  return count;
}

void ReliableChannel::recycle(const Arrival& message) {
  received_.drop(message.buffer);
}

void ReliableChannel::give_up(NodeId id) {
  Peer& lost = peer(id);
  {
    MutexLock hold(lost.lock);
    lost.down.store(true, std::memory_order_relaxed);
  }
  lost.due.store(0, std::memory_order_relaxed);
  note_due(Time(0));
  bell_.ring();
}

bool ReliableChannel::arm(Urgency least) {
  bell_.arm();
  // Acknowledgements are patient, but what waits for room waits for them.
  bool starved = refused_room_.load(std::memory_order_relaxed);
  for (const auto& each : peers_)
    starved = starved || (each && each->starved.load(std::memory_order_relaxed));
  if (starved) least = Urgency::patient;
  armed_ = true;
  bool work = !ready_.empty();
  if (room_again_.exchange(false, std::memory_order_relaxed)) {
    refused_room_.store(false, std::memory_order_relaxed);
    work = true;
  }
  if (!work && port_->arm(least)) {
    // A moment that has passed makes the descriptor readable at once.
    set_timer();
    return true;
  }
  armed_ = false;
  bell_.disarm();
  return false;
}

// --- what is known ---

void ReliableChannel::vouch(NodeId id) {
  std::atomic<bool>& vouched = peer(id).vouched;
  if (!vouched.load(std::memory_order_relaxed)) vouched.store(true, std::memory_order_relaxed);
}

bool ReliableChannel::is_down(NodeId id) const {
  return peer(id).down.load(std::memory_order_relaxed);
}

ReliableCounters ReliableChannel::counters(NodeId id) const {
  const Peer& of = peer(id);
  MutexLock hold(of.lock);
  return of.reliable.counters();
}

ReliableCounters ReliableChannel::counters() const {
  ReliableCounters sum;
  for (const auto& each : peers_)
    if (each) sum += counters(each->id);
  return sum;
}

Tally ReliableChannel::tally() const {
  const ReliableCounters all = counters();
  const std::uint64_t bundles = bundles_.load(std::memory_order_relaxed);
  const std::uint64_t relays = relays_.load(std::memory_order_relaxed);
  const std::uint64_t bundled = bundled_.load(std::memory_order_relaxed);
  return {.datagrams = all.packets_sent - bundled + bundles + relays,
          .resent = all.pieces_resent,
          .multicast = bundles,
          .relayed = relays,
          .missed = all.missed_packets};
}

std::uint32_t ReliableChannel::credits(NodeId id) const {
  const Peer& of = peer(id);
  MutexLock hold(of.lock);
  return of.reliable.credits();
}

Refused ReliableChannel::refused() const {
  const auto read = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.truncated = read(refusals_.truncated),
          .foreign = read(refusals_.foreign),
          .stranger = read(refusals_.stranger),
          .forged = read(refusals_.forged),
          .malformed = read(refusals_.malformed)};
}

}  // namespace dsm::transport
