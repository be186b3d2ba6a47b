// Which transitions of the page and lock state machines were taken, and how often. Counts for the
// thread that constructed it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "dsm/core/page.hpp"
#include "sync/lock.hpp"

namespace dsm::sim {

// While it lives, it observes every engine of this thread. One at a time.
class Coverage {
 public:
  Coverage();
  ~Coverage();
  Coverage(const Coverage&) = delete;
  Coverage& operator=(const Coverage&) = delete;

  struct Transition {
    std::string machine, from, to;
    std::uint64_t count = 0;
  };
  std::vector<Transition> taken() const;  // in order of the states
  std::string table() const;              // the same in Markdown
};

// The transitions of a table; counts included. Lines that are no rows are skipped.
std::vector<Coverage::Transition> parse_table(const std::string& markdown);

}  // namespace dsm::sim
