// The simulator on the command line: many seeds, one seed told step by step, the tables of
// tests/README.md.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <optional>
#include <string>

#include "sim/scenarios.hpp"
#include "support/coverage.hpp"
#include "support/runs.hpp"

namespace {

using namespace dsm::sim;
using dsm::core::Bug;

constexpr std::uint64_t bug_seeds_max = 20'000;

// Of the processor, since what else the machine does is not the simulator's speed.
double processor_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

void print_failure(const Outcome& run, const Shape& shape, Bug bug) {
  std::printf("seed %llu: %s\nreplay: %s\n", static_cast<unsigned long long>(run.seed),
              run.failure.c_str(), replay_command(run.seed, shape, bug).c_str());
}

int trace(std::uint64_t seed, const Shape& shape, Bug bug) {
  const Outcome run = trace_seed(seed, shape, bug);
  if (run.ok()) std::printf("seed %llu: ok\n", static_cast<unsigned long long>(seed));
  if (!run.ok()) print_failure(run, shape, bug);
  return run.ok() ? 0 : 1;
}

int many(std::uint64_t first, std::uint64_t seeds, const Shape& shape, Bug bug, bool bench) {
  Statistics sum;
  std::uint64_t operations = 0;
  const double start = processor_seconds();
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    const Outcome run = run_seed(seed, shape, bug);
    if (!run.ok()) {
      print_failure(run, shape, bug);
      return 1;
    }
    operations += run.operations;
    sum.steps += run.statistics.steps;
    sum.messages += run.statistics.messages;
    sum.message_bytes += run.statistics.message_bytes;
    sum.one_sided += run.statistics.one_sided;
    sum.one_sided_bytes += run.statistics.one_sided_bytes;
    sum.faults += run.statistics.faults;
    sum.pages_moved += run.statistics.pages_moved;
  }
  const double seconds = processor_seconds() - start;
  const auto per_seed = [&](std::uint64_t n) {
    return static_cast<double>(n) / static_cast<double>(seeds);
  };
  std::printf("%llu seeds ok, each run twice\n", static_cast<unsigned long long>(seeds));
  if (bench) std::printf("%.0f seeds/s of one core\n", static_cast<double>(seeds) / seconds);
  std::printf(
      "a seed: %.0f operations, %.0f steps, %.0f faults, %.0f messages of %.0f bytes, %.0f "
      "one-sided of %.0f bytes, %.1f pages to another home\n",
      per_seed(operations), per_seed(sum.steps), per_seed(sum.faults), per_seed(sum.messages),
      per_seed(sum.message_bytes), per_seed(sum.one_sided), per_seed(sum.one_sided_bytes),
      per_seed(sum.pages_moved));
  return 0;
}

int transitions(std::uint64_t first, std::uint64_t seeds, const Shape& shape) {
  Coverage coverage;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    const Outcome run = run_seed(seed, shape);
    if (!run.ok()) {
      print_failure(run, shape, Bug::none);
      return 1;
    }
  }
  std::printf("%s", coverage.table().c_str());
  return 0;
}

// The first of seeds 1, 2, ... whose run fails, and how; nothing within `most`.
template <typename RunSeed>
std::optional<Outcome> first_failure(std::uint64_t most, RunSeed run_one) {
  for (std::uint64_t seed = 1; seed <= most; ++seed) {
    Outcome run = run_one(seed);
    if (!run.ok()) return run;
  }
  return std::nullopt;
}

int bugs(const Shape& shape) {
  std::printf(
      "| planted bug | random programs | its scenario | found by |\n| --- | ---: | ---: | --- |\n");
  int missed = 0;
  for (int i = 1; i < dsm::core::bug_count; ++i) {
    const Bug bug = static_cast<Bug>(i);
    const auto random = first_failure(
        bug_seeds_max, [&](std::uint64_t seed) { return run_seed(seed, shape, bug); });
    std::optional<Outcome> staged;
    bool has_scenario = false;
    for (const Scenario& scenario : scenarios()) {
      if (scenario.closes != bug) continue;
      has_scenario = true;
      staged = first_failure(bug_seeds_max, [&](std::uint64_t seed) {
        return run_program(scenario.program, seed, bug);
      });
    }
    const auto count = [](const std::optional<Outcome>& run) {
      return run ? std::to_string(run->seed) : "> " + std::to_string(bug_seeds_max);
    };
    missed += !random && !staged;
    const std::string how = random ? random->failure : staged ? staged->failure : "NOBODY";
    std::printf("| %s | %s | %s | %s |\n", name_of(bug), count(random).c_str(),
                has_scenario ? count(staged).c_str() : "",
                how.substr(0, how.find_first_of("(\n")).c_str());
    std::fflush(stdout);
  }
  return missed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs random programs on simulated nodes and checks what they see."};
  std::uint64_t first = 1, seeds = 1000;
  Shape shape;
  std::string bug_name = "none";
  bool bench = false, tell = false, table = false, table_bugs = false, figure = false;
  CLI::Option* seed_option = app.add_option("--seed,--first", first, "The (first) seed");
  CLI::Option* seeds_option =
      app.add_option("--seeds", seeds, "How many seeds")->check(CLI::PositiveNumber);
  app.add_option("--nodes", shape.nodes, "Nodes; by seed unless given")->check(CLI::Range(2, 32));
  app.add_option("--pages", shape.pages, "Pages; by seed unless given")->check(CLI::Range(1, 1024));
  app.add_option("--locks", shape.locks, "Locks; by seed unless given")->check(CLI::Range(1, 64));
  app.add_option("--operations", shape.operations, "Operations of a program, about")
      ->check(CLI::Range(1, 1000000));
  app.add_flag("--figure", figure, "4 nodes, 16 pages, 4 locks, more than 300 operations");
  app.add_option("--bug", bug_name, "Plant this bug");
  app.add_flag("--trace", tell, "Print every event and effect of one seed");
  app.add_flag("--bench", bench, "Print the speed");
  app.add_flag("--table", table,
               "Print the transitions that were reached (tests/sim/transitions.md)");
  app.add_flag("--table-bugs", table_bugs, "Print how many seeds each planted bug took");
  CLI11_PARSE(app, argc, argv);
  if (figure) shape = figure_shape;
  const auto bug = bug_named(bug_name);
  if (!bug) {
    std::fprintf(stderr, "unknown bug '%s'; the bugs are:", bug_name.c_str());
    for (int i = 0; i < dsm::core::bug_count; ++i)
      std::fprintf(stderr, " %s", name_of(static_cast<Bug>(i)));
    std::fprintf(stderr, "\n");
    return 2;
  }
  if (tell) return trace(first, shape, *bug);
  if (table) return transitions(first, seeds, shape);
  if (table_bugs) return bugs(shape);
  if (seed_option->count() > 0 && seeds_option->count() == 0) seeds = 1;
  return many(first, seeds, shape, *bug, bench);
}
