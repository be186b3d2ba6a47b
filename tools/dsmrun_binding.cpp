#include "dsmrun_binding.hpp"

#include <hwloc.h>
#include <hwloc/glibc-sched.h>

#include <climits>
#include <memory>

namespace dsm::run {
namespace {

Status unavailable(const char* what) {
  return Status(Code::unavailable, std::string(what) + ": use --bind none");
}

// What hwloc knows of the machine, and this process may use.
bool load(hwloc_topology_t topology) {
  if (::hwloc_topology_load(topology) != 0) return false;
  const std::unique_ptr<hwloc_bitmap_s, void (*)(hwloc_bitmap_t)> allowed(::hwloc_bitmap_alloc(),
                                                                          &::hwloc_bitmap_free);
  return ::hwloc_get_cpubind(topology, allowed.get(), HWLOC_CPUBIND_PROCESS) == 0 &&
         ::hwloc_topology_restrict(topology, allowed.get(), 0) == 0;
}

Result<std::vector<cpu_set_t>> spread_over_cores(std::uint32_t ranks, bool at_least_one_each) {
  hwloc_topology_t raw = nullptr;
  if (::hwloc_topology_init(&raw) != 0) return unavailable("hwloc does not start");
  const std::unique_ptr<hwloc_topology, void (*)(hwloc_topology_t)> topology(
      raw, &::hwloc_topology_destroy);
  if (!load(raw)) return unavailable("hwloc cannot read this machine's cores");
  const int cores = ::hwloc_get_nbobjs_by_type(raw, HWLOC_OBJ_CORE);
  if (at_least_one_each && static_cast<std::uint64_t>(cores) < ranks)
    return std::vector<cpu_set_t>();

  std::vector<hwloc_cpuset_t> shares(ranks);
  hwloc_obj_t root = ::hwloc_get_root_obj(raw);
  if (::hwloc_distrib(raw, &root, 1, shares.data(), ranks, INT_MAX, 0) != 0)
    return unavailable("hwloc cannot share out this machine's cores");
  std::vector<cpu_set_t> sets(ranks);
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    ::hwloc_cpuset_to_glibc_sched_affinity(raw, shares[rank], &sets[rank], sizeof sets[rank]);
    ::hwloc_bitmap_free(shares[rank]);
  }
  return sets;
}

}  // namespace

Result<std::vector<cpu_set_t>> cores_of_ranks(Binding binding, std::uint32_t ranks) {
  if (binding == Binding::none) return std::vector<cpu_set_t>();
  auto sets = spread_over_cores(ranks, binding == Binding::automatic);
  // Who did not ask for it does without.
  if (!sets && binding == Binding::automatic) return std::vector<cpu_set_t>();
  return sets;
}

}  // namespace dsm::run
