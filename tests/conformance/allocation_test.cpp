// The steady state allocates nothing, and what a transport opened it closes.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>

#include "wires.hpp"

namespace {
std::atomic<std::size_t> allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* const at =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(size ? size : 1)
          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (!at) throw std::bad_alloc();
  return at;
}

// Not inline: the compiler would take it for memory of one kind given back as another.
[[gnu::noinline]] void give_back(void* at) noexcept {
  std::free(at);
}
}  // namespace

void* operator new(std::size_t size) {
  return counted(size, 1);
}
void* operator new[](std::size_t size) {
  return counted(size, 1);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* at) noexcept {
  give_back(at);
}
void operator delete[](void* at) noexcept {
  give_back(at);
}
void operator delete(void* at, std::size_t) noexcept {
  give_back(at);
}
void operator delete[](void* at, std::size_t) noexcept {
  give_back(at);
}
void operator delete(void* at, std::align_val_t) noexcept {
  give_back(at);
}
void operator delete[](void* at, std::align_val_t) noexcept {
  give_back(at);
}
void operator delete(void* at, std::size_t, std::align_val_t) noexcept {
  give_back(at);
}
void operator delete[](void* at, std::size_t, std::align_val_t) noexcept {
  give_back(at);
}

namespace dsm::transport {
namespace {

class Resources : public Conformance {};
DSM_OVER_ALL_WIRES(Resources);
class SteadyState : public Conformance {};
INSTANTIATE_TEST_SUITE_P(Wires, SteadyState, testing::ValuesIn(lossless_wires()), wire_name);

TEST_P(SteadyState, AllocatesNothing) {
  Job job(GetParam(), 2);
  const std::string text = pattern(3000, 1);
  std::vector<std::byte> local(40960);
  Event events[16];
  std::size_t messages = 0;
  std::size_t completions = 0;
  const auto poll = [&](std::uint32_t n) {
    for (const Event& e : std::span(events).first(job[n].wire->poll(events))) {
      if (e.kind == Event::Kind::message) {
        ++messages;
        job[n].wire->recycle(e);
      } else {
        ++completions;
      }
    }
  };
  const auto round = [&] {
    for (std::uint32_t n = 0; n < 2; ++n) {
      for (std::uint32_t to = 0; to < 2; ++to) {
        const ByteView view = std::as_bytes(std::span(text));
        while (
            !job[n]
                 .wire->send(NodeId(to), view.first(16), view.subspan(16, (messages * 97) % 2900))
                 .ok())
          poll(0), poll(1);
        Operation batch[3];
        for (Operation& o : batch)
          o = {.kind = Operation::Kind::read,
               .memory = job[n].memory_of[to],
               .local = local.data(),
               .size = 8,
               .cookie = 1};
        batch[0].kind = Operation::Kind::write;
        batch[2].size = local.size();
        std::span<const Operation> rest(batch);
        while (!rest.empty()) {
          rest = rest.subspan(job[n].wire->post(NodeId(to), rest));
          poll(0), poll(1);
        }
      }
    }
    for (int i = 0; i < 4; ++i) poll(0), poll(1);
  };
  for (int i = 0; i < 3000; ++i) round();
  const std::size_t before = allocations.load();
  const std::size_t completions_before = completions;
  for (int i = 0; i < 1000; ++i) round();
  // What is held back by chance, or waits for what was lost, may reach a new peak late.
  const bool by_chance = GetParam().faulty() || *GetParam().lossy != '\0';
  EXPECT_LE(allocations.load() - before, by_chance ? 8u : 0u) << "in 1000 rounds";
  EXPECT_GT(completions, completions_before);
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

// Mappings of memfds, and names in /dev/shm that look like ours.
std::size_t leftovers() {
  std::size_t count = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find("memfd:") != std::string::npos) ++count;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm"))
    if (entry.path().filename().string().find("dsm") != std::string::npos) ++count;
  return count;
}

TEST_P(Resources, NothingIsLeftBehind) {
  { Job job(GetParam(), 2); }
  const std::size_t descriptors = open_descriptors();
  const std::size_t left = leftovers();
  for (int i = 0; i < 3; ++i) {
    Job job(GetParam(), 3);
    job[0].send(NodeId(1), pattern(300'000, 1));  // never received
    job[0].send(NodeId(0), "never received either");
    job[2].send(NodeId(1), pattern(100, 1));
    job[1].poll();
  }
  EXPECT_EQ(open_descriptors(), descriptors);
  EXPECT_EQ(leftovers(), left);
}

}  // namespace
}  // namespace dsm::transport
