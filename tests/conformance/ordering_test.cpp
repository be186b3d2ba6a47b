// Operations to one peer take effect in posted order (history.hpp), whatever is in flight.
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "history.hpp"
#include "wires.hpp"

namespace dsm::transport {
namespace {

History race(Job& job, std::size_t tries, Reader order) {
  History history;
  std::atomic<bool> stop{false};
  forget_marks(job[1].memory);
  std::thread home([&] { history.marks_seen = store_and_look(job[1].memory, tries, stop); });
  std::thread home_polls([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      if (job[1].wire->caps().one_sided)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      else if (job[1].poll() == 0)
        std::this_thread::yield();
    }
  });
  history.values_read = mark_and_read(job[0], NodeId(1), tries, order);
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
