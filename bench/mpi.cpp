// MPI for comparison: what meeting costs (barrier.cpp and collective.cpp have the same names), and
// the patterns of two processes by messages (patterns.hpp). Start it by mpirun; the patterns want
// two ranks.
#include "mpi_ranks.hpp"
#include "patterns.hpp"

namespace {

constexpr int operations = 100;

using bench::Mpi;
using Ranks = bench::Rounds<Mpi>;

class Messages {
 public:
  void send(const void* data, std::size_t bytes) {
    MPI_Send(data, static_cast<int>(bytes), MPI_BYTE, other_, 0, MPI_COMM_WORLD);
  }
  void receive(void* data, std::size_t bytes) {
    MPI_Recv(data, static_cast<int>(bytes), MPI_BYTE, other_, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
  void swap(const void* mine, void* theirs, std::size_t bytes) {
    const int count = static_cast<int>(bytes);
    MPI_Sendrecv(mine, count, MPI_BYTE, other_, 0, theirs, count, MPI_BYTE, other_, 0,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
  void barrier() { MPI_Barrier(MPI_COMM_WORLD); }

 private:
  int other_ = 1 - Mpi::rank();
};

template <typename Call>
void add(Ranks& ranks, const char* name, Call call) {
  ranks.add(name, operations, [=](int times) mutable {
    return bench::timed([&] {
      for (int i = 0; i < times; ++i) call();
    });
  });
}

// In the sizes of collective.cpp.
void add_collectives(Ranks& ranks) {
  add(ranks, "barrier", [] { MPI_Barrier(MPI_COMM_WORLD); });
  add(ranks, "all_reduce", [] {
    const double mine = 1;
    double sum = 0;
    MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    benchmark::DoNotOptimize(sum);
  });
  add(ranks, "all_reduce_1024", [values = std::vector<double>(1024, 1e-9)]() mutable {
    MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE, MPI_SUM,
                  MPI_COMM_WORLD);
  });
  add(ranks, "broadcast", [value = std::uint64_t{1}]() mutable {
    MPI_Bcast(&value, sizeof value, MPI_BYTE, 0, MPI_COMM_WORLD);
  });
  add(ranks, "broadcast_64k", [values = std::vector<std::byte>(65536)]() mutable {
    MPI_Bcast(values.data(), static_cast<int>(values.size()), MPI_BYTE, 0, MPI_COMM_WORLD);
  });
  add(ranks, "all_gather", [values = std::vector<double>(std::size_t(Mpi::size()))]() mutable {
    const double mine = 1;
    MPI_Allgather(&mine, 1, MPI_DOUBLE, values.data(), 1, MPI_DOUBLE, MPI_COMM_WORLD);
  });
  add(ranks, "inclusive_scan", [] {
    const double mine = 1;
    double sum = 0;
    MPI_Scan(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    benchmark::DoNotOptimize(sum);
  });
}

int run(int argc, char** argv) {
  Ranks ranks(argc, argv);
  add_collectives(ranks);
  if (Mpi::size() != 2) return ranks.run();
  Messages messages;
  bench::add_messages(ranks, "mpi", messages);
  bench::add_barrier(ranks, "mpi", messages);
  return ranks.run();
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_ranks(argc, argv, run);
}
