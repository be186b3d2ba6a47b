// All interleavings of small programs: each is right, planted bugs are found, and the reduction
// (reduced.hpp) leaves out nothing that matters.
#include <gtest/gtest.h>

#include <cctype>
#include <cstdio>
#include <string>

#include "model/explorer.hpp"
#include "model/programs.hpp"
#include "model/reduced.hpp"

namespace dsm::sim {
namespace {

using core::Bug;

constexpr std::uint64_t states_max = 400'000;

std::string lines(const std::vector<std::string>& path) {
  std::string text;
  for (const std::string& line : path) text += "  " + line + "\n";
  return text;
}

void expect_right(const char* name, const Exploration& e) {
  std::printf("%-36s %8llu states %8llu transitions %5llu ends\n", name,
              static_cast<unsigned long long>(e.states),
              static_cast<unsigned long long>(e.transitions),
              static_cast<unsigned long long>(e.ends));
  EXPECT_EQ(e.failure, "") << lines(e.path);
  EXPECT_TRUE(e.complete) << "more than " << states_max << " states";
  EXPECT_GT(e.ends, 0u);
}

class SmallProgram : public testing::TestWithParam<Named> {};

TEST_P(SmallProgram, IsRightAndReducedToTheSameEnds) {
  const Program program = GetParam().script().finish();
  const Exploration every = explore(program, states_max);
  expect_right(GetParam().name, every);
  const Exploration reduced = explore_reduced(program, states_max);
  expect_right("  reduced", reduced);
  EXPECT_EQ(reduced.finals, every.finals);
  EXPECT_EQ(reduced.outcomes, every.outcomes);
  EXPECT_LT(reduced.states, every.states);
}

std::string camel_case(const testing::TestParamInfo<Named>& info) {
  std::string name;
  bool upper = true;
  for (const char* c = info.param.name; *c != '\0'; ++c) {
    if (*c != ' ') name += upper ? static_cast<char>(std::toupper(*c)) : *c;
    upper = *c == ' ';
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(Model, SmallProgram, testing::ValuesIn(small_programs()), camel_case);

TEST(Model, TwoThreadsAndTwoLocks) {
  expect_right("two threads and two locks",
               explore_reduced(two_threads_and_two_locks().finish(), states_max));
}

// The model would notice, with the reduction and without.
struct Finds {
  Bug bug;
  const char* program;
};
class ModelFinds : public testing::TestWithParam<Finds> {};

TEST_P(ModelFinds, ThePlantedBug) {
  const Program program = small_program(GetParam().program).script().finish();
  EXPECT_NE(explore(program, states_max, GetParam().bug).failure, "") << "no interleaving shows it";
  EXPECT_NE(explore_reduced(program, states_max, GetParam().bug).failure, "")
      << "the reduction hides it";
}

INSTANTIATE_TEST_SUITE_P(Model, ModelFinds,
                         testing::Values(Finds{Bug::missing_fence, "home to reader"},
                                         Finds{Bug::shared_not_written, "home to reader"},
                                         Finds{Bug::mark_lost, "home to reader"},
                                         Finds{Bug::fetch_not_poisoned, "a notice meets a fetch"},
                                         Finds{Bug::release_before_acks, "writer to home"},
                                         Finds{Bug::lost_notice, "home to reader"},
                                         Finds{Bug::diff_by_blend, "two writers and a barrier"},
                                         Finds{Bug::sequential_read_one_sided, "two nodes race"},
                                         Finds{Bug::granted_before_last_return, "two nodes race"},
                                         Finds{Bug::returned_before_closed, "two nodes race"},
                                         Finds{Bug::early_recall_dropped, "three nodes race"}),
                         [](const auto& test) { return std::string(name_of(test.param.bug)); });

// Whatever bug is planted, the two agree on whether there is something to see.
TEST(ModelReduced, FindsWhatTheFullModelFinds) {
  int found = 0;
  for (const char* name :
       {"writer to home", "two writers and a barrier", "two nodes across a border"}) {
    const Program program = small_program(name).script().finish();
    for (int b = 1; b < core::bug_count; ++b) {
      const Bug bug = static_cast<Bug>(b);
      const bool seen = !explore(program, states_max, bug).failure.empty();
      const bool seen_reduced = !explore_reduced(program, states_max, bug).failure.empty();
      EXPECT_EQ(seen_reduced, seen) << name_of(bug) << " in " << name;
      found += seen ? 1 : 0;
    }
  }
  EXPECT_GT(found, 10);
}

// Two engines that differ only in what came early to a barrier are two states.
TEST(EngineHash, TellsWhatCameEarlyToABarrier) {
  core::Config config;
  config.nodes = 3;
  config.space_pages = 1;
  core::Engine one(config), other(config);
  const auto receive = [](core::Engine& engine, std::byte content) {
    core::Effects effects;
    engine.step(
        core::Received{NodeId(2), core::BarrierRound{Epoch(0), 0, {{NodeId(2), Bytes{content}}}}},
        effects);
  };
  receive(one, std::byte{1});
  EXPECT_NE(one.hash(), other.hash()) << "one message";
  receive(other, std::byte{2});
  EXPECT_NE(one.hash(), other.hash()) << "the other contribution";
}

}  // namespace
}  // namespace dsm::sim
