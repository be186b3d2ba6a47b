// Scanned pages: what is written to them is found, once, and does not trap.
#include <sys/mman.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <thread>

#include "memory_support.hpp"

namespace dsm::memory {
namespace {

using Pages = std::vector<std::uint64_t>;

TEST(Scans, ANewKernelHasThemUnlessItSaysNoItself) {
  utsname kernel = {};
  ASSERT_EQ(::uname(&kernel), 0);
  int major = 0;
  int minor = 0;
  ASSERT_EQ(std::sscanf(kernel.release, "%d.%d", &major, &minor), 2);
  const TrapProbe probe = probe_traps();
  if (!probe.uffd.ok()) GTEST_SKIP() << probe.uffd.message();
  if (major > 6 || (major == 6 && minor >= 7)) {
    EXPECT_TRUE(probe.scans.ok()) << probe.scans.message();
  } else {
    EXPECT_FALSE(probe.scans.message().empty());
  }
}

// A machine as it might be.
TEST(Scans, AreForTrapsByUserfaultfdOnly) {
  TrapProbe probe;
  EXPECT_TRUE(probe.scans_with(TrapKind::uffd).ok());
  EXPECT_FALSE(probe.scans_with(TrapKind::mprotect).ok());
  probe.scans = Status(Code::unavailable, "too old");
  EXPECT_EQ(probe.scans_with(TrapKind::uffd).message(), "too old");
}

class ScannedSpace : public testing::Test {
 protected:
  static constexpr std::uint64_t pages = 512;

  void SetUp() override {
    const TrapProbe probe = probe_traps();
    if (!probe.scans.ok()) GTEST_SKIP() << probe.scans.message();
    space_ = std::make_unique<TrappedSpace>(TrapKind::uffd, pages, Watching::scans);
    ASSERT_TRUE(space()->populate({PageId(0), pages}).ok());
    space()->open({PageId(0), pages}, Access::write);
  }

  TrappedSpace& space() { return *space_; }
  void watch(std::uint64_t first, std::uint64_t count) {
    space()->change({PageId(first), count}, Access::write, Access::read);
  }
  Pages written(std::uint64_t first = 0, std::uint64_t count = pages) {
    std::vector<PageRun> runs;
    space()->take_written({PageId(first), count}, runs);
    Pages all;
    for (const PageRun& run : runs)
      for (PageId page = run.first; page < run.end(); ++page) all.push_back(page.value);
    return all;
  }
  int traps() { return space().read_traps() + space().write_traps(); }

