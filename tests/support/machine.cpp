#include "support/machine.hpp"

#include <algorithm>
#include <cstring>

#include "support/random.hpp"

namespace dsm::sim {

Machine::Machine(const Program& program)
    : page_bytes_(program.page_bytes),
      slots_(program.config.mark_ring_slots),
      frames_(program.config.space_pages * program.page_bytes),
      twins_(frames_.size()),
      view_(program.config.space_pages, Access::none),
      has_twin_(view_.size()),
      reclaimed_(view_.size()),
      scanned_(view_.size()),
      written_(view_.size()),
      rings_(std::size_t{program.node_count()} * slots_),
      consumed_(program.node_count()) {
  std::size_t threads = 0;
  for (const auto& node : program.nodes) threads = std::max(threads, node.size());
  watched_.resize(view_.size());
  buffers_.resize(threads);
  drained_.resize(threads);
}

void Machine::store(std::uint32_t thread, std::uint32_t page, std::uint32_t offset,
                    std::uint32_t length, std::uint64_t bytes) {
  if (scanned(page)) view_[page] = Access::write;
  buffers_[thread].push_back(
      {page, static_cast<std::uint16_t>(offset), static_cast<std::uint16_t>(length), bytes});
}

std::uint64_t Machine::load(std::uint32_t thread, std::uint32_t page, std::uint32_t offset,
                            std::uint32_t length) const {
  return load_over(frame(page), thread, page, offset, length);
}

std::uint64_t Machine::load_over(const std::byte* page_bytes, std::uint32_t thread,
                                 std::uint32_t page, std::uint32_t offset,
                                 std::uint32_t length) const {
  std::byte bytes[8] = {};
  std::memcpy(bytes, page_bytes + offset, length);
  const std::vector<Store>& buffer = buffers_[thread];
  for (std::size_t i = drained_[thread]; i < buffer.size(); ++i) {
    const Store& s = buffer[i];
    if (s.page != page) continue;
    for (std::uint32_t b = 0; b < s.length; ++b) {
      const std::uint32_t at = s.offset + b;
      if (at >= offset && at < offset + length)
        bytes[at - offset] = static_cast<std::byte>(s.bytes >> (8 * b));
    }
  }
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

void Machine::perform(const Store& store) {
  std::memcpy(frame(store.page) + store.offset, &store.bytes, store.length);
  if (watched_[store.page] != 0) performed_.push_back(store);
}

void Machine::watch(PageRun run, bool on) {
  std::fill_n(watched_.begin() + static_cast<std::ptrdiff_t>(run.first.value), run.count, on);
}

void Machine::drain_one(std::uint32_t thread) {
  perform(buffers_[thread][drained_[thread]++]);
  if (drained_[thread] == buffers_[thread].size()) {
    buffers_[thread].clear();
    drained_[thread] = 0;
  }
}

void Machine::fence(std::uint32_t thread) {
  while (buffered(thread) > 0) drain_one(thread);
}

void Machine::fence_all() {
  for (std::uint32_t t = 0; t < buffers_.size(); ++t) fence(t);
}

bool Machine::narrows(PageRun run, Access to) const {
  const auto first = view_.begin() + static_cast<std::ptrdiff_t>(run.first.value);
  return std::any_of(first, first + static_cast<std::ptrdiff_t>(run.count),
                     [&](Access view) { return to < view; });
}

std::string Machine::change(PageRun run, Access to) {
  const bool takes = narrows(run, to);
  for (std::uint64_t p = run.first.value; p < run.end().value; ++p) {
    if (to == Access::none && has_twin(p))
      return "page " + std::to_string(p) + " is unmapped while it has a twin";
    view_[p] = to;
    reclaimed_[p] = written_[p] = 0;
  }
  // Taking rights away interrupts every processor that may use them: their earlier stores are
  // visible then.
  if (takes) fence_all();
  return {};
}

void Machine::set_scanned(PageRun run, bool scanned) {
  for (std::uint64_t p = run.first.value; p < run.end().value; ++p) {
    scanned_[p] = scanned;
    written_[p] = 0;
    if (view_[p] != Access::none) view_[p] = Access::write;
  }
}

bool Machine::take_written(std::uint64_t page) {
  if (!scanned(page)) return false;
  const bool written = view_[page] == Access::write || written_[page] != 0;
  written_[page] = 0;
  if (view_[page] == Access::write) {
    view_[page] = Access::read;
    fence_all();
  }
  return written;
}

std::string Machine::make_twins(PageRun run) {
  for (std::uint64_t p = run.first.value; p < run.end().value; ++p) {
    if (view_[p] == Access::write)
      return "page " + std::to_string(p) + " gets its twin while the program may write it";
    if (has_twin(p)) return "page " + std::to_string(p) + " gets a second twin";
    has_twin_[p] = 1;
    std::memcpy(twins_.data() + p * page_bytes_, frame(p), page_bytes_);
  }
  return {};
}

void Machine::take_bases(PageRun run) {
  for (std::uint64_t p = run.first.value; p < run.end().value; ++p) {
    has_twin_[p] = 1;
    std::memcpy(twin(p), frame(p), page_bytes_);
  }
}

void Machine::punch(PageRun run) {
  fence_all();  // the mappings go first, as in change()
  std::fill_n(frame(run.first.value), run.count * page_bytes_, std::byte{0});
  for (std::uint64_t p = run.first.value; p < run.end().value; ++p) {
    view_[p] = Access::none;
    has_twin_[p] = 0;
    reclaimed_[p] = 1;  // the engine hears of it later
    written_[p] = 0;
  }
}

void Machine::make_home(PageRun run) {
  std::fill_n(frame(run.first.value), run.count * page_bytes_, std::byte{0});
  for (std::uint64_t p = run.first.value; p < run.end().value; ++p)
    view_[p] = Access::write, reclaimed_[p] = 0;
}

void Machine::reclaim(std::uint32_t page) {
  if (view_[page] == Access::none) return;
  fence_all();
  if (scanned(page)) written_[page] = view_[page] == Access::write;
  view_[page] = Access::none;
  reclaimed_[page] = 1;
}

std::optional<core::MarkEntry> Machine::next_mark(NodeId reader, Epoch now) const {
  const std::uint64_t number = consumed_[reader.value];
  return core::decode_mark(ring(reader)[number % slots_], number, slots_, now);
}

bool Machine::marked_in_ring(NodeId reader, PageId page, Epoch now, bool before) const {
  bool marked = before;
  for (std::uint64_t i = 0; i < slots_; ++i) {
    const std::uint64_t number = consumed_[reader.value] + i;
    const auto entry = core::decode_mark(ring(reader)[number % slots_], number, slots_, now);
    if (!entry) break;
    if (entry->run.contains(page)) marked = entry->added;
  }
  return marked;
}

std::uint64_t Machine::hash() const {
  std::uint64_t h = 0;
  const auto add = [&](std::uint64_t v) { h = mix(h ^ v) + 0x9e3779b97f4a7c15u; };
  const auto add_bytes = [&](const void* data, std::size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i + 8 <= size; i += 8) {
      std::uint64_t word;
      std::memcpy(&word, bytes + i, 8);
      add(word);
    }
    for (std::size_t i = size & ~std::size_t{7}; i < size; ++i) add(bytes[i]);
  };
  add_bytes(frames_.data(), frames_.size());
  for (std::size_t p = 0; p < view_.size(); ++p) {
    add(static_cast<std::uint64_t>(view_[p]) * 4 + has_twin_[p] * 2u + reclaimed_[p] +
        scanned_[p] * 16u + written_[p] * 32u);
    if (has_twin(p)) add_bytes(twin(p), page_bytes_);
  }
  add_bytes(rings_.data(), rings_.size() * 8);
  for (const std::uint64_t c : consumed_) add(c);
  for (std::size_t t = 0; t < buffers_.size(); ++t) {
    add(buffered(static_cast<std::uint32_t>(t)));
    for (std::size_t i = drained_[t]; i < buffers_[t].size(); ++i) {
      const Store& s = buffers_[t][i];
      add(s.page * 65536ull + s.offset * 16ull + s.length);
      add(s.bytes);
    }
  }
  return h;
}

}  // namespace dsm::sim
