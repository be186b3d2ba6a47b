// Takes programs of three nodes, two pages and two locks through every order that matters
// (reduced.hpp), policy by policy and round by round, and prints how many states there are, what it
// took, and a line for tests/README.md each. Ends with 1 when one of them is wrong.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/check.hpp"
#include "model/litmus.hpp"
#include "model/programs.hpp"
#include "model/reduced.hpp"

namespace dsm::sim {
namespace {

constexpr std::uint32_t rounds_max = 3;  // unless more are asked for
constexpr std::uint32_t rounds_asked_max = 9;
constexpr std::uint64_t states_usual = 2'500'000;  // of one program; minutes in all
constexpr std::uint64_t states_quick = 10'000;     // seconds
constexpr std::uint64_t states_all = 40'000'000;   // hours, and 8 GiB
constexpr std::uint64_t bytes_per_state = 160;

struct Wanted {
  std::uint64_t states_max = states_usual;
  std::uint32_t rounds_min = 1, rounds_max = sim::rounds_max;
  std::string kind;    // empty: all
  std::string policy;  // empty: all
};

enum class Verdict : int { right, wrong, given_up };

// What was found, in words.
std::string words(const Exploration& e) {
  if (!e.failure.empty()) return "WRONG: " + e.failure;
  return e.complete ? "every order: right" : "right as far as it goes";
}

unsigned long long shown(std::uint64_t number) {
  return number;
}

// A line of the table; seconds and memory are those of this process.
Verdict judge(const Rounds& kind, std::uint32_t rounds, core::Policy policy,
              std::uint64_t states_max) {
  const Exploration e = explore_reduced(rounds_of(kind, rounds, policy), states_max);
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const double seconds =
      static_cast<double>(used.ru_utime.tv_sec) + static_cast<double>(used.ru_utime.tv_usec) / 1e6;
  std::printf("| %s | %u | %s | %s%llu | %llu | %llu | %.1f | %ld | %s |\n", kind.name, rounds,
              name_of(policy), e.complete ? "" : "> ", shown(e.states), shown(e.transitions),
              shown(e.ends), seconds, used.ru_maxrss / 1024, words(e).c_str());
  for (const std::string& line : e.path) std::printf("    %s\n", line.c_str());
  std::fflush(stdout);
  if (!e.failure.empty()) return Verdict::wrong;
  return e.complete ? Verdict::right : Verdict::given_up;
}

// In a process of its own, whose time and memory are this program's alone.
Verdict judge_alone(const Rounds& kind, std::uint32_t rounds, core::Policy policy,
                    std::uint64_t states_max) {
  const pid_t child = fork();
  DSM_CHECK(child >= 0, "there is room for a process");
  if (child == 0) _exit(static_cast<int>(judge(kind, rounds, policy, states_max)));
  int status = 0;
  DSM_CHECK(waitpid(child, &status, 0) == child, "a child is waited for once");
  if (WIFEXITED(status)) return static_cast<Verdict>(WEXITSTATUS(status));
  std::printf("| %s | %u | %s | the process was killed: out of memory? try --states |\n", kind.name,
              rounds, name_of(policy));
  return Verdict::wrong;
}

int judge_all(const Wanted& wanted) {
  bool right = true;
  std::printf("| each round | rounds | policy | states | transitions | ends | s | MiB | |\n");
  std::printf("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | --- |\n");
  std::fflush(stdout);
  for (const Rounds& kind : round_kinds()) {
    if (!wanted.kind.empty() && wanted.kind != kind.name) continue;
    for (const core::Policy policy : litmus_policies()) {
      if (!wanted.policy.empty() && wanted.policy != name_of(policy)) continue;
      for (std::uint32_t rounds = wanted.rounds_min; rounds <= wanted.rounds_max; ++rounds) {
        const Verdict verdict = judge_alone(kind, rounds, policy, wanted.states_max);
        right &= verdict != Verdict::wrong;
        if (verdict == Verdict::given_up) break;  // more rounds have more states
      }
    }
  }
  return right ? 0 : 1;
}

int usage() {
  std::fprintf(stderr,
               "usage: model [--quick | --all | --states=N] [--rounds=N | --rounds=N..M]\n"
               "             [--kind=NAME] [--policy=NAME]\n"
               "  a program is given up when it has more states than\n"
               "    --quick   %llu: seconds\n"
               "    (neither) %llu: minutes\n"
               "    --all     %llu: hours, %llu GiB\n"
               "    --states  N; some %llu bytes each\n"
               "  --rounds: 1 to %u\n"
               "  --policy: scope, release, sequential\n"
               "  --kind: one of\n",
               shown(states_quick), shown(states_usual), shown(states_all),
               shown(states_all * bytes_per_state >> 30) + 1, shown(bytes_per_state), rounds_asked_max);
  for (const Rounds& kind : round_kinds())
    std::fprintf(stderr, "    %-24s %s\n", kind.name, kind.what);
  return 2;
}

// "2" or "1..3".
bool read_rounds(const std::string& value, Wanted& wanted) {
  const auto digit = [](char c) { return c >= '1' && c <= static_cast<char>('0' + rounds_asked_max); };
  const bool range = value.size() == 4 && value.compare(1, 2, "..") == 0;
  if ((value.size() != 1 && !range) || !digit(value.front()) || !digit(value.back())) return false;
  wanted.rounds_min = static_cast<std::uint32_t>(value.front() - '0');
  wanted.rounds_max = static_cast<std::uint32_t>(value.back() - '0');
  return wanted.rounds_min <= wanted.rounds_max;
}

bool is_kind(const std::string& name) {
  for (const Rounds& kind : round_kinds())
    if (name == kind.name) return true;
  return false;
}

bool is_policy(const std::string& name) {
  for (const core::Policy policy : litmus_policies())
    if (name == name_of(policy)) return true;
  return false;
}

// False: it says nothing that is understood.
bool read_word(const std::string& word, Wanted& wanted) {
  const std::string value = word.substr(word.find('=') + 1);
  if (word == "--quick") {
    wanted.states_max = states_quick;
  } else if (word == "--all") {
    wanted.states_max = states_all;
  } else if (word.starts_with("--states=")) {
    wanted.states_max = std::strtoull(value.c_str(), nullptr, 10);
    return wanted.states_max > 0;
  } else if (word.starts_with("--rounds=")) {
    return read_rounds(value, wanted);
  } else if (word.starts_with("--kind=")) {
    wanted.kind = value;
    return is_kind(value);
  } else if (word.starts_with("--policy=")) {
    wanted.policy = value;
    return is_policy(value);
  } else {
    return false;
  }
  return true;
}

}  // namespace
}  // namespace dsm::sim

int main(int argc, char** argv) {
  dsm::sim::Wanted wanted;
  for (int i = 1; i < argc; ++i)
    if (!dsm::sim::read_word(argv[i], wanted)) return dsm::sim::usage();
  return dsm::sim::judge_all(wanted);
}
