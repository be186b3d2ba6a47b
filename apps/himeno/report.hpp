// What a run says: progress while it goes, the result, and the result as JSON.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "options.hpp"
#include "reference.hpp"

namespace himeno {

// Follows the iterations of a run. Belongs to one thread of the process that speaks; the others
// have none.
class Monitor {
 public:
  using Clock = std::chrono::steady_clock;

  // Shows progress on a terminal unless `options` say quiet.
  explicit Monitor(const Options& options);

  // The run to come: `count` iterations on top of those done.
  void begin(long count);
  void iteration(double gosa);
  void end();

  long done() const { return done_; }
  double gosa() const { return gosa_; }                // of the last iteration
  double fastest_seconds() const { return fastest_; }  // of one iteration since begin()
  double elapsed_seconds() const { return elapsed_; }  // from begin() to end()

  // The table's iterations that the run passed.
  struct Passed {
    Reference reference;
    double gosa;
    double error() const;  // relative
  };
  const std::vector<Passed>& passed() const { return passed_; }

 private:
  void show_progress(Clock::time_point now);

  const Size size_;
  const bool progress_;
  long done_ = 0;
  long begun_at_ = 0;
  long target_ = 0;
  double gosa_ = 0;
  double fastest_ = 0;
  double elapsed_ = 0;
  Clock::time_point began_{};
  Clock::time_point previous_{};
  Clock::time_point next_progress_{};
  std::vector<Passed> passed_;
};

// p beside that of a sequential run.
struct Comparison {
  std::size_t points = 0;
  std::size_t different = 0;
  std::size_t first = 0;  // index of the first point that differs
};

struct Result {
  std::string version;  // "dsm", "sequential", "openmp", "mpi"
  std::string setting;  // "4 nodes x 1 thread over shm, traps by uffd"
  int nodes = 1;
  int threads = 1;
  long iterations = 0;  // timed
  double seconds = 0;
  const Monitor* monitor = nullptr;
  std::optional<Comparison> comparison;

  double mflops(const Size& size) const;
  bool verified() const { return comparison.has_value() || !monitor->passed().empty(); }
  bool failed() const;
};

// The lines for people. Says PASS or FAIL for each thing that was verified, or that nothing was.
void print(const Result& result, const Options& options);

// The same for programs; `extra` members are the version's own.
// Returns false, after one line on stderr, when the file cannot be written.
bool write_json(const Result& result, const Options& options, const nlohmann::json& extra);

}  // namespace himeno