 private:
  std::unique_ptr<TrappedSpace> space_;
};

TEST_F(ScannedSpace, WhatIsWrittenIsFoundOnceAndDoesNotTrap) {
  ASSERT_TRUE(space()->watch_by_scans({PageId(0), pages}));
  watch(0, pages);
  EXPECT_EQ(written(), Pages{});
  space().word(3) = 1;
  space().word(3, 1) = 2;
  space().word(7) = 3;
  EXPECT_EQ(space().word(9), 0u);
  EXPECT_EQ(written(), (Pages{3, 7}));
  EXPECT_EQ(written(), Pages{});
  space().word(7) = 4;
  EXPECT_EQ(written(0, 7), Pages{});
  EXPECT_EQ(written(7, 1), Pages{7});
  EXPECT_EQ(traps(), 0);
  EXPECT_EQ(space().frame_word(7), 4u);
}

// More than one call of the kernel tells.
TEST_F(ScannedSpace, ManyScatteredPagesAreAllFound) {
  ASSERT_TRUE(space()->watch_by_scans({PageId(0), pages}));
  watch(0, pages);
  Pages every_second;
  for (std::uint64_t page = 0; page < pages; page += 2) {
    space().word(page) = page + 1;
    every_second.push_back(page);
  }
  EXPECT_EQ(written(), every_second);
  EXPECT_EQ(written(), Pages{});
}

TEST_F(ScannedSpace, OtherPagesTrapAsEver) {
  ASSERT_TRUE(space()->watch_by_scans({PageId(64), 64}));
  for (std::uint64_t page = 0; page < pages; ++page) space().set(page, Access::read);
  space()->change({PageId(60), 80}, Access::write, Access::read);  // across both borders
  space().word(63) = 1;
  space().word(64) = 1;
  space().word(127) = 1;
  space().word(128) = 1;
  EXPECT_EQ(space().write_traps(), 2);
  EXPECT_EQ(written(64, 64), (Pages{64, 127}));
  space()->close({PageId(120), 16});
  space()->open({PageId(120), 16}, Access::read);
  for (std::uint64_t page = 120; page < 136; ++page) space().end_change(page, Access::read);
  EXPECT_EQ(space().word(125), 0u);
  EXPECT_EQ(space().word(135), 0u);
  EXPECT_EQ(space().read_traps(), 0);
}

TEST_F(ScannedSpace, APageThatLostItsMappingTrapsAndWhatWasWrittenBeforeIsFound) {
  ASSERT_TRUE(space()->watch_by_scans({PageId(0), pages}));
  watch(0, pages);
  space().word(5) = 1;
  space()->close({PageId(4), 4});
  for (std::uint64_t page = 4; page < 8; ++page) space().end_change(page, Access::none);
  EXPECT_EQ(written(5, 1), Pages{5});
  EXPECT_EQ(space().word(5), 1u);
  EXPECT_EQ(space().read_traps(), 1);
}

TEST_F(ScannedSpace, TrapsComeBackForAnyPart) {
  ASSERT_TRUE(space()->watch_by_scans({PageId(0), pages}));
  watch(0, pages);
  space()->watch_by_traps({PageId(100), 1});
  space().word(100) = 1;  // open for writing until it is watched again
  EXPECT_EQ(space().write_traps(), 0);
  space().set(100, Access::read);
  space().word(99) = 1;
  space().word(100) = 2;
  space().word(101) = 3;
  EXPECT_EQ(space().write_traps(), 1);
  EXPECT_EQ(written(), (Pages{99, 101}));

  space()->watch_by_traps({PageId(0), pages});
  for (std::uint64_t page = 0; page < pages; ++page) space().set(page, Access::read);
  space().word(99) = 4;
  EXPECT_EQ(space().write_traps(), 2);
  ASSERT_TRUE(space()->watch_by_scans({PageId(0), pages}));
  watch(0, pages);
  space().word(99) = 5;
  EXPECT_EQ(space().write_traps(), 2);
  EXPECT_EQ(written(), Pages{99});
}

TEST_F(ScannedSpace, FreedFramesStartAgainAsTrappedZeroes) {
  ASSERT_TRUE(space()->watch_by_scans({PageId(0), 128}));
  watch(0, 128);
  space().word(1) = 9;
  space()->watch_by_traps({PageId(0), 128});
  space()->close({PageId(0), 128});
  space()->punch({PageId(0), 128});
  for (std::uint64_t page = 0; page < 128; ++page) space().end_change(page, Access::none);
  EXPECT_EQ(space().word(1), 0u);
  EXPECT_EQ(space().read_traps(), 1);
}

TEST(Scans, ASpaceThatMayNotScanStaysWithTraps) {
  TrappedSpace space(TrapKind::mprotect, 64);
  EXPECT_FALSE(space->watch_by_scans({PageId(0), 64}));
  space->watch_by_traps({PageId(0), 64});
  std::vector<PageRun> none;
  space->take_written({PageId(0), 64}, none);
  EXPECT_TRUE(none.empty());
}

// Two threads write all the time; every write is found by the scan after it at the latest.
TEST_F(ScannedSpace, NoWriteIsLostBetweenScans) {
  constexpr std::uint64_t rounds = 400;
  ASSERT_TRUE(space()->watch_by_scans({PageId(0), pages}));
  watch(0, pages);
  std::atomic<bool> stop{false};
  std::vector<std::uint64_t> seen(2 * pages);
  {
    std::vector<std::jthread> writers;
    for (std::size_t w = 0; w < 2; ++w)
      writers.emplace_back([&, w] {
        for (std::uint64_t i = 1; !stop; ++i) space().word(i * 7 % pages, w) = i;
      });
    for (std::uint64_t round = 0; round < rounds; ++round)
      for (const std::uint64_t page : written())
        for (std::size_t w = 0; w < 2; ++w) seen[2 * page + w] = space().frame_word(page, w);
    stop = true;
  }
  for (const std::uint64_t page : written())
    for (std::size_t w = 0; w < 2; ++w) seen[2 * page + w] = space().frame_word(page, w);
  for (std::uint64_t page = 0; page < pages; ++page)
    for (std::size_t w = 0; w < 2; ++w)
      EXPECT_EQ(space().frame_word(page, w), seen[2 * page + w]) << "page " << page;
  EXPECT_EQ(traps(), 0);
}

}  // namespace
}  // namespace dsm::memory
