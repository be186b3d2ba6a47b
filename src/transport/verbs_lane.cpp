#include "transport/verbs_lane.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "transport/direct.hpp"

namespace dsm::transport {
namespace {

constexpr std::uint32_t slots_wanted = 64;
constexpr std::size_t slot_size = std::size_t{16} << 10;
constexpr std::size_t entries_count = 1024;  // operations that one peer may have outstanding
constexpr std::size_t chain_max = 16;        // requests of one doorbell
constexpr std::uint32_t failures_max = 3;
// Longer than a device repeats a request that nobody answers (verbs_link.cpp).
constexpr std::chrono::milliseconds stall_max{2000};
constexpr std::uint64_t word = sizeof(std::uint64_t);
constexpr std::uint64_t nothing = ~std::uint64_t{0};

static_assert(std::has_single_bit(entries_count));
static_assert(entries_count <= completions_max);

bool is_atomic(const Operation& operation) {
  return operation.kind == Operation::Kind::fetch_add ||
         operation.kind == Operation::Kind::compare_swap;
}

bool is_load(const Operation& operation) {
  return operation.kind != Operation::Kind::write;
}

std::uint64_t total(const Operation& operation) {
  return is_atomic(operation) ? word : operation.size;
}

std::uint64_t chunk_id(std::uint32_t memory, std::uint64_t chunk) {
  return std::uint64_t{memory} << 32 | chunk;
}

const char* name_of(Operation::Kind kind) {
  switch (kind) {
    case Operation::Kind::read:
      return "READ";
    case Operation::Kind::write:
      return "WRITE";
    case Operation::Kind::fetch_add:
      return "fetch-add";
    case Operation::Kind::compare_swap:
      return "compare-swap";
  }
  return "operation";
}

}  // namespace

std::uint32_t VerbsLane::slots(const VerbsDevice& device) {
  return std::min(slots_wanted, device.limits().queue_depth);
}

VerbsLane::VerbsLane(const Parts& parts, NodeId peer)
    : parts_(parts),
      peer_(peer),
      slots_max_(slots(parts.device)),
      link_(parts.device, parts.queue, parts.self, peer, parts.notes, slots_max_),
      until_break_(parts.device.options().break_after) {}

VerbsLane::~VerbsLane() = default;

void VerbsLane::begin() {
  MutexLock hold(lock_);
  if (ended_) return;
  if (const Status begun = link_.begin(); !begun.ok()) give_up(begun.message());
}

bool VerbsLane::is_ready() const {
  MutexLock hold(lock_);
  return link_.is_ready();
}

std::uint32_t VerbsLane::pair_number() const {
  MutexLock hold(lock_);
  return link_.number();
}

bool VerbsLane::has_slots() const {
  MutexLock hold(lock_);
  return memory_.data() != nullptr;
}

std::byte* VerbsLane::slot_bytes(std::uint64_t number) const {
  return memory_.data() + number % slots_max_ * slot_size;
}

// What posting needs, made when something is first posted. False: the peer was given up.
bool VerbsLane::take_slots() {
  if (!entries_.empty()) return true;
  auto memory = DeviceMemory::make(parts_.device, slots_max_ * slot_size);
  if (!memory.ok()) return give_up(memory.status().message()), false;
  memory_ = std::move(memory).value();
  slots_.resize(slots_max_);
  entries_.resize(entries_count);
  return true;
}

std::size_t VerbsLane::post(std::span<const Operation> operations) {
  MutexLock hold(lock_);
  if (ended_ || !take_slots()) {
    for (const Operation& operation : operations) {
      if (operation.cookie != 0)
        parts_.out.push_completion(peer_, operation.cookie, Code::peer_lost);
      else
        parts_.out.release(1);
    }
    return operations.size();
  }
  std::size_t accepted = 0;
  for (; accepted < operations.size() && end_ - first_ < entries_count; ++accepted) {
    const Operation& operation = operations[accepted];
    const VerbsImport* const import = parts_.imports.find(operation.memory.value);
    DSM_CHECK_WITH(import && import->peer == peer_,
                   "an operation names memory imported from its peer", {"peer", peer_.value},
                   {"memory", operation.memory.value});
    const bool legal = in_bounds(operation, import->size) &&
                       (!is_atomic(operation) || parts_.device.limits().atomics);
    entry(end_++) = {.operation = operation,
                     .code = legal ? Code::ok : Code::invalid,
                     .whole = !legal || total(operation) == 0};
  }
  if (const Status begun = link_.begin(); !begun.ok())
    give_up(begun.message());
  else
    pump();
  return accepted;
}

// Lets leave what can.
void VerbsLane::pump() {
  std::array<Request, chain_max> requests;
  std::size_t count = 0;
  while (next_ != end_) {
    Entry& next = entry(next_);
    if (!next.whole && !prepare(next, requests[count++])) {
      --count;
      break;
    }
    if (next.whole) ++next_;
    if (count < chain_max) continue;
    launch(requests);
    count = 0;
    if (ended_) return;
  }
  if (count != 0) launch(std::span(requests).first(count));
  if (!ended_) deliver();
}

// The next request of an operation. False: not now.
bool VerbsLane::prepare(Entry& next, Request& request) {
  if (!link_.is_ready() || slot_end_ - slot_first_ == slots_max_) return false;
  const Operation& operation = next.operation;
  const VerbsImport& import = parts_.imports[operation.memory.value];
  const std::uint64_t at = operation.offset + next.posted;
  const std::uint64_t chunk = at / verbs_chunk_bytes;
  const std::uint64_t id = chunk_id(import.memory, chunk);
  const auto key = keys_.find(id);
  if (key == keys_.end() || !key->second.usable) {
    if (asked_ != id)
      parts_.notes.note(peer_,
                        {.kind = VerbsNote::Kind::ask, .chunk = {import.memory, chunk, 0, 0}});
    asked_ = id;
    return false;
  }
  const std::uint64_t number = slot_end_++;
  const std::uint64_t size = std::min({total(operation) - next.posted, std::uint64_t{slot_size},
                                       (chunk + 1) * verbs_chunk_bytes - at});
  slots_[number % slots_max_] = {next_, next.posted, static_cast<std::uint32_t>(size)};
  std::byte* const bytes = slot_bytes(number);
  request = {};
  request.place = {.addr = reinterpret_cast<std::uintptr_t>(bytes),
                   .length = static_cast<std::uint32_t>(size),
                   .lkey = memory_.key()};
  ibv_send_wr& work = request.work;
  work.wr_id = std::uint64_t{peer_.value} << 48 | std::uint64_t{link_.generation() & 0xffff} << 32 |
               (number & 0xffffffff);
  work.num_sge = 1;
  const bool waits = slot_first_ < loads_end_;  // for an earlier READ or atomic
  if (is_atomic(operation)) {
    const bool adds = operation.kind == Operation::Kind::fetch_add;
    work.opcode = adds ? IBV_WR_ATOMIC_FETCH_AND_ADD : IBV_WR_ATOMIC_CMP_AND_SWP;
    work.wr.atomic = {.remote_addr = import.address + at,
                      .compare_add = adds ? operation.operand : operation.compare,
                      .swap = adds ? 0 : operation.operand,
                      .rkey = key->second.key};
  } else {
    const bool reads = operation.kind == Operation::Kind::read;
    work.opcode = reads ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
    work.wr.rdma = {.remote_addr = import.address + at, .rkey = key->second.key};
    if (!reads) {
      copy_shared(bytes, static_cast<const std::byte*>(operation.local) + next.posted, size);
      if (size <= link_.inline_max()) work.send_flags |= IBV_SEND_INLINE;
    }
  }
  if (waits && operation.kind != Operation::Kind::read) work.send_flags |= IBV_SEND_FENCE;
  if (is_load(operation)) loads_end_ = number + 1;
  next.posted += size;
  next.whole = next.posted == total(operation);
  // A report frees all slots before it: now and then one is needed though nobody asks. (The last
  // request of a chain has one in any case.)
  const std::uint32_t quarter = std::max(slots_max_ / 4, 1u);
  const bool reported = next.whole && (is_load(operation) || operation.cookie != 0);
  if (reported || number % quarter == quarter - 1) work.send_flags |= IBV_SEND_SIGNALED;
  return true;
}

void VerbsLane::launch(std::span<Request> requests) {
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].work.sg_list = &requests[i].place;
    requests[i].work.next = i + 1 < requests.size() ? &requests[i + 1].work : nullptr;
  }
  // Otherwise the last WRITEs before a silence would count as under way until something follows.
  requests.back().work.send_flags |= IBV_SEND_SIGNALED;
  for (const Request& request : requests)
    if ((request.work.send_flags & IBV_SEND_SIGNALED) != 0) ++reports_due_;
  ++chains_;
  ibv_send_wr* bad = nullptr;
  if (const int failed = ibv_post_send(link_.pair(), &requests[0].work, &bad))
    give_up(parts_.device.error("posting one-sided operations", failed).message());
}

