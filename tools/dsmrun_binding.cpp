#include "dsmrun_binding.hpp"

#include <hwloc.h>
#include <hwloc/glibc-sched.h>

#include <climits>
#include <memory>

namespace dsm::run {

Result<std::vector<cpu_set_t>> spread_over_cores(std::uint32_t ranks) {
  hwloc_topology_t raw = nullptr;
  if (::hwloc_topology_init(&raw) != 0)
    return Status(Code::unavailable, "hwloc does not start: use --bind none");
  const std::unique_ptr<hwloc_topology, void (*)(hwloc_topology_t)> topology(
      raw, &::hwloc_topology_destroy);
  if (::hwloc_topology_load(raw) != 0)
    return Status(Code::unavailable, "hwloc cannot read this machine's cores: use --bind none");

  std::vector<hwloc_cpuset_t> shares(ranks);
  hwloc_obj_t root = ::hwloc_get_root_obj(raw);
  const bool shared_out = ::hwloc_distrib(raw, &root, 1, shares.data(), ranks, INT_MAX, 0) == 0;
  std::vector<cpu_set_t> sets(ranks);
  for (std::uint32_t rank = 0; rank < ranks && shared_out; ++rank) {
    ::hwloc_cpuset_to_glibc_sched_affinity(raw, shares[rank], &sets[rank], sizeof sets[rank]);
    ::hwloc_bitmap_free(shares[rank]);
  }
  if (!shared_out)
    return Status(Code::unavailable,
                  "hwloc cannot share out this machine's cores: use --bind none");
  return sets;
}

}  // namespace dsm::run
