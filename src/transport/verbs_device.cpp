#include "transport/verbs_device.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>

namespace dsm::transport {
namespace {

// The memory node of the core that this thread runs on; -1: not known.
int memory_node() {
  unsigned core = 0;
  unsigned node = 0;
  return ::syscall(SYS_getcpu, &core, &node, nullptr) == 0 ? static_cast<int>(node) : -1;
}

int memory_node_of(const ibv_device* device) {
  int node = -1;
  std::ifstream(std::string(device->ibdev_path) + "/device/numa_node") >> node;
  return node;
}

std::string limit_text(rlim_t limit) {
  return limit == RLIM_INFINITY ? "unlimited" : std::to_string(limit / 1024) + " KiB";
}

// The number behind a name in /proc/self/status.
std::uint64_t own_status(std::string_view name, int base) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size(), nullptr, base);
  return 0;
}

// Whether the memory lock limit is in the way of so many bytes more (0: of an unknown number). The
// kernel compares it with what devices hold of a process (VmPin), unless that has CAP_IPC_LOCK.
bool may_lock_no_more(rlim_t limit, std::size_t bytes) {
  constexpr std::uint64_t ipc_lock = std::uint64_t{1} << 14;
  if (limit == RLIM_INFINITY || (own_status("CapEff:", 16) & ipc_lock) != 0) return false;
  return bytes == 0 || own_status("VmPin:", 10) * 1024 + bytes > limit;
}

// The sizes of all ports' tables.
std::size_t gids_max(ibv_context* context, std::uint8_t ports) {
  std::size_t sum = 0;
  for (std::uint8_t p = 1; p <= ports; ++p) {
    ibv_port_attr port{};
    if (ibv_query_port(context, p, &port) == 0)
      sum += static_cast<std::size_t>(std::max(port.gid_tbl_len, 0));
  }
  return sum;
}

// Room for exactly as many as the device's ports can have: more is refused, too.
std::vector<GidDescription> gids_of(ibv_context* context, std::uint32_t port,
                                    std::size_t table_sizes) {
  std::vector<ibv_gid_entry> entries(table_sizes);
  const ssize_t count = ibv_query_gid_table(context, entries.data(), entries.size(), 0);
  std::vector<GidDescription> gids;
  for (const ibv_gid_entry& entry :
       std::span(entries).first(count > 0 ? static_cast<std::size_t>(count) : 0)) {
    if (entry.port_num != port) continue;
    GidDescription gid{.index = entry.gid_index, .kind = GidKind::infiniband, .bytes = {}};
    if (entry.gid_type == IBV_GID_TYPE_ROCE_V1) gid.kind = GidKind::roce_v1;
    if (entry.gid_type == IBV_GID_TYPE_ROCE_V2) gid.kind = GidKind::roce_v2;
    std::memcpy(gid.bytes.data(), entry.gid.raw, gid.bytes.size());
    gids.push_back(gid);
  }
  return gids;
}

OnDemandPaging paging_of(ibv_context* context) {
  ibv_device_attr_ex device{};
  if (::ibv_query_device_ex(context, nullptr, &device) != 0) return {};
  if ((device.odp_caps.general_caps & IBV_ODP_SUPPORT) == 0) return {};
  const std::uint32_t has = device.odp_caps.per_transport_caps.rc_odp_caps;
  return {.reads = (has & IBV_ODP_SUPPORT_READ) != 0,
          .writes = (has & IBV_ODP_SUPPORT_WRITE) != 0,
          .atomics = (has & IBV_ODP_SUPPORT_ATOMIC) != 0};
}

