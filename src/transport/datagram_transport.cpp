#include "transport/datagram_transport.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/check.hpp"
#include "transport/emulated_rma.hpp"
#include "transport/local_events.hpp"
#include "transport/lossy_port.hpp"
#include "transport/memory_key.hpp"
#include "transport/reliable_channel.hpp"

namespace dsm::transport {
namespace {

using Channel = ReliableChannel;

constexpr std::size_t operation_max = std::size_t{64} << 20;
constexpr std::size_t arrivals_max = 32;
constexpr int rounds_max = 8;  // of arrivals in one poll
constexpr int linger_ms = 1000;
constexpr int linger_ms_max = 60'000;

// Ahead of a request or a reply in the in_order lane.
enum class Part : std::uint64_t { request = 1, reply = 2 };
template <typename T>
struct Headed {
  Part part;
  T what;
};
static_assert(sizeof(Headed<RmaRequest>) == 56 && sizeof(Headed<RmaReply>) == 24);

template <typename T>
ByteView bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

Result<Time> linger_time() {
  const char* const text = std::getenv("DSM_DATAGRAM_LINGER");
  if (!text || *text == '\0') return Time(std::chrono::milliseconds(linger_ms));
  int value = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end || value < 0 || value > linger_ms_max)
    return Status(Code::invalid, std::string("DSM_DATAGRAM_LINGER: '") + text +
                                     "' is none of 0 to " + std::to_string(linger_ms_max) +
                                     " milliseconds");
  return Time(std::chrono::milliseconds(value));
}

class DatagramTransport final : public Transport {
 public:
  DatagramTransport(const Options& options, const char* name, std::unique_ptr<Channel> channel)
      : name_(name),
        self_(options.self),
        nodes_(options.nodes),
        caps_{.name = name,
              .one_sided = false,
              .ordered = true,
              .atomics = true,
              .atomic_with_processor = true,
              .message_max = Channel::message_max,
              .operation_max = operation_max},
        channel_(std::move(channel)),
        peers_(options.nodes) {
    for (NodeId id{0}; id.value < nodes_; ++id)
      if (id != self_) peers_[id.value] = std::make_unique<Peer>();
  }

  const Caps& caps() const override { return caps_; }
  Bytes address() const override { return channel_->address(); }
  Status connect(std::span<const Bytes> addresses) override { return channel_->connect(addresses); }

  Result<Bytes> expose(std::span<std::byte> memory, int, std::uint64_t) override {
    return MemoryKey{.id = target_.expose(memory), .size = memory.size()}.encode();
  }

  Result<RemoteMemory> import_memory(NodeId peer, ByteView bytes) override {
    const Result<MemoryKey> key = MemoryKey::decode(bytes);
    if (!key.ok()) return key.status();
    if (peer == self_ && !target_.exposed(key.value().id))
      return Status(Code::invalid, std::string(name_) + ": a key that this node never made");
    return RemoteMemory(imported_.append({peer, key.value().id}));
  }

  Status send(NodeId id, ByteView header, ByteView body, Urgency urgency) override {
    if (id != self_)
      return channel_->send(id, Lane::any_order, header, body, Channel::Room::asked, urgency);
    if (header.size() + body.size() > Channel::message_max)
      return Status(Code::too_large, std::string(name_) + ": a message above 1 GiB");
    return local_.push_message(self_, header, body);
  }

  void send_each(std::span<Letter> letters) override {
    channel_->send_each(Lane::any_order, letters);
  }

  std::size_t post(NodeId id, std::span<const Operation> operations) override {
    return id == self_ ? post_to_self(operations) : post_to_peer(id, operations);
  }

  std::size_t poll(std::span<Event> out) override;

  void recycle(const Event& message) override {
    if (message.peer == self_) return local_.recycle(message);
    Channel::Arrival arrival;
    arrival.buffer = reinterpret_cast<Buffer*>(static_cast<std::uintptr_t>(message.buffer));
    channel_->recycle(arrival);
  }

  int wait_fd() const override { return channel_->wait_fd(); }

  Tally tally() const override {
    Tally all = channel_->tally();
    all.served = target_.served();
    return all;
  }
  std::uint64_t served() const override { return target_.served(); }

  bool arm(Urgency least) override {
    if (!channel_->arm(least)) return false;
    bool work = !local_.empty();
    for (const auto& each : peers_) work = work || (each && take_room_again(*each));
    if (work) channel_->wake();
    return !work;
  }

