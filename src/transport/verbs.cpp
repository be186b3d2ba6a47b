#include "transport/verbs.hpp"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <utility>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "transport/datagram_transport.hpp"
#include "transport/direct.hpp"
#include "transport/verbs_lane.hpp"
#include "transport/verbs_ud.hpp"

namespace dsm::transport {
namespace {

constexpr std::uint32_t address_magic = 0x32627276;  // "vrb2"
// How many polls between two looks for pairs that stand still, and at what lies in the completion
// channel.
constexpr std::uint32_t polls_per_watch = 4096;
// What may make the descriptor readable is looked for at least every so many times that the wire
// was armed: each look is a system call, and most find nothing.
constexpr std::uint32_t arms_per_look = 16;
constexpr std::uint32_t polls_per_armed_poll = polls_per_watch / arms_per_look;
constexpr std::size_t completions_a_look = 16;
constexpr std::size_t arrivals_a_look = 16;
// A pair that was made anew may leave as many old completions behind.
constexpr std::uint32_t completions_a_slot = 2;
// connect() waits so long for the pairs that are made at start: they come later, too.
constexpr std::chrono::milliseconds meeting_max{500};

class Verbs final : public Transport, private VerbsNotes {
 public:
  Verbs(const Options& options, std::shared_ptr<const VerbsDevice> device,
        std::unique_ptr<ReliableChannel> channel)
      : self_(options.self),
        nodes_(options.nodes),
        device_(std::move(device)),
        channel_(std::move(channel)),
        memory_(*device_, std::min(options.lent_bytes_max, device_->lent_bytes_max())),
        local_(channel_->bell()),
        lanes_(options.nodes),
        whys_(options.nodes) {
    caps_ = {.name = "verbs",
             .one_sided = true,
             .ordered = true,
             .atomics = device_->limits().atomics,
             .atomic_with_processor = device_->limits().atomic_with_processor,
             .message_max = ReliableChannel::message_max,
             .operation_max = std::size_t{1} << 40};
  }

  // The channel waits for what was sent to be acknowledged, and says good-bye; until then peers may
  // still READ here.
  ~Verbs() override {
    channel_.reset();
    lanes_.clear();
  }

  Status make();
  // The device has given up a pair that may be of one of the lanes.
  void pair_failed(std::uint32_t pair);

  const Caps& caps() const override { return caps_; }
  Bytes address() const override;
  Status connect(std::span<const Bytes> addresses) override;
  Result<Bytes> expose(std::span<std::byte> memory, int fd, std::uint64_t fd_offset) override;
  Status cover(std::span<std::byte> memory) override;
  bool discard(std::span<std::byte> memory, const GiveBack& give_back, Cookie done) override;
  std::uint64_t registered_bytes() const override { return memory_.registered_bytes(); }
  Result<RemoteMemory> import_memory(NodeId peer, ByteView key) override;
  Status send(NodeId peer, ByteView header, ByteView body, Urgency urgency) override;
  void send_each(std::span<Letter> letters) override;
  std::size_t post(NodeId peer, std::span<const Operation> operations) override;
  std::size_t poll(std::span<Event> out) override;
  void recycle(const Event& message) override;
  int wait_fd() const override { return epoll_fd_.get(); }
  bool arm(Urgency least) override;
  Tally tally() const override;

 private:
  VerbsLane& lane(NodeId peer) {
    DSM_CHECK_WITH(peer.value < nodes_ && lanes_[peer.value], "a peer is another node of the job",
                   {"peer", peer.value});
    return *lanes_[peer.value];
  }
  Status watch(int fd);
  void meet_all();
  bool has_met_all() const;
  std::size_t post_here(std::span<const Operation> operations);
  void note(NodeId peer, const VerbsNote& note) override;
  void note_all(const VerbsNote& note);
  void lost(NodeId peer, const std::string& why) override;
  void heed(NodeId peer, ByteView notes);
  void act(const VerbsMemory::Out& out);
  void reap();
  std::size_t take(std::span<Event> out);
  void request_reports();
  void drain_channel();
  void end(const ReliableChannel::Arrival& arrival);

