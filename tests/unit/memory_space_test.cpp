// Views and protections: what a page shows, when it traps, what it costs in memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>

#include "dsm/memory/available_memory.hpp"
#include "memory_support.hpp"

namespace dsm::memory {
namespace {

INSTANTIATE_TEST_SUITE_P(Memory, EachTrap, testing::Values(TrapKind::uffd, TrapKind::mprotect),
                         trap_name);

TEST(Probe, TheBestMechanismWorksAndTheOthersSayWhyNot) {
  const TrapProbe probe = probe_traps();
  EXPECT_TRUE(probe.of(probe.best()).ok()) << probe.of(probe.best()).message();
  EXPECT_TRUE(probe.uffd.ok() || !probe.uffd.message().empty());
}

// Otherwise a mistake of ours would be taken for a machine without userfaultfd, and its tests would
// be skipped.
TEST(Probe, ANewKernelHasUserfaultfdUnlessItSaysNoItself) {
  utsname kernel = {};
  ASSERT_EQ(::uname(&kernel), 0);
  int major = 0;
  int minor = 0;
  ASSERT_EQ(std::sscanf(kernel.release, "%d.%d", &major, &minor), 2);
  if (major < 6 || (major == 6 && minor < 4)) GTEST_SKIP() << "Linux " << kernel.release;
  const Status uffd = probe_traps().uffd;
  const bool kernel_says_no =
      uffd.message().find("refuses userfaultfd") != std::string::npos ||
      uffd.message().find("cannot write-protect shared memory (") != std::string::npos;
  EXPECT_TRUE(uffd.ok() || kernel_says_no) << uffd.message();
}

TEST_P(EachTrap, AReadTrapsOnceThenAWriteTrapsOnce) {
  TrappedSpace space(GetParam(), 4);
  space.frame_word(1, 5) = 42;
  EXPECT_EQ(space.word(1, 5), 42u);
  EXPECT_EQ(space.word(1, 6), 0u);
  EXPECT_EQ(space.read_traps(), 1);
  EXPECT_EQ(space.write_traps(), 0);
  space.word(1, 6) = 7;
  space.word(1, 7) = 8;
  EXPECT_EQ(space.read_traps(), 1);
  EXPECT_EQ(space.write_traps(), 1);
  EXPECT_EQ(space.frame_word(1, 6), 7u);
}

TEST_P(EachTrap, AFirstWriteTrapsAsAWriteAlsoWhenItReadsToo) {
#if defined(__clang__)
  if (DSM_TSAN != 0)
    GTEST_SKIP() << "clang's ThreadSanitizer holds a lock of its own during an atomic access, also "
                    "in the trap";
#endif
  TrappedSpace space(GetParam(), 2);
  space.frame_word(0) = 40;
  EXPECT_EQ(__atomic_fetch_add(&space.word(0), 2, __ATOMIC_SEQ_CST), 40u);
  EXPECT_EQ(space.frame_word(0), 42u);
  EXPECT_EQ(space.read_traps(), 0);
  EXPECT_EQ(space.write_traps(), 1);
}

TEST_P(EachTrap, AnOpenRunDoesNotTrap) {
  TrappedSpace space(GetParam(), 16);
  for (std::uint64_t page = 0; page < 16; ++page) space.frame_word(page) = page;
  space->open({PageId(2), 12}, Access::read);
  for (std::uint64_t page = 2; page < 14; ++page) EXPECT_EQ(space.word(page), page);
  EXPECT_EQ(space.read_traps(), 0);
  EXPECT_EQ(space.word(1), 1u);
  EXPECT_EQ(space.word(14), 14u);
  EXPECT_EQ(space.read_traps(), 2);
  space->open({PageId(4), 3}, Access::write);
  for (std::uint64_t page = 4; page < 7; ++page) space.word(page) = 100 + page;
  EXPECT_EQ(space.write_traps(), 0);
  EXPECT_EQ(space.frame_word(6), 106u);
}

TEST_P(EachTrap, OpeningARunSetsAlsoThePagesThatWereOpenOtherwise) {
  TrappedSpace space(GetParam(), 8);
  for (std::uint64_t page = 0; page < 8; ++page) space.frame_word(page) = page;
  space.set(2, Access::write);
  space.set(5, Access::read);
  space.word(2) = 20;

  space->open({PageId(0), 8}, Access::read);
  for (std::uint64_t page = 0; page < 8; ++page) space.end_change(page, Access::read);
  EXPECT_EQ(space.word(2), 20u);
  EXPECT_EQ(space.read_traps(), 0);
  space.word(2) = 21;
  EXPECT_EQ(space.write_traps(), 1) << "page 2 stayed writable";

  space->open({PageId(0), 8}, Access::write);
  for (std::uint64_t page = 0; page < 8; ++page) space.word(page) = 1;
  EXPECT_EQ(space.write_traps(), 1) << "a page stayed protected";
}

TEST_P(EachTrap, DowngradeTrapsWritesOnlyAndUpgradeNone) {
  TrappedSpace space(GetParam(), 2);
  space.word(0) = 1;
  space.set(0, Access::read);
  EXPECT_EQ(space.word(0), 1u);
  EXPECT_EQ(space.read_traps() + space.write_traps(), 1);
  space.word(0) = 2;
  EXPECT_EQ(space.write_traps(), 2);
  space.set(0, Access::read);
  space.set(0, Access::write);
  space.word(0) = 3;
  EXPECT_EQ(space.write_traps(), 2);
  EXPECT_EQ(space.frame_word(0), 3u);
}

TEST_P(EachTrap, ClosedPagesKeepTheirContents) {
  TrappedSpace space(GetParam(), 64);
  for (std::uint64_t page = 0; page < 64; ++page) space.word(page) = page * 3;
  space->close({PageId(0), 64});
  for (std::uint64_t page = 0; page < 64; ++page) {
    space.end_change(page, Access::none);
    space.frame_word(page, 1) = page;  // arrives while the program cannot see the page
  }
  for (std::uint64_t page = 0; page < 64; ++page) {
    EXPECT_EQ(space.word(page), page * 3);
    EXPECT_EQ(space.word(page, 1), page);
  }
  EXPECT_EQ(space.read_traps(), 64);
}

// After a page was read-only, closed and opened for writing, nothing of its protection may be left,
// nor the other way round.
TEST_P(EachTrap, EveryChangeLeadsToExactlyWhatWasAskedFor) {
  const Access all[] = {Access::none, Access::read, Access::write};
  for (const Access first : all) {
    for (const Access second : all) {
      for (const Access third : all) {
        TrappedSpace space(GetParam(), 1);
        space.frame_word(0) = 9;
        space.set(0, first);
        space.set(0, second);
        space.set(0, third);
        EXPECT_EQ(space.word(0), 9u);
        EXPECT_EQ(space.read_traps(), third == Access::none ? 1 : 0);
        space.word(0) = 10;
        EXPECT_EQ(space.write_traps(), third == Access::write ? 0 : 1);
      }
    }
  }
}

TEST_P(EachTrap, APageThatLostItsMappingIsMendedByTheTrap) {
  TrappedSpace space(GetParam(), 1);
  space.word(0) = 5;
  space->close(one(0));  // behind the back of the handler, which holds it open for writing
  EXPECT_EQ(space.word(0), 5u);
  space->close(one(0));
  space.word(0) = 6;
  EXPECT_EQ(space.frame_word(0), 6u);
}

TEST_P(EachTrap, SystemCallsFailOnAClosedPage) {
  TrappedSpace space(GetParam(), 1);
  const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(zero, 0);
  EXPECT_EQ(::read(zero, space->program(PageId(0)), 8), -1);
  EXPECT_EQ(errno, EFAULT);
  space.word(0) = 1;
  EXPECT_EQ(::read(zero, space->program(PageId(0)), 8), 8);
  EXPECT_EQ(space.frame_word(0), 0u);
  ::close(zero);
}

TEST_P(EachTrap, ATrapLeavesErrnoAlone) {
  TrappedSpace space(GetParam(), 1);
  errno = ERANGE;
  space.word(0) = 1;
  EXPECT_EQ(errno, ERANGE);
}

TEST_P(EachTrap, ThreadsTrapAtOnceOnTheSameAndOnDifferentPages) {
  constexpr int threads = 4;
  constexpr std::uint64_t pages = 32;
  constexpr std::uint64_t rounds = 20;
  TrappedSpace space(GetParam(), pages);
  {
    std::vector<std::jthread> running;
    for (int t = 0; t < threads; ++t)
      running.emplace_back([&space, t] {
        for (std::uint64_t round = 0; round < rounds; ++round)
          for (std::uint64_t i = 0; i < pages; ++i) {
            const std::uint64_t page = t % 2 == 0 ? i : pages - 1 - i;
            space.word(page, static_cast<std::size_t>(t)) =
                space.word(page, static_cast<std::size_t>(t)) + 1;
          }
      });
    running.emplace_back([&space] {
      std::minstd_rand random(1);
      for (int i = 0; i < 500; ++i)
        space.set(random() % pages, random() % 2 == 0 ? Access::none : Access::read);
    });
  }
  for (std::uint64_t page = 0; page < pages; ++page)
    for (std::size_t t = 0; t < threads; ++t) EXPECT_EQ(space.frame_word(page, t), rounds);
  EXPECT_GE(space.write_traps(), static_cast<int>(pages));
}

// A diff is taken after write-protecting: from the return of change() on, no write may reach the
// frame.
TEST_P(EachTrap, NoWriteReachesAFrameAfterItsPageWasDowngraded) {
  constexpr int rounds = 300;
  TrappedSpace space(GetParam(), 1);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> written[2] = {};
  {
    std::vector<std::jthread> writers;
    for (std::size_t w = 0; w < 2; ++w)
      writers.emplace_back([&space, &stop, &written, w] {
        std::uint64_t value = 0;
        do {
          space.word(0, w) = ++value;
          written[w].store(value);
        } while (!stop);
      });
    for (int round = 0; round < rounds; ++round) {
      const Access before = space.begin_change(0);
      space->change(one(0), before, round % 3 == 0 ? Access::none : Access::read);
      const std::uint64_t first[2] = {space.frame_word(0, 0), space.frame_word(0, 1)};
      for (int i = 0; i < 3; ++i) std::this_thread::yield();
      EXPECT_EQ(space.frame_word(0, 0), first[0]);
      EXPECT_EQ(space.frame_word(0, 1), first[1]);
      space.end_change(0, round % 3 == 0 ? Access::none : Access::read);
      std::this_thread::yield();
    }
    stop = true;
  }
  EXPECT_EQ(space.frame_word(0, 0), written[0].load());
  EXPECT_EQ(space.frame_word(0, 1), written[1].load());
  EXPECT_GE(space.write_traps(), 1);
}

TEST_P(EachTrap, SeveralSpacesAreWatchedAtOnce) {
  TrappedSpace first(GetParam(), 4);
  {
    TrappedSpace second(GetParam(), 4);
    EXPECT_NE(first->base(), second->base());
    first.word(0) = 1;
    second.word(0) = 2;
    EXPECT_EQ(first.write_traps(), 1);
    EXPECT_EQ(second.write_traps(), 1);
  }
  first.word(1) = 3;
  EXPECT_EQ(first.write_traps(), 2);
}

TEST_P(EachTrap, FramesAreCountedFromPopulateToPunch) {
  const std::size_t page = AddressSpace::page_size();
  TrappedSpace space(GetParam(), 4096);
  EXPECT_EQ(space->resident_bytes(), 0u);
  ASSERT_TRUE(space->populate({PageId(100), 1000}).ok());
  EXPECT_EQ(space->resident_bytes(), 1000 * page);
  space->open({PageId(100), 1000}, Access::write);
  space.word(100) = 1;
  EXPECT_EQ(space.word(1099), 0u);
  EXPECT_EQ(space.read_traps() + space.write_traps(), 0);
  EXPECT_EQ(space->resident_bytes(), 1000 * page);

  space->close({PageId(100), 1000});
  space->punch({PageId(100), 600});
  EXPECT_EQ(space->resident_bytes(), 400 * page);
  EXPECT_EQ(space.frame_word(100), 0u) << "punched frames start again as zeros";
}

TEST_P(EachTrap, ANewSpaceHoldsNoMemory) {
  constexpr std::uint64_t bytes = std::uint64_t{1} << 36;  // 64 GiB of addresses
  auto space = AddressSpace::create(free_base(bytes), bytes, GetParam());
  ASSERT_TRUE(space.ok()) << space.status().message();
  EXPECT_EQ((*space)->resident_bytes(), 0u);
  std::uint64_t word = 1;
  std::memcpy((*space)->runtime(PageId((*space)->pages() - 1)), &word, sizeof word);
  (*space)->open({PageId((*space)->pages() - 1), 1}, Access::read);
  EXPECT_EQ(std::memcmp((*space)->program(PageId((*space)->pages() - 1)), &word, sizeof word), 0);
}

TEST_P(EachTrap, MoreHomePagesThanMemoryIsAStatus) {
  const std::size_t page = AddressSpace::page_size();
  const std::uint64_t bytes = available_memory().bytes / page * page + (std::uint64_t{1} << 30);
  auto space = AddressSpace::create(free_base(bytes), bytes, GetParam());
  ASSERT_TRUE(space.ok()) << space.status().message();
  const Status status = (*space)->populate({PageId(0), (*space)->pages()});
  EXPECT_EQ(status.code(), Code::exhausted);
  EXPECT_NE(status.message().find(" MiB do not fit: "), std::string::npos) << status.message();
  EXPECT_EQ((*space)->resident_bytes(), 0u);
}

TEST_P(EachTrap, ATakenBaseShowsWhatTookIt) {
  const std::size_t page = AddressSpace::page_size();
  const std::uintptr_t base = free_base(16 * page);
  const int file = ::memfd_create("squatter", MFD_CLOEXEC);
  ASSERT_EQ(::ftruncate(file, static_cast<off_t>(page)), 0);
  void* taken = ::mmap(reinterpret_cast<void*>(base + 5 * page), page, PROT_READ,
                       MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0);
  ASSERT_NE(taken, MAP_FAILED);
  EXPECT_FALSE(base_is_free(base, 16 * page));
  EXPECT_TRUE(base_is_free(base, 5 * page));
  auto space = AddressSpace::create(base, 16 * page, GetParam());
  ASSERT_FALSE(space.ok());
  EXPECT_EQ(space.status().code(), Code::unavailable);
  EXPECT_NE(space.status().message().find("/memfd:squatter"), std::string::npos)
      << space.status().message();
  ::munmap(taken, page);
  ::close(file);
  EXPECT_TRUE(AddressSpace::create(base, 16 * page, GetParam()).ok());
}

}  // namespace
}  // namespace dsm::memory
