#include "transport/shm_peer.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace dsm::transport {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t ring_bytes_max = 256u << 10;
constexpr std::size_t ring_bytes_min = 16u << 10;
constexpr std::size_t inbox_bytes_wanted =
    4u << 20;  // all rings of one receiver, between the bounds above
constexpr std::uint64_t buffer_is_mapped = ~std::uint64_t{0};  // Event::buffer of a large message

std::size_t file_size(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? static_cast<std::size_t>(status.st_size) : 0;
}

// A memfd that holds header + body.
Result<Fd> file_of(ByteView header, ByteView body) {
  Fd fd(::memfd_create("dsm-message", MFD_CLOEXEC));
  const auto failed = [](const char* call) {
    return Status(Code::exhausted, std::string("shm: a large message finds no memory: ") + call +
                                       ": " + std::strerror(errno));
  };
  if (!fd) return failed("memfd_create");
  while (!header.empty() || !body.empty()) {
    const iovec parts[2] = {{const_cast<std::byte*>(header.data()), header.size()},
                            {const_cast<std::byte*>(body.data()), body.size()}};
    const ssize_t written = ::writev(fd.get(), parts, 2);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed("writev");
    const std::size_t of_header = std::min(header.size(), static_cast<std::size_t>(written));
    header = header.subspan(of_header);
    body = body.subspan(static_cast<std::size_t>(written) - of_header);
  }
  return fd;
}

}  // namespace

Result<Mapping> Mapping::of(int fd, std::size_t size, off_t offset) {
  void* const at =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, offset);
  if (at == MAP_FAILED)
    return Status(Code::exhausted, "cannot map " + std::to_string(size) +
                                       " bytes: " + std::strerror(errno) +
                                       " (see ulimit -v and vm.max_map_count)");
  ::madvise(at, size, MADV_DONTFORK);
  Mapping mapping;
  mapping.at_ = at;
  mapping.size_ = size;
  return mapping;
}

InboxLayout::InboxLayout(std::uint32_t nodes)
    : ring_bytes(
          std::clamp(std::bit_floor(inbox_bytes_wanted / nodes), ring_bytes_min, ring_bytes_max)) {}

std::size_t InboxLayout::ring_at(NodeId sender) const {
  return page + sender.value * (sizeof(RingControl) + ring_bytes);
}

ShmPeer::ShmPeer(NodeId self, NodeId peer, Fd socket, std::byte* inbox, const InboxLayout& layout)
    : self_(self),
      id_(peer),
      layout_(layout),
      socket_(std::move(socket)),
      in_(reinterpret_cast<RingControl*>(inbox + layout.ring_at(peer))),
      reader_(in_, inbox + layout.ring_at(peer) + sizeof(RingControl), layout.ring_bytes) {}

Status ShmPeer::lost() const {
  return Status(Code::peer_lost, "node " + std::to_string(id_.value) + " is gone");
}

Status ShmPeer::meet(int timeout_ms) {
  ControlRecord record;
  const Fd inbox = take_record(ControlRecord::Kind::inbox, 0, record, timeout_ms);
  bell_fd_ = take_record(ControlRecord::Kind::bell, 0, record, timeout_ms);
  const std::string who = "shm: node " + std::to_string(id_.value);
  if (!inbox || !bell_fd_) return Status(Code::peer_lost, who + " ended while the nodes met");
  const std::size_t size = layout_.ring_at(self_) + sizeof(RingControl) + layout_.ring_bytes;
  if (file_size(inbox.get()) < size)
    return Status(Code::refused, who + " has an inbox of another layout: is it the same build?");
  auto mapped = Mapping::of(inbox.get(), size, 0);
  if (!mapped.ok()) return mapped.status();
  outbox_ = std::move(mapped).value();
  std::byte* const ring = outbox_.data() + layout_.ring_at(self_);
  out_ = reinterpret_cast<RingControl*>(ring);
  bell_ = Doorbell(reinterpret_cast<std::atomic<std::uint32_t>*>(outbox_.data()), bell_fd_.get());
  MutexLock hold(send_lock_);
  writer_ = RingWriter(out_, ring + sizeof(RingControl), layout_.ring_bytes);
  return {};
}

Status ShmPeer::pass(const ControlRecord& record, int fd, int timeout_ms) {
  MutexLock hold(send_lock_);
  return send_control_waiting(socket_.get(), record, fd, timeout_ms);
}

Status ShmPeer::send(ByteView header, ByteView body, Urgency urgency) {
  if (gone()) return lost();
  Status sent;
  {
    MutexLock hold(send_lock_);
    if (header.size() + body.size() > layout_.inline_max())
      sent = send_large(header, body);
    else if (!push(EntryKind::message, header, body))
      sent = Status::would_block();
  }
  if (sent.ok()) bell_.ring(urgency);
  return sent;
}