 private:
  struct Imported {
    NodeId peer;
    std::uint32_t id = 0;
  };
  struct Peer {
    Mutex lock;  // keeps requests in posted order
    RmaRequester requester DSM_GUARDED_BY(lock);
    bool down DSM_GUARDED_BY(lock) = false;
    std::atomic<bool> refused{false};  // some post() was cut short
  };

  bool take_room_again(Peer& peer) {
    if (!peer.refused.load(std::memory_order_relaxed)) return false;
    MutexLock hold(peer.lock);
    if (!peer.requester.is_half_free()) return false;
    return peer.refused.exchange(false, std::memory_order_relaxed);
  }

  const Imported& imported(NodeId peer, const Operation& operation) {
    const Imported* const memory = imported_.find(operation.memory.value);
    DSM_CHECK_WITH(memory && memory->peer == peer,
                   "an operation names memory imported from its peer", {"peer", peer.value},
                   {"memory", operation.memory.value});
    return *memory;
  }

  std::size_t post_to_self(std::span<const Operation> operations);
  std::size_t post_to_peer(NodeId id, std::span<const Operation> operations);
  void take(const Channel::Arrival& arrival, std::span<Event> out, std::size_t& count);
  bool take_rma(const Channel::Arrival& arrival, std::span<Event> out, std::size_t& count);
  void serve(NodeId from, const RmaRequest& request, ByteView data);
  void report_down(const Channel::Arrival& arrival);

