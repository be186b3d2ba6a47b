// Shared memory: regions, where their pages are at home, and what their readers are promised.
// Included by <dsm/dsm.hpp>.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

#include <dsm/job.hpp>

namespace dsm {

// Which node is *home* of each page of a region, that is, keeps its master copy. Accesses by the
// home are the cheapest. This is where homes are at first: a page of a region of the scope or
// release policy that another node alone goes on writing may get its home there (DSM_MIGRATE).
class DSM_API Placement {
 public:
  // size() contiguous shares, as equal as whole pages allow
  static Placement block();
  // `pages` to node 0, the next `pages` to node 1, and around
  static Placement cyclic(std::size_t pages = 1);
  static Placement on(int node);  // all on one node
  // home(page index in the region); the same on every node
  static Placement by(std::function<int(std::size_t page)> home);
  // Shares of given size: shares[i] bytes to node i, in order; cut at the nearest page. For arrays
  // split by rows or planes.
  static Placement shares(std::vector<std::size_t> bytes);

 private:
  friend struct PlacementAccess;
  enum class Kind { block, cyclic, on, by, shares };
  Kind kind_ = Kind::block;
  std::size_t number_ = 0;
  std::function<int(std::size_t)> home_;
  std::vector<std::size_t> shares_;
};

// What the readers of a region are promised. The first is the cheapest; a program may mix regions
// of different policies, and each release acts on every region by its own.
enum class Policy {
  standard,  // what DSM_CONSISTENCY says: scope unless it is set
  // What was written in a lock's scope is seen by the lock's next holders; a barrier shows
  // everything to everyone.
  scope,
  // Everything that happened before a release, by this node or by one that it had heard from, is
  // seen after the acquire that follows it: what programs for threads assume.
  release,
  // Fagus' shared variables (entry consistency): what Lock::bind() binds to a lock is where the
  // lock is, and comes with it, in the message that hands it over. A lock shows nothing else of
  // such a region, so what is not bound there is for barriers; these show everything, as
  // everywhere. For data that is small and always used under the same lock.
  bound,
  // Every access of every node, in one order that all agree on, without any lock or barrier: a page
  // has one node that may write it, or many that may read it. For code that does not name its
  // synchronisation (flags, spinning, atomics of the language, which work across nodes here).
  // Between the threads of one node the processor's own order holds, as for any memory: use
  // std::atomic_ref for words that race. Each change of a page's writer costs several messages and
  // moves the whole page, so words that different nodes write often belong on different pages.
  // Locks and barriers do nothing for such a region, nor cost anything. System calls: a page that
  // ensure() brought may be wanted by another node at any time; load() and store() begin again
  // where it went.
  sequential,
};

// Collective: `bytes` of shared memory at the same address on every node, page-aligned and
// zero-filled. Never null.
DSM_API void* allocate_bytes(std::size_t bytes, const Placement& placement = Placement::block(),
                             Policy policy = Policy::standard, CallSite at = CallSite::here());

// Collective: gives a region back; `memory` is what allocate_bytes() returned. No node may use it
// afterwards.
DSM_API void free_bytes(void* memory, CallSite at = CallSite::here());

template <typename T>
std::span<T> allocate(std::size_t count, const Placement& placement = Placement::block(),
                      Policy policy = Policy::standard, CallSite at = CallSite::here()) {
  static_assert(std::is_trivially_copyable_v<T>,
                "shared memory starts as zero bytes and moves between processes as bytes");
  // too many to count are too many to have
  const std::size_t bytes = count > SIZE_MAX / sizeof(T) ? SIZE_MAX : count * sizeof(T);
  return {static_cast<T*>(allocate_bytes(bytes, placement, policy, at)), count};
}
template <typename T>
void free(std::span<T> memory, CallSite at = CallSite::here()) {
  free_bytes(const_cast<std::remove_const_t<T>*>(memory.data()), at);
}

}  // namespace dsm
