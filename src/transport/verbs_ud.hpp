// VerbsUd: a DatagramPort over one UD queue pair, which reaches every peer.
//
// A datagram is at most the smaller of both ends' path MTU. Strangers are kept out twice: their
// queue pairs do not know the queue key, which is made from the job's key, so the device drops what
// they send; and whoever uses this port authenticates what comes (datagram.hpp).
//
// Send side: a registered ring of slots (send_ring.hpp), filled outside its lock. Small datagrams
// are taken inline by the device. Receive side: a registered ring of slots, each a global route
// header and the longest datagram that there is, posted before address() can be known to anybody,
// and posted again in batches as they are recycled. Work queues of a device that are too short for
// the job are an error that names the limit.
//
// Events (verbs_ud_events.cpp). The device's events are read here, also those of other pairs
// (on_pair_failed()). A pair that failed, as when the port goes down under a datagram, is mended:
// emptied and started again under its old number; what was under way is lost, as datagrams may be.
// When the port's address changes, paths are made again, and the peers hear the new address
// (take_news()), over the paths to theirs. A device that is gone is a failure() for good.
//
// Multicast (DSM_VERBS=multicast=on; verbs_group.hpp): a datagram for all nodes is sent to the
// job's group, which is used if every node has joined it. If it cannot be, or fails later, a line
// says why, there is no multicast, and what is for many goes by a tree (fan_out()); with
// multicast=tree from the start.
//
// Owns its queues, and its part of the device. Threads as in datagram.hpp.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "base/fd.hpp"
#include "transport/datagram.hpp"
#include "transport/send_ring.hpp"
#include "transport/verbs_device.hpp"
#include "transport/verbs_group.hpp"

namespace dsm::transport {

class VerbsUd final : public DatagramPort {
 public:
  // `job_key` may be empty in tests.
  static Result<std::unique_ptr<VerbsUd>> open(std::shared_ptr<const VerbsDevice> device,
                                               std::uint32_t nodes, std::string_view job_key);
  ~VerbsUd() override;

  Bytes address() const override;
  Status connect(std::span<const Bytes> addresses) override;
  std::size_t payload_max(NodeId peer) const override { return peers_[peer.value].mtu; }
  // Fewer than a batch are not posted.
  std::size_t receive_slots() const override { return receive_slots_ - (repost_batch_ - 1); }
  Status send(NodeId peer, ByteView header, ByteView body,
              Urgency urgency = Urgency::prompt) override;
  std::size_t multicast_max() const override {
    return group_works_.load(std::memory_order_relaxed) ? everybody_.mtu : 0;
  }
  Status send_to_all(ByteView datagram) override;
  std::uint32_t fan_out() const override;
  std::string failure() const override { return failure_; }
  std::string trouble() const override;
  Bytes take_news() override;
  void hear(NodeId peer, ByteView news) override;
  std::size_t poll(std::span<Datagram> out) override;
  void recycle(std::span<const Datagram> datagrams) override;
  int wait_fd() const override { return epoll_fd_.get(); }
  bool arm(Urgency least = Urgency::patient) override;

  // Called by poll() with the number of another queue pair that the device has given up. To be set
  // before poll().
  void on_pair_failed(std::function<void(std::uint32_t pair)> call) {
    pair_failed_ = std::move(call);
  }

  // As if the device had given the pair up. For tests.
  void fail_pair();
  // Another queue key than the job's, as a stranger would have. For tests.
  void use_queue_key(std::uint32_t key) { queue_key_ = key; }

 private:
  struct Peer {
    VerbsPath path;
    std::uint32_t pair = 0;
    std::size_t mtu = 0;
    // The polling thread's.
    VerbsPort port;
    std::uint32_t heard = 0;  // the version of its news
  };

  VerbsUd(std::shared_ptr<const VerbsDevice> device, std::uint32_t send_slots,
          std::uint32_t receive_slots);
  Status make(std::string_view job_key);
  void join_group(std::string_view job_key);
  void meet_group(NodeId without);
  void leave_group(const std::string& why);
  Status send(const Peer& to, ByteView header, ByteView body, Urgency urgency);
  Status start();
  Status watch();
  std::byte* receive_slot(std::uint32_t index) const;
  void post_receives();
  std::size_t take(std::span<Datagram> out);
  void reap();
  void ask_for_room();
  void fault(std::string why);
  void note_arrival();
  void drain_channel();
  void look_around();
  void take_events();
  void look_at_port();
  void mend();
  Result<VerbsPath> path_to(const VerbsPort& port) const;
  void use_path(Peer& peer, VerbsPath path);

  const std::shared_ptr<const VerbsDevice> owned_;
  const VerbsDevice& device_;
  const std::uint32_t send_slots_;
  const std::uint32_t receive_slots_;
  const std::uint32_t repost_batch_;
  const std::size_t mtu_;
  DeviceMemory send_memory_;
  DeviceMemory receive_memory_;
  VerbsChannel channel_;
  VerbsQueue send_queue_;
  VerbsQueue receive_queue_;
  VerbsPair pair_;  // goes before its queues
  VerbsGroup group_;
  Fd epoll_fd_;
  std::uint32_t inline_max_ = 0;
  std::uint32_t queue_key_ = 0;
  std::vector<Peer> peers_;  // paths by post_lock_, once connected
  Peer everybody_;           // of the group
  std::atomic<bool> group_works_{false};
  std::vector<VerbsPath> old_paths_;  // datagrams may be under way on them
  SendRing ring_;
  Mutex post_lock_;  // the order of posts; a provider's own lock would keep them apart as well
  Mutex reap_lock_;
  std::atomic<bool> blocked_{false};       // a send was refused since the port was last armed
  std::atomic<bool> told_of_room_{false};  // the device will tell of room, or did
  std::atomic<bool> faulty_{false};        // the pair wants to be mended
  mutable Mutex fault_lock_;
  std::string fault_ DSM_GUARDED_BY(fault_lock_);  // the first since the pair was last mended
  std::chrono::steady_clock::time_point faulted_at_ DSM_GUARDED_BY(fault_lock_);
  std::function<void(std::uint32_t)> pair_failed_;

  // The polling thread's.
  std::vector<std::uint32_t> free_;  // slots to be posted again
  std::vector<bool> lent_;           // slots that were given out
  std::vector<Datagram> stash_;      // taken while arming
  std::size_t stash_first_ = 0;
  std::uint32_t arms_ = 0;
  enum class Asked : std::uint8_t { nothing, prompt, all };
  Asked asked_ = Asked::nothing;  // of which next arrival the device will tell
  bool told_ = false;             // it did, or is about to
  bool perhaps_told_ = false;     // nobody knows whether what came was prompt
  bool came_ = false;             // something, since the port was last armed
  std::uint32_t polls_ = 0;
  std::chrono::steady_clock::time_point mended_at_;
  VerbsDevice::Look port_state_{.active = true, .addressed = true};
  std::uint32_t version_ = 0;  // of this port's address
  bool has_news_ = false;
  std::string failure_;
};

}  // namespace dsm::transport
