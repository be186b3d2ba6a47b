// VerbsDevice: one opened port of a verbs device, its protection domain, and its limits; what the
// UD and RC queue pairs of a node share.
//
// Limits are asked for once, and may be lowered (DSM_VERBS) so that small devices can be tried on
// large ones. Errors are one line: what failed, why, and what would help; a refused registration
// tells the memory lock limit of this process from the limits of the device.
//
// ibv_fork_init() is called before the device is opened: a program of the job may call system() or
// popen(), and on kernels that do not copy pinned pages at fork (before Linux 5.12) the child would
// otherwise take the queues' pages away from the device. On later kernels the call does nothing.
//
// A port's state and addresses may change under a job (look_again()); its MTU and limits stay.
//
// Threads: thread-compatible to make; then every call may be made by any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/mutex.hpp"
#include "base/status.hpp"
#include "base/wire.hpp"
#include "transport/verbs_handles.hpp"
#include "transport/verbs_options.hpp"

namespace dsm::transport {

struct VerbsLimits {
  std::uint32_t queue_depth = 0;       // work requests of one queue
  std::uint32_t completion_depth = 0;  // entries of one completion queue
  std::uint32_t inline_bytes = 0;      // of a work request; what a queue pair grants may be less
  std::uint32_t rd_atomic = 0;         // READs and atomics in flight from, and to, a queue pair
  bool atomics = false;
  bool atomic_with_processor = false;
  bool on_demand = false;    // memory is paged on demand, and not pinned
  std::uint32_t groups = 0;  // of multicast
};

// How a peer's port is reached. As it travels in addresses.
struct VerbsPort {
  bool ethernet = false;
  std::uint16_t lid = 0;
  std::array<std::uint8_t, 16> gid{};
  std::uint32_t mtu = 0;       // bytes
  std::uint8_t rd_atomic = 0;  // as in VerbsLimits

  void encode(Writer& writer) const;
  static VerbsPort decode(Reader& reader);
};

class VerbsDevice {
 public:
  // By DSM_VERBS in the environment.
  static Result<std::unique_ptr<VerbsDevice>> open();
  static Result<std::unique_ptr<VerbsDevice>> open(const VerbsOptions& options);
  // All ports here, without opening any for use.
  static Result<std::vector<PortDescription>> describe();

  ibv_context* context() const { return context_.get(); }
  ibv_pd* domain() const { return domain_.get(); }
  const VerbsLimits& limits() const { return limits_; }
  const VerbsOptions& options() const { return options_; }
  VerbsPort port() const;
  std::uint8_t port_number() const { return static_cast<std::uint8_t>(number_); }
  std::uint16_t pkey_index() const { return pkey_index_; }
  std::uint32_t gid_index() const;
  std::string text() const;  // "rxe0 port 1, GID 1 (RoCE v2, 10.0.0.1)"

  // Asks for what may have changed. An address that is gone is replaced as at first, but for a GID
  // index of the options, which names another address by now.
  struct Look {
    bool active = false;
    bool addressed = false;
    bool moved = false;  // routes are others now, and peers must hear of port()
  };
  Look look_again() const;

  // Of memory that is registered because peers ask for it (DSM_VERBS).
  std::uint64_t lent_bytes_max() const;

  // The route to a peer's port.
  ibv_ah_attr route(const VerbsPort& peer) const;

  // REQUIRES: memory stays mapped, and keeps its frames, while the region lives.
  Result<VerbsRegion> register_memory(std::span<std::byte> memory, int access) const;
  Result<VerbsQueue> make_queue(std::uint32_t depth, ibv_comp_channel* channel) const;
  Result<VerbsChannel> make_channel() const;  // its descriptor does not block
  Result<VerbsPair> make_pair(ibv_qp_init_attr& attributes) const;

  // "verbs: CALL: why (what would help)".
  Status error(const char* call, int code, std::size_t bytes = 0) const;

 private:
  VerbsDevice() = default;
  Status query(const VerbsOptions& options, const PortDescription& chosen);
  void set_address(VerbsPort port, std::uint32_t gid_index,
                   std::span<const GidDescription> gids) const;

  VerbsContext context_;
  VerbsDomain domain_;
  VerbsLimits limits_;
  VerbsOptions options_;
  std::string name_;
  std::uint32_t number_ = 1;
  std::uint16_t pkey_index_ = 0;
  mutable Mutex lock_;
  mutable VerbsPort port_ DSM_GUARDED_BY(lock_);
  mutable std::uint32_t gid_index_ DSM_GUARDED_BY(lock_) = 0;
  mutable std::string text_ DSM_GUARDED_BY(lock_);
};

// A memory range of this process for a device: page-aligned, zeroed, absent in forked children.
class DeviceMemory {
 public:
  static Result<DeviceMemory> make(const VerbsDevice& device, std::size_t size);
  DeviceMemory() = default;
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  std::byte* data() const { return data_; }
  std::uint32_t key() const { return region_->lkey; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  VerbsRegion region_;
};

// A completion's status, for a user.
std::string words_of(ibv_wc_status status);

}  // namespace dsm::transport
