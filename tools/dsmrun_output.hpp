// Output of the ranks, line by line, each line behind its rank: "[3] ...". Lines of two ranks never
// mix; a line that does not end is held until it does, until it is line_max long, or until its rank
// closes the stream. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "dsm/launch/socket.hpp"

namespace dsm::run {

inline constexpr std::size_t line_max = 64 * 1024;

// Writes to a descriptor, all of it. False: nobody reads there any more.
bool write_all(int fd, std::string_view text);

// The lines of one rank.
class PrefixedLines {
 public:
  PrefixedLines(std::uint32_t rank, int to);

  // False: nobody reads any more.
  bool add(std::string_view bytes);
  // What does not end in a new line.
  bool finish();

 private:
  bool write_lines(bool all);

  std::string prefix_;
  int to_;
  std::string held_;
};

// The same, from a descriptor.
class PrefixedStream {
 public:
  // Reads `from`, which must not block, and writes to the descriptor `to`.
  PrefixedStream(std::uint32_t rank, Fd from, int to);

  int fd() const { return from_.get(); }
  bool open() const { return static_cast<bool>(from_); }

  // Takes what is there. False: nobody reads `to` any more.
  bool pump();
  // Takes what is left and closes, although other processes may still hold the other end.
  bool close();

 private:
  enum class Got : std::uint8_t { some, nothing, end };
  Got read_some();

  Fd from_;
  PrefixedLines lines_;
  bool heard_ = true;
};

}  // namespace dsm::run
