#include "dsmrun_output.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace dsm::run {

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

PrefixedLines::PrefixedLines(std::uint32_t rank, int to)
    : prefix_("[" + std::to_string(rank) + "] "), to_(to) {}

bool PrefixedLines::add(std::string_view bytes) {
  held_.append(bytes);
  return write_lines(false);
}

bool PrefixedLines::finish() {
  return write_lines(true);
}

bool PrefixedLines::write_lines(bool all) {
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

PrefixedStream::PrefixedStream(std::uint32_t rank, Fd from, int to)
    : from_(std::move(from)), lines_(rank, to) {}

PrefixedStream::Got PrefixedStream::read_some() {
  std::array<char, 16 * 1024> buffer;
  const ssize_t n = ::read(from_.get(), buffer.data(), buffer.size());
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Got::nothing : Got::end;
  if (n == 0) return Got::end;
  heard_ = lines_.add({buffer.data(), static_cast<std::size_t>(n)}) && heard_;
  return Got::some;
}

bool PrefixedStream::pump() {
  if (read_some() == Got::end) {
    from_.reset();
    heard_ = lines_.finish() && heard_;
  }
  return heard_;
}

bool PrefixedStream::close() {
  while (from_ && read_some() == Got::some) {
  }
  from_.reset();
  return lines_.finish() && heard_;
}

}  // namespace dsm::run
