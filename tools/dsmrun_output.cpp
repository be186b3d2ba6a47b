#include "dsmrun_output.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

namespace dsm::run {
namespace {

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd entry{fd, POLLOUT, 0};
      (void)::poll(&entry, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

PrefixedStream::PrefixedStream(std::uint32_t rank, Fd from, int to)
    : prefix_("[" + std::to_string(rank) + "] "), from_(std::move(from)), to_(to) {}

PrefixedStream::Got PrefixedStream::read_some() {
  std::array<char, 16 * 1024> buffer;
  const ssize_t n = ::read(from_.get(), buffer.data(), buffer.size());
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Got::nothing : Got::end;
  if (n == 0) return Got::end;
  held_.append(buffer.data(), static_cast<std::size_t>(n));
  return Got::some;
}

bool PrefixedStream::write_lines(bool all) {
  std::string lines;
  std::size_t at = 0;
  while (at < held_.size()) {
    const std::size_t newline = held_.find('\n', at);
    const bool complete = newline != std::string::npos && newline - at <= line_max;
    if (!complete && !all && held_.size() - at < line_max) break;
    const std::size_t end =
        std::min({complete ? newline : held_.size(), at + line_max, held_.size()});
    lines.append(prefix_).append(held_, at, end - at).push_back('\n');
    at = complete ? end + 1 : end;
  }
  held_.erase(0, at);
  return write_all(to_, lines);
}

bool PrefixedStream::pump() {
  const Got got = read_some();
  if (got == Got::nothing) return true;
  if (got == Got::end) from_.reset();
  return write_lines(got == Got::end);
}

bool PrefixedStream::close() {
  bool heard = true;
  while (from_ && read_some() == Got::some) heard = write_lines(false) && heard;
  from_.reset();
  return write_lines(true) && heard;
}

}  // namespace dsm::run
