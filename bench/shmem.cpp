// The patterns of two processes by OpenSHMEM (patterns.hpp): memory that the other one reads. Start
// it by oshrun -n 2.
#include <shmem.h>

#include <cstdio>

#include "patterns.hpp"

namespace {

struct Pes {
  static inline int* command = nullptr;  // symmetric

  static int rank() { return shmem_my_pe(); }
  static void broadcast(int& value) {
    if (rank() == 0) *command = value;
    shmem_barrier_all();
    value = shmem_int_g(command, 0);
    shmem_barrier_all();
  }
  static bench::Counts counts() { return {}; }
};

class Symmetric {
 public:
  Symmetric() : own_(static_cast<std::byte*>(shmem_malloc(bench::piece_bytes))) {
    std::memset(own_, 1, bench::piece_bytes);
  }
  ~Symmetric() { shmem_free(own_); }
  Symmetric(const Symmetric&) = delete;
  Symmetric& operator=(const Symmetric&) = delete;

  std::byte* own() { return own_; }
  void get(void* into, std::size_t bytes) { shmem_getmem(into, own_, bytes, other_); }
  void barrier() { shmem_barrier_all(); }

 private:
  int other_ = 1 - Pes::rank();
  std::byte* own_;
};

int run(int argc, char** argv) {
  if (shmem_n_pes() != 2) {
    std::fprintf(stderr, "shmem: needs two processes: start it by oshrun -n 2\n");
    return 2;
  }
  Pes::command = static_cast<int*>(shmem_malloc(sizeof(int)));
  bench::Rounds<Pes> rounds(argc, argv);
  Symmetric memory;
  bench::add_reads(rounds, "shmem", memory);
  bench::add_barrier(rounds, "shmem", memory);
  bench::add_memory_exchange(rounds, "shmem", memory);
  return rounds.run();
}

}  // namespace

int main(int argc, char** argv) {
  shmem_init();
  const int status = run(argc, argv);
  std::fflush(stdout);
  shmem_barrier_all();
  // Not shmem_finalize(): that of Open MPI 4.1.4 in Debian 12 ends with a segmentation fault in
  // every program.
  shmem_global_exit(status);
}
