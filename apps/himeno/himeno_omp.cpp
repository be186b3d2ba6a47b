// Himeno with OpenMP: the threads of one process, by planes.
#include <omp.h>

#include <exception>

#include "run.hpp"

namespace himeno {
namespace {

class OpenMp : public Version {
 public:
  OpenMp(const Size& size, int threads)
      : size_(size), threads_(threads), fields_(memory_.add_all(size, {0, size.planes})) {
#pragma omp parallel num_threads(threads_)
    initialise_all(size_, fields_, share_of(size_, omp_get_thread_num(), threads_).owned);
  }

  void run(long count, Monitor* monitor) override {
    double total[2] = {0, 0};
#pragma omp parallel num_threads(threads_)
    {
      const int me = omp_get_thread_num();
      Team team(total);
      iterate(size_, fields_, share_of(size_, me, threads_).interior, count, team,
              me == 0 ? monitor : nullptr);
    }
  }

  const float* gather() override {
    return fields_[p].data;
  }

 private:
  // Sums alternate between two places, so that one can be cleared while the other may still be
  // read.
  class Team {
   public:
    explicit Team(double* total) : total_(total) {}
    double sum(double value) {
      double& total = total_[turn_];
#pragma omp atomic
      total += value;
#pragma omp barrier
      const double result = total;
      turn_ ^= 1;
      return result;
    }
    void meet() {
#pragma omp single nowait
      total_[turn_] = 0;
#pragma omp barrier
    }

   private:
    double* total_;
    int turn_ = 0;
  };

  Size size_;
  int threads_;
  PrivateArrays memory_;
  Fields fields_;
};

}  // namespace
}  // namespace himeno

int main(int argc, char** argv) try {
  const himeno::Parsed parsed =
      himeno::parse(argc, argv,
                    {.name = "himeno-omp",
                     .summary = "The Himeno benchmark with OpenMP threads.",
                     .has_threads = true});
  if (!parsed.options) return parsed.print(true);
  const himeno::Options& options = *parsed.options;
  if (const std::string why = himeno::too_many_parts(options.size, 1, options.threads);
      !why.empty()) {
    std::fprintf(stderr, "himeno-omp: %s\n", why.c_str());
    return 2;
  }
  himeno::OpenMp version(options.size, options.threads);
  himeno::Result result;
  result.version = "openmp";
  result.threads = options.threads;
  result.setting = "OpenMP, " + std::to_string(options.threads) +
                   (options.threads == 1 ? " thread" : " threads");
  return himeno::run(version, options, result, true);
} catch (const std::exception& error) {
  std::fprintf(stderr, "himeno-omp: %s\n", error.what());
  return 1;
}
