// What the model takes for granted, tried in every state of small programs: that two states with
// one hash have the same future, and that two actions whose footprints do not conflict commute.
#include <gtest/gtest.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "model/explorer.hpp"
#include "model/programs.hpp"
#include "support/random.hpp"
#include "support/simulator.hpp"

namespace dsm::sim {
namespace {

std::size_t choice_of(const Simulator& simulator, std::uint64_t number) {
  std::size_t c = 0;
  while (c < simulator.choices() && simulator.number(c) != number) ++c;
  return c;
}

Simulator after(const Simulator& simulator, std::size_t choice) {
  Simulator next = simulator;
  next.perform(choice);
  return next;
}

// Visits every state of the program; `look` is called with each, as often as it is reached.
template <typename Look>
void walk(const char* name, Look look) {
  const Program program = small_program(name).script().finish();
  std::unordered_map<std::uint64_t, bool> seen;
  Simulator start = ready(program, core::Bug::none);
  start.carry_movers(true);
  std::vector<Simulator> rest{start};
  while (!rest.empty()) {
    const Simulator state = std::move(rest.back());
    rest.pop_back();
    if (!look(state)) return;
    if (!seen.emplace(state.hash(), true).second) continue;
    for (std::size_t c = 0; c < state.choices(); ++c) rest.push_back(after(state, c));
  }
  EXPECT_GT(seen.size(), 100u);
}

class Laws : public testing::TestWithParam<const char*> {};

TEST_P(Laws, OneHashOneFuture) {
  std::unordered_map<std::uint64_t, std::uint64_t> futures;
  std::uint64_t met_again = 0;
  walk(GetParam(), [&](const Simulator& state) {
    std::uint64_t future = 0;  // what each action leads to; a set
    for (std::size_t c = 0; c < state.choices(); ++c)
      future += mix(state.identity(c) ^ mix(after(state, c).hash()));
    const auto [it, added] = futures.emplace(state.hash(), future);
    met_again += added ? 0 : 1;
    EXPECT_EQ(it->second, future) << "two states that are not the same have one hash";
    return it->second == future;
  });
  EXPECT_GT(met_again, 100u);
}

TEST_P(Laws, ActionsWithoutConflictCommute) {
  std::uint64_t pairs = 0;
  std::unordered_map<std::uint64_t, bool> tried;
  walk(GetParam(), [&](const Simulator& state) {
    if (!tried.emplace(state.hash(), true).second) return true;
    for (std::size_t a = 0; a < state.choices(); ++a) {
      const Simulator with_a = after(state, a);
      for (std::size_t b = 0; b < a; ++b) {
        const Simulator with_b = after(state, b);
        if (with_a.footprint().conflicts(with_b.footprint())) continue;
        ++pairs;
        const Simulator ab = after(with_a, choice_of(with_a, state.number(b)));
        const Simulator ba = after(with_b, choice_of(with_b, state.number(a)));
        const std::string both = state.describe(a) + " | " + state.describe(b);
        EXPECT_EQ(ab.hash(), ba.hash()) << both;
        EXPECT_EQ(ab.failure(), "") << both;
        EXPECT_EQ(ba.failure(), "") << both;
        EXPECT_EQ(ab.footprint(), with_b.footprint()) << both;
        EXPECT_EQ(ba.footprint(), with_a.footprint()) << both;
        if (testing::Test::HasFailure()) return false;
      }
    }
    return true;
  });
  EXPECT_GT(pairs, 100u);
}

INSTANTIATE_TEST_SUITE_P(Model, Laws,
                         testing::Values("home to reader", "two writers and a barrier",
                                         "two pages and two homes", "three nodes race",
                                         "three nodes and two barriers", "two locks on loan",
                                         "two nodes across a border", "a page is pushed"),
                         [](const auto& test) {
                           std::string name;
                           for (const char* c = test.param; *c != '\0'; ++c)
                             if (*c != ' ') name += *c;
                           return name;
                         });

}  // namespace
}  // namespace dsm::sim
