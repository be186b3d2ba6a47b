// LossyPort: wraps a wire of datagrams and does to them what its contract allows, by seed. For
// tests; real wires do less.
//
// DSM_LOSSY is a list such as "seed=7,loss=0.1,duplicate=0.05,reorder=0.1,corrupt=0.01":
//   loss       chance that a datagram is dropped
//   duplicate  chance that it leaves twice
//   reorder    chance that it is kept back, and leaves behind a few later ones
//   corrupt    chance that one bit of it is changed, or its end cut off
#pragma once

#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include "base/mutex.hpp"
#include "transport/datagram.hpp"
#include "transport/transport.hpp"

namespace dsm::transport {

struct Losses {
  std::uint64_t seed = 1;
  double loss = 0;
  double duplicate = 0;
  double reorder = 0;
  double corrupt = 0;

  // An error names the part that is wrong and its legal values.
  static Result<Losses> parse(std::string_view text);
};

class LossyPort final : public DatagramPort {
 public:
  LossyPort(std::unique_ptr<DatagramPort> inner, const Losses& losses, NodeId self);

  Bytes address() const override { return inner_->address(); }
  Status connect(std::span<const Bytes> addresses) override { return inner_->connect(addresses); }
  std::size_t payload_max(NodeId peer) const override { return inner_->payload_max(peer); }
  std::size_t receive_slots() const override { return inner_->receive_slots(); }
  std::string how_to_enlarge() const override { return inner_->how_to_enlarge(); }
  Status send(NodeId peer, ByteView header, ByteView body, Urgency urgency) override;
  std::size_t multicast_max() const override { return inner_->multicast_max(); }
  Status send_to_all(ByteView datagram) override;  // lost, doubled or altered for all alike
  std::uint32_t fan_out() const override { return inner_->fan_out(); }
  std::size_t poll(std::span<Datagram> out) override;
  void recycle(std::span<const Datagram> datagrams) override { inner_->recycle(datagrams); }
  std::string failure() const override { return inner_->failure(); }
  std::string trouble() const override { return inner_->trouble(); }
  Bytes take_news() override { return inner_->take_news(); }
  void hear(NodeId peer, ByteView news) override { inner_->hear(peer, news); }
  int wait_fd() const override { return inner_->wait_fd(); }
  bool arm(Urgency least) override;

 private:
  // A datagram that is kept back until so many more calls were made.
  struct Kept {
    NodeId peer{};
    Bytes bytes;
    std::uint64_t due = 0;
    bool used = false;
  };

  bool chance(double probability) DSM_REQUIRES(lock_);
  void damage() DSM_REQUIRES(lock_);
  std::uint64_t random() DSM_REQUIRES(lock_);
  void release_kept(bool all) DSM_REQUIRES(lock_);

  const std::unique_ptr<DatagramPort> inner_;
  const Losses losses_;

  Mutex lock_;
  std::uint64_t random_ DSM_GUARDED_BY(lock_);
  std::uint64_t calls_ DSM_GUARDED_BY(lock_) = 0;
  std::array<Kept, 8> kept_ DSM_GUARDED_BY(lock_);
  Bytes scratch_ DSM_GUARDED_BY(lock_);
};

// The port as it is, or wrapped when DSM_LOSSY is set.
Result<std::unique_ptr<DatagramPort>> wrap_lossy(std::unique_ptr<DatagramPort> port,
                                                 const Options& options);

}  // namespace dsm::transport
