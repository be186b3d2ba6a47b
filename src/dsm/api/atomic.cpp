// Atomic operations on shared words.
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <string>

#include "dsm/api/current.hpp"

namespace dsm::detail {
namespace {

constexpr std::uintptr_t word_bytes = sizeof(std::uint64_t);

[[noreturn]] void refuse(std::uintptr_t address, const char* why) {
  char text[160];
  std::snprintf(text, sizeof text, "Atomic: the word at 0x%" PRIxPTR " %s", address, why);
  throw Error(text);
}

// A sequential page has one node that may write it, and that node's processor is atomic enough: the
// language's operation, in the program's view, traps until this node is the one.
std::uint64_t perform(void* word, core::WordOperation operation) {
  Node& node = api::current("Atomic");
  const auto address = reinterpret_cast<std::uintptr_t>(word);
  operation.page = node.space().page_of(address);
  operation.offset = static_cast<std::uint32_t>(
      address - reinterpret_cast<std::uintptr_t>(node.space().program(operation.page)));
  bool known = false, sequential = false, bound = false;
  node.driver().look([&](const core::Engine& engine) {
    const core::Region* region = engine.layout().region_of(operation.page);
    known = region != nullptr;
    sequential = known && region->policy() == core::Policy::sequential;
    bound = known && region->policy() == core::Policy::bound;
  });
  if (!known) refuse(address, "lies in no region: it was freed, or never allocated");
  if (bound)
    refuse(address,
           "lies in a bound region; take its lock, which makes plain accesses indivisible");
  if (!sequential) return node.driver().atomic(operation);

  const std::atomic_ref<std::uint64_t> here(*static_cast<std::uint64_t*>(word));
  if (operation.kind == core::WordOperation::Kind::fetch_add)
    return here.fetch_add(operation.operand);
  std::uint64_t previous = operation.compare;
  here.compare_exchange_strong(previous, operation.operand);
  return previous;
}

}  // namespace

void* atomic_word(void* word, std::size_t bytes) {
  Node& node = api::current("Atomic");
  const auto address = reinterpret_cast<std::uintptr_t>(word);
  if (!node.space().contains(address))
    refuse(address, "is not shared memory; give one that allocate() returned");
  if (address % bytes != 0)
    refuse(address, ("is not aligned to its " + std::to_string(bytes) + " bytes").c_str());
  return reinterpret_cast<void*>(address / word_bytes * word_bytes);
}

std::uint64_t atomic_fetch_add(void* word, std::uint64_t operand) {
  core::WordOperation add;
  add.kind = core::WordOperation::Kind::fetch_add;
  add.operand = operand;
  return perform(word, add);
}

std::uint64_t atomic_compare_swap(void* word, std::uint64_t compare, std::uint64_t operand) {
  core::WordOperation swap;
  swap.kind = core::WordOperation::Kind::compare_swap;
  swap.compare = compare;
  swap.operand = operand;
  return perform(word, swap);
}

}  // namespace dsm::detail
