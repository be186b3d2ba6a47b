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
constexpr std::uint64_t word = sizeof(std::uint64_t);
constexpr std::uint64_t nothing = ~std::uint64_t{0};

// Of an RC pair. 67 ms until a request is repeated, seven times: a peer's host may be busy.
constexpr std::uint8_t answer_timeout = 14;
constexpr std::uint8_t answer_tries = 7;
constexpr std::uint8_t receiver_timer = 12;

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

// Both sides know them without telling.
std::uint32_t first_number(std::uint32_t pair, std::uint32_t generation) {
  return (pair * 0x9e3779b1u + generation * 0x85ebca6bu) & 0xffffff;
}

ibv_mtu mtu_of(std::uint32_t bytes) {
  return static_cast<ibv_mtu>(std::bit_width(bytes) - std::bit_width(128u));
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

std::size_t VerbsNote::encode(std::span<std::byte, bytes_max> out) const {
  std::size_t size = 0;
  const auto put = [&](auto value) {
    std::memcpy(out.data() + size, &value, sizeof value);
    size += sizeof value;
  };
  put(kind);
  if (kind == Kind::hello) {
    put(generation);
    put(pair);
  } else {
    put(chunk.memory);
    put(chunk.chunk);
    put(chunk.key);
  }
  return size;
}

std::optional<VerbsNote> VerbsNote::decode(ByteView bytes) {
  Reader reader(bytes);
  VerbsNote note;
  note.kind = reader.get<Kind>();
  if (note.kind == Kind::hello) {
    note.generation = reader.get<std::uint32_t>();
    note.pair = reader.get<std::uint32_t>();
  } else {
    note.chunk.memory = reader.get<std::uint32_t>();
    note.chunk.chunk = reader.get<std::uint64_t>();
    note.chunk.key = reader.get<std::uint32_t>();
  }
  if (!reader.done() || note.kind < Kind::hello || note.kind > Kind::refused) return std::nullopt;
  return note;
}

std::uint32_t VerbsLane::slots(const VerbsDevice& device) {
  return std::min(slots_wanted, device.limits().queue_depth);
}

VerbsLane::VerbsLane(const Parts& parts, NodeId peer)
    : parts_(parts), peer_(peer), slots_max_(slots(parts.device)) {
  MutexLock hold(lock_);
  entries_.resize(entries_count);
  slots_.resize(slots_max_);
}

VerbsLane::~VerbsLane() = default;

Status VerbsLane::make() {
  MutexLock hold(lock_);
  auto memory = DeviceMemory::make(parts_.device, slots_max_ * slot_size);
  if (!memory.ok()) return memory.status();
  memory_ = std::move(memory).value();
  return open_pair();
}

std::uint32_t VerbsLane::pair_number() const {
  MutexLock hold(lock_);
  return pair_->qp_num;
}

std::byte* VerbsLane::slot_bytes(std::uint64_t number) const {
  return memory_.data() + number % slots_max_ * slot_size;
}

Status VerbsLane::open_pair() {
  ibv_qp_init_attr attributes{};
  attributes.send_cq = parts_.queue;
  attributes.recv_cq = parts_.queue;
  attributes.cap = {.max_send_wr = slots_max_,
                    .max_recv_wr = 1,
                    .max_send_sge = 1,
                    .max_recv_sge = 1,
                    .max_inline_data = 0};
  attributes.qp_type = IBV_QPT_RC;
  auto pair = parts_.device.make_pair(attributes);
  if (!pair.ok()) return pair.status();
  inline_max_ = attributes.cap.max_inline_data;
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_INIT;
  attr.pkey_index = parts_.device.pkey_index();
  attr.port_num = parts_.device.port_number();
  attr.qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
  if (parts_.device.limits().atomics) attr.qp_access_flags |= IBV_ACCESS_REMOTE_ATOMIC;
  if (const int failed =
          ::ibv_modify_qp(pair.value().get(), &attr,
                          IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
    return parts_.device.error("an RC queue pair cannot be initialised", failed);
  pair_ = std::move(pair).value();
  state_ = State::waiting;
  return {};
}

Status VerbsLane::connect(const VerbsPort& port, std::uint32_t pair) {
  MutexLock hold(lock_);
  port_ = port;
  return join(pair);
}

// To the peer's pair of this generation.
Status VerbsLane::join(std::uint32_t pair) {
  const VerbsDevice& device = parts_.device;
  const auto own_rd_atomic = static_cast<std::uint8_t>(device.limits().rd_atomic);
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_RTR;
  attr.path_mtu = mtu_of(std::min(port_.mtu, device.port().mtu));
  attr.dest_qp_num = pair;
  attr.rq_psn = first_number(pair, generation_);
  attr.max_dest_rd_atomic = own_rd_atomic;
  attr.min_rnr_timer = receiver_timer;
  attr.ah_attr = device.route(port_);
  const std::string to = "an RC queue pair to node " + std::to_string(peer_.value);
  if (const int failed =
          ::ibv_modify_qp(pair_.get(), &attr,
                          IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                              IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER))
    return device.error((to + " cannot receive").c_str(), failed);
  attr = {};
  attr.qp_state = IBV_QPS_RTS;
  attr.timeout = answer_timeout;
  attr.retry_cnt = answer_tries;
  attr.rnr_retry = answer_tries;
  attr.sq_psn = first_number(pair_->qp_num, generation_);
  attr.max_rd_atomic = std::min(own_rd_atomic, port_.rd_atomic);
  if (const int failed =
          ::ibv_modify_qp(pair_.get(), &attr,
                          IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                              IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC))
    return device.error((to + " cannot send").c_str(), failed);
  state_ = State::ready;
  return {};
}

std::size_t VerbsLane::post(std::span<const Operation> operations) {
  MutexLock hold(lock_);
  if (state_ == State::ended) {
    for (const Operation& operation : operations) {
      if (operation.cookie != 0)
        parts_.out.push_completion(peer_, operation.cookie, Code::peer_lost);
      else
        parts_.out.release(1);
    }
    return operations.size();
  }
  std::size_t accepted = 0;
  for (; accepted < operations.size() && end_ - first_ < entries_.size(); ++accepted) {
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
    if (state_ == State::ended) return;
  }
  if (count != 0) launch(std::span(requests).first(count));
  if (state_ != State::ended) deliver();
}

// The next request of an operation. False: not now.
bool VerbsLane::prepare(Entry& next, Request& request) {
  if (state_ != State::ready || slot_end_ - slot_first_ == slots_max_) return false;
  const Operation& operation = next.operation;
  const VerbsImport& import = parts_.imports[operation.memory.value];
  const std::uint64_t at = operation.offset + next.posted;
  const std::uint64_t chunk = at / verbs_chunk_bytes;
  const std::uint64_t id = chunk_id(import.memory, chunk);
  const auto key = keys_.find(id);
  if (key == keys_.end()) {
    if (asked_ != id)
      parts_.notes.note(peer_, {.kind = VerbsNote::Kind::ask, .chunk = {import.memory, chunk, 0}});
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
  work.wr_id = std::uint64_t{peer_.value} << 48 | std::uint64_t{generation_ & 0xffff} << 32 |
               (number & 0xffffffff);
  work.num_sge = 1;
  const bool waits = slot_first_ < loads_end_;  // for an earlier READ or atomic
  if (is_atomic(operation)) {
    const bool adds = operation.kind == Operation::Kind::fetch_add;
    work.opcode = adds ? IBV_WR_ATOMIC_FETCH_AND_ADD : IBV_WR_ATOMIC_CMP_AND_SWP;
    work.wr.atomic = {.remote_addr = import.address + at,
                      .compare_add = adds ? operation.operand : operation.compare,
                      .swap = adds ? 0 : operation.operand,
                      .rkey = key->second};
  } else {
    const bool reads = operation.kind == Operation::Kind::read;
    work.opcode = reads ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
    work.wr.rdma = {.remote_addr = import.address + at, .rkey = key->second};
    if (!reads) {
      copy_shared(bytes, static_cast<const std::byte*>(operation.local) + next.posted, size);
      if (size <= inline_max_) work.send_flags |= IBV_SEND_INLINE;
    }
  }
  if (waits && operation.kind != Operation::Kind::read) work.send_flags |= IBV_SEND_FENCE;
  if (is_load(operation)) loads_end_ = number + 1;
  next.posted += size;
  next.whole = next.posted == total(operation);
  // A report frees all slots before it: now and then one is needed though nobody asks.
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
  ibv_send_wr* bad = nullptr;
  if (const int failed = ibv_post_send(pair_.get(), &requests[0].work, &bad))
    give_up(parts_.device.error("posting one-sided operations", failed).message());
}

void VerbsLane::completed(const ibv_wc& completion) {
  MutexLock hold(lock_);
  const auto generation = static_cast<std::uint32_t>(completion.wr_id >> 32) & 0xffff;
  if (state_ == State::ended || generation != (generation_ & 0xffff)) return;  // of a pair before
  if (completion.status != IBV_WC_SUCCESS) return broke(completion);
  const auto distance =
      static_cast<std::uint32_t>(completion.wr_id) - static_cast<std::uint32_t>(slot_first_);
  DSM_CHECK_WITH(distance < slot_end_ - slot_first_, "a completion is of a request that left",
                 {"peer", peer_.value}, {"request", completion.wr_id});
  retire(slot_first_ + distance);
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
  if (state_ == State::ended) return;
  const std::uint64_t id = chunk_id(chunk.memory, chunk.chunk);
  keys_[id] = chunk.key;
  if (asked_ == id) asked_ = nothing;
  pump();
}

// The peer cannot register it, and has said why.
void VerbsLane::refused(const VerbsChunk& chunk) {
  MutexLock hold(lock_);
  if (state_ == State::ended || asked_ != chunk_id(chunk.memory, chunk.chunk)) return;
  asked_ = nothing;
  give_up("it cannot register its memory for RDMA: its own line says why");
}

void VerbsLane::hello(std::uint32_t generation, std::uint32_t pair) {
  MutexLock hold(lock_);
  if (state_ == State::ended || generation < generation_) return;
  if (generation > generation_) renew(generation);
  if (state_ != State::waiting) return;
  if (const Status joined = join(pair); !joined.ok()) return give_up(joined.message());
  pump();
}

void VerbsLane::broke(const ibv_wc& completion) {
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
  if (completion.status == IBV_WC_REM_ACCESS_ERR) keys_.clear();
  if (++failures_ > failures_max)
    return give_up(what + " failed " + std::to_string(failures_) +
                   " times: " + words_of(completion.status));
  renew(generation_ + 1);
}

// A new pair; what the old one left undone is asked again.
void VerbsLane::renew(std::uint32_t generation) {
  const std::uint64_t last = std::min(next_ + 1, end_);
  for (std::uint64_t i = first_; i != last; ++i) {
    Entry& each = entry(i);
    if (each.done == each.posted) continue;
    if (is_atomic(each.operation))
      return give_up("its queue pair broke under an atomic operation, which may not be repeated");
    each.posted = each.done;
    each.whole = false;
    next_ = std::min(next_, i);
  }
  pair_.reset();
  slot_first_ = slot_end_;
  generation_ = generation;
  if (const Status opened = open_pair(); !opened.ok()) return give_up(opened.message());
  asked_ = nothing;
  parts_.notes.note(
      peer_, {.kind = VerbsNote::Kind::hello, .generation = generation_, .pair = pair_->qp_num});
}

void VerbsLane::give_up(std::string why) {
  failure_ = std::move(why);
  finish(Code::peer_lost);
}

void VerbsLane::end() {
  MutexLock hold(lock_);
  if (state_ != State::ended) finish(Code::peer_lost);
}

void VerbsLane::finish(Code code) {
  state_ = State::ended;
  pair_.reset();
  for (; first_ != end_; ++first_) {
    const Entry& each = entry(first_);
    if (each.operation.cookie != 0)
      parts_.out.push_completion(peer_, each.operation.cookie, code);
    else
      parts_.out.release(1);
  }
  next_ = end_;
}

std::string VerbsLane::take_failure() {
  MutexLock hold(lock_);
  return std::exchange(failure_, {});
}

}  // namespace dsm::transport
