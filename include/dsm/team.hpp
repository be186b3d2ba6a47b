// Barriers and collectives, of the whole job or of some of its nodes. Included by <dsm/dsm.hpp>.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <dsm/job.hpp>

namespace dsm {

// Some of the nodes, who meet by themselves. A Team is a handle: cheap to copy, equal on all
// members. Its calls are made by every member and by nobody else, in the same order, by one thread
// of a node at a time for each team; threads of a node may be in calls of different teams at once.
//
// Every call is a barrier of the members too: each sees afterwards what the *members* wrote before,
// to memory that no lock's scope covers. What others wrote is seen behind a barrier of all, or of a
// team that has them as members. Sizes and roots are the same on all members; who makes another
// call is told so on every member, with the file and line of both. Values are combined in order of
// rank in the team, combine(...combine(v0, v1)..., v(n-1)), on every node that has a result: the
// same bits everywhere, also of floating-point numbers. A member that ends its Session while others
// are in a call of the team, or come to one, is named to them by an Error. Members in calls of
// different teams may wait for each other for ever: with DSM_DEBUG=1 a call that waits long says
// where, and for whom.
class DSM_API Team {
 public:
  Team() = default;   // of nobody
  static Team all();  // of every node: what the functions of the same names below use

  // Collective, of all nodes: those who name the same colour form a team, ranked by key and then by
  // rank in the job. A negative colour: this node is in none.
  static Team split(int colour, int key = 0, CallSite at = CallSite::here());

  bool empty() const noexcept { return size() == 0; }
  int size() const noexcept;
  int rank() const noexcept;  // of this node in the team; -1 when it is empty
  int node(int rank) const;   // a member's rank in the job

  // One thread a member arrives and waits for the others'.
  void barrier(CallSite at = CallSite::here()) const;

  // `bytes` at `data`, the value, or all values of the span become those of member `root`.
  void broadcast_bytes(void* data, std::size_t bytes, int root = 0,
                       CallSite at = CallSite::here()) const;
  template <typename T>
  void broadcast(T& value, int root = 0, CallSite at = CallSite::here()) const {
    static_assert(std::is_trivially_copyable_v<T>, "values move between processes as bytes");
    broadcast_bytes(&value, sizeof value, root, at);
  }
  template <typename T, std::size_t Extent>
  void broadcast(std::span<T, Extent> values, int root = 0, CallSite at = CallSite::here()) const {
    static_assert(std::is_trivially_copyable_v<T>, "values move between processes as bytes");
    broadcast_bytes(values.data(), values.size_bytes(), root, at);
  }

  // Every member's `bytes` at `data`, in order of rank, at `all` (size() * bytes); every member's
  // value; every member's equally many values.
  void all_gather_bytes(const void* data, std::size_t bytes, void* all,
                        CallSite at = CallSite::here()) const;
  template <typename T>
  std::vector<T> all_gather(const T& value, CallSite at = CallSite::here()) const {
    return all_gather(std::span<const T>(&value, 1), at);
  }
  template <typename T, std::size_t Extent>
  std::vector<std::remove_const_t<T>> all_gather(std::span<T, Extent> mine,
                                                 CallSite at = CallSite::here()) const {
    const Gathered<std::remove_const_t<T>> all(gather(Gather::all_gather, mine, 0, at));
    std::vector<std::remove_const_t<T>> values;
    for (std::size_t i = 0; i < all.count(); ++i) values.push_back(all[i]);
    return values;
  }

  // All values combined: at member `root`, nothing elsewhere.
  template <typename T, typename Combine = std::plus<>>
  std::optional<T> reduce(const T& value, int root = 0, Combine combine = {},
                          CallSite at = CallSite::here()) const {
    const Gathered<T> all(gather(Gather::reduce, std::span(&value, 1), root, at));
    if (rank() != root) return std::nullopt;
    return all.fold(all.count(), combine);
  }

  // All values combined, on every member; of spans each value by itself, in place.
  template <typename T, typename Combine = std::plus<>>
  T all_reduce(const T& value, Combine combine = {}, CallSite at = CallSite::here()) const {
    const Gathered<T> all(gather(Gather::all_reduce, std::span(&value, 1), 0, at));
    return all.fold(all.count(), combine);
  }
  template <typename T, std::size_t Extent, typename Combine = std::plus<>>
  void all_reduce(std::span<T, Extent> values, Combine combine = {},
                  CallSite at = CallSite::here()) const {
    const Gathered<T> all(gather(Gather::all_reduce, values, 0, at));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = all.fold(all.count() / values.size(), combine, i, values.size());
  }

