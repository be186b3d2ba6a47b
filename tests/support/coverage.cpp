#include "support/coverage.hpp"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::sim {
namespace {

constexpr int lock_state_count = static_cast<int>(sync::LockState::recalled) + 1;
constexpr int states_max =
    std::max({core::page_state_count, lock_state_count, sync::shared_state_count});

struct Counts {
  std::uint64_t page[states_max][states_max];
  std::uint64_t lock[states_max][states_max];
  std::uint64_t shared[states_max][states_max];
};
thread_local Counts counts;

void observe(const char* machine, int from, int to) {
  (machine[0] == 'p' ? counts.page : machine[0] == 'l' ? counts.lock : counts.shared)[from][to]++;
}

const char* lock_state(int state) {
  static constexpr const char* names[] = {"away", "asked",   "entering", "held",
                                          "idle", "leaving", "lent",     "recalled"};
  return names[state];
}

}  // namespace

Coverage::Coverage() {
  DSM_CHECK(core::transition_hook == nullptr, "transitions are counted once");
  counts = {};
  core::transition_hook = observe;
}

Coverage::~Coverage() {
  core::transition_hook = nullptr;
}

std::vector<Coverage::Transition> Coverage::taken() const {
  std::vector<Transition> all;
  for (int from = 0; from < core::page_state_count; ++from)
    for (int to = 0; to < core::page_state_count; ++to)
      if (counts.page[from][to] != 0)
        all.push_back({"page", name_of(static_cast<core::PageState>(from)),
                       name_of(static_cast<core::PageState>(to)), counts.page[from][to]});
  for (int from = 0; from < lock_state_count; ++from)
    for (int to = 0; to < lock_state_count; ++to)
      if (counts.lock[from][to] != 0)
        all.push_back({"lock", lock_state(from), lock_state(to), counts.lock[from][to]});
  for (int from = 0; from < sync::shared_state_count; ++from)
    for (int to = 0; to < sync::shared_state_count; ++to)
      if (counts.shared[from][to] != 0)
        all.push_back({"shared", name_of(static_cast<sync::SharedState>(from)),
                       name_of(static_cast<sync::SharedState>(to)), counts.shared[from][to]});
  return all;
}

std::string Coverage::table() const {
  std::string text = "| machine | from | to | times |\n| --- | --- | --- | ---: |\n";
  for (const Transition& t : taken())
    text +=
        "| " + t.machine + " | " + t.from + " | " + t.to + " | " + std::to_string(t.count) + " |\n";
  return text;
}

std::vector<Coverage::Transition> parse_table(const std::string& markdown) {
  std::vector<Coverage::Transition> all;
  std::istringstream lines(markdown);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Coverage::Transition t;
    std::string bar[5];
    if (words >> bar[0] >> t.machine >> bar[1] >> t.from >> bar[2] >> t.to >> bar[3] >> t.count >>
        bar[4])
      all.push_back(std::move(t));
  }
  return all;
}

}  // namespace dsm::sim
