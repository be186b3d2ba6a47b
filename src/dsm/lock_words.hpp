// The locks that this node's engine has lent: one atomic word each, by which threads take and
// release a lock that nobody else wants without asking the engine (PROTOCOL.md A4). The node has
// seen all of such a lock's history, so there is nothing to invalidate and nothing to tell.
//
// Lend and Recall are effects of different steps and may be carried out in the other order; the
// word remembers that.
//
// Threads: any. Words are made at the first Lend and live as long as the table.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "base/types.hpp"

namespace dsm {

class LockWords {
 public:
  LockWords() = default;
  ~LockWords();
  LockWords(const LockWords&) = delete;
  LockWords& operator=(const LockWords&) = delete;

  // ---- for the program's threads ----
  bool take(LockId lock);  // false: ask the engine
  enum class Given { back, ask, nobody_held };
  Given give(LockId lock);  // ask: the engine has it, and knows whether it is held

  // ---- for the engine's effects. What they yield is to be told to the engine as LockBack: whether
  // a thread holds the lock ----
  std::optional<bool> lend(LockId lock);
  std::optional<bool> recall(LockId lock);

  std::uint64_t taken() const;  // so often, all locks together

 private:
  // kept: the engine's. early: recalled before it was lent
  enum State : std::uint32_t { kept, free, held, early };
  struct Word {
    explicit Word(LockId l) : lock(l) {}
    const LockId lock;
    std::atomic<std::uint32_t> state{kept};
    // counted by the holder of the lock
    std::atomic<std::uint64_t> taken{0};
    Word* next = nullptr;  // of the bucket; fixed before the word is published
  };

  static constexpr std::size_t buckets = 1u << 14;
  static std::size_t bucket_of(LockId lock) {
    return (lock.value * 0x9e3779b97f4a7c15u >> 50) % buckets;
  }
  Word* find(LockId lock) const;
  Word& word(LockId lock);

  std::array<std::atomic<Word*>, buckets> table_{};
};

}  // namespace dsm
