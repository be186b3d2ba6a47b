// The command line, the same for every version of the program as far as it applies.
#pragma once

#include <optional>
#include <string>

#include "kernel.hpp"

namespace himeno {

// What a version of the program can be told.
struct Program {
  const char* name;
  const char* summary;
  bool has_threads = false;
  bool has_share = false;
  bool has_verify = true;
};

struct Options {
  Size size{};
  long iterations = 0;  // 0: as many as take about `seconds`
  double seconds = 60;
  int threads = 1;
  bool share_all = false;  // all fourteen arrays in shared memory, not only p
  bool verify = false;
  bool quiet = false;
  std::string json;  // file to write, -: the output, empty: none
};

// Options, or what to print instead and the status to exit with: help (0) or one line that says
// what is wrong (2).
struct Parsed {
  std::optional<Options> options;
  std::string text;
  int status = 0;

  // Prints `text` (help to stdout, an error to stderr) if `speaks`; returns the status.
  int print(bool speaks) const;
};
Parsed parse(int argc, char** argv, const Program& program);

// Empty, or why `parts` of so many planes cannot be made; "4 nodes x 2 threads" says where the
// parts come from.
std::string too_many_parts(const Size& size, int nodes, int threads);

}  // namespace himeno
