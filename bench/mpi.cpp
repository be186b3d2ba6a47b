// What meeting costs under MPI, for comparison with barrier.cpp. Start it by mpirun.
#include <mpi.h>

#include "rounds.hpp"

namespace {

struct Mpi {
  static int rank() {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
  }
  static void broadcast(int& value) { MPI_Bcast(&value, 1, MPI_INT, 0, MPI_COMM_WORLD); }
  static bench::Counts counts() { return {}; }
};

void add_all(bench::Rounds<Mpi>& ranks) {
  constexpr int operations = 100;
  ranks.add("barrier", operations, [](int times) {
    return bench::timed([=] {
      for (int i = 0; i < times; ++i) MPI_Barrier(MPI_COMM_WORLD);
    });
  });
  ranks.add("all_reduce", operations, [](int times) {
    return bench::timed([=] {
      for (int i = 0; i < times; ++i) {
        const double mine = 1;
        double sum = 0;
        MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        benchmark::DoNotOptimize(sum);
      }
    });
  });
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  bench::Rounds<Mpi> ranks(argc, argv);
  add_all(ranks);
  const int status = ranks.run();
  MPI_Finalize();
  return status;
}