// Of those that are as good as the chosen one, that which has most in common with the address
// before: it will be of the same network.
std::uint32_t nearest(std::span<const GidDescription> gids, std::uint32_t chosen,
                      const std::array<std::uint8_t, 16>& before) {
  const auto common = [&before](const GidDescription& gid) {
    return std::mismatch(gid.bytes.begin(), gid.bytes.end(), before.begin()).first -
           gid.bytes.begin();
  };
  const auto is_chosen = [chosen](const GidDescription& gid) { return gid.index == chosen; };
  const auto first = std::find_if(gids.begin(), gids.end(), is_chosen);
  const GidDescription* best = first == gids.end() ? nullptr : &*first;
  for (const GidDescription& gid : gids)
    if (best && gid.kind == best->kind && gid.is_ipv4() == best->is_ipv4() &&
        common(gid) > common(*best))
      best = &gid;
  return best ? best->index : chosen;
}

struct DeviceList {
  int count = 0;
  ibv_device** devices = ::ibv_get_device_list(&count);
  int error = errno;  // when there are none
  DeviceList() = default;
  DeviceList(const DeviceList&) = delete;
  DeviceList& operator=(const DeviceList&) = delete;
  ~DeviceList() {
    if (devices) ::ibv_free_device_list(devices);
  }
};

Result<std::vector<PortDescription>> describe_ports(const DeviceList& list) {
  if (!list.devices)
    return Status(Code::unavailable, std::string("verbs: no device can be looked for (") +
                                         std::strerror(errno) +
                                         "): choose tcp, or shm for the processes of one host");
  std::vector<PortDescription> ports;
  for (int i = 0; i < list.count; ++i) {
    const VerbsContext context(::ibv_open_device(list.devices[i]));
    ibv_device_attr attributes{};
    if (!context || ::ibv_query_device(context.get(), &attributes) != 0) continue;
    const std::size_t table_sizes = gids_max(context.get(), attributes.phys_port_cnt);
    for (std::uint32_t p = 1; p <= attributes.phys_port_cnt; ++p) {
      ibv_port_attr port{};
      if (ibv_query_port(context.get(), static_cast<std::uint8_t>(p), &port) != 0) continue;
      const bool active = port.state == IBV_PORT_ACTIVE;
      ports.push_back({.device = ::ibv_get_device_name(list.devices[i]),
                       .port = p,
                       .active = active,
                       .state = active ? "active" : ::ibv_port_state_str(port.state),
                       .ethernet = port.link_layer == IBV_LINK_LAYER_ETHERNET,
                       .numa = memory_node_of(list.devices[i]),
                       .gids = gids_of(context.get(), p, table_sizes)});
    }
  }
  return ports;
}

}  // namespace

std::string words_of(ibv_wc_status status) {
  switch (status) {
    case IBV_WC_RETRY_EXC_ERR:
      return "the peer's device does not answer";
    case IBV_WC_RNR_RETRY_EXC_ERR:
      return "the peer posted no receive";
    case IBV_WC_REM_ACCESS_ERR:
      return "the peer's device refuses access to that memory";
    case IBV_WC_WR_FLUSH_ERR:
      return "its queue pair broke before";
    default:
      return ::ibv_wc_status_str(status);
  }
}

void VerbsPort::encode(Writer& writer) const {
  writer.put(static_cast<std::uint8_t>(ethernet));
  writer.put(lid);
  writer.put_bytes(std::as_bytes(std::span(gid)));
  writer.put(mtu);
  writer.put(rd_atomic);
}

VerbsPort VerbsPort::decode(Reader& reader) {
  VerbsPort port;
  port.ethernet = reader.get<std::uint8_t>() != 0;
  port.lid = reader.get<std::uint16_t>();
  const ByteView gid = reader.get_bytes(port.gid.size());
  if (!gid.empty()) std::memcpy(port.gid.data(), gid.data(), gid.size());
  port.mtu = reader.get<std::uint32_t>();
  port.rd_atomic = reader.get<std::uint8_t>();
  if (port.mtu < 256 || port.mtu > 4096 || (port.mtu & (port.mtu - 1)) != 0) reader.fail();
  return port;
}

Result<std::vector<PortDescription>> VerbsDevice::describe() {
  return describe_ports(DeviceList());
}

