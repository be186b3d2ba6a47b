#include "report.hpp"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

namespace himeno {
namespace {

constexpr double pentium3_mflops =
    82.84;  // the benchmark's unit of score: a Pentium III at 600 MHz
constexpr std::chrono::milliseconds progress_interval{200};

double mflops_of(const Size& size, double iterations, double seconds) {
  return seconds > 0 ? operations_per_point * size.interior_points() * iterations / seconds / 1e6
                     : 0;
}

double seconds_between(Monitor::Clock::time_point from, Monitor::Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Monitor::Monitor(const Options& options)
    : size_(options.size), progress_(!options.quiet && isatty(STDOUT_FILENO) != 0) {}

void Monitor::begin(long count) {
  begun_at_ = done_;
  target_ = done_ + count;
  fastest_ = 0;
  began_ = previous_ = Clock::now();
  next_progress_ = began_ + progress_interval;
}

void Monitor::iteration(double gosa) {
  ++done_;
  gosa_ = gosa;
  const Clock::time_point now = Clock::now();
  const double took = seconds_between(previous_, now);
  if (fastest_ == 0 || took < fastest_) fastest_ = took;
  previous_ = now;
  for (const Reference& reference : references) {
    if (reference.iteration == done_ && reference.size == size_.name)
      passed_.push_back({reference, gosa});
  }
  if (progress_ && now >= next_progress_) show_progress(now);
}

void Monitor::end() {
  elapsed_ = seconds_between(began_, Clock::now());
  if (progress_) std::fputs("\r\033[K", stdout);
}

void Monitor::show_progress(Clock::time_point now) {
  next_progress_ = now + progress_interval;
  std::printf("\r\033[Kiteration %ld of %ld, %.0f MFLOPS, gosa %.9e", done_, target_,
              mflops_of(size_, double(done_ - begun_at_), seconds_between(began_, now)), gosa_);
  std::fflush(stdout);
}

double Monitor::Passed::error() const {
  return std::abs(gosa - reference.gosa) / reference.gosa;
}

double Result::mflops(const Size& size) const {
  return mflops_of(size, double(iterations), seconds);
}

bool Result::failed() const {
  if (comparison && comparison->different != 0) return true;
  for (const Monitor::Passed& passed : monitor->passed()) {
    // Written so that a residual that is not a number fails.
    if (!(passed.error() <= reference_tolerance)) return true;
  }
  return false;
}

void print(const Result& result, const Options& options) {
  const Size& size = options.size;
  const Monitor& monitor = *result.monitor;
  std::printf("himeno %s, %d x %d x %d points, %s\n", size.name, size.planes, size.rows,
              size.columns, result.setting.c_str());
  std::printf("  %ld %s in %.3f s\n", result.iterations,
              result.iterations == 1 ? "iteration" : "iterations", result.seconds);
  const double mflops = result.mflops(size);
  std::printf("  %.1f MFLOPS, score %.2f (a Pentium III at 600 MHz is 1)\n", mflops,
              mflops / pentium3_mflops);
  std::printf("  gosa %.9e after iteration %ld\n", monitor.gosa(), monitor.done());

  for (const Monitor::Passed& passed : monitor.passed()) {
    std::printf(
        "  %s: gosa of iteration %d is %.9e, the table has %.9e, off by %.1e (allowed: %.0e)\n",
        passed.error() <= reference_tolerance ? "PASS" : "FAIL", passed.reference.iteration,
        passed.gosa, passed.reference.gosa, passed.error(), reference_tolerance);
  }
  if (result.comparison) {
    const Comparison& comparison = *result.comparison;
    if (comparison.different == 0) {
      std::printf("  PASS: p equals that of a sequential run, bit for bit (%zu points)\n",
                  comparison.points);
    } else {
      const std::size_t columns = static_cast<std::size_t>(size.columns);
      std::printf(
          "  FAIL: p differs from that of a sequential run at %zu of %zu points, first at (%zu, "
          "%zu, %zu)\n",
          comparison.different, comparison.points, comparison.first / size.plane(),
          comparison.first % size.plane() / columns, comparison.first % columns);
    }
  }
  if (!result.verified()) {
    std::printf("  not verified: the run passed no iteration of size %s whose residual is known\n",
                size.name);
  }
}

bool write_json(const Result& result, const Options& options, const nlohmann::json& extra) {
  const Monitor& monitor = *result.monitor;
  nlohmann::json json = {{"program", "himeno"},
                         {"version", result.version},
                         {"size", options.size.name},
                         {"nodes", result.nodes},
                         {"threads", result.threads},
                         {"iterations", result.iterations},
                         {"iterations_total", monitor.done()},
                         {"seconds", result.seconds},
                         {"mflops", result.mflops(options.size)},
                         {"score", result.mflops(options.size) / pentium3_mflops},
                         {"gosa", monitor.gosa()},
                         {"verified", result.verified()},
                         {"passed", result.verified() && !result.failed()}};
  json["residuals"] = nlohmann::json::array();
  for (const Monitor::Passed& passed : monitor.passed()) {
    json["residuals"].push_back({{"iteration", passed.reference.iteration},
                                 {"gosa", passed.gosa},
                                 {"expected", passed.reference.gosa},
                                 {"error", passed.error()}});
  }
  if (result.comparison) {
    json["comparison"] = {{"points", result.comparison->points},
                          {"different", result.comparison->different}};
  }
  json.update(extra);

  if (options.json == "-") {
    std::printf("%s\n", json.dump(2).c_str());
    return true;
  }
  errno = 0;
  std::ofstream file(options.json);
  file << json.dump(2) << '\n';
  file.close();
  if (file) return true;
  std::fprintf(stderr, "himeno: cannot write %s: %s\n", options.json.c_str(), std::strerror(errno));
  return false;
}

}  // namespace himeno
