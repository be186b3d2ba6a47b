#include "transport/tcp_peer.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace dsm::transport {
namespace {

constexpr std::size_t batch_max = 16;     // requests handed to the socket at once
constexpr std::size_t receives_max = 16;  // recv() calls in one poll of one peer: the others wait
constexpr std::size_t write_pieces_min = 64;  // a shorter WRITE is stored whole
constexpr std::size_t space_min = 8u << 10;   // a chunk with less room left is changed for another
// Ahead of a larger reply the socket is read in small parts, so that its data need not pass through
// a chunk.
constexpr std::size_t large_reply_min = 32u << 10;
constexpr std::size_t small_part = 512;
static_assert(small_part > frame_header_bytes + sizeof(RmaReply));
static_assert(space_min > frame_header_bytes + sizeof(RmaRequest) + write_pieces_min);

iovec part(const void* at, std::size_t size) {
  return {const_cast<void*>(at), size};
}

template <typename T>
T load(ByteView bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

}  // namespace

TcpPeer::TcpPeer(NodeId id, Fd socket, const TcpShared& shared)
    : id_(id),
      socket_(std::move(socket)),
      shared_(shared),
      chunk_(shared.chunks.take(chunk_bytes)) {}

TcpPeer::~TcpPeer() = default;

Status TcpPeer::lost() const {
  return Status(Code::peer_lost, "node " + std::to_string(id_.value) + " is gone");
}

// --- sending: any thread ---

Status TcpPeer::send(ByteView header, ByteView body) {
  const std::size_t size = header.size() + body.size();
  const auto frame = Frame{FrameKind::message, static_cast<std::uint32_t>(size)}.encode();
  iovec parts[] = {part(frame.data(), frame.size()), part(header.data(), header.size()),
                   part(body.data(), body.size())};
  MutexLock hold(lock_);
  if (broken_ || down_) return lost();
  if (!outbox_.empty() && outbox_.size() + size > tcp_outbox_max) {
    refused_.store(true, std::memory_order_relaxed);
    return Status::would_block();
  }
  return transmit(parts) ? Status() : lost();
}

std::size_t TcpPeer::post(std::span<const Operation> operations) {
  const std::size_t granted = shared_.local.reserve(operations.size());
  std::array<std::array<std::byte, frame_header_bytes>, batch_max> frames;
  std::array<RmaRequest, batch_max> requests;
  std::array<iovec, 3 * batch_max> parts;
  std::size_t accepted = 0;
  MutexLock hold(lock_);
  while (accepted < granted) {
    std::size_t batched = 0;
    std::size_t used = 0;
    std::size_t bytes = outbox_.size();
    for (; batched < batch_max && accepted < granted; ++batched, ++accepted) {
      const Operation& operation = operations[accepted];
      const TcpMemory* const memory = shared_.imported.find(operation.memory.value);
      DSM_CHECK_WITH(memory && memory->peer == id_,
                     "an operation names memory imported from its peer", {"peer", id_.value},
                     {"memory", operation.memory.value});
      if (broken_ || down_) break;
      const bool is_write = operation.kind == Operation::Kind::write;
      const std::size_t data = is_write ? operation.size : 0;
      DSM_CHECK_WITH(operation.size <= frame_operation_max,
                     "an operation is at most caps().operation_max", {"size", operation.size});
      if (!requester_.has_room(operation) || (bytes != 0 && bytes + data > tcp_outbox_max)) break;
      bytes += data;
      requests[batched] = requester_.ask(operation, memory->id);
      frames[batched] =
          Frame{FrameKind::request, static_cast<std::uint32_t>(sizeof(RmaRequest) + data)}.encode();
      parts[used++] = part(frames[batched].data(), frame_header_bytes);
      parts[used++] = part(&requests[batched], sizeof(RmaRequest));
      if (data != 0) parts[used++] = part(operation.local, data);
      if (operation.cookie == 0) shared_.local.release(1);
    }
    if (batched == 0) break;
    foresee_reply();
    transmit(std::span(parts).first(
        used));  // a broken stream ends, and report_down() completes what was asked
  }
  if (down_) {
    for (; accepted < granted; ++accepted) {
      if (operations[accepted].cookie != 0)
        shared_.local.push_completion(id_, operations[accepted].cookie, Code::peer_lost);
      else
        shared_.local.release(1);
    }
  }
  shared_.local.release(granted - accepted);
  if (accepted < granted) refused_.store(true, std::memory_order_relaxed);
  return accepted;
}

bool TcpPeer::transmit(std::span<iovec> parts) {
  if (broken_ || !outbox_.send(socket_.get(), parts)) broken_ = true;
  watch_output();
  return !broken_;
}

// Has epoll tell when the socket takes more, exactly while something waits.
void TcpPeer::watch_output() {
  const bool wanted = !outbox_.empty() && !broken_;
  waiting_.store(wanted, std::memory_order_relaxed);
  if (wanted == watched_ || down_) return;
  epoll_event event{.events = EPOLLIN | EPOLLRDHUP | (wanted ? EPOLLOUT : 0u),
                    .data = {.u32 = id_.value}};
  if (::epoll_ctl(shared_.epoll_fd, EPOLL_CTL_MOD, socket_.get(), &event) == 0) watched_ = wanted;
}

void TcpPeer::foresee_reply() {
  large_reply_next_.store(requester_.next_reply_size() >= large_reply_min,
                          std::memory_order_relaxed);
}

void TcpPeer::flush() {
  MutexLock hold(lock_);
  if (!broken_ && !outbox_.flush(socket_.get())) broken_ = true;
  if (broken_) outbox_.clear();
  watch_output();
}

bool TcpPeer::take_room_again() {
  if (!refused_.load(std::memory_order_relaxed)) return false;
  MutexLock hold(lock_);
  if (outbox_.size() > tcp_outbox_max / 2 || !requester_.is_half_free()) return false;
  refused_.store(false, std::memory_order_relaxed);
  return true;
}

void TcpPeer::report_down() {
  MutexLock hold(lock_);
  down_ = true;
  outbox_.clear();
  while (const std::optional<Cookie> cookie = requester_.abandon())
    shared_.local.push_completion(id_, *cookie, Code::peer_lost);
  shared_.local.push_peer_down(id_);
}

// --- receiving: the polling thread ---

std::size_t TcpPeer::poll(std::span<Event> out) {
  std::size_t count = 0;
  backlog_ = false;
  dry_ = false;
  if (waiting_.load(std::memory_order_relaxed)) flush();
  for (std::size_t receives = 0;;) {
    if (count == out.size()) {
      backlog_ = true;
      return count;
    }
    switch (step(out[count])) {
      case Step::event:
        ++count;
        break;
      case Step::done:
        break;
      case Step::broken:
        ended_ = true;
        return count;
      case Step::starved:
        if (ended_ || dry_) return count;
        if (receives++ == receives_max) {
          backlog_ = true;
          return count;
        }
        if (!receive_more()) return count;
        break;
    }
  }
}

// Reads once from the socket, to where the next bytes belong. False: nothing came.
bool TcpPeer::receive_more() {
  const bool direct = inflow_left_ != 0 && inflow_at_;
  if (!direct) reserve_space(frame_header_bytes);
  std::byte* const at = direct ? inflow_at_ : chunk_->bytes.get() + end_;
  const std::size_t space = chunk_->capacity - end_;
  const bool in_parts = begin_ == end_ && large_reply_next_.load(std::memory_order_relaxed);
  const std::size_t room = direct ? inflow_left_ : in_parts ? std::min(small_part, space) : space;
  const ssize_t received = receive_some(socket_.get(), at, room);
  if (received <= 0) {
    ended_ = received == 0 || (errno != EAGAIN && errno != EINTR);
    return ended_;  // what is buffered is looked at once more
  }
  dry_ = static_cast<std::size_t>(received) < room;
  if (direct) {
    inflow_at_ += received;
    inflow_left_ -= static_cast<std::size_t>(received);
  } else {
    end_ += static_cast<std::size_t>(received);
  }
  return true;
}

// Makes room for a frame of so many bytes behind begin_, or for a sensible recv(), keeping what is
// buffered.
void TcpPeer::reserve_space(std::size_t frame_bytes) {
  const std::size_t needed = std::max(frame_bytes, buffered().size() + space_min);
  if (begin_ == end_ && chunk_->users == 1) begin_ = end_ = 0;
  if (begin_ + needed <= chunk_->capacity) return;
  Chunk* const next = chunk_->users == 1 ? chunk_ : shared_.chunks.take(chunk_bytes);
  std::memmove(next->bytes.get(), buffered().data(), buffered().size());
  end_ = buffered().size();
  begin_ = 0;
  if (next != chunk_) shared_.chunks.drop(std::exchange(chunk_, next));
}

TcpPeer::Step TcpPeer::step(Event& event) {
  return inflow_ == Inflow::frames ? take_frame(event) : take_inflow(event);
}

TcpPeer::Step TcpPeer::take_frame(Event& event) {
  if (buffered().size() < frame_header_bytes) return Step::starved;
  const std::optional<Frame> frame = Frame::decode(buffered());
  if (!frame) return Step::broken;
  switch (frame->kind) {
    case FrameKind::message:
      return take_message(*frame, event);
    case FrameKind::request:
      return take_request(*frame);
    case FrameKind::reply:
      return take_reply(*frame, event);
  }
  return Step::broken;
}

TcpPeer::Step TcpPeer::take_message(const Frame& frame, Event& event) {
  const std::size_t whole = frame_header_bytes + frame.size;
  if (buffered().size() >= whole) {
    ++chunk_->users;
    event = {.kind = Event::Kind::message,
             .peer = id_,
             .bytes = buffered().subspan(frame_header_bytes, frame.size),
             .buffer = reinterpret_cast<std::uintptr_t>(chunk_)};
    begin_ += whole;
    return Step::event;
  }
  if (whole <= chunk_bytes / 4) {
    reserve_space(whole);
    return Step::starved;
  }
  begin_ += frame_header_bytes;
  inflow_ = Inflow::message;
  inflow_chunk_ = shared_.chunks.take(frame.size);
  inflow_at_ = inflow_chunk_->bytes.get();
  inflow_left_ = inflow_size_ = frame.size;
  return Step::done;
}

TcpPeer::Step TcpPeer::take_request(const Frame& frame) {
  constexpr std::size_t ahead = frame_header_bytes + sizeof(RmaRequest);
  if (buffered().size() < ahead) return Step::starved;
  const auto request = load<RmaRequest>(buffered().subspan(frame_header_bytes));
  const std::size_t data = frame.size - sizeof(RmaRequest);
  if (!RmaTarget::is_sound(request, data) ||
      (request.kind == Operation::Kind::read && request.size > frame_operation_max))
    return Step::broken;
  if (buffered().size() >= ahead + data) {
    const RmaTarget::Served served = shared_.target.serve(request, buffered().subspan(ahead, data));
    begin_ += ahead + data;
    answer(served);
    return Step::done;
  }
  if (data <= write_pieces_min) return Step::starved;
  begin_ += ahead;
  inflow_request_ = request;
  inflow_at_ = shared_.target.landing(request);
  inflow_ = Inflow::write;
  inflow_left_ = data;
  return Step::done;
}

TcpPeer::Step TcpPeer::take_reply(const Frame& frame, Event& event) {
  constexpr std::size_t ahead = frame_header_bytes + sizeof(RmaReply);
  if (buffered().size() < ahead) return Step::starved;
  const auto reply = load<RmaReply>(buffered().subspan(frame_header_bytes));
  std::optional<RmaRequester::Landing> landing;
  {
    MutexLock hold(lock_);
    landing = requester_.accept(reply, frame.size - sizeof(RmaReply));
    foresee_reply();
  }
  if (!landing) return Step::broken;
  begin_ += ahead;
  inflow_landing_ = *landing;
  inflow_ = Inflow::reply;
  inflow_at_ = landing->local;
  inflow_left_ = landing->size;
  return take_inflow(event);
}

// Moves what is buffered to where it belongs; the rest comes straight from the socket.
TcpPeer::Step TcpPeer::take_inflow(Event& event) {
  const std::size_t here = std::min(inflow_left_, buffered().size());
  if (here != 0 && inflow_at_) {
    copy_shared(inflow_at_, buffered().data(), here);
    inflow_at_ += here;
  }
  begin_ += here;
  inflow_left_ -= here;
  return inflow_left_ == 0 ? finish_inflow(event) : Step::starved;
}

TcpPeer::Step TcpPeer::finish_inflow(Event& event) {
  switch (std::exchange(inflow_, Inflow::frames)) {
    case Inflow::frames:
      break;
    case Inflow::message:
      event = {.kind = Event::Kind::message,
               .peer = id_,
               .bytes = ByteView(inflow_chunk_->bytes.get(), inflow_size_),
               .buffer = reinterpret_cast<std::uintptr_t>(std::exchange(inflow_chunk_, nullptr))};
      return Step::event;
    case Inflow::reply:
      return report(inflow_landing_, event);
    case Inflow::write:
      answer(shared_.target.landed(inflow_request_, !inflow_at_));
      break;
  }
  return Step::done;
}

TcpPeer::Step TcpPeer::report(const RmaRequester::Landing& landing, Event& event) {
  if (!landing.reported) return Step::done;
  if (landing.cookie != 0) shared_.local.release(1);
  event = {
      .kind = Event::Kind::completion, .peer = id_, .cookie = landing.cookie, .code = landing.code};
  return Step::event;
}

// Never waits for room: receiving must not depend on the peer's receiving.
void TcpPeer::answer(const RmaTarget::Served& served) {
  if (!served.replied) return;
  const auto frame =
      Frame{FrameKind::reply, static_cast<std::uint32_t>(sizeof(RmaReply) + served.data.size())}
          .encode();
  iovec parts[] = {part(frame.data(), frame.size()), part(&served.reply, sizeof served.reply),
                   part(served.data.data(), served.data.size())};
  MutexLock hold(lock_);
  transmit(parts);
}

}  // namespace dsm::transport