  const char* const name_;
  const NodeId self_;
  const std::uint32_t nodes_;
  const Caps caps_;
  const std::unique_ptr<Channel> channel_;
  LocalEvents local_{channel_->bell()};
  RmaTarget target_;
  StableTable<Imported> imported_;
  std::vector<std::unique_ptr<Peer>> peers_;  // by rank; none for this node
};

std::size_t DatagramTransport::post_to_self(std::span<const Operation> operations) {
  const std::size_t accepted = local_.reserve(operations.size());
  DirectBatch batch;
  std::size_t silent = 0;
  for (const Operation& operation : operations.first(accepted)) {
    const Code code = batch.perform(*target_.exposed(imported(self_, operation).id), operation);
    if (operation.cookie != 0 || code != Code::ok)
      local_.push_completion(self_, operation.cookie, code);
    else
      ++silent;
  }
  local_.release(silent);
  return accepted;
}

std::size_t DatagramTransport::post_to_peer(NodeId id, std::span<const Operation> operations) {
  DSM_CHECK_WITH(id.value < nodes_, "a peer is a node of the job", {"peer", id.value});
  Peer& peer = *peers_[id.value];
  const std::size_t granted = local_.reserve(operations.size());
  std::size_t accepted = 0;
  MutexLock hold(peer.lock);
  for (; accepted < granted && !peer.down; ++accepted) {
    const Operation& operation = operations[accepted];
    const Imported& memory = imported(id, operation);
    DSM_CHECK_WITH(operation.size <= operation_max, "an operation is at most caps().operation_max",
                   {"size", operation.size});
    if (!peer.requester.has_room(operation)) break;
    const bool is_write = operation.kind == Operation::Kind::write;
    const ByteView data(static_cast<const std::byte*>(operation.local),
                        is_write ? operation.size : 0);
    if (!channel_->has_room(id, Lane::in_order, sizeof(Headed<RmaRequest>) + data.size())) break;
    const Headed<RmaRequest> request{Part::request, peer.requester.ask(operation, memory.id)};
    // Had it no room now, or were the peer down, peer_down completes what was asked.
    [[maybe_unused]] const Status sent =
        channel_->send(id, Lane::in_order, bytes_of(request), data, Channel::Room::made);
    if (operation.cookie == 0) local_.release(1);
  }
  if (peer.down) {
    for (; accepted < granted; ++accepted) {
      if (operations[accepted].cookie != 0)
        local_.push_completion(id, operations[accepted].cookie, Code::peer_lost);
      else
        local_.release(1);
    }
  }
  local_.release(granted - accepted);
  if (accepted < operations.size()) peer.refused.store(true, std::memory_order_relaxed);
  return accepted;
}

std::size_t DatagramTransport::poll(std::span<Event> out) {
  std::size_t count = local_.pop(out);
  if (count != 0) local_.take_room_again();
  std::array<Channel::Arrival, arrivals_max> arrivals;
  // An arrival is one event at most, and a request none.
  for (int round = 0; round < rounds_max && count < out.size(); ++round) {
    const std::size_t room = std::min(out.size() - count, arrivals.size());
    const std::size_t came = channel_->poll(std::span(arrivals).first(room));
    for (const Channel::Arrival& each : std::span(arrivals).first(came)) take(each, out, count);
    if (came < room) break;
  }
  return count;
}

void DatagramTransport::take(const Channel::Arrival& arrival, std::span<Event> out,
                             std::size_t& count) {
  if (arrival.kind == Channel::Arrival::Kind::peer_down) return report_down(arrival);
  if (arrival.lane == Lane::any_order) {
    out[count++] = {.kind = Event::Kind::message,
                    .peer = arrival.peer,
                    .bytes = arrival.bytes,
                    .buffer = reinterpret_cast<std::uintptr_t>(arrival.buffer)};
    return;
  }
  if (!take_rma(arrival, out, count)) channel_->give_up(arrival.peer);
  channel_->recycle(arrival);
}

// False: this is no request and no reply; the peer has lost its mind.
bool DatagramTransport::take_rma(const Channel::Arrival& arrival, std::span<Event> out,
                                 std::size_t& count) {
  Part part{};
  if (arrival.bytes.size() < sizeof part) return false;
  std::memcpy(&part, arrival.bytes.data(), sizeof part);
  ByteView rest = arrival.bytes.subspan(sizeof part);
  if (part == Part::request && rest.size() >= sizeof(RmaRequest)) {
    RmaRequest request;
    std::memcpy(&request, rest.data(), sizeof request);
    rest = rest.subspan(sizeof request);
    const bool sound = RmaTarget::is_sound(request, rest.size()) &&
                       (request.kind != Operation::Kind::read || request.size <= operation_max);
    if (sound) serve(arrival.peer, request, rest);
    return sound;
  }
  if (part != Part::reply || rest.size() < sizeof(RmaReply)) return false;
  RmaReply reply;
  std::memcpy(&reply, rest.data(), sizeof reply);
  rest = rest.subspan(sizeof reply);
  std::optional<RmaRequester::Landing> landing;
  {
    Peer& peer = *peers_[arrival.peer.value];
    MutexLock hold(peer.lock);
    landing = peer.requester.accept(reply, rest.size());
  }
  if (!landing) return false;
  if (landing->local) copy_shared(landing->local, rest.data(), landing->size);
  if (landing->reported) {
    if (landing->cookie != 0) local_.release(1);
    out[count++] = {.kind = Event::Kind::completion,
                    .peer = arrival.peer,
                    .cookie = landing->cookie,
                    .code = landing->code};
  }
  return true;
}

// Never waits for room: receiving must not depend on the peer's receiving.
void DatagramTransport::serve(NodeId from, const RmaRequest& request, ByteView data) {
  const RmaTarget::Served served = target_.serve(request, data);
  if (!served.replied) return;
  const Headed<RmaReply> reply{Part::reply, served.reply};
  [[maybe_unused]] const Status sent =  // refused only when the peer is down
      channel_->send(from, Lane::in_order, bytes_of(reply), served.data, Channel::Room::made);
}

void DatagramTransport::report_down(const Channel::Arrival& arrival) {
  const NodeId id = arrival.peer;
  if (id == self_) return local_.push_peer_down(id, arrival.bytes);
  Peer& peer = *peers_[id.value];
  MutexLock hold(peer.lock);
  peer.down = true;
  while (const std::optional<Cookie> cookie = peer.requester.abandon())
    local_.push_completion(id, *cookie, Code::peer_lost);
  local_.push_peer_down(id);
}

}  // namespace

Result<std::unique_ptr<ReliableChannel>> make_channel(std::unique_ptr<DatagramPort> port,
                                                      const Options& options, const char* name) {
  auto lossy = wrap_lossy(std::move(port), options);
  if (!lossy.ok()) return lossy.status();
  const Result<Time> linger = linger_time();
  if (!linger.ok()) return linger.status();
  return ReliableChannel::make(std::move(lossy).value(),
                               {.wire = name,
                                .self = options.self,
                                .nodes = options.nodes,
                                .job_key = options.job_key,
                                .connect_timeout_ms = options.connect_timeout_ms,
                                .linger = linger.value()});
}

Result<std::unique_ptr<Transport>> make_datagram_transport(std::unique_ptr<DatagramPort> port,
                                                           const Options& options,
                                                           const char* name) {
  auto channel = make_channel(std::move(port), options, name);
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<Transport>(
      std::make_unique<DatagramTransport>(options, name, std::move(channel).value()));
}

}  // namespace dsm::transport
