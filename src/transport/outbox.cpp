#include "transport/outbox.hpp"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "transport/direct.hpp"
#include "transport/fence.hpp"

namespace dsm::transport {
namespace {

constexpr std::size_t kept_capacity =
    1u << 20;  // a larger buffer goes back to the heap once it is empty

// What is sent may be memory that others store to; ThreadSanitizer must not see these reads and
// writes.
ssize_t send_some(int socket, std::span<const iovec> parts) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = parts.size();
#if DSM_TSAN
  return ::syscall(SYS_sendmsg, socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
#else
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
#endif
}

bool would_wait() {
  return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM;
}

}  // namespace

ssize_t receive_some(int socket, void* to, std::size_t size) {
#if DSM_TSAN
  return ::syscall(SYS_recvfrom, socket, to, size, MSG_DONTWAIT, nullptr, nullptr);
#else
  return ::recv(socket, to, size, MSG_DONTWAIT);
#endif
}

bool Outbox::send(int socket, std::span<iovec> parts) {
  if (empty()) {
    const ssize_t sent = send_some(socket, parts);
    if (sent < 0 && !would_wait()) return false;
    std::size_t gone = sent < 0 ? 0 : static_cast<std::size_t>(sent);
    while (!parts.empty() && gone >= parts.front().iov_len) {
      gone -= parts.front().iov_len;
      parts = parts.subspan(1);
    }
    if (parts.empty()) return true;
    parts.front().iov_base = static_cast<std::byte*>(parts.front().iov_base) + gone;
    parts.front().iov_len -= gone;
  }
  for (const iovec& part : parts) keep(part.iov_base, part.iov_len);
  return true;
}

bool Outbox::flush(int socket) {
  while (!empty()) {
    const iovec part{bytes_.data() + begin_, size()};
    const ssize_t sent = send_some(socket, std::span(&part, 1));
    if (sent < 0) return would_wait();
    begin_ += static_cast<std::size_t>(sent);
  }
  clear();
  return true;
}

void Outbox::clear() {
  begin_ = 0;
  bytes_.clear();
  if (bytes_.capacity() > kept_capacity) std::vector<std::byte>().swap(bytes_);
}

void Outbox::keep(const void* from, std::size_t size) {
  if (begin_ != 0 && bytes_.size() + size > bytes_.capacity()) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(begin_));
    begin_ = 0;
  }
  const std::size_t at = bytes_.size();
  bytes_.resize(at + size);
  copy_shared(bytes_.data() + at, from, size);
}

}  // namespace dsm::transport
