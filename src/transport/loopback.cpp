#include "transport/loopback.hpp"

#include <sys/eventfd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <shared_mutex>
#include <vector>

#include "base/check.hpp"
#include "base/fd.hpp"
#include "transport/direct.hpp"
#include "transport/doorbell.hpp"
#include "transport/local_events.hpp"
#include "transport/memory_key.hpp"
#include "transport/stable_table.hpp"

namespace dsm::transport {
namespace {

constexpr Caps loopback_caps{.name = "loopback",
                             .one_sided = true,
                             .ordered = true,
                             .atomics = true,
                             .atomic_with_processor = true,
                             .message_max = std::size_t{1} << 30,
                             .operation_max = std::size_t{1} << 40};

// One node. Shared by all endpoints, so that a peer's end is a state and not a dangling pointer.
struct Node {
  Fd event_fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<std::uint32_t> armed{0};
  Doorbell bell{&armed, event_fd.get()};
  LocalEvents events{bell};
  std::atomic<bool> room{false};  // some node that refused a message has room again
  StableTable<std::span<std::byte>> exposed;

  std::shared_mutex
      life;           // shared: someone works on this node's memory or queue; alone: the node ends
  bool alive = true;  // guarded by life
};

}  // namespace

struct LoopbackFabric::State {
  explicit State(std::uint32_t count) : nodes(count) {}

  std::vector<Node> nodes;
  std::mutex lock;
  std::condition_variable changed;
  std::size_t connected = 0;  // guarded by lock
};

namespace {

class Loopback final : public Transport {
 public:
  Loopback(std::shared_ptr<LoopbackFabric::State> fabric, NodeId self, int timeout_ms)
      : fabric_(std::move(fabric)),
        self_(self),
        me_(fabric_->nodes[self.value]),
        timeout_ms_(timeout_ms) {}

  ~Loopback() override {
    {
      std::unique_lock end(me_.life);
      me_.alive = false;
    }
    for (Node& node : fabric_->nodes) {
      std::shared_lock hold(node.life);
      if (&node != &me_ && node.alive) node.events.push_peer_down(self_);
    }
  }

  const Caps& caps() const override { return loopback_caps; }
  Bytes address() const override { return {}; }

  Status connect(std::span<const Bytes> addresses) override {
    if (addresses.size() != fabric_->nodes.size())
      return Status(Code::invalid, "loopback joins " + std::to_string(fabric_->nodes.size()) +
                                       " node(s), not " + std::to_string(addresses.size()));
    std::unique_lock hold(fabric_->lock);
    ++fabric_->connected;
    fabric_->changed.notify_all();
    const auto all = [this] { return fabric_->connected == fabric_->nodes.size(); };
    if (!fabric_->changed.wait_for(hold, std::chrono::milliseconds(timeout_ms_), all))
      return Status(Code::timed_out, "only " + std::to_string(fabric_->connected) + " of " +
                                         std::to_string(fabric_->nodes.size()) +
                                         " nodes connected");
    return {};
  }

  Result<Bytes> expose(std::span<std::byte> memory, int, std::uint64_t) override {
    return MemoryKey{.id = me_.exposed.append(memory), .size = memory.size()}.encode();
  }

  Result<RemoteMemory> import_memory(NodeId peer, ByteView bytes) override {
    const Result<MemoryKey> key = MemoryKey::decode(bytes);
    if (!key.ok()) return key.status();
    if (!node(peer).exposed.find(key.value().id))
      return Status(Code::invalid, "a key that its node never made");
    return RemoteMemory(imported_.append({peer, key.value().id}));
  }

  Status send(NodeId peer, ByteView header, ByteView body, Urgency) override {
    if (header.size() + body.size() > loopback_caps.message_max)
      return Status(Code::too_large, "a message above 1 GiB: send it in parts");
    Node& to = node(peer);
    std::shared_lock hold(to.life);
    if (!to.alive)
      return Status(Code::peer_lost, "node " + std::to_string(peer.value) + " is gone");
    return to.events.push_message(self_, header, body);
  }

  std::size_t post(NodeId peer, std::span<const Operation> operations) override {
    const std::size_t accepted = me_.events.reserve(operations.size());
    Node& to = node(peer);
    std::shared_lock hold(to.life);
    DirectBatch batch;
    std::size_t silent = 0;
    for (const Operation& operation : operations.first(accepted)) {
      const Code code =
          to.alive ? batch.perform(memory_of(peer, to, operation), operation) : Code::peer_lost;
      if (operation.cookie != 0 || code == Code::invalid)
        me_.events.push_completion(peer, operation.cookie, code);
      else
        ++silent;
    }
    me_.events.release(silent);
    return accepted;
  }

  std::size_t poll(std::span<Event> out) override {
    if (armed_) {
      armed_ = false;
      me_.bell.disarm();
    }
    const std::size_t count = me_.events.pop(out);
    if (count != 0 && me_.events.take_room_again()) {
      for (Node& node : fabric_->nodes) {
        node.room.store(true, std::memory_order_relaxed);
        node.bell.ring();
      }
    }
    return count;
  }

  void recycle(const Event& message) override { me_.events.recycle(message); }
  int wait_fd() const override { return me_.event_fd.get(); }

  bool arm(Urgency) override {
    me_.bell.arm();
    armed_ = me_.events.empty() && !me_.room.exchange(false);
    if (!armed_) me_.bell.disarm();
    return armed_;
  }

 private:
  struct Imported {
    NodeId peer;
    std::uint32_t id = 0;
  };

  Node& node(NodeId peer) {
    DSM_CHECK_WITH(peer.value < fabric_->nodes.size(), "a peer is a node of the job",
                   {"peer", peer.value});
    return fabric_->nodes[peer.value];
  }

  std::span<std::byte> memory_of(NodeId peer, Node& to, const Operation& operation) {
    const Imported* imported = imported_.find(operation.memory.value);
    DSM_CHECK_WITH(imported && imported->peer == peer,
                   "an operation names memory imported from its peer", {"peer", peer.value},
                   {"memory", operation.memory.value});
    return to.exposed[imported->id];
  }

  const std::shared_ptr<LoopbackFabric::State> fabric_;
  const NodeId self_;
  Node& me_;
  const int timeout_ms_;
  StableTable<Imported> imported_;
  bool armed_ = false;  // polling thread only
};

Result<std::unique_ptr<Transport>> open_loopback(const Options& options) {
  if (options.nodes != 1)
    return Status(Code::invalid, "loopback has one node, not " + std::to_string(options.nodes) +
                                     ": choose shm or tcp for several");
  return LoopbackFabric(1).endpoint(NodeId(0));
}

Status usable_loopback() {
  return {};
}

constexpr int fabric_timeout_ms = 5000;

}  // namespace

LoopbackFabric::LoopbackFabric(std::uint32_t nodes) : state_(std::make_shared<State>(nodes)) {}

std::unique_ptr<Transport> LoopbackFabric::endpoint(NodeId node) {
  return std::make_unique<Loopback>(state_, node, fabric_timeout_ms);
}

constinit const Backend loopback_backend{.name = "loopback",
                                         .summary = "one node, within its own process",
                                         .joins_nodes = false,
                                         .usable = usable_loopback,
                                         .open = open_loopback,
                                         .one_host = true};

}  // namespace dsm::transport