Result<std::unique_ptr<VerbsDevice>> VerbsDevice::open() {
  const char* const text = std::getenv("DSM_VERBS");
  auto options = VerbsOptions::parse(text ? text : "");
  if (!options.ok()) return options.status();
  return open(options.value());
}

Result<std::unique_ptr<VerbsDevice>> VerbsDevice::open(const VerbsOptions& options) {
  static std::once_flag once;
  std::call_once(once, [] { ::ibv_fork_init(); });
  const DeviceList list;
  auto ports = describe_ports(list);
  if (!ports.ok()) return ports.status();
  const auto choice = choose_port(ports.value(), options, memory_node());
  if (!choice.ok()) return choice.status();
  const PortDescription& chosen = ports.value()[choice.value().port];

  std::unique_ptr<VerbsDevice> device(new VerbsDevice);
  for (int i = 0; i < list.count; ++i)
    if (chosen.device == ::ibv_get_device_name(list.devices[i]))
      device->context_.reset(::ibv_open_device(list.devices[i]));
  if (!device->context_) return device->error("ibv_open_device", errno);
  device->number_ = chosen.port;
  {
    MutexLock hold(device->lock_);
    device->gid_index_ = choice.value().gid;
  }
  const Status queried = device->query(options, chosen);
  if (!queried.ok()) return queried;
  device->domain_.reset(::ibv_alloc_pd(device->context_.get()));
  if (!device->domain_) return device->error("ibv_alloc_pd", errno);
  ::fcntl(device->context_->async_fd, F_SETFL, O_NONBLOCK);
  return device;
}

Status VerbsDevice::query(const VerbsOptions& options, const PortDescription& chosen) {
  options_ = options;
  name_ = chosen.device + " port " + std::to_string(number_);
  const std::uint32_t gid_index = this->gid_index();
  ibv_device_attr device{};
  ibv_port_attr port{};
  if (const int failed = ::ibv_query_device(context_.get(), &device))
    return error("ibv_query_device", failed);
  if (const int failed = ibv_query_port(context_.get(), port_number(), &port))
    return error("ibv_query_port", failed);

  const auto positive = [](int value) { return static_cast<std::uint32_t>(std::max(value, 0)); };
  limits_.queue_depth = std::min(positive(device.max_qp_wr),
                                 options.queue_depth.value_or(positive(device.max_qp_wr)));
  limits_.completion_depth = positive(device.max_cqe);
  limits_.groups = std::min(positive(device.max_mcast_grp),
                            options.groups.value_or(positive(device.max_mcast_grp)));
  constexpr std::uint32_t inline_wanted = 64;  // marks, and messages that carry no data
  limits_.inline_bytes = options.inline_bytes.value_or(inline_wanted);
  const std::uint32_t rd_atomic =
      std::min({positive(device.max_qp_rd_atom), positive(device.max_qp_init_rd_atom), 255u});
  limits_.rd_atomic = std::min(rd_atomic, options.rd_atomic.value_or(rd_atomic));
  limits_.atomics = device.atomic_cap != IBV_ATOMIC_NONE && options.atomics;
  limits_.atomic_with_processor = device.atomic_cap == IBV_ATOMIC_GLOB && limits_.atomics;
  if (limits_.rd_atomic == 0)
    return Status(Code::unavailable, "verbs: " + name_ + " has no RDMA READ: choose verbs-ud");

  const auto paging = choose_paging(paging_of(context_.get()), limits_.atomics, options, name_);
  if (!paging.ok()) return paging.status();
  limits_.on_demand = paging.value();

  VerbsPort made{.ethernet = chosen.ethernet,
                 .lid = port.lid,
                 .mtu = 128u << static_cast<std::uint32_t>(port.active_mtu),
                 .rd_atomic = static_cast<std::uint8_t>(limits_.rd_atomic)};
  if (options.mtu != 0) made.mtu = std::min(made.mtu, options.mtu);
  set_address(made, gid_index, chosen.gids);
  if (options.pkey) {
    const int index = ::ibv_get_pkey_index(context_.get(), port_number(), htons(*options.pkey));
    if (index < 0) {
      char key[16];
      std::snprintf(key, sizeof key, "%#x", *options.pkey);
      return Status(Code::invalid, "verbs: " + name_ + " has no partition key " + key +
                                       ": ask the subnet's administrator, or leave pkey out");
    }
    pkey_index_ = static_cast<std::uint16_t>(index);
  }
  return {};
}

