// Words of shared memory that any thread of any node changes indivisibly. Included by
// <dsm/dsm.hpp>.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <dsm/job.hpp>

namespace dsm {

namespace detail {

// The aligned 8 bytes of shared memory that `word` lies in. Throws Error when `word` is misaligned,
// or not shared memory.
DSM_API void* atomic_word(void* word, std::size_t bytes);
// What the 8 bytes were before.
DSM_API std::uint64_t atomic_fetch_add(void* word, std::uint64_t operand);
DSM_API std::uint64_t atomic_compare_swap(void* word, std::uint64_t compare, std::uint64_t operand);

}  // namespace detail

// A view of an aligned integer of 4 or 8 bytes in shared memory, in the shape of std::atomic_ref:
//
//   auto next = dsm::allocate<std::uint64_t>(1);
//   const std::uint64_t mine = dsm::Atomic(next[0]).fetch_add(1);  // another number for everyone
//
// Operations on one word are in one order that all nodes agree on, and take effect at the home of
// its page: on other nodes each is a round trip (on 8 bytes load, fetch_add, fetch_sub and
// compare_exchange are one; the others, and those on 4 bytes, are loops over compare-and-swap).
// They order nothing else: no other memory becomes visible by them; use a lock or a barrier for
// that.
//
// Between two barriers (of the job, not of a team) a word is used through Atomics only, or plainly
// only, never both: a copy of its page does not show what Atomics do until the next barrier. Other
// bytes of the page, the next word included, are used plainly as ever. DSM_DEBUG=1 finds plain
// writes of other nodes than the home to words that are used atomically.
//
// Regions of every policy but bound have Atomics; in sequential ones they are the language's own,
// so that there plain accesses may be mixed with them. A view is cheap to make and to copy. Errors:
// Error when the word is misaligned, is no shared memory, or its region was freed or is bound.
template <typename T>
class Atomic {
  static_assert(std::is_integral_v<T> && !std::is_same_v<std::remove_cv_t<T>, bool> &&
                    !std::is_const_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "a dsm::Atomic is of an integer of 4 or 8 bytes");

 public:
  using value_type = T;

  explicit Atomic(T& word)
      : word_(detail::atomic_word(&word, sizeof(T))),
        shift_(word_ == static_cast<void*>(&word) ? 0 : 8 * sizeof(T)) {}

  T load() const { return part_of(detail::atomic_fetch_add(word_, 0)); }
  void store(T value) const { (void)exchange(value); }
  T exchange(T value) const {
    return change([value](T) { return value; });
  }
  // Stores `desired` if the word is `expected`. Otherwise false, and `expected` is what it is.
  bool compare_exchange(T& expected, T desired) const {
    std::uint64_t word = with(0, expected);
    for (;;) {
      const std::uint64_t found = detail::atomic_compare_swap(word_, word, with(word, desired));
      if (found == word) return true;
      if (part_of(found) != expected) {
        expected = part_of(found);
        return false;
      }
      word = found;  // only the bytes beside it were others
    }
  }

  T fetch_add(T operand) const {
    if constexpr (sizeof(T) == 8) {
      return part_of(detail::atomic_fetch_add(word_, static_cast<std::uint64_t>(operand)));
    } else {
      return change([operand](T old) { return static_cast<T>(Bits(old) + Bits(operand)); });
    }
  }
  T fetch_sub(T operand) const { return fetch_add(static_cast<T>(Bits(0) - Bits(operand))); }
  T fetch_and(T operand) const {
    return change([operand](T old) { return static_cast<T>(old & operand); });
  }
  T fetch_or(T operand) const {
    return change([operand](T old) { return static_cast<T>(old | operand); });
  }
  T fetch_xor(T operand) const {
    return change([operand](T old) { return static_cast<T>(old ^ operand); });
  }

 private:
  using Bits = std::make_unsigned_t<T>;

  T part_of(std::uint64_t word) const { return static_cast<T>(static_cast<Bits>(word >> shift_)); }
  std::uint64_t with(std::uint64_t word, T part) const {
    const std::uint64_t mask = std::uint64_t{static_cast<Bits>(~Bits(0))} << shift_;
    return (word & ~mask) | std::uint64_t{static_cast<Bits>(part)} << shift_;
  }
  // What the word was before. The first guess, zero, may be right, and otherwise brings what it is.
  template <typename Next>
  T change(Next next) const {
    for (std::uint64_t word = 0;;) {
      const std::uint64_t found =
          detail::atomic_compare_swap(word_, word, with(word, next(part_of(word))));
      if (found == word) return part_of(found);
      word = found;
    }
  }

  void* word_;
  unsigned shift_;
};

}  // namespace dsm