bool ShmPeer::full_for(std::size_t size) {
  const bool large = size > layout_.inline_max();
  const auto full = [&]() DSM_NO_THREAD_SAFETY_ANALYSIS {
    if (!large) return !writer_.has_room(size);
    const std::uint64_t in_flight =
        large_sent_ - out_->large_released.load(std::memory_order_acquire);
    return !writer_.has_room(sizeof(LargeMessage)) ||
           (in_flight != 0 && in_flight + size > shm_large_in_flight_max);
  };
  if (!full()) return false;
  // As with a doorbell: say that this node waits, then look again.
  out_->blocked.store(1, std::memory_order_relaxed);
  full_fence();
  if (!full()) return false;
  refused_.store(true, std::memory_order_relaxed);
  return true;
}

bool ShmPeer::push(EntryKind kind, ByteView header, ByteView body) {
  if (full_for(header.size() + body.size())) return false;
  const bool pushed = writer_.push(kind, header, body);
  DSM_CHECK(pushed, "a ring with room takes an entry");
  return true;
}

Status ShmPeer::send_large(ByteView header, ByteView body) {
  const std::size_t size = header.size() + body.size();
  if (full_for(size)) return Status::would_block();
  Result<Fd> file = file_of(header, body);
  if (!file.ok()) return file.status();
  const LargeMessage large{.id = large_count_, .size = size};
  // The descriptor first: once the entry is in the ring the receiver finds it in the socket.
  const Status passed =
      send_control(socket_.get(), {ControlRecord::Kind::large, large.id, size, 0}, file->get());
  if (passed.code() == Code::would_block) {
    out_->blocked.store(1, std::memory_order_relaxed);
    refused_.store(true, std::memory_order_relaxed);
  }
  if (!passed.ok()) return passed.code() == Code::would_block ? passed : lost();
  ++large_count_;
  large_sent_ += size;
  const bool pushed = writer_.push(EntryKind::large, std::as_bytes(std::span(&large, 1)), {});
  DSM_CHECK(pushed, "a ring with room takes an entry");
  return {};
}

bool ShmPeer::take_room_again() {
  if (!refused_.load(std::memory_order_relaxed) ||
      out_->blocked.load(std::memory_order_acquire) != 0)
    return false;
  refused_.store(false, std::memory_order_relaxed);
  return true;
}

bool ShmPeer::receive_records() {
  for (;;) {
    Passed passed;
    switch (receive_control(socket_.get(), passed.record, passed.fd)) {
      case Received::record:
        passed_.push_back(std::move(passed));
        break;
      case Received::nothing:
        return true;
      case Received::closed:
        return false;
    }
  }
}

Fd ShmPeer::take_record(ControlRecord::Kind kind, std::uint32_t id, ControlRecord& record,
                        int timeout_ms) {
  for (int waited_ms = 0;; waited_ms += 10) {
    bool open;
    {
      MutexLock hold(control_lock_);
      open = receive_records();
      const auto wanted = [&](const Passed& p) {
        return p.record.kind == kind && p.record.id == id;
      };
      const auto found = std::find_if(passed_.begin(), passed_.end(), wanted);
      if (found != passed_.end()) {
        record = found->record;
        Fd fd = std::move(found->fd);
        passed_.erase(found);
        return fd;
      }
    }
    if (!open || waited_ms >= timeout_ms) return Fd();
    pollfd one{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    ::poll(&one, 1, 10);
  }
}

void ShmPeer::read_socket() {
  MutexLock hold(control_lock_);
  if (!receive_records()) gone_.store(true, std::memory_order_release);
}

bool ShmPeer::distrust() {
  broken_ = true;
  gone_.store(true, std::memory_order_release);
  return false;
}

bool ShmPeer::receive(Event& event) {
  const std::optional<RingEntry> entry = reader_.next();
  if (!entry) return reader_.corrupt() && distrust();
  event = {
      .kind = Event::Kind::message, .peer = id_, .bytes = entry->bytes, .buffer = entry->position};
  if (entry->kind == EntryKind::message) return true;

  LargeMessage large;
  const bool whole = entry->bytes.size() == sizeof large;
  if (whole) std::memcpy(&large, entry->bytes.data(), sizeof large);
  if (reader_.release(entry->position)) give_room();
  ControlRecord record;
  const Fd file = whole ? take_record(ControlRecord::Kind::large, large.id, record, 0) : Fd();
  const bool sound = file && large.size != 0 && large.size <= shm_message_max &&
                     file_size(file.get()) >= large.size;
  auto mapped =
      sound ? Mapping::of(file.get(), large.size, 0) : Result<Mapping>(Status(Code::invalid, ""));
  if (!mapped.ok())
    return distrust();  // or no memory to hear it: it is lost to this node either way
  event.bytes = mapped->release();
  event.buffer = buffer_is_mapped;
  return true;
}

void ShmPeer::recycle(const Event& message) {
  if (message.buffer == buffer_is_mapped) {
    ::munmap(const_cast<std::byte*>(message.bytes.data()), message.bytes.size());
    in_->large_released.fetch_add(message.bytes.size(), std::memory_order_release);
    give_room();
  } else if (reader_.release(message.buffer)) {
    give_room();
  }
}

void ShmPeer::give_room() {
  full_fence();
  if (in_->blocked.load(std::memory_order_relaxed) != 0 &&
      in_->blocked.exchange(0, std::memory_order_acq_rel) != 0)
    bell_.ring();
}

}  // namespace dsm::transport
