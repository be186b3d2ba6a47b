#include "dsm/launch/socket.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>

namespace dsm::launch {
namespace {

using Clock = std::chrono::steady_clock;
using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

std::string error_text() {
  return std::strerror(errno);
}

Result<Addresses> resolve(const Endpoint& endpoint, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const int code =
      ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
  if (code != 0)
    return Status(Code::unavailable,
                  "\"" + endpoint.host + "\" is no address that this machine knows: " +
                      (code == EAI_SYSTEM ? error_text() : ::gai_strerror(code)));
  return Addresses(found, &::freeaddrinfo);
}

Fd open_socket(const addrinfo& address) {
  return Fd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
}

void set_option(int socket, int level, int option, int value) {
  // Each is an improvement that its absence does not break.
  (void)::setsockopt(socket, level, option, &value, sizeof value);
}

std::uint16_t bound_port(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return address.ss_family == AF_INET6 ? ntohs(reinterpret_cast<sockaddr_in6&>(address).sin6_port)
                                       : ntohs(reinterpret_cast<sockaddr_in&>(address).sin_port);
}

bool wait_for(int fd, short what, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd entry{fd, what, 0};
    const int n = ::poll(&entry, 1, static_cast<int>(std::clamp<long long>(left, 0, INT_MAX)));
    if (n > 0) return true;
    if (n == 0 || errno != EINTR || left <= 0) return false;
  }
}

// Zero, or the errno of why this address does not answer.
int connect_one(int socket, const addrinfo& address, std::chrono::milliseconds timeout) {
  if (::connect(socket, address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS && errno != EINTR) return errno;
  if (!wait_writable(socket, timeout)) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

}  // namespace

Result<Listener> listen_tcp(const Endpoint& at) {
  auto addresses = resolve(at, AI_PASSIVE);
  if (!addresses) return addresses.status();
  std::string why;
  for (const addrinfo* a = addresses->get(); a != nullptr; a = a->ai_next) {
    Fd socket = open_socket(*a);
    if (socket) set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (socket && ::bind(socket.get(), a->ai_addr, a->ai_addrlen) == 0 &&
        ::listen(socket.get(), SOMAXCONN) == 0) {
      const std::uint16_t port = bound_port(socket.get());
      return Listener{std::move(socket), Endpoint{at.host, port}};
    }
    why = error_text();
  }
  return Status(Code::unavailable, "cannot listen on " + at.text() + ": " + why);
}

Result<Fd> connect_tcp(const Endpoint& to, std::chrono::milliseconds timeout) {
  auto addresses = resolve(to, 0);
  if (!addresses) return addresses.status();
  int error = ETIMEDOUT;
  const auto deadline = Clock::now() + timeout;
  for (const addrinfo* a = addresses->get(); a != nullptr; a = a->ai_next) {
    Fd socket = open_socket(*a);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    error = socket ? connect_one(socket.get(), *a, left) : errno;
    if (error == 0) {
      set_option(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1);
      return socket;
    }
  }
  return Status(Code::unavailable, "cannot connect to " + to.text() + ": " + std::strerror(error));
}

void watch_peer(int socket) {
  constexpr int probes = 3;
  const int seconds = static_cast<int>(silent_peer_timeout.count());
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, seconds / (probes + 1));
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, seconds / (probes + 1));
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, probes);
  set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, seconds * 1000);
}

bool wait_readable(int fd, std::chrono::milliseconds timeout) {
  return wait_for(fd, POLLIN, timeout);
}
bool wait_writable(int fd, std::chrono::milliseconds timeout) {
  return wait_for(fd, POLLOUT, timeout);
}

}  // namespace dsm::launch
