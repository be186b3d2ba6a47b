// VerbsGroup: a UD queue pair's part in its job's multicast group, on RoCE v2 over IPv4. The
// group's address is made from the job's key; the queue key keeps out other jobs that have the same
// one.
//
// Two memberships: of the pair in the device's group, so that the device gives it the datagrams;
// and of this host in the IP group on the device's interface, so that they get here at all.
//
// Owns both. Thread-compatible.
#pragma once

#include <string_view>

#include "base/fd.hpp"
#include "transport/verbs_device.hpp"

namespace dsm::transport {

class VerbsGroup {
 public:
  // The pair number that stands for all of a group.
  static constexpr std::uint32_t pair_number = 0xffffff;

  // Otherwise why there is none, as a clause for a user. REQUIRES: the pair is initialised; it and
  // the device outlive this.
  static Result<VerbsGroup> join(const VerbsDevice& device, ibv_qp* pair, std::string_view job_key);
  VerbsGroup() = default;
  VerbsGroup(VerbsGroup&& other) noexcept;
  VerbsGroup& operator=(VerbsGroup&& other) noexcept;
  ~VerbsGroup();

  bool joined() const { return pair_ != nullptr; }
  // Where a datagram goes to reach all.
  const VerbsPort& port() const { return port_; }

 private:
  ibv_qp* pair_ = nullptr;
  ibv_gid gid_{};
  VerbsPort port_;
  Fd membership_;  // its socket
};

}  // namespace dsm::transport