  const NodeId self_;
  const std::uint32_t nodes_;
  const std::shared_ptr<const VerbsDevice> device_;
  std::unique_ptr<ReliableChannel> channel_;
  Caps caps_;
  VerbsMemory memory_;
  VerbsImports imports_;
  LocalEvents local_;
  VerbsChannel completions_;                       // tells that the queue has something
  VerbsQueue queue_;                               // of all lanes
  std::vector<std::unique_ptr<VerbsLane>> lanes_;  // by rank; none for this node
  Fd epoll_fd_;
  Mutex whys_lock_;
  std::vector<std::string> whys_ DSM_GUARDED_BY(whys_lock_);  // peers were given up; by rank

  // The polling thread's.
  std::uint32_t polls_ = 0;
  std::uint32_t arms_ = 0;
  bool armed_ = false;
  bool asked_ = false;       // the device will tell of the next completion
  bool told_ = false;        // it did, or is about to: the channel is to be read
  std::deque<Event> early_;  // came while the pairs were made
};

Status system_error(const char* call) {
  return Status(Code::exhausted, std::string("verbs: ") + call + ": " + std::strerror(errno) +
                                     (errno == EMFILE ? " (raise ulimit -n)" : ""));
}

Status Verbs::make() {
  auto completions = device_->make_channel();
  if (!completions.ok()) return completions.status();
  completions_ = std::move(completions).value();
  const std::uint32_t depth =
      std::max(1u, (nodes_ - 1) * VerbsLane::slots(*device_) * completions_a_slot);
  auto queue = device_->make_queue(depth, completions_.get());
  if (!queue.ok()) return queue.status();
  queue_ = std::move(queue).value();
  for (NodeId id{0}; id.value < nodes_; ++id) {
    if (id == self_) continue;
    lanes_[id.value] = std::make_unique<VerbsLane>(
        VerbsLane::Parts{self_, *device_, queue_.get(), imports_, local_, *this}, id);
  }
  epoll_fd_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_fd_) return system_error("epoll_create1");
  for (const int fd : {channel_->wait_fd(), completions_->fd})
    if (Status watched = watch(fd); !watched.ok()) return watched;
  return {};
}

Status Verbs::watch(int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  if (::epoll_ctl(epoll_fd_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return system_error("epoll_ctl");
  return {};
}

Bytes Verbs::address() const {
  Bytes bytes;
  Writer writer(bytes);
  writer.put(address_magic);
  writer.put_bytes(channel_->address());
  return bytes;
}

Status Verbs::connect(std::span<const Bytes> addresses) {
  std::vector<Bytes> channels;
  for (const Bytes& address : addresses) {
    Reader reader(address);
    if (reader.get<std::uint32_t>() != address_magic)
      return Status(Code::invalid, "verbs: the address of node " + std::to_string(channels.size()) +
                                       " is none: does it use verbs too?");
    const ByteView channel = reader.get_bytes(reader.left());
    channels.emplace_back(channel.begin(), channel.end());
  }
  Status connected = channel_->connect(channels);
  if (connected.ok() && nodes_ <= device_->options().pairs_at_start) meet_all();
  return connected;
}

// Few nodes: all pairs now. The lower rank calls.
void Verbs::meet_all() {
  for (NodeId id{self_.value + 1}; id.value < nodes_; ++id) lane(id).begin();
  const auto end = std::chrono::steady_clock::now() + meeting_max;
  for (auto now = end - meeting_max; !has_met_all() && now < end;
       now = std::chrono::steady_clock::now()) {
    std::array<Event, arrivals_a_look> events;
    const std::size_t count = take(events);
    early_.insert(early_.end(), events.begin(),
                  events.begin() + static_cast<std::ptrdiff_t>(count));
    if (count != 0 || has_met_all() || !arm(Urgency::patient)) continue;
    pollfd one{.fd = wait_fd(), .events = POLLIN, .revents = 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - now);
    ::poll(&one, 1, static_cast<int>(left.count()) + 1);
  }
}

bool Verbs::has_met_all() const {
  return std::all_of(lanes_.begin(), lanes_.end(),
                     [](const auto& each) { return !each || each->is_ready(); });
}

Result<Bytes> Verbs::expose(std::span<std::byte> memory, int, std::uint64_t) {
  const auto key = memory_.expose(memory);
  if (!key.ok()) return key.status();
  return key.value().encode();
}

Status Verbs::cover(std::span<std::byte> memory) {
  std::vector<VerbsChunk> fresh;
  VerbsMemory::Out out;
  const Status covered = memory_.cover(memory, fresh, out);
  act(out);
  for (const VerbsChunk& chunk : fresh) note_all({.kind = VerbsNote::Kind::told, .chunk = chunk});
  return covered;
}

bool Verbs::discard(std::span<std::byte> memory, const GiveBack& give_back, Cookie done) {
  VerbsMemory::Out out;
  const bool ended = memory_.discard(memory, give_back, done, out);
  act(out);
  return ended;
}

Result<RemoteMemory> Verbs::import_memory(NodeId peer, ByteView bytes) {
  const Result<VerbsMemoryKey> key = VerbsMemoryKey::decode(bytes);
  if (!key.ok()) return Status(key.status().code(), "verbs: " + key.status().message());
  const VerbsMemoryKey& of = key.value();
  if (peer == self_) {
    const std::span<std::byte> own = memory_.exposed(of.memory);
    if (reinterpret_cast<std::uintptr_t>(own.data()) != of.address || own.size() != of.size)
      return Status(Code::invalid, "verbs: a key that this node never made");
  }
  const std::uint32_t id = imports_.append({peer, of.memory, of.address, of.size});
  for (std::uint32_t i = 0; peer != self_ && i < of.keys.size(); ++i)
    lane(peer).know({of.memory, i, of.keys[i]});
  return RemoteMemory(id);
}

Status Verbs::send(NodeId peer, ByteView header, ByteView body, Urgency urgency) {
  if (header.size() + body.size() > caps_.message_max)
    return Status(Code::too_large, "verbs: a message above " +
                                       std::to_string(caps_.message_max >> 20) +
                                       " MiB: send it in parts");
  if (peer == self_) return local_.push_message(self_, header, body);
  return channel_->send(peer, Lane::any_order, header, body, ReliableChannel::Room::asked, urgency);
}

void Verbs::send_each(std::span<Letter> letters) {
  channel_->send_each(Lane::any_order, letters);
}

std::size_t Verbs::post_here(std::span<const Operation> operations) {
  DirectBatch batch;
  std::size_t silent = 0;
  for (const Operation& operation : operations) {
    const VerbsImport* const import = imports_.find(operation.memory.value);
    DSM_CHECK_WITH(import && import->peer == self_,
                   "an operation names memory imported from its peer", {"peer", self_.value},
                   {"memory", operation.memory.value});
    auto* const at = reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(import->address));
    const Code code = batch.perform({at, import->size}, operation);
    if (operation.cookie != 0 || code != Code::ok)
      local_.push_completion(self_, operation.cookie, code);
    else
      ++silent;
  }
  local_.release(silent);
  return operations.size();
}

std::size_t Verbs::post(NodeId peer, std::span<const Operation> operations) {
  const std::size_t granted = local_.reserve(operations.size());
  if (peer == self_) return post_here(operations.first(granted));
  const std::size_t accepted = lane(peer).post(operations.first(granted));
  local_.release(granted - accepted);
  // Who sleeps did not ask to be told of its end.
  channel_->wake();
  return accepted;
}

// Notes are few, and bounded by what the peer asked for: they need no room of the channel's.
void Verbs::note(NodeId peer, const VerbsNote& note) {
  // To a peer that is lost: its end is reported by the channel.
  static_cast<void>(
      channel_->send(peer, Lane::in_order, note.encode(), {}, ReliableChannel::Room::made));
}

void Verbs::note_all(const VerbsNote& note) {
  const Bytes bytes = note.encode();
  std::vector<Letter> letters;
  for (NodeId id{0}; id.value < nodes_; ++id)
    if (id != self_) letters.push_back({.to = id, .message = bytes});
  channel_->send_each(Lane::in_order, letters, ReliableChannel::Room::made);
}

void Verbs::lost(NodeId peer, const std::string& why) {
  {
    MutexLock hold(whys_lock_);
    whys_[peer.value] = why;
  }
  channel_->give_up(peer);
}

void Verbs::pair_failed(std::uint32_t pair) {
  if (!channel_) return;  // it says good-bye
  for (const auto& each : lanes_)
    if (each) each->failed(pair);
}

void Verbs::heed(NodeId peer, ByteView bytes) {
  const std::optional<VerbsNote> heard = VerbsNote::decode(bytes);
  if (!heard) {
    log_line("verbs: node %u sent a note that is none: does it run another version?", peer.value);
    return channel_->give_up(peer);
  }
  switch (heard->kind) {
    case VerbsNote::Kind::call:
    case VerbsNote::Kind::answer:
    case VerbsNote::Kind::ready:
      return lane(peer).heed(*heard);
    case VerbsNote::Kind::told:
      return lane(peer).know(heard->chunk);
    case VerbsNote::Kind::refused:
      return lane(peer).refused(heard->chunk);
    case VerbsNote::Kind::revoke:
      return lane(peer).revoke(heard->chunk);
    case VerbsNote::Kind::ask: {
      VerbsMemory::Out out;
      memory_.ask(peer, heard->chunk.memory, heard->chunk.chunk, out);
      return act(out);
    }
    case VerbsNote::Kind::released: {
      VerbsMemory::Out out;
      memory_.released(peer, heard->chunk, out);
      return act(out);
    }
  }
}

// Says and reports what this node's memory has decided.
void Verbs::act(const VerbsMemory::Out& out) {
  for (const VerbsMemory::Word& word : out.words) note(word.peer, VerbsNote::of(word));
  for (const Cookie done : out.gone) {
    local_.owe();
    local_.push_completion(self_, done, Code::ok);
  }
}

// Completions of one-sided operations.
void Verbs::reap() {
  std::array<ibv_wc, completions_a_look> completions;
  for (;;) {
    const int count =
        ibv_poll_cq(queue_.get(), static_cast<int>(completions.size()), completions.data());
    if (count > 0 && asked_) {
      asked_ = false;
      told_ = true;
    }
    for (int i = 0; i < count; ++i) {
      const ibv_wc& completion = completions[static_cast<std::size_t>(i)];
      const NodeId peer(VerbsLane::lane_of(completion.wr_id));
      if (completion.status == IBV_WC_SUCCESS) channel_->vouch(peer);
      lane(peer).completed(completion);
    }
    if (count < static_cast<int>(completions.size())) return;
  }
}

std::size_t Verbs::poll(std::span<Event> out) {
  std::size_t count = 0;
  for (; count < out.size() && !early_.empty(); early_.pop_front()) out[count++] = early_.front();
  return count + take(out.subspan(count));
}

std::size_t Verbs::take(std::span<Event> out) {
  polls_ += armed_ ? polls_per_armed_poll : 1;
  armed_ = false;
  if (polls_ >= polls_per_watch) {
    polls_ = 0;
    reap();
    const MonotonicTime now = quick_now();
    for (const auto& each : lanes_)
      if (each) each->watch(now);
  }
  reap();
  std::size_t count = local_.pop(out);
  if (count != 0) local_.take_room_again();
  while (count < out.size()) {
    std::array<ReliableChannel::Arrival, arrivals_a_look> arrivals;
    const std::size_t wanted = std::min(out.size() - count, arrivals.size());
    const std::size_t arrived = channel_->poll(std::span(arrivals).first(wanted));
    for (const ReliableChannel::Arrival& each : std::span(arrivals).first(arrived)) {
      if (each.kind == ReliableChannel::Arrival::Kind::peer_down) {
        end(each);
      } else if (each.lane == Lane::in_order) {
        heed(each.peer, each.bytes);
        channel_->recycle(each);
      } else {
        out[count++] = {.kind = Event::Kind::message,
                        .peer = each.peer,
                        .bytes = each.bytes,
                        .buffer = reinterpret_cast<std::uintptr_t>(each.buffer)};
      }
    }
    if (arrived < wanted) break;
  }
  return count + local_.pop(out.subspan(count));
}

// Of a peer, or of this node's port, and so of all of them.
void Verbs::end(const ReliableChannel::Arrival& arrival) {
  if (arrival.peer == self_) return local_.push_peer_down(self_, arrival.bytes);
  reap();  // what was done before it went
  lane(arrival.peer).end();
  VerbsMemory::Out decided;
  memory_.forget(arrival.peer, decided);
  act(decided);
  MutexLock hold(whys_lock_);
  local_.push_peer_down(arrival.peer, std::as_bytes(std::span(whys_[arrival.peer.value])));
}

void Verbs::recycle(const Event& message) {
  if (message.peer == self_) return local_.recycle(message);
  channel_->recycle(
      {.kind = ReliableChannel::Arrival::Kind::message,
       .lane = Lane::any_order,
       .peer = message.peer,
       .bytes = message.bytes,
       .buffer = reinterpret_cast<Buffer*>(static_cast<std::uintptr_t>(message.buffer))});
}

bool Verbs::arm(Urgency least) {
  armed_ = true;
  // The bell is armed before the looks at what rings it.
  const bool quiet = channel_->arm(least);
  if (quiet) request_reports();
  reap();
  return quiet && early_.empty() && local_.empty() && !local_.take_room_again();
}

// Only where something is under way: what a thread posts and takes itself, while it polls, is then
// no event of the device, which would wake the thread that sleeps. A request stands until it is
// met.
void Verbs::request_reports() {
  if (told_ || ++arms_ % arms_per_look == 0) drain_channel();
  told_ = false;
  const bool expected = std::any_of(lanes_.begin(), lanes_.end(), [](const auto& each) {
    return each && each->expects_report();
  });
  if (!expected || asked_) return;
  ibv_req_notify_cq(queue_.get(), 0);
  asked_ = true;
}

Tally Verbs::tally() const {
  Tally all = channel_->tally();
  for (const auto& each : lanes_)
    if (each) all.chains += each->chains();
  return all;
}

void Verbs::drain_channel() {
  ibv_cq* queue = nullptr;
  void* context = nullptr;
  while (::ibv_get_cq_event(completions_.get(), &queue, &context) == 0)
    ::ibv_ack_cq_events(queue, 1);
}

Status usable_verbs() {
  return VerbsDevice::open().status();
}

// The device, and a port of datagrams on it.
struct Opened {
  std::shared_ptr<const VerbsDevice> device;
  std::unique_ptr<VerbsUd> port;
};

Result<Opened> open_device(const Options& options) {
  auto device = VerbsDevice::open();
  if (!device.ok()) return device.status();
  Opened opened{.device = std::move(device).value(), .port = nullptr};
  auto port = VerbsUd::open(opened.device, options.nodes, options.job_key);
  if (!port.ok()) return port.status();
  opened.port = std::move(port).value();
  return opened;
}

Result<std::unique_ptr<Transport>> open_verbs(const Options& options) {
  auto opened = open_device(options);
  if (!opened.ok()) return opened.status();
  VerbsUd& port = *opened.value().port;
  auto channel = make_channel(std::move(opened.value().port), options, "verbs");
  if (!channel.ok()) return channel.status();
  auto verbs = std::make_unique<Verbs>(options, opened->device, std::move(channel).value());
  if (Status made = verbs->make(); !made.ok()) return made;
  if (!opened->device->limits().atomics && options.nodes > 1)
    log_line("verbs: %s has no atomics: messages stand for them", opened->device->text().c_str());
  port.on_pair_failed([owner = verbs.get()](std::uint32_t pair) { owner->pair_failed(pair); });
  return std::unique_ptr<Transport>(std::move(verbs));
}

Result<std::unique_ptr<Transport>> open_verbs_ud(const Options& options) {
  auto opened = open_device(options);
  if (!opened.ok()) return opened.status();
  return make_datagram_transport(std::move(opened->port), options, "verbs-ud");
}

}  // namespace

constinit const Backend verbs_backend{
    .name = "verbs",
    .summary = "InfiniBand and RoCE: pages by RDMA, messages by UD queue pairs",
    .joins_nodes = true,
    .usable = usable_verbs,
    .open = open_verbs};

constinit const Backend verbs_ud_backend{
    .name = "verbs-ud",
    .summary = "InfiniBand and RoCE: everything by UD queue pairs, without RDMA",
    .joins_nodes = true,
    .usable = usable_verbs,
    .open = open_verbs_ud};

}  // namespace dsm::transport