  // The values of members 0 to this one combined; without this one's own, behind `initial`.
  template <typename T, typename Combine = std::plus<>>
  T inclusive_scan(const T& value, Combine combine = {}, CallSite at = CallSite::here()) const {
    const Gathered<T> all(gather(Gather::inclusive_scan, std::span(&value, 1), 0, at));
    return all.fold(static_cast<std::size_t>(rank()) + 1, combine);
  }
  template <typename T, typename Combine = std::plus<>>
  T exclusive_scan(const T& value, T initial, Combine combine = {},
                   CallSite at = CallSite::here()) const {
    const Gathered<T> all(gather(Gather::exclusive_scan, std::span(&value, 1), 0, at));
    for (std::size_t n = 0; n < static_cast<std::size_t>(rank()); ++n)
      initial = combine(initial, all[n]);
    return initial;
  }

 private:
  friend class Barrier;
  friend struct TeamAccess;
  struct State;
  enum class Gather : std::uint8_t {
    all_gather,
    reduce,
    all_reduce,
    inclusive_scan,
    exclusive_scan
  };

  // What all members gave, by rank.
  template <typename T>
  class Gathered {
   public:
    explicit Gathered(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
    std::size_t count() const { return bytes_.size() / sizeof(T); }
    T operator[](std::size_t index) const {
      T value;
      std::memcpy(&value, bytes_.data() + index * sizeof(T), sizeof(T));
      return value;
    }
    // So many members' values at `index` of `each`, combined in order of rank.
    template <typename Combine>
    T fold(std::size_t members, Combine& combine, std::size_t index = 0,
           std::size_t each = 1) const {
      T result = (*this)[index];
      for (std::size_t n = 1; n < members; ++n) result = combine(result, (*this)[index + n * each]);
      return result;
    }

   private:
    std::vector<std::byte> bytes_;
  };

  template <typename T, std::size_t Extent>
  std::vector<std::byte> gather(Gather call, std::span<T, Extent> mine, int root,
                                CallSite at) const {
    static_assert(std::is_trivially_copyable_v<T>, "values move between processes as bytes");
    return gather_bytes(call, mine.data(), mine.size_bytes(), root, at);
  }
  std::vector<std::byte> gather_bytes(Gather call, const void* data, std::size_t bytes, int root,
                                      CallSite at) const;

  std::shared_ptr<State> state_;  // null: of nobody, unless it is of all
  bool all_ = false;
};

// Collective: Team's calls of the same names, made by every node.
DSM_API void barrier(CallSite at = CallSite::here());
DSM_API void broadcast_bytes(void* data, std::size_t bytes, int root = 0,
                             CallSite at = CallSite::here());
DSM_API void all_gather_bytes(const void* data, std::size_t bytes, void* all,
                              CallSite at = CallSite::here());
template <typename T>
void broadcast(T& value, int root = 0, CallSite at = CallSite::here()) {
  Team::all().broadcast(value, root, at);
}
template <typename T, std::size_t Extent>
void broadcast(std::span<T, Extent> values, int root = 0, CallSite at = CallSite::here()) {
  Team::all().broadcast(values, root, at);
}
template <typename T>
std::vector<T> all_gather(const T& value, CallSite at = CallSite::here()) {
  return Team::all().all_gather(value, at);
}
template <typename T, std::size_t Extent>
auto all_gather(std::span<T, Extent> mine, CallSite at = CallSite::here()) {
  return Team::all().all_gather(mine, at);
}
template <typename T, typename Combine = std::plus<>>
std::optional<T> reduce(const T& value, int root = 0, Combine combine = {},
                        CallSite at = CallSite::here()) {
  return Team::all().reduce(value, root, combine, at);
}
template <typename T, typename Combine = std::plus<>>
T all_reduce(const T& value, Combine combine = {}, CallSite at = CallSite::here()) {
  return Team::all().all_reduce(value, combine, at);
}
template <typename T, std::size_t Extent, typename Combine = std::plus<>>
void all_reduce(std::span<T, Extent> values, Combine combine = {}, CallSite at = CallSite::here()) {
  Team::all().all_reduce(values, combine, at);
}
template <typename T, typename Combine = std::plus<>>
T inclusive_scan(const T& value, Combine combine = {}, CallSite at = CallSite::here()) {
  return Team::all().inclusive_scan(value, combine, at);
}
template <typename T, typename Combine = std::plus<>>
T exclusive_scan(const T& value, T initial, Combine combine = {}, CallSite at = CallSite::here()) {
  return Team::all().exclusive_scan(value, initial, combine, at);
}

// A barrier in the shape of std::barrier: `threads` threads of each node of the job, or of each
// member of a team, take part. Construction is collective among them; they use one Barrier of a
// team at a time.
class DSM_API Barrier {
 public:
  explicit Barrier(int threads = 1);
  explicit Barrier(Team team, int threads = 1);
  ~Barrier();
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;
  void arrive_and_wait(CallSite at = CallSite::here());

 private:
  struct State;
  State* state_;
};

}  // namespace dsm
