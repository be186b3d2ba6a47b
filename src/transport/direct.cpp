#include "transport/direct.hpp"

#include <atomic>
#include <cstring>

#include "transport/fence.hpp"

namespace dsm::transport {
namespace {

constexpr std::size_t word = sizeof(std::uint64_t);

bool is_word(const void* address, std::size_t size) {
  return size == word && reinterpret_cast<std::uintptr_t>(address) % word == 0;
}

std::atomic_ref<std::uint64_t> word_at(void* address) {
  return std::atomic_ref<std::uint64_t>(*static_cast<std::uint64_t*>(address));
}

}  // namespace

#if DSM_TSAN
// Races with the program's own stores are this memory's nature; ThreadSanitizer must see none of
// the accesses.
__attribute__((no_sanitize("thread"), noinline)) void copy_shared(void* to, const void* from,
                                                                  std::size_t size) {
  auto* out = static_cast<volatile unsigned char*>(to);
  const auto* in = static_cast<const volatile unsigned char*>(from);
  for (std::size_t i = 0; i < size; ++i) out[i] = in[i];
}
#else
void copy_shared(void* to, const void* from, std::size_t size) {
  if (size != 0) std::memcpy(to, from, size);
}
#endif

bool in_bounds(const Operation& operation, std::size_t size) {
  switch (operation.kind) {
    case Operation::Kind::read:
    case Operation::Kind::write:
      return operation.offset <= size && operation.size <= size - operation.offset;
    case Operation::Kind::fetch_add:
    case Operation::Kind::compare_swap:
      return operation.offset % word == 0 && size >= word && operation.offset <= size - word;
  }
  return false;
}

Code DirectBatch::perform(std::span<std::byte> memory, const Operation& operation) {
  if (!in_bounds(operation, memory.size())) return Code::invalid;
  std::byte* const at = memory.data() + operation.offset;
  switch (operation.kind) {
    case Operation::Kind::read:
      settle();
      if (is_word(at, operation.size)) {
        const std::uint64_t value = word_at(at).load(std::memory_order_acquire);
        std::memcpy(operation.local, &value, word);
      } else {
        copy_shared(operation.local, at, operation.size);
      }
      order_fence();
      break;
    case Operation::Kind::write:
      order_fence();
      if (is_word(at, operation.size)) {
        std::uint64_t value;
        std::memcpy(&value, operation.local, word);
        word_at(at).store(value, std::memory_order_release);
      } else {
        copy_shared(at, operation.local, operation.size);
      }
      unsettled_store_ = true;
      break;
    case Operation::Kind::fetch_add: {
      settle();
      const std::uint64_t previous =
          word_at(at).fetch_add(operation.operand, std::memory_order_seq_cst);
      if (operation.local) std::memcpy(operation.local, &previous, word);
      unsettled_store_ = true;
      break;
    }
    case Operation::Kind::compare_swap: {
      settle();
      std::uint64_t previous = operation.compare;
      word_at(at).compare_exchange_strong(previous, operation.operand, std::memory_order_seq_cst);
      if (operation.local) std::memcpy(operation.local, &previous, word);
      unsettled_store_ = true;
      break;
    }
  }
  return Code::ok;
}

void DirectBatch::settle() {
  if (unsettled_store_) full_fence();
  unsettled_store_ = false;
}

}  // namespace dsm::transport