std::uint64_t VerbsDevice::lent_bytes_max() const {
  return options_.lent_mb_max ? std::uint64_t{*options_.lent_mb_max} << 20 : ~std::uint64_t{0};
}

// Where the port is reached from now on.
void VerbsDevice::set_address(VerbsPort port, std::uint32_t gid_index,
                              std::span<const GidDescription> gids) const {
  std::string text = name_;
  for (const GidDescription& gid : gids) {
    if (gid.index != gid_index) continue;
    port.gid = gid.bytes;
    text += ", GID " + gid.text();
  }
  MutexLock hold(lock_);
  port_ = port;
  gid_index_ = gid_index;
  text_ = std::move(text);
}

VerbsPort VerbsDevice::port() const {
  MutexLock hold(lock_);
  return port_;
}

std::uint32_t VerbsDevice::gid_index() const {
  MutexLock hold(lock_);
  return gid_index_;
}

std::string VerbsDevice::text() const {
  MutexLock hold(lock_);
  return text_.empty() ? name_ : text_;
}

VerbsDevice::Look VerbsDevice::look_again() const {
  ibv_device_attr device{};
  ibv_port_attr state{};
  if (::ibv_query_device(context_.get(), &device) != 0 ||
      ibv_query_port(context_.get(), port_number(), &state) != 0)
    return {};
  VerbsPort port = this->port();
  const std::uint32_t gid_before = gid_index();
  PortDescription here{.device = name_, .port = number_, .ethernet = port.ethernet};
  here.gids = gids_of(context_.get(), number_, gids_max(context_.get(), device.phys_port_cnt));
  Look look{.active = state.state == IBV_PORT_ACTIVE, .addressed = true};

  // The same address if it is still there, at best in its place.
  PortDescription same = here;
  same.gids.clear();
  bool in_place = false;
  for (const GidDescription& gid : here.gids) {
    if (gid.bytes != port.gid) continue;
    same.gids.push_back(gid);
    in_place = in_place || gid.index == gid_before;
  }
  std::uint32_t index = gid_before;
  if (!in_place) {
    VerbsOptions any = options_;
    any.gid.reset();
    const auto choice = choose_gid(same.gids.empty() ? here : same, any);
    look.addressed = choice.ok();
    if (!choice.ok()) return look;
    index = same.gids.empty() ? nearest(here.gids, choice.value(), port.gid) : choice.value();
  }
  look.moved =
      index != gid_before || same.gids.empty() != here.gids.empty() || state.lid != port.lid;
  if (!look.moved) return look;
  port.lid = state.lid;
  set_address(port, index, here.gids);
  return look;
}

ibv_ah_attr VerbsDevice::route(const VerbsPort& peer) const {
  MutexLock hold(lock_);
  ibv_ah_attr route{};
  route.dlid = peer.lid;
  route.sl = options_.service_level;
  route.port_num = port_number();
  // Within an InfiniBand subnet the LID leads there; to another one, and on Ethernet, the GID.
  const bool same_subnet = std::equal(peer.gid.begin(), peer.gid.begin() + 8, port_.gid.begin());
  if (port_.ethernet || !same_subnet) {
    route.is_global = 1;
    std::memcpy(route.grh.dgid.raw, peer.gid.data(), peer.gid.size());
    route.grh.sgid_index = static_cast<std::uint8_t>(gid_index_);
    route.grh.hop_limit = options_.hop_limit;
    route.grh.traffic_class = options_.traffic_class;
  }
  return route;
}

