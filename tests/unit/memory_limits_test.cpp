// Limits of the machine: mappings, memory, twins; and the promise that a trap allocates nothing.
#include <sys/mman.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <new>
#include <set>

#include "dsm/memory/available_memory.hpp"
#include "dsm/memory/twin_pool.hpp"
#include "memory_support.hpp"

namespace {
std::atomic<long> allocations{0};
}

#if !DSM_SANITIZED
// Every allocation of this program passes here; the sanitizers have replacements of their own.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* malloc(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(old, size);
}
}
#endif

namespace dsm::memory {
namespace {

TEST_P(EachTrap, ATrapAllocatesNothing) {
  if (DSM_SANITIZED != 0) GTEST_SKIP() << "the sanitizers count allocations themselves";
  delete new volatile int(1);
  ASSERT_GT(allocations.load(), 0) << "allocations are not counted";
  TrappedSpace space(GetParam(), 64);
  const long before = allocations.load();
  for (std::uint64_t page = 0; page < 64; ++page) space.word(page) = space.word(page) + 1;
  for (std::uint64_t page = 0; page < 64; ++page)
    space.set(page, page % 2 == 0 ? Access::none : Access::read);
  for (std::uint64_t page = 0; page < 64; ++page) space.word(page) = 2;
  space->close({PageId(0), 64});
  space->punch({PageId(0), 64});
  EXPECT_EQ(allocations.load(), before);
  EXPECT_GE(space.write_traps(), 128);
}

std::uint64_t mappings_max() {
  std::uint64_t limit = 0;
  std::ifstream("/proc/sys/vm/max_map_count") >> limit;
  return limit;
}

TEST(Mappings, MoreStridesThanTheKernelAllowsAreSlowAndRight) {
  constexpr std::uint64_t strides = 33'000;
  if (mappings_max() > 2 * strides)
    GTEST_SKIP() << "vm.max_map_count of " << mappings_max() << " is not met";
  testing::internal::CaptureStderr();
  {
    TrappedSpace space(TrapKind::mprotect, 2 * strides);
    for (std::uint64_t page = 0; page < 2 * strides; page += 2) space.word(page) = page + 1;
    for (std::uint64_t page = 0; page < 2 * strides; page += 2)
      ASSERT_EQ(space.word(page), page + 1);
    EXPECT_GT(space.write_traps() + space.read_traps(), static_cast<int>(strides));
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("sysctl -w vm.max_map_count="), std::string::npos) << said;
  EXPECT_EQ(said.find('\n'), said.size() - 1) << "said once: " << said;
}

// What is left of the mappings, as alternating protections of a scratch area.
void use_up_mappings() {
  const std::size_t page = AddressSpace::page_size();
  const std::uint64_t pages = mappings_max() * 2;
  auto* area = static_cast<char*>(
      ::mmap(nullptr, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  for (std::uint64_t i = 0; i < pages; i += 2)
    if (::mprotect(area + i * page, page, PROT_READ) != 0) return;
}

TEST(MappingsDeathTest, NoMappingLeftEndsWithTheCommandThatHelps) {
  if (DSM_TSAN != 0)
    GTEST_SKIP() << "ThreadSanitizer itself ends a process that has no mapping left";
  if (mappings_max() > 200'000)
    GTEST_SKIP() << "vm.max_map_count of " << mappings_max() << " takes too long to meet";
  EXPECT_EXIT(
      {
        TrappedSpace space(TrapKind::mprotect, 16);
        use_up_mappings();
        for (std::uint64_t page = 1; page < 16; page += 2) space.word(page) = 1;
      },
      testing::ExitedWithCode(EXIT_FAILURE), "no mapping is left .*sysctl -w vm.max_map_count=");
}

// A machine made of files.
class MadeUpMachine : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/dsm-memory-test-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    root_ = folder;
    write("/proc/meminfo", "MemTotal: 2000 kB\nMemAvailable:    1000 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  AvailableMemory available() const { return available_memory(root_); }

  std::string root_;
};

TEST_F(MadeUpMachine, WithoutGroupsTheKernelsEstimateCounts) {
  EXPECT_EQ(available().bytes, 1000u * 1024);
  EXPECT_EQ(available().limit, "MemAvailable in /proc/meminfo");
}

TEST_F(MadeUpMachine, TheTightestGroupAboveCounts) {
  write("/proc/self/cgroup", "0::/jobs/mine\n");
  write("/sys/fs/cgroup/jobs/mine/memory.max", "max\n");
  write("/sys/fs/cgroup/jobs/mine/memory.current", "5000\n");
  write("/sys/fs/cgroup/jobs/memory.max", "10000\n");
  write("/sys/fs/cgroup/jobs/memory.current", "7000\n");
  write("/sys/fs/cgroup/jobs/memory.stat", "anon 6000\ninactive_file 300\nactive_file 200\n");
  EXPECT_EQ(available().bytes, 3500u);
  EXPECT_EQ(available().limit, root_ + "/sys/fs/cgroup/jobs/memory.max");
}

TEST_F(MadeUpMachine, TheFirstGenerationOfGroupsIsReadToo) {
  write("/proc/self/cgroup", "4:cpu,cpuacct:/x\n3:memory:/not/visible/here\n0::/\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "10000\n");
  write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "9000\n");
  write("/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n");
  EXPECT_EQ(available().bytes, 1100u);
}

TEST_F(MadeUpMachine, AGroupOverItsLimitHasNothing) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/memory.max", "10\n");
  write("/sys/fs/cgroup/memory.current", "20\n");
  EXPECT_EQ(available().bytes, 0u);
}

TEST(AvailableMemory, ThisMachineHasSome) {
  const AvailableMemory available = available_memory();
  EXPECT_GT(available.bytes, 0u);
  EXPECT_LT(available.bytes, std::numeric_limits<std::uint64_t>::max());
}

TEST(Twins, AreDistinctAndTheLastGivenIsTheNextTaken) {
  auto made = TwinPool::create(100, 4096);
  ASSERT_TRUE(made.ok());
  TwinPool& pool = *made;
  std::set<TwinId> taken;
  for (std::uint8_t i = 0; i < 100; ++i) {
    const auto twin = pool.take();
    ASSERT_TRUE(twin.has_value());
    EXPECT_TRUE(taken.insert(*twin).second);
    std::fill_n(pool.bytes(*twin), 4096, std::byte{i});
  }
  EXPECT_FALSE(pool.take().has_value());
  EXPECT_EQ(pool.taken(), 100u);
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_EQ(pool.bytes(TwinId(i))[4095], std::byte(i));

  pool.give(TwinId(7));
  pool.give(TwinId(3));
  EXPECT_EQ(pool.taken(), 98u);
  EXPECT_EQ(*pool.take(), TwinId(3));
  EXPECT_EQ(*pool.take(), TwinId(7));
  EXPECT_FALSE(pool.take().has_value());
}

TEST(Twins, ReserveAddressesAndNotMemory) {
  auto pool = TwinPool::create(1u << 24, 4096);  // 64 GiB
  ASSERT_TRUE(pool.ok()) << pool.status().message();
  const auto twin = pool->take();
  pool->bytes(*twin)[0] = std::byte{1};
  pool->give(*twin);
  TwinPool moved = std::move(*pool);
  EXPECT_EQ(moved.slots(), 1u << 24);
  EXPECT_EQ(moved.take(), twin);
}

TEST(TwinsDeathTest, GivingWhatWasNotTakenIsABug) {
  auto pool = TwinPool::create(4, 64);
  EXPECT_DEATH(pool->give(TwinId(0)), "a twin given back was taken");
}

}  // namespace
}  // namespace dsm::memory
