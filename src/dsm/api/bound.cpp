// Memory bound to locks.
#include <algorithm>
#include <string>
#include <vector>

#include "dsm/api/current.hpp"
#include "dsm/core/bound.hpp"

namespace dsm {
namespace {

constexpr std::size_t bound_bytes_max = std::size_t{16} << 20;  // of one lock; go in one message

// A range of the space, page by page.
std::vector<core::Span> spans_of(Node& node, std::uintptr_t address, std::size_t bytes) {
  const std::size_t page_bytes = page_size();
  std::vector<core::Span> spans;
  while (bytes > 0) {
    const PageId page = node.space().page_of(address);
    const std::size_t offset = address % page_bytes;
    const std::size_t length = std::min(bytes, page_bytes - offset);
    spans.push_back({page, static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(length)});
    address += length;
    bytes -= length;
  }
  return spans;
}

// What is wrong with binding this to the lock; empty: nothing. The same on every node.
std::string complaint(const core::Engine& engine, LockId lock,
                      const std::vector<core::Span>& spans) {
  std::size_t bytes = 0;
  if (const core::Bindings::Parts* parts = engine.bindings().of(lock))
    for (const core::BoundPart& part : *parts) bytes += part.span.length;
  for (const core::Span& span : spans) {
    const core::Region* region = engine.layout().region_of(span.page);
    if (region == nullptr) return "is given memory that allocate() did not return";
    if (region->policy() != core::Policy::bound)
      return "is given memory of another policy; allocate it with Policy::bound";
    for (const LockId other : engine.bindings().on(span.page))
      for (const core::BoundPart& part : *engine.bindings().of(other))
        if (part.span.page == span.page && part.span.offset < span.offset + span.length &&
            span.offset < part.span.offset + part.span.length)
          return "is given memory that is bound already, to lock " + std::to_string(other.value);
    bytes += span.length;
  }
  if (bytes > bound_bytes_max)
    return "makes " + std::to_string(bytes) + " bytes in all for lock " +
           std::to_string(lock.value) + "; a lock carries at most " +
           std::to_string(bound_bytes_max) + ": use several, or Policy::scope";
  return {};
}

}  // namespace

static_assert(static_cast<int>(Refresh::push) == static_cast<int>(core::Refresh::push) &&
              static_cast<int>(Refresh::pull) == static_cast<int>(core::Refresh::pull));

void Lock::bind_bytes(const void* memory, std::size_t bytes, Refresh refresh, CallSite at) {
  Node& node = api::current("Lock::bind()");
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const auto refuse = [](const std::string& why) { throw Error("Lock::bind() " + why); };
  if (refresh > Refresh::pull) refuse("knows Refresh::push and Refresh::pull");
  if (bytes == 0) refuse("is given no bytes");
  const std::uintptr_t end =
      node.space().contains(address)
          ? reinterpret_cast<std::uintptr_t>(node.space().program(PageId(0))) + node.space().bytes()
          : 0;
  if (end == 0 || bytes > end - address) refuse("is given memory that allocate() did not return");
  if (bytes > bound_bytes_max)
    refuse("is given " + std::to_string(bytes) + " bytes; a lock carries at most " +
           std::to_string(bound_bytes_max) + ": use several, or Policy::scope");
  const LockId lock(number_);
  const std::vector<core::Span> spans = spans_of(node, address, bytes);
  const std::string wrong = node.driver().look(
      [&](const core::Engine& engine) { return complaint(engine, lock, spans); });
  if (!wrong.empty()) refuse(wrong);
  // Everyone binds the same, everything written before is home, and nobody takes the lock before
  // all know.
  std::uint64_t what = number_;
  for (const std::uint64_t part :
       {std::uint64_t{spans[0].page.value}, std::uint64_t{spans[0].offset}, std::uint64_t{bytes},
        static_cast<std::uint64_t>(refresh)})
    what = (what ^ part) * 0x100000001b3u;
  api::collective({api::Collective::bind, what, at}, {});
  node.driver().bind(lock, spans, static_cast<core::Refresh>(refresh));
  api::collective({api::Collective::bind, what, at}, {});
}

}  // namespace dsm