Status VerbsDevice::error(const char* call, int code, std::size_t bytes) const {
  std::string text = "verbs: " + this->text() + ": " + call + ": " + std::strerror(code);
  if (code == ENOMEM || code == EAGAIN) {
    rlimit lock{};
    ::getrlimit(RLIMIT_MEMLOCK, &lock);
    if (may_lock_no_more(lock.rlim_cur, bytes))
      text += " (this process may lock " + limit_text(lock.rlim_cur) +
              " of memory: raise it with ulimit -l unlimited, or LimitMEMLOCK=infinity in a "
              "service)";
    else
      text +=
          " (this process may lock more memory, so a limit of the device was met: let fewer jobs "
          "or nodes share it)";
  }
  if (code == EPERM || code == EACCES) text += " (may this user open /dev/infiniband/uverbs*?)";
  if (code == EFAULT && bytes != 0) text += " (memory that is not mapped readable and writable)";
  return Status(code == ENOMEM || code == EAGAIN ? Code::exhausted : Code::unavailable, text);
}

Result<VerbsRegion> VerbsDevice::register_memory(std::span<std::byte> memory, int access) const {
  VerbsRegion region(ibv_reg_mr(domain_.get(), memory.data(), memory.size(), access));
  if (!region) {
    const std::string call =
        "registering " + std::to_string(memory.size() >> 10) + " KiB of memory";
    return error(call.c_str(), errno, memory.size());
  }
  return region;
}

Result<VerbsQueue> VerbsDevice::make_queue(std::uint32_t depth, ibv_comp_channel* channel) const {
  if (depth > limits_.completion_depth)
    return Status(Code::unavailable, "verbs: " + text() + " has completion queues of at most " +
                                         std::to_string(limits_.completion_depth) +
                                         " entries, and this job needs " + std::to_string(depth) +
                                         ": use fewer nodes, or choose tcp");
  VerbsQueue queue(::ibv_create_cq(context_.get(), static_cast<int>(depth), nullptr, channel, 0));
  if (!queue) return error("ibv_create_cq", errno);
  return queue;
}

Result<VerbsChannel> VerbsDevice::make_channel() const {
  VerbsChannel channel(::ibv_create_comp_channel(context_.get()));
  if (!channel) return error("ibv_create_comp_channel", errno);
  ::fcntl(channel->fd, F_SETFL, O_NONBLOCK);
  return channel;
}

Result<VerbsPair> VerbsDevice::make_pair(ibv_qp_init_attr& attributes) const {
  attributes.cap.max_inline_data = limits_.inline_bytes;
  VerbsPair pair(::ibv_create_qp(domain_.get(), &attributes));
  if (!pair && limits_.inline_bytes != 0) {  // a device that has less, or none
    attributes.cap.max_inline_data = 0;
    pair.reset(::ibv_create_qp(domain_.get(), &attributes));
  }
  if (!pair) return error("ibv_create_qp", errno);
  if (limits_.inline_bytes == 0) attributes.cap.max_inline_data = 0;
  return pair;
}

Result<DeviceMemory> DeviceMemory::make(const VerbsDevice& device, std::size_t size) {
  DeviceMemory memory;
  void* const at =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED)
    return Status(Code::exhausted,
                  std::string("verbs: no memory for buffers: ") + std::strerror(errno));
  memory.data_ = static_cast<std::byte*>(at);
  memory.size_ = size;
  ::madvise(at, size, MADV_DONTFORK);
  auto region = device.register_memory({memory.data_, size}, IBV_ACCESS_LOCAL_WRITE);
  if (!region.ok()) return region.status();
  memory.region_ = std::move(region).value();
  return memory;
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      region_(std::move(other.region_)) {}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(region_, other.region_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  region_.reset();
  if (data_) ::munmap(data_, size_);
}

}  // namespace dsm::transport
