#include "dsm/lanes.hpp"

#include <utility>

#include "base/check.hpp"
#include "dsm/mark_rings.hpp"

namespace dsm {

Lanes::Lanes(transport::Transport& wire, memory::AddressSpace& space, NodeId self,
             std::uint32_t ring_slots, std::vector<Remote> remotes)
    : wire_(wire), space_(space), self_(self), ring_slots_(ring_slots) {
  constexpr std::size_t entries_usual = 256;  // so that the fault path does not allocate
  for (const Remote& remote : remotes) {
    auto lane = std::make_unique<Lane>();
    MutexLock hold(lane->mutex);
    lane->remote = remote;
    lane->early.reserve(entries_usual);
    lane->backlog.reserve(entries_usual);
    lane->words.resize(ring_slots);
    lanes_.push_back(std::move(lane));
  }
}

void Lanes::fetch(const core::Fetch& f) {
  if (f.slot) return submit(f.home, {*f.slot, {f.run, f.epoch, true}});
  Lane& lane = *lanes_[f.home.value];
  MutexLock hold(lane.mutex);
  enqueue_read(lane, f.run);
  flush(f.home, lane);
}

void Lanes::unmark(const core::Unmark& u) {
  submit(u.home, {u.slot, {u.run, u.epoch, false}});
}

// In no order with marks and READs: what an atomic operation changes is read plainly only behind a
// barrier.
void Lanes::atomic(const core::PerformAtomic& perform) {
  const core::WordOperation& o = perform.operation;
  Lane& lane = *lanes_[perform.home.value];
  MutexLock hold(lane.mutex);
  transport::Operation operation;
  operation.kind = o.kind == core::WordOperation::Kind::fetch_add
                       ? transport::Operation::Kind::fetch_add
                       : transport::Operation::Kind::compare_swap;
  operation.memory = lane.remote.space;
  operation.offset = o.page.value * memory::AddressSpace::page_size() + o.offset;
  operation.local = &found_[perform.who.value];
  operation.operand = o.operand;
  operation.compare = o.compare;
  operation.cookie = AtomicCookie::of(perform.who);
  lane.backlog.push_back(operation);
  flush(perform.home, lane);
}

// Spans that follow one another are one READ, up to what every wire takes at once.
void Lanes::read_bound(core::BoundSource source) {
  const std::size_t page_bytes = memory::AddressSpace::page_size();
  const std::uint64_t most = core::fetch_run_max * page_bytes;
  const NodeId owner = source.owner;
  std::vector<transport::Operation> reads;
  std::uint64_t bytes = 0;
  for (const core::Span& span : source.spans) {
    const std::uint64_t offset = span.page.value * page_bytes + span.offset;
    transport::Operation* last = reads.empty() ? nullptr : &reads.back();
    if (last != nullptr && last->offset + last->size == offset &&
        last->size + span.length <= most) {
      last->size += span.length;
    } else {
      transport::Operation& read = reads.emplace_back();
      read.kind = transport::Operation::Kind::read;
      read.offset = offset;
      read.size = span.length;
    }
    bytes += span.length;
  }
  {
    MutexLock hold(readings_mutex_);
    const std::uint64_t number = ++readings_begun_;
    Reading& reading = readings_[number];
    reading.result.source = std::move(source);
    reading.result.bytes.resize(bytes);
    reading.open = reads.size();
    std::byte* to = reading.result.bytes.data();
    for (transport::Operation& read : reads) {
      read.local = to;
      to += read.size;
      read.cookie = BoundCookie::of(number);
    }
  }
  bytes_read_.fetch_add(bytes, std::memory_order_relaxed);
  Lane& lane = *lanes_[owner.value];
  MutexLock hold(lane.mutex);
  for (transport::Operation& read : reads) {
    read.memory = lane.remote.space;
    lane.backlog.push_back(read);
  }
  flush(owner, lane);
}

std::optional<core::BoundRead> Lanes::bound_read(std::uint64_t number) {
  MutexLock hold(readings_mutex_);
  const auto it = readings_.find(number);
  DSM_CHECK_WITH(it != readings_.end(), "only what was begun completes", {"number", number});
  if (--it->second.open > 0) return std::nullopt;
  core::BoundRead result = std::move(it->second.result);
  readings_.erase(it);
  return result;
}

void Lanes::submit(NodeId home, const Entry& entry) {
  Lane& lane = *lanes_[home.value];
  MutexLock hold(lane.mutex);
  if (entry.slot != lane.next) {
    lane.early.push_back(entry);
    return;
  }
  enqueue(lane, entry);
  for (auto it = lane.early.begin(); it != lane.early.end();) {
    if (it->slot != lane.next) {
      ++it;
      continue;
    }
    enqueue(lane, *it);
    lane.early.erase(it);
    it = lane.early.begin();
  }
  flush(home, lane);
}

// One chain: the mark, and behind it the READ (PROTOCOL.md B5).
void Lanes::enqueue(Lane& lane, const Entry& entry) {
  std::uint64_t& word = lane.words[entry.slot % ring_slots_];
  word = core::encode_mark(entry.mark, entry.slot, ring_slots_);
  transport::Operation mark;
  mark.kind = transport::Operation::Kind::write;
  mark.memory = lane.remote.rings;
  mark.offset = MarkRings::offset_of(self_, entry.slot, ring_slots_);
  mark.local = &word;
  mark.size = sizeof word;
  lane.backlog.push_back(mark);
  if (entry.mark.added) enqueue_read(lane, entry.mark.run);
  ++lane.next;
}

void Lanes::enqueue_read(Lane& lane, PageRun run) {
  const std::size_t page_bytes = memory::AddressSpace::page_size();
  transport::Operation read;
  read.kind = transport::Operation::Kind::read;
  read.memory = lane.remote.space;
  read.offset = run.first.value * page_bytes;
  read.local = space_.runtime(run.first);
  read.size = run.count * page_bytes;
  read.cookie = FetchCookie::of(run);
  lane.backlog.push_back(read);
  bytes_read_.fetch_add(read.size, std::memory_order_relaxed);
}

bool Lanes::flush(NodeId home, Lane& lane) {
  const std::size_t posted = wire_.post(home, lane.backlog);
  lane.backlog.erase(lane.backlog.begin(),
                     lane.backlog.begin() + static_cast<std::ptrdiff_t>(posted));
  if (!lane.backlog.empty()) blocked_.store(true, std::memory_order_release);
  return posted > 0;
}

bool Lanes::retry() {
  if (!blocked_.load(std::memory_order_relaxed) ||
      !blocked_.exchange(false, std::memory_order_acquire))
    return false;
  bool posted = false;
  for (std::uint32_t n = 0; n < lanes_.size(); ++n) {
    Lane& lane = *lanes_[n];
    MutexLock hold(lane.mutex);
    if (!lane.backlog.empty()) posted = flush(NodeId(n), lane) || posted;
  }
  return posted;
}

}  // namespace dsm
