// Benchmarks of the ranks of an MPI program (rounds.hpp). Start it by mpirun.
#pragma once

#include <mpi.h>

#include "rounds.hpp"

namespace bench {

struct Mpi {
  static int rank() {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
  }
  static int size() {
    int size = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    return size;
  }
  static void broadcast(int& value) { MPI_Bcast(&value, 1, MPI_INT, 0, MPI_COMM_WORLD); }
  static bench::Counts counts() { return {}; }
};
// The main() of such a program.
inline int run_ranks(int argc, char** argv, int (*run)(int, char**)) {
  MPI_Init(&argc, &argv);
  const int status = run(argc, argv);
  MPI_Finalize();
  return status;
}

}  // namespace bench
