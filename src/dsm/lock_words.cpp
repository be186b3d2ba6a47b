#include "dsm/lock_words.hpp"

#include "base/check.hpp"

namespace dsm {

LockWords::~LockWords() {
  for (std::atomic<Word*>& bucket : table_) {
    for (Word* word = bucket.load(); word != nullptr;) {
      Word* next = word->next;
      delete word;
      word = next;
    }
  }
}

LockWords::Word* LockWords::find(LockId lock) const {
  Word* word = table_[bucket_of(lock)].load(std::memory_order_acquire);
  while (word != nullptr && word->lock != lock) word = word->next;
  return word;
}

// Two threads may make the word of one lock at once: the second finds the first one's in its
// bucket.
LockWords::Word& LockWords::word(LockId lock) {
  if (Word* found = find(lock); found != nullptr) return *found;
  auto* made = new Word(lock);
  std::atomic<Word*>& bucket = table_[bucket_of(lock)];
  Word* first = bucket.load(std::memory_order_acquire);
  for (;;) {
    for (Word* word = first; word != nullptr; word = word->next) {
      if (word->lock != lock) continue;
      delete made;
      return *word;
    }
    made->next = first;
    if (bucket.compare_exchange_weak(first, made, std::memory_order_acq_rel)) return *made;
  }
}

bool LockWords::take(LockId lock) {
  Word* word = find(lock);
  std::uint32_t expected = free;
  if (word == nullptr ||
      !word->state.compare_exchange_strong(expected, held, std::memory_order_acquire))
    return false;
  word->taken.store(word->taken.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return true;
}

LockWords::Given LockWords::give(LockId lock) {
  Word* word = find(lock);
  if (word == nullptr) return Given::ask;
  std::uint32_t expected = held;
  if (word->state.compare_exchange_strong(expected, free, std::memory_order_acq_rel))
    return Given::back;
  return expected == free ? Given::nobody_held : Given::ask;
}

std::optional<bool> LockWords::lend(LockId lock) {
  Word& word = this->word(lock);
  std::uint32_t expected = kept;
  if (word.state.compare_exchange_strong(expected, free, std::memory_order_acq_rel))
    return std::nullopt;
  DSM_CHECK_WITH(expected == early, "a lock is lent once", {"lock", lock.value});
  word.state.store(kept, std::memory_order_release);
  return false;
}

std::optional<bool> LockWords::recall(LockId lock) {
  Word& word = this->word(lock);
  std::uint32_t now = word.state.load(std::memory_order_relaxed);
  for (;;) {
    DSM_CHECK_WITH(now != early, "a lock is recalled once", {"lock", lock.value});
    if (!word.state.compare_exchange_weak(now, now == kept ? early : kept,
                                          std::memory_order_acq_rel))
      continue;
    if (now == kept) return std::nullopt;  // the Lend that is on its way will find it
    return now == held;
  }
}

std::uint64_t LockWords::taken() const {
  std::uint64_t sum = 0;
  for (const std::atomic<Word*>& bucket : table_)
    for (const Word* word = bucket.load(std::memory_order_acquire); word != nullptr;
         word = word->next)
      sum += word->taken.load(std::memory_order_relaxed);
  return sum;
}

}  // namespace dsm
