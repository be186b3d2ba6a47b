// The patterns of two processes by MPI's one-sided operations (patterns.hpp): a window that the
// other one reads. Start it by mpirun -n 2.
#include <cstdio>

#include "mpi_ranks.hpp"
#include "patterns.hpp"

namespace {

using bench::Mpi;

class Window {
 public:
  Window() {
    MPI_Win_allocate(bench::piece_bytes, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &own_, &window_);
    std::memset(own_, 1, bench::piece_bytes);
    MPI_Win_lock_all(0, window_);
    barrier();
  }
  ~Window() {
    MPI_Win_unlock_all(window_);
    MPI_Win_free(&window_);
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  std::byte* own() { return own_; }
  void get(void* into, std::size_t bytes) {
    const int count = static_cast<int>(bytes);
    MPI_Get(into, count, MPI_BYTE, other_, 0, count, MPI_BYTE, window_);
    MPI_Win_flush(other_, window_);
  }
  // What was stored before it can be read after it.
  void barrier() {
    MPI_Win_sync(window_);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Win_sync(window_);
  }

 private:
  int other_ = 1 - Mpi::rank();
  std::byte* own_ = nullptr;
  MPI_Win window_ = MPI_WIN_NULL;
};

int run(int argc, char** argv) {
  if (Mpi::size() != 2) {
    std::fprintf(stderr, "mpi_rma: needs two processes: start it by mpirun -n 2\n");
    return 2;
  }
  bench::Rounds<Mpi> ranks(argc, argv);
  Window window;
  bench::add_reads(ranks, "rma", window);
  bench::add_barrier(ranks, "rma", window);
  bench::add_memory_exchange(ranks, "rma", window);
  return ranks.run();
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_ranks(argc, argv, run);
}
