// Takes programs of three nodes, two pages and two locks through every order that matters
// (reduced.hpp), policy by policy and round by round, and prints how many states there are. Ends
// with 1 when one of them is wrong.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "model/litmus.hpp"
#include "model/programs.hpp"
#include "model/reduced.hpp"

namespace dsm::sim {
namespace {

constexpr std::uint32_t rounds_max = 3;
constexpr std::uint64_t states_usual = 1'000'000;  // of one program; some minutes in all
constexpr std::uint64_t states_quick = 10'000;     // seconds

struct Wanted {
  std::uint64_t states_max = states_usual;
  std::uint32_t rounds = rounds_max;
  std::string kind;  // empty: all
};

// What was found, in words.
std::string verdict(const Exploration& e) {
  if (!e.failure.empty()) return "WRONG: " + e.failure;
  return e.complete ? "every order: right" : "right as far as it goes";
}

int judge(const Wanted& wanted) {
  int wrong = 0;
  std::printf("| each round | rounds | policy | states | transitions | ends | s | |\n");
  std::printf("| --- | ---: | --- | ---: | ---: | ---: | ---: | --- |\n");
  for (const Rounds& kind : round_kinds()) {
    if (!wanted.kind.empty() && wanted.kind != kind.name) continue;
    for (const core::Policy policy : litmus_policies()) {
      for (std::uint32_t rounds = 1; rounds <= wanted.rounds; ++rounds) {
        const auto begun = std::chrono::steady_clock::now();
        const Exploration e = explore_reduced(rounds_of(kind, rounds, policy), wanted.states_max);
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
        std::printf("| %s | %u | %s | %s%llu | %llu | %llu | %.1f | %s |\n", kind.name, rounds,
                    name_of(policy), e.complete ? "" : "> ",
                    static_cast<unsigned long long>(e.states),
                    static_cast<unsigned long long>(e.transitions),
                    static_cast<unsigned long long>(e.ends), took.count(), verdict(e).c_str());
        for (const std::string& line : e.path) std::printf("    %s\n", line.c_str());
        std::fflush(stdout);
        wrong += e.failure.empty() ? 0 : 1;
        if (!e.complete) break;  // more rounds have more states
      }
    }
  }
  return wrong == 0 ? 0 : 1;
}

int usage() {
  std::fprintf(stderr,
               "usage: model [--quick] [--states=N] [--rounds=1..%u] [--kind=NAME]\n"
               "  --states: give a program up when it has more (%llu; some 200 bytes each)\n"
               "  --quick: at most %llu states\n  --kind: one of\n",
               rounds_max, static_cast<unsigned long long>(states_usual),
               static_cast<unsigned long long>(states_quick));
  for (const Rounds& kind : round_kinds())
    std::fprintf(stderr, "    %-24s %s\n", kind.name, kind.what);
  return 2;
}

}  // namespace
}  // namespace dsm::sim

int main(int argc, char** argv) {
  using namespace dsm::sim;
  Wanted wanted;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::string value = word.substr(word.find('=') + 1);
    if (word == "--quick") {
      wanted.states_max = states_quick;
    } else if (word.starts_with("--states=") && std::strtoull(value.c_str(), nullptr, 10) > 0) {
      wanted.states_max = std::strtoull(value.c_str(), nullptr, 10);
    } else if (word == "--rounds=1" || word == "--rounds=2" || word == "--rounds=3") {
      wanted.rounds = static_cast<std::uint32_t>(value[0] - '0');
    } else if (word.starts_with("--kind=")) {
      wanted.kind = value;
      bool known = false;
      for (const Rounds& kind : round_kinds()) known |= value == kind.name;
      if (!known) return usage();
    } else {
      return usage();
    }
  }
  return judge(wanted);
}
