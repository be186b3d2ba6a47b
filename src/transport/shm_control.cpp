#include "transport/shm_control.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace dsm::transport {
namespace {

// Room for one descriptor's control message, aligned as the macros want it.
union FdSpace {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int))];
};

}  // namespace

Status send_control(int socket, const ControlRecord& record, int fd) {
  iovec part{.iov_base = const_cast<ControlRecord*>(&record), .iov_len = sizeof record};
  FdSpace space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space.bytes;
  message.msg_controllen = sizeof space.bytes;
  cmsghdr* const control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(control), &fd, sizeof fd);
  const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == static_cast<ssize_t>(sizeof record)) return {};
  if (sent < 0 && (errno == EAGAIN || errno == EINTR || errno == ETOOMANYREFS))
    return Status::would_block();
  return Status(Code::peer_lost, "its control socket is closed");
}

Status send_control_waiting(int socket, const ControlRecord& record, int fd, int timeout_ms) {
  for (int waited_ms = 0;; waited_ms += 10) {
    Status sent = send_control(socket, record, fd);
    if (sent.code() != Code::would_block) return sent;
    if (waited_ms >= timeout_ms) return Status(Code::timed_out, "it takes no more descriptors");
    pollfd one{.fd = socket, .events = POLLOUT, .revents = 0};
    ::poll(&one, 1, 10);
  }
}

Received receive_control(int socket, ControlRecord& record, Fd& fd) {
  iovec part{.iov_base = &record, .iov_len = sizeof record};
  FdSpace space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space.bytes;
  message.msg_controllen = sizeof space.bytes;
  const ssize_t count = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (count < 0) return errno == EAGAIN || errno == EINTR ? Received::nothing : Received::closed;
  fd.reset();
  const cmsghdr* const control = CMSG_FIRSTHDR(&message);
  if (control && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS &&
      control->cmsg_len == CMSG_LEN(sizeof(int))) {
    int received;
    std::memcpy(&received, CMSG_DATA(control), sizeof received);
    fd = Fd(received);
  }
  const bool whole =
      count == static_cast<ssize_t>(sizeof record) && fd && (message.msg_flags & MSG_CTRUNC) == 0;
  return whole ? Received::record : Received::closed;
}

}  // namespace dsm::transport
