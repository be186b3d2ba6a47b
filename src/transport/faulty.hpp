// faulty: wraps any transport and makes it as unkind as the contract allows, by seed.
//
// DSM_FAULTY is a list such as "seed=7,delay=0.2,reorder=0.2,would_block=0.1,cut=2@1000":
//   delay        chance that an event, and all that comes from its peer behind it, is held back
//   reorder      chance that a message is overtaken by later ones
//   would_block  chance that a burst of send() and post() is refused, or a post() accepted in part
//   ordered=no   one-sided operations are overtaken by later ones too, and caps() say so
//   cut          node 2 counts as dead for every other node from that node's 1000th event on
// Otherwise operations take effect and complete in posted order. Nothing is lost or doubled: the
// contract forbids it, and a lossy wire is made reliable below this.
#pragma once

#include <memory>
#include <vector>

#include "base/mutex.hpp"
#include "transport/transport.hpp"

namespace dsm::transport {

struct Faults {
  std::uint64_t seed = 1;
  double delay = 0.2;
  double reorder = 0.2;
  double would_block = 0.1;
  bool ordered = true;
  NodeId cut = no_node;
  std::uint64_t cut_at = 0;

  // An error names the part that is wrong and its legal values.
  static Result<Faults> parse(std::string_view text);
};

class Faulty final : public Transport {
 public:
  Faulty(std::unique_ptr<Transport> inner, const Faults& faults, NodeId self, std::uint32_t nodes);

  const Caps& caps() const override { return caps_; }
  Bytes address() const override { return inner_->address(); }
  Status connect(std::span<const Bytes> addresses) override { return inner_->connect(addresses); }
  Result<Bytes> expose(std::span<std::byte> memory, int fd, std::uint64_t fd_offset) override {
    return inner_->expose(memory, fd, fd_offset);
  }
  Status cover(std::span<std::byte> memory) override { return inner_->cover(memory); }
  bool discard(std::span<std::byte> memory, const GiveBack& give_back, Cookie done) override {
    return inner_->discard(memory, give_back, done);
  }
  std::uint64_t registered_bytes() const override { return inner_->registered_bytes(); }
  Result<RemoteMemory> import_memory(NodeId peer, ByteView key) override {
    return inner_->import_memory(peer, key);
  }
  Status send(NodeId peer, ByteView header, ByteView body, Urgency urgency) override;
  std::size_t post(NodeId peer, std::span<const Operation> operations) override;
  std::size_t poll(std::span<Event> out) override;
  void recycle(const Event& message) override { inner_->recycle(message); }
  int wait_fd() const override { return inner_->wait_fd(); }
  bool arm(Urgency least) override;
  Tally tally() const override { return inner_->tally(); }
  std::uint64_t served() const override { return inner_->served(); }

 private:
  enum class Cut { not_yet, announced_late, done };
  struct Held {
    Event event;
    std::uint64_t due;  // a tick
  };
  struct Overtaken {
    NodeId peer;
    Operation operation;
  };
  struct Peer {
    std::uint64_t stalled_until = 0;
    std::uint64_t last_due = 0;
    bool down = false;
  };

  bool chance(double probability) DSM_REQUIRES(lock_);
  std::uint64_t random() DSM_REQUIRES(lock_);
  bool refuses() DSM_REQUIRES(lock_);
  void hold(const Event& event) DSM_REQUIRES(lock_);
  void post_in_any_order(NodeId peer, std::span<const Operation> operations) DSM_REQUIRES(lock_);
  void post_overtaken() DSM_REQUIRES(lock_);
  void advance_cut() DSM_REQUIRES(lock_);
  std::size_t emit(std::span<Event> out) DSM_REQUIRES(lock_);

  const std::unique_ptr<Transport> inner_;
  const Faults faults_;
  const NodeId self_;
  Caps caps_;

  Mutex lock_;
  std::uint64_t random_ DSM_GUARDED_BY(lock_);
  std::uint64_t tick_ DSM_GUARDED_BY(lock_) = 0;    // polls so far
  std::uint64_t events_ DSM_GUARDED_BY(lock_) = 0;  // events so far
  std::uint64_t burst_ DSM_GUARDED_BY(lock_) = 0;   // calls still to be refused
  bool refused_ DSM_GUARDED_BY(lock_) = false;      // someone may be waiting to try again
  Cut cut_ DSM_GUARDED_BY(lock_) = Cut::not_yet;
  std::uint64_t cut_outstanding_ DSM_GUARDED_BY(lock_) =
      0;  // completions owed by the node that is to be cut
  std::vector<Peer> peers_ DSM_GUARDED_BY(lock_);
  std::vector<Held> held_ DSM_GUARDED_BY(lock_);
  bool armed_ DSM_GUARDED_BY(lock_) = false;  // nobody may poll for long: nothing is kept back
  std::vector<Overtaken> overtaken_ DSM_GUARDED_BY(lock_);  // accepted, and posted at a later poll
};

Result<std::unique_ptr<Transport>> wrap_faulty(std::unique_ptr<Transport>, const Options&);

}  // namespace dsm::transport