void VerbsLane::completed(const ibv_wc& completion) {
  MutexLock hold(lock_);
  const auto generation = static_cast<std::uint32_t>(completion.wr_id >> 32) & 0xffff;
  if (ended_ || generation != (link_.generation() & 0xffff)) return;  // of a pair before
  if (completion.status != IBV_WC_SUCCESS) {
    if (completion.status == IBV_WC_REM_ACCESS_ERR)
      for (auto& [id, known] : keys_) known.usable = false;
    return broke(text_of(completion));
  }
  const auto distance =
      static_cast<std::uint32_t>(completion.wr_id) - static_cast<std::uint32_t>(slot_first_);
  DSM_CHECK_WITH(distance < slot_end_ - slot_first_, "a completion is of a request that left",
                 {"peer", peer_.value}, {"request", completion.wr_id});
  --reports_due_;
  retire(slot_first_ + distance);
  say_released();
  if (until_break_ != 0 && --until_break_ == 0) {
    until_break_ = parts_.device.options().break_after;
    link_.fail();
  }
  pump();
}

// All requests up to this one are done.
void VerbsLane::retire(std::uint64_t number) {
  failures_ = 0;
  for (; slot_first_ <= number; ++slot_first_) {
    const Slot& slot = slots_[slot_first_ % slots_max_];
    Entry& of = entry(slot.entry);
    auto* const local = static_cast<std::byte*>(of.operation.local);
    if (is_load(of.operation) && local)
      copy_shared(local + slot.offset, slot_bytes(slot_first_), slot.size);
    of.done += slot.size;
  }
}

