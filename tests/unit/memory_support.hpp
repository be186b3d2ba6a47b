// A space whose trap handler opens what was asked for, one call a page at a time as the engine does
// it, and counts.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "dsm/memory/address_space.hpp"
#include "dsm/memory/base_address.hpp"
#include "dsm/memory/trap.hpp"

// DSM_SANITIZED: a sanitizer replaces malloc and has crash handlers. DSM_TSAN: which also takes
// over signals and mappings.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define DSM_TSAN 1
#else
#define DSM_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DSM_SANITIZED 1
#else
#define DSM_SANITIZED 0
#endif

namespace dsm::memory {

inline std::uintptr_t free_base(std::uint64_t bytes) {
  const std::uint32_t free = first_free_bases(bytes);
  EXPECT_NE(free, 0u);
  return candidate_bases()[static_cast<std::size_t>(std::countr_zero(free))];
}

inline PageRun one(std::uint64_t page) {
  return {PageId(page), 1};
}

class TrappedSpace {
 public:
  TrappedSpace(TrapKind kind, std::uint64_t pages, Watching most = Watching::traps)
      : state_(pages) {
    const std::uint64_t bytes = pages * AddressSpace::page_size();
    auto made = AddressSpace::create(free_base(bytes), bytes, kind, most);
    EXPECT_TRUE(made.ok()) << made.status().message();
    space_ = std::move(*made);
    auto trap = Trap::install(*space_, &TrappedSpace::on_trap, this);
    EXPECT_TRUE(trap.ok()) << trap.status().message();
    trap_ = std::make_unique<Trap>(std::move(*trap));
  }

  AddressSpace& operator*() { return *space_; }
  AddressSpace* operator->() { return space_.get(); }

  // The program's and the runtime's idea of a 64-bit word. volatile: the access itself is what is
  // tested.
  volatile std::uint64_t& word(std::uint64_t page, std::size_t index = 0) {
    return reinterpret_cast<volatile std::uint64_t*>(space_->program(PageId(page)))[index];
  }
  volatile std::uint64_t& frame_word(std::uint64_t page, std::size_t index = 0) {
    return reinterpret_cast<volatile std::uint64_t*>(space_->runtime(PageId(page)))[index];
  }

  // Changes a page as the engine would: nobody else changes it at the time.
  void set(std::uint64_t page, Access access) {
    const Access before = begin_change(page);
    space_->change(one(page), before, access);
    end_change(page, access);
  }
  Access begin_change(std::uint64_t page) {
    for (;;) {
      std::uint8_t before = state_[page].load(std::memory_order_relaxed) & std::uint8_t(~busy);
      if (state_[page].compare_exchange_weak(before, before | busy, std::memory_order_acquire))
        return Access(before);
    }
  }
  void end_change(std::uint64_t page, Access now) {
    state_[page].store(static_cast<std::uint8_t>(now), std::memory_order_release);
  }

  int read_traps() const { return read_traps_.load(); }
  int write_traps() const { return write_traps_.load(); }

  std::atomic<bool> refuse{false};  // traps are the program's own mistake

 private:
  static constexpr std::uint8_t busy = 0x80;

  static bool on_trap(void* context, std::uintptr_t address, Access wanted) {
    auto& self = *static_cast<TrappedSpace*>(context);
    if (self.refuse) return false;
    (wanted == Access::write ? self.write_traps_ : self.read_traps_).fetch_add(1);
    const std::uint64_t page = self.space_->page_of(address).value;
    const Access before = self.begin_change(page);
    auto* frame = reinterpret_cast<volatile std::byte*>(self.space_->runtime_at(address));
    *frame = *frame;  // a page must have a frame before it is opened
    self.space_->change(one(page), before, std::max(before, wanted));
    self.end_change(page, std::max(before, wanted));
    return true;
  }

  std::vector<std::atomic<std::uint8_t>> state_;
  std::atomic<int> read_traps_{0};
  std::atomic<int> write_traps_{0};
  std::unique_ptr<AddressSpace> space_;
  std::unique_ptr<Trap> trap_;
};

// Every test runs with each mechanism; one that this machine lacks says why.
class EachTrap : public testing::TestWithParam<TrapKind> {
 protected:
  void SetUp() override {
    static const TrapProbe probe = probe_traps();
    if (!probe.of(GetParam()).ok())
      GTEST_SKIP() << name(GetParam()) << ": " << probe.of(GetParam()).message();
  }
};

inline std::string trap_name(const testing::TestParamInfo<TrapKind>& info) {
  return name(info.param);
}

}  // namespace dsm::memory
