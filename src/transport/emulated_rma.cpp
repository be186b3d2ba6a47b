#include "transport/emulated_rma.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace dsm::transport {
namespace {

constexpr std::size_t word = sizeof(std::uint64_t);

bool is_atomic(Operation::Kind kind) {
  return kind == Operation::Kind::fetch_add || kind == Operation::Kind::compare_swap;
}

Operation operation_of(const RmaRequest& request) {
  return {.kind = request.kind,
          .offset = request.offset,
          .size = request.size,
          .operand = request.operand,
          .compare = request.compare};
}

}  // namespace

RmaRequester::RmaRequester() : ring_(rma_outstanding_max) {}

std::size_t RmaRequester::reply_size(const Operation& operation) {
  if (is_atomic(operation.kind)) return word;
  return operation.kind == Operation::Kind::read ? operation.size : 0;
}

bool RmaRequester::has_room(const Operation& operation) const {
  if (first_ == end_) return true;
  return end_ - first_ < rma_outstanding_max &&
         reply_bytes_ + reply_size(operation) <= rma_reply_bytes_max;
}

RmaRequest RmaRequester::ask(const Operation& operation, std::uint32_t memory) {
  const bool replied = operation.kind != Operation::Kind::write || operation.cookie != 0;
  const RmaRequest request{.kind = operation.kind,
                           .replied = replied,
                           .memory = memory,
                           .offset = operation.offset,
                           .size = is_atomic(operation.kind) ? word : operation.size,
                           .operand = operation.operand,
                           .compare = operation.compare,
                           .sequence = sequence_++};
  if (replied) {
    ring_[end_++ % rma_outstanding_max] = {request.sequence,
                                           static_cast<std::byte*>(operation.local),
                                           reply_size(operation), operation.cookie};
    reply_bytes_ += reply_size(operation);
  }
  return request;
}

std::optional<RmaRequester::Landing> RmaRequester::accept(const RmaReply& reply,
                                                          std::size_t data_size) {
  const bool failed = reply.failed != 0;
  const Outstanding* const next = first_ == end_ ? nullptr : &ring_[first_ % rma_outstanding_max];
  if (next && reply.sequence == next->sequence) {
    if (data_size != (failed ? 0 : next->reply_size)) return std::nullopt;
    ++first_;
    reply_bytes_ -= next->reply_size;
    return Landing{.local = next->local,
                   .size = data_size,
                   .reported = failed || next->cookie != 0,
                   .cookie = next->cookie,
                   .code = failed ? Code::invalid : Code::ok};
  }
  // A WRITE that asked for no reply failed. It was asked before whatever is outstanding.
  const bool silent = failed && data_size == 0 && reply.sequence < sequence_ &&
                      (!next || reply.sequence < next->sequence);
  if (!silent) return std::nullopt;
  return Landing{.reported = true, .code = Code::invalid};
}

std::optional<Cookie> RmaRequester::abandon() {
  while (first_ != end_) {
    const Cookie cookie = ring_[first_++ % rma_outstanding_max].cookie;
    if (cookie != 0) return cookie;
  }
  reply_bytes_ = 0;
  return std::nullopt;
}

bool RmaTarget::is_sound(const RmaRequest& request, std::size_t data_size) {
  if (request.replied > 1 || request.zero != 0) return false;
  switch (request.kind) {
    case Operation::Kind::read:
      return data_size == 0;
    case Operation::Kind::write:
      return data_size == request.size;
    case Operation::Kind::fetch_add:
    case Operation::Kind::compare_swap:
      return data_size == 0;
  }
  return false;
}

std::span<std::byte> RmaTarget::memory_of(const RmaRequest& request) {
  const std::span<std::byte>* const memory = exposed_.find(request.memory);
  return memory ? *memory : std::span<std::byte>();
}

RmaTarget::Served RmaTarget::serve(const RmaRequest& request, ByteView data) {
  count();
  Operation operation = operation_of(request);
  const std::span<std::byte> memory = memory_of(request);
  Served served{
      .replied = request.replied != 0, .reply = {.sequence = request.sequence}, .data = {}};
  const bool is_read = request.kind == Operation::Kind::read;
  if (!exposed_.find(request.memory) || !in_bounds(operation, memory.size())) {
    served.replied = true;
    served.reply.failed = 1;
    return served;
  }
  if (is_read && request.size > small_read_max) {
    effects_.settle();
    served.data = ByteView(memory.data() + request.offset, request.size);
    return served;
  }
  operation.local =
      request.kind == Operation::Kind::write ? const_cast<std::byte*>(data.data()) : small_.data();
  const Code code = effects_.perform(memory, operation);
  DSM_CHECK(code == Code::ok, "an operation in bounds is performed");
  if (request.kind != Operation::Kind::write) served.data = ByteView(small_.data(), request.size);
  if (is_atomic(request.kind)) served.data = ByteView(small_.data(), word);
  return served;
}

std::byte* RmaTarget::landing(const RmaRequest& request) {
  const std::span<std::byte> memory = memory_of(request);
  if (!exposed_.find(request.memory) || !in_bounds(operation_of(request), memory.size()))
    return nullptr;
  return memory.data() + request.offset;
}

RmaTarget::Served RmaTarget::landed(const RmaRequest& request, bool dropped) {
  count();
  effects_.note_store();
  return {.replied = request.replied != 0 || dropped,
          .reply = {.sequence = request.sequence, .failed = dropped},
          .data = {}};
}

}  // namespace dsm::transport
