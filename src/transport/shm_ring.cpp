#include "transport/shm_ring.hpp"

#include <cstring>

namespace dsm::transport {
namespace {

// The word of an entry: size in the low half, then kind, then flags.
constexpr std::uint64_t committed = std::uint64_t{1} << 63;
constexpr std::uint64_t released = std::uint64_t{1} << 62;
constexpr int kind_shift = 32;

constexpr std::uint64_t make_word(EntryKind kind, std::size_t size) {
  return committed | std::uint64_t{static_cast<std::uint8_t>(kind)} << kind_shift | size;
}
constexpr EntryKind kind_of(std::uint64_t word) {
  return static_cast<EntryKind>(word >> kind_shift & 0xff);
}
constexpr std::size_t size_of(std::uint64_t word) {
  return static_cast<std::uint32_t>(word);
}
constexpr std::size_t entry_bytes(std::size_t size) {
  return ring_word + (size + ring_word - 1) / ring_word * ring_word;
}

}  // namespace

std::atomic<std::uint64_t>& RingWriter::word_at(std::uint64_t position) const {
  return *reinterpret_cast<std::atomic<std::uint64_t>*>(data_ + (position & (capacity_ - 1)));
}

std::atomic<std::uint64_t>& RingReader::word_at(std::uint64_t position) const {
  return *reinterpret_cast<std::atomic<std::uint64_t>*>(data_ + (position & (capacity_ - 1)));
}

// Bytes to the ring's end when an entry does not fit before it.
std::size_t RingWriter::skip_for(std::size_t entry) const {
  const std::size_t to_end = capacity_ - (head_ & (capacity_ - 1));
  return entry > to_end ? to_end : 0;
}

bool RingWriter::has_room(std::size_t size) {
  // One word more: the cleared one behind the entry.
  const std::size_t entry = entry_bytes(size);
  const std::size_t needed = skip_for(entry) + entry + ring_word;
  if (head_ + needed - tail_ <= capacity_) return true;
  tail_ = control_->tail.load(std::memory_order_acquire);
  return head_ + needed - tail_ <= capacity_;
}

bool RingWriter::push(EntryKind kind, ByteView header, ByteView body) {
  const std::size_t size = header.size() + body.size();
  if (!has_room(size)) return false;
  const std::size_t entry = entry_bytes(size);
  const std::size_t skip = skip_for(entry);
  const std::uint64_t start = head_ + skip;
  word_at(start + entry).store(0, std::memory_order_relaxed);
  std::byte* const bytes = data_ + (start & (capacity_ - 1)) + ring_word;
  if (!header.empty()) std::memcpy(bytes, header.data(), header.size());
  if (!body.empty()) std::memcpy(bytes + header.size(), body.data(), body.size());
  word_at(start).store(make_word(kind, size), std::memory_order_release);
  if (skip != 0)
    word_at(head_).store(make_word(EntryKind::skip, skip - ring_word), std::memory_order_release);
  head_ = start + entry;
  return true;
}

bool RingReader::ready() const {
  return (word_at(read_).load(std::memory_order_acquire) & committed) != 0;
}

std::optional<RingEntry> RingReader::next() {
  for (;;) {
    const std::uint64_t word = word_at(read_).load(std::memory_order_acquire);
    if ((word & committed) == 0 || corrupt_) return std::nullopt;
    const EntryKind kind = kind_of(word);
    const std::size_t entry = entry_bytes(size_of(word));
    const std::size_t place = read_ & (capacity_ - 1);
    const bool known =
        kind == EntryKind::message || kind == EntryKind::large || kind == EntryKind::skip;
    corrupt_ = !known || (word & released) != 0 || entry > capacity_ - place ||
               read_ + entry - tail_ > capacity_;
    if (corrupt_) return std::nullopt;
    const std::uint64_t position = read_;
    read_ += entry;
    if (kind != EntryKind::skip)
      return RingEntry{kind, ByteView(data_ + place + ring_word, size_of(word)), position};
    release(position);
  }
}

bool RingReader::release(std::uint64_t position) {
  std::atomic<std::uint64_t>& own = word_at(position);  // the producer does not look at it again
  own.store(own.load(std::memory_order_relaxed) | released, std::memory_order_relaxed);
  const std::uint64_t before = tail_;
  while (tail_ != read_) {
    const std::uint64_t word = word_at(tail_).load(std::memory_order_relaxed);
    if ((word & released) == 0) break;
    const std::size_t entry = entry_bytes(size_of(word));
    if (entry > read_ - tail_) {
      corrupt_ = true;
      break;
    }
    tail_ += entry;
  }
  if (tail_ == before) return false;
  control_->tail.store(tail_, std::memory_order_release);
  return true;
}

}  // namespace dsm::transport