void VerbsLane::deliver() {
  for (; first_ != next_; ++first_) {
    const Entry& head = entry(first_);
    if (head.done != head.posted) return;
    if (head.operation.cookie != 0 || head.code != Code::ok)
      parts_.out.push_completion(peer_, head.operation.cookie, head.code);
    else
      parts_.out.release(1);
  }
}

void VerbsLane::know(const VerbsChunk& chunk) {
  MutexLock hold(lock_);
  if (ended_) return;
  const std::uint64_t id = chunk_id(chunk.memory, chunk.chunk);
  Known& known = keys_[id];
  if (chunk.generation >= known.least) {
    known.key = chunk.key;
    known.usable = true;
  }
  if (asked_ == id) asked_ = nothing;
  pump();  // asks again where the key was an old one
}

void VerbsLane::revoke(const VerbsChunk& chunk) {
  MutexLock hold(lock_);
  if (ended_) return;
  Known& known = keys_[chunk_id(chunk.memory, chunk.chunk)];
  known.least = std::max(known.least, chunk.generation + 1);
  known.usable = false;
  leaving_.push_back({chunk, slot_end_});
  say_released();
}

// Where a pair broke: behind the note that a new one is to be, which ends the peer's old one and
// with it whatever is still on the way.
void VerbsLane::say_released() {
  for (; !leaving_.empty() && leaving_.front().end <= slot_first_; leaving_.pop_front())
    parts_.notes.note(peer_, {.kind = VerbsNote::Kind::released, .chunk = leaving_.front().chunk});
}

