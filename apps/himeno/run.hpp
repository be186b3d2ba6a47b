// How a run goes, whatever the version: initialise, calibrate if asked, iterate under the clock,
// verify, report.
#pragma once

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "kernel.hpp"
#include "memory.hpp"
#include "options.hpp"
#include "report.hpp"

namespace himeno {

// One thread's part of `count` iterations on its `planes`, with the two meetings an iteration that
// the benchmark has. `team` knows the others:
//   double sum(double)   adds everybody's part; nobody returns before everybody has called it
//   void meet()          returns when everybody's new p can be read
// The one thread with a monitor reports to it.
template <typename Team>
void iterate(const Size& size, const Fields& fields, Planes planes, long count, Team& team,
             Monitor* monitor) {
  for (long i = 0; i < count; ++i) {
    const double gosa = team.sum(sweep(size, fields, planes));
    copy_back(size, fields, planes);
    team.meet();
    if (monitor != nullptr) monitor->iteration(gosa);
  }
}

// What a version of the program supplies. Every process of a parallel one makes the same calls.
class Version {
 public:
  virtual ~Version() = default;
  // `count` iterations; `monitor` is null in processes that do not speak.
  virtual void run(long count, Monitor* monitor) = 0;
  // The value that the speaking process has.
  virtual long agree(long value) { return value; }
  // The whole of p, on the process that speaks; null elsewhere. Valid while the version lives.
  virtual const float* gather() = 0;
  // Members of the result's JSON that only this version has; what it says counts where it speaks.
  virtual nlohmann::json details() { return nlohmann::json::object(); }
};

// A sequential run, to compare with.
class Sequential : public Version {
 public:
  explicit Sequential(const Size& size)
      : size_(size), fields_(memory_.add_all(size, {0, size.planes})) {
    initialise_all(size_, fields_, {0, size_.planes});
  }
  void run(long count, Monitor* monitor) override {
    struct Alone {
      double sum(double value) { return value; }
      void meet() {}
    } alone;
    iterate(size_, fields_, share_of(size_, 0, 1).interior, count, alone, monitor);
  }
  const float* gather() override { return fields_[p].data; }

 private:
  Size size_;
  PrivateArrays memory_;
  Fields fields_;
};

inline Comparison compare_with_sequential(const Size& size, long iterations, const float* mine) {
  Sequential sequential(size);
  sequential.run(iterations, nullptr);
  const float* expected = sequential.gather();
  Comparison comparison;
  comparison.points = size.points();
  for (std::size_t i = 0; i < comparison.points; ++i) {
    if (std::memcmp(&mine[i], &expected[i], sizeof(float)) == 0)
      continue;  // the bits, also of zeros and NaNs
    if (comparison.different++ == 0) comparison.first = i;
  }
  return comparison;
}

inline void timed_run(Version& version, long count, Monitor* monitor) {
  if (monitor != nullptr) monitor->begin(count);
  version.run(count, monitor);
  if (monitor != nullptr) monitor->end();
}

// Runs `version` to the end and reports. `result` arrives with the words for the version; `speaks`
// in exactly one process. Returns the status to exit with: non-zero, in the process that speaks,
// when something that was verified is wrong.
inline int run(Version& version, const Options& options, Result result, bool speaks) {
  constexpr long calibration_iterations = 3;
  Monitor own_monitor(options);
  Monitor* monitor = speaks ? &own_monitor : nullptr;

  long count = options.iterations;
  if (count == 0) {
    // The fastest of the three counts: the first one also meets cold caches and absent pages.
    timed_run(version, calibration_iterations, monitor);
    if (speaks) count = std::lround(std::ceil(options.seconds / own_monitor.fastest_seconds()));
    count = version.agree(count);
  }
  timed_run(version, count, monitor);

  const nlohmann::json details = version.details();
  const float* p = options.verify ? version.gather() : nullptr;
  if (!speaks) return 0;
  result.iterations = count;
  result.seconds = own_monitor.elapsed_seconds();
  result.monitor = monitor;
  if (p != nullptr)
    result.comparison = compare_with_sequential(options.size, own_monitor.done(), p);
  if (!options.quiet) print(result, options);
  const bool written = options.json.empty() || write_json(result, options, details);
  if (options.quiet && result.failed())
    std::fprintf(stderr, "himeno: the result is wrong: run without --quiet to see where\n");
  return result.failed() || !written ? 1 : 0;
}

}  // namespace himeno
