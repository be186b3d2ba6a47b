#include "history.hpp"

#include <algorithm>
#include <thread>

#include "transport/fence.hpp"

namespace dsm::transport {
namespace {

constexpr std::size_t value_word = 0;
constexpr std::size_t mark_word = 512;

// The home may be so many stores ahead of what the marks that it sees account for.
constexpr std::uint64_t home_stores_a_try = 64;
constexpr std::uint64_t head_start = 16;

}  // namespace

std::size_t History::stale() const {
  std::size_t count = 0;
  for (std::size_t i = 1; i < values_read.size(); ++i) {
    const std::size_t next = values_read[i] + 1u;
    if (next < marks_seen.size() && marks_seen[next] < i) ++count;
  }
  return count;
}

std::size_t History::raced() const {
  std::size_t count = 0;
  for (std::size_t i = 2; i < values_read.size(); ++i)
    if (values_read[i] != values_read[i - 1] && values_read[i] + 1u < marks_seen.size()) ++count;
  return count;
}

void forget_marks(Memory& home) {
  std::atomic_ref<std::uint64_t>(*home.word(value_word)).store(0);
  std::atomic_ref<std::uint64_t>(*home.word(mark_word)).store(0);
}

std::vector<std::uint32_t> store_and_look(Memory& home, std::size_t tries,
                                          const std::atomic<bool>& stop) {
  std::vector<std::uint32_t> marks_seen(1, 0);
  marks_seen.reserve(home_stores_a_try * (tries + head_start + 1));
  std::atomic_ref<std::uint64_t> value(*home.word(value_word));
  std::atomic_ref<std::uint64_t> mark(*home.word(mark_word));
  for (std::uint32_t j = 1; !stop.load(std::memory_order_relaxed);) {
    if (j >= home_stores_a_try * (mark.load(std::memory_order_relaxed) + head_start)) {
      std::this_thread::yield();
      continue;
    }
    value.store(j++, std::memory_order_relaxed);
    full_fence();
    marks_seen.push_back(static_cast<std::uint32_t>(mark.load(std::memory_order_relaxed)));
  }
  return marks_seen;
}

std::vector<std::uint32_t> mark_and_read(Node& reader, NodeId home, std::size_t tries,
                                         Reader order) {
  std::vector<std::uint32_t> values_read(1, 0);
  values_read.reserve(tries + 1);
  for (std::uint64_t i = 1; i <= tries; ++i) {
    std::uint64_t read = 0;
    std::uint64_t written = i;
    Operation both[2] = {{.kind = Operation::Kind::write,
                          .memory = reader.memory_of[home.value],
                          .offset = 8 * mark_word,
                          .local = &written,
                          .size = 8},
                         {.kind = Operation::Kind::read,
                          .memory = reader.memory_of[home.value],
                          .offset = 8 * value_word,
                          .local = &read,
                          .size = 8}};
    if (order == Reader::reads_then_marks) std::swap(both[0], both[1]);
    both[1].cookie = i;
    reader.post(home, both);
    Arrived arrived;
    if (!reader.next(arrived) || arrived.cookie != i || arrived.code != Code::ok) {
      ADD_FAILURE() << "try " << i << " did not complete";
      break;
    }
    values_read.push_back(static_cast<std::uint32_t>(read));
  }
  return values_read;
}

}  // namespace dsm::transport
