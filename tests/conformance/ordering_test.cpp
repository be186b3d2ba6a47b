// Operations to one peer take effect in posted order: a mark, then a read, against a home that
// stores, fences, then looks at its marks. Whatever the timing, one of the two sees the other
// (PROTOCOL rule 6).
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "transport/fence.hpp"
#include "wires.hpp"

namespace dsm::transport {
namespace {

// What both sides saw. The reader wrote mark i, then read values_read[i]; the home stored value j,
// fenced, then saw marks_seen[j]. Both count from 1.
struct History {
  std::vector<std::uint32_t> values_read;
  std::vector<std::uint32_t> marks_seen;

  // Tries in which the reader read a value older than the home's next store, which in turn saw no
  // mark of that try.
  std::size_t stale() const {
    std::size_t count = 0;
    for (std::size_t i = 1; i < values_read.size(); ++i) {
      const std::size_t next = values_read[i] + 1u;
      if (next < marks_seen.size() && marks_seen[next] < i) ++count;
    }
    return count;
  }
  // Tries that raced with a store of the home.
  std::size_t raced() const {
    std::size_t count = 0;
    for (std::size_t i = 2; i < values_read.size(); ++i)
      if (values_read[i] != values_read[i - 1] && values_read[i] + 1u < marks_seen.size()) ++count;
    return count;
  }
};

enum class Reader { marks_then_reads, reads_then_marks };

// The home may be so many stores ahead of what the reader's tries account for: neither leaves the
// other behind.
constexpr std::uint64_t home_stores_a_try = 64;
constexpr std::uint64_t head_start = 16;

History race(Job& job, std::size_t tries, Reader order) {
  History history;
  history.values_read.assign(1, 0);
  history.values_read.reserve(tries + 1);
  history.marks_seen.assign(1, 0);
  history.marks_seen.reserve(home_stores_a_try * (tries + head_start + 1));
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> tried{0};
  std::atomic_ref<std::uint64_t> value(*job[1].memory.word(0));
  std::atomic_ref<std::uint64_t> mark(*job[1].memory.word(512));
  value.store(0);
  mark.store(0);

  std::thread home([&] {
    for (std::uint32_t j = 1; !stop.load(std::memory_order_relaxed);) {
      if (j >= home_stores_a_try * (tried.load(std::memory_order_relaxed) + head_start)) {
        std::this_thread::yield();
        continue;
      }
      value.store(j++, std::memory_order_relaxed);
      full_fence();
      history.marks_seen.push_back(
          static_cast<std::uint32_t>(mark.load(std::memory_order_relaxed)));
    }
  });
  std::thread home_polls([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      if (job[1].wire->caps().one_sided)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      else if (job[1].poll() == 0)
        std::this_thread::yield();
    }
  });
  for (std::uint64_t i = 1; i <= tries; ++i) {
    std::uint64_t read = 0;
    std::uint64_t written = i;
    Operation both[2] = {{.kind = Operation::Kind::write,
                          .memory = job[0].memory_of[1],
                          .offset = 4096,
                          .local = &written,
                          .size = 8},
                         {.kind = Operation::Kind::read,
                          .memory = job[0].memory_of[1],
                          .offset = 0,
                          .local = &read,
                          .size = 8}};
    if (order == Reader::reads_then_marks) std::swap(both[0], both[1]);
    both[1].cookie = i;
    job[0].post(NodeId(1), both);
    Arrived arrived;
    if (!job[0].next(arrived) || arrived.cookie != i || arrived.code != Code::ok) {
      ADD_FAILURE() << "try " << i << " did not complete";
      break;
    }
    history.values_read.push_back(static_cast<std::uint32_t>(read));
    tried.store(i, std::memory_order_relaxed);
  }
  stop = true;
  home.join();
  home_polls.join();
  return history;
}

// Where the two run on one processor they meet only at its time slices: try again until they have
// met.
constexpr double patience_seconds = 30;

std::size_t tries_of(const Wire& wire) {
  if (*wire.lossy != '\0') return 400;
  if (wire.faulty()) return 2000;
  const std::string_view backend = wire.backend;
  return backend == "shm" || backend == "loopback" ? 200'000 : 5000;
}

class Ordering : public Conformance {};
DSM_OVER_ALL_WIRES(Ordering);

TEST_P(Ordering, MarkThenReadAgainstStoreThenLook) {
  Job job(GetParam(), 2);
  if (!job[0].wire->caps().ordered) GTEST_SKIP() << "no ordering promised";
  std::size_t raced = 0;
  for (const double end = now_seconds() + patience_seconds; raced == 0 && now_seconds() < end;) {
    const History history = race(job, tries_of(GetParam()), Reader::marks_then_reads);
    ASSERT_EQ(history.stale(), 0u) << "of " << history.values_read.size() << " tries";
    raced += history.raced();
  }
  EXPECT_GT(raced, 0u) << "home and reader never met: the test proves nothing";
}

TEST_P(Ordering, TheCheckFindsAReaderThatMarksTooLate) {
  if (GetParam().has_device())
    GTEST_SKIP() << "one processor is the emulated device and the home: it does both at one go";
  Job job(GetParam(), 2);
  std::size_t stale = 0;
  for (const double end = now_seconds() + patience_seconds; stale == 0 && now_seconds() < end;)
    stale += race(job, tries_of(GetParam()) / 4, Reader::reads_then_marks).stale();
  EXPECT_GT(stale, 0u);
}

TEST(OrderingCheck, FindsOneStaleTryInAHistory) {
  History history{.values_read = {0, 0, 1, 2}, .marks_seen = {0, 1, 2, 3}};
  EXPECT_EQ(history.stale(), 0u);
  history.marks_seen[2] = 1;  // value 2 came after the read of try 2, and its home saw only mark 1
  EXPECT_EQ(history.stale(), 1u);
}

// Behind a READ, a WRITE to the same place: the READ must return what was there before.
TEST_P(Ordering, AReadIsNotOvertakenByALaterWrite) {
  Job job(GetParam(), 2);
  constexpr std::size_t size = 300'000;
  std::string in(size, '\0');
  for (int round = 0; round < 20; ++round) {
    const std::string before(size, static_cast<char>('a' + round));
    std::string after(size, static_cast<char>('b' + round));
    std::memcpy(job[1].memory.data(), before.data(), size);
    Operation both[2] = {{.kind = Operation::Kind::read,
                          .memory = job[0].memory_of[1],
                          .local = in.data(),
                          .size = size,
                          .cookie = 1},
                         {.kind = Operation::Kind::write,
                          .memory = job[0].memory_of[1],
                          .local = after.data(),
                          .size = size,
                          .cookie = 2}};
    std::span<const Operation> rest(both);
    while (!rest.empty()) {
      rest = rest.subspan(job[0].wire->post(NodeId(1), rest));
      for (std::uint32_t n = 0; n < 2; ++n) job[n].poll();
    }
    ASSERT_TRUE(job.pump([&] { return job[0].arrived.size() == 2; }));
    job[0].arrived.clear();
    ASSERT_TRUE(in == before) << "round " << round;
    ASSERT_EQ(std::memcmp(job[1].memory.data(), after.data(), size), 0);
  }
}

// Many large READs both ways, with nobody posting in between: replies must not wait for each other.
TEST_P(Ordering, ReadsBothWaysDoNotWaitForEachOther) {
  Job job(GetParam(), 2);
  constexpr std::size_t count = 48;
  std::vector<std::string> in(2 * count, std::string(job_memory, '\0'));
  std::string expected[2];
  for (std::uint32_t n = 0; n < 2; ++n) {
    expected[n] = pattern(job_memory, n);
    std::memcpy(job[n].memory.data(), expected[n].data(), job_memory);
  }
  std::size_t posted[2] = {0, 0};
  std::size_t completed = 0;
  ASSERT_TRUE(job.pump(
      [&] {
        for (std::uint32_t n = 0; n < 2; ++n) {
          while (posted[n] < count) {
            const Operation o{.kind = Operation::Kind::read,
                              .memory = job[n].memory_of[1 - n],
                              .local = in[n * count + posted[n]].data(),
                              .size = job_memory,
                              .cookie = 1 + posted[n]};
            if (job[n].wire->post(NodeId(1 - n), std::span(&o, 1)) == 0) break;
            ++posted[n];
          }
          completed += job[n].arrived.size();
          job[n].arrived.clear();
        }
        return completed == 2 * count;
      },
      60));
  for (std::size_t i = 0; i < in.size(); ++i)
    ASSERT_TRUE(in[i] == expected[i < count ? 1 : 0]) << i;
}

}  // namespace
}  // namespace dsm::transport
