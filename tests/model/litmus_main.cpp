// Prints what each policy says of each litmus test, and what was seen: in every order that
// matters (reduced.hpp), unless there are too many, and in many simulated runs. Ends with 1 when
// something was seen that a policy forbids.
#include <cstdio>
#include <string>

#include "model/litmus.hpp"
#include "model/reduced.hpp"
#include "support/simulator.hpp"

namespace dsm::sim {
namespace {

int judge(std::uint64_t states_max, std::uint64_t seeds) {
  int wrong = 0;
  std::printf(
      "| litmus test | weak outcome | policy | promise | interleavings | of %llu runs | |\n",
      static_cast<unsigned long long>(seeds));
  std::printf("| --- | --- | --- | --- | ---: | ---: | --- |\n");
  for (const Litmus& test : litmus_tests()) {
    for (const core::Policy policy : litmus_policies()) {
      const Program program = test.script(policy).finish();
      std::uint64_t weak_runs = 0;
      std::string failure;
      for (std::uint64_t seed = 1; seed <= seeds && failure.empty(); ++seed) {
        Simulator simulator(program, Physics::by_seed(seed), seed);
        simulator.run();
        failure = simulator.failure();
        if (failure.empty() && test.weak(simulator.registers())) ++weak_runs;
      }
      bool weak = weak_runs > 0;
      std::string states = "not tried";
      if (failure.empty()) {
        const Exploration e = explore_reduced(program, states_max);
        failure = e.failure;
        states = std::to_string(e.states) + (e.complete ? " states" : " states, not all");
        for (const Registers& r : e.outcomes) weak = weak || test.weak(r);
      }
      const bool forbidden = test.forbidden(policy);
      const bool right = failure.empty() && !(forbidden && weak);
      wrong += right ? 0 : 1;
      std::printf("| %s | %s | %s | %s | %s | %llu | %s |\n", test.name, test.outcome,
                  name_of(policy), forbidden ? "never" : "may be", states.c_str(),
                  static_cast<unsigned long long>(weak_runs),
                  !failure.empty()    ? failure.c_str()
                  : forbidden && weak ? "WRONG: seen"
                  : forbidden         ? "as expected: never seen"
                  : weak              ? "as expected: seen"
                                      : "as expected: not seen, though it may be");
      std::fflush(stdout);
    }
  }
  return wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace dsm::sim

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::string(argv[1]) == "--quick";
  if (argc > 1 && !quick) {
    std::fprintf(stderr, "litmus: the only option is --quick: fewer states and runs\n");
    return 2;
  }
  return quick ? dsm::sim::judge(10'000, 300) : dsm::sim::judge(1'000'000, 2000);
}