// The peer cannot register it, and has said why.
void VerbsLane::refused(const VerbsChunk& chunk) {
  MutexLock hold(lock_);
  if (ended_ || asked_ != chunk_id(chunk.memory, chunk.chunk)) return;
  asked_ = nothing;
  give_up("it cannot register its memory for RDMA: its own line says why");
}

void VerbsLane::heed(const VerbsNote& note) {
  MutexLock hold(lock_);
  if (ended_ || (link_.is_newer(note) && !rewind())) return;
  if (const Status heeded = link_.heed(note); !heeded.ok()) return broke(heeded.message());
  say_released();
  pump();
}

void VerbsLane::failed(std::uint32_t pair) {
  MutexLock hold(lock_);
  if (!ended_ && pair == link_.number()) broke("its queue pair was given up by the device");
}

void VerbsLane::fail_pair() {
  MutexLock hold(lock_);
  link_.fail();
}

// What failed, and how.
std::string VerbsLane::text_of(const ibv_wc& completion) {
  const auto distance =
      static_cast<std::uint32_t>(completion.wr_id) - static_cast<std::uint32_t>(slot_first_);
  std::string what = "a one-sided operation";
  if (distance < slot_end_ - slot_first_) {
    const Slot& slot = slots_[(slot_first_ + distance) % slots_max_];
    const Operation& operation = entry(slot.entry).operation;
    what = std::string("a ") + name_of(operation.kind) + " of " + std::to_string(slot.size) +
           " bytes at +" + std::to_string(operation.offset + slot.offset) + " of its memory " +
           std::to_string(parts_.imports[operation.memory.value].memory);
  }
  return what + " failed: " + words_of(completion.status);
}

void VerbsLane::watch(std::chrono::steady_clock::time_point now) {
  MutexLock hold(lock_);
  const bool waits = !ended_ && link_.is_ready() && slot_first_ != slot_end_;
  if (!waits || slot_first_ != watched_) {
    watched_ = waits ? slot_first_ : nothing;
    watched_at_ = now;
  } else if (now - watched_at_ >= stall_max) {
    watched_at_ = now;
    link_.fail();
  }
}

// A new pair; what the old one left undone is asked again.
void VerbsLane::broke(const std::string& how) {
  if (++failures_ > failures_max)
    return give_up(how + " (" + std::to_string(failures_) + " failures in a row)");
  if (!rewind()) return;
  if (const Status renewed = link_.renew(); !renewed.ok()) return give_up(renewed.message());
  say_released();
}

// To what is not done: it will leave again. False: it may not, and the peer was given up.
bool VerbsLane::rewind() {
  const std::uint64_t last = std::min(next_ + 1, end_);
  for (std::uint64_t i = first_; i != last; ++i) {
    Entry& each = entry(i);
    if (each.done == each.posted) continue;
    if (is_atomic(each.operation)) {
      give_up(std::string("its queue pair broke under a ") + name_of(each.operation.kind) +
              ", which may not be repeated");
      return false;
    }
    each.posted = each.done;
    each.whole = false;
    next_ = std::min(next_, i);
  }
  link_.close();
  reports_due_ = 0;
  slot_first_ = slot_end_;
  asked_ = nothing;
  return true;
}

void VerbsLane::give_up(const std::string& why) {
  finish(Code::peer_lost);
  parts_.notes.lost(peer_, why);
}

void VerbsLane::end() {
  MutexLock hold(lock_);
  if (!ended_) finish(Code::peer_lost);
}

void VerbsLane::finish(Code code) {
  ended_ = true;
  link_.close();
  reports_due_ = 0;
  for (; first_ != end_; ++first_) {
    const Entry& each = entry(first_);
    if (each.operation.cookie != 0)
      parts_.out.push_completion(peer_, each.operation.cookie, code);
    else
      parts_.out.release(1);
  }
  next_ = end_;
}

bool VerbsLane::expects_report() const {
  MutexLock hold(lock_);
  return reports_due_ != 0;
}

std::uint64_t VerbsLane::chains() const {
  MutexLock hold(lock_);
  return chains_;
}

}  // namespace dsm::transport
