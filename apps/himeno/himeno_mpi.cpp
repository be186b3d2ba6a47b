// Himeno with MPI, to compare with: one process a rank, by planes; after each sweep neighbours
// exchange the planes at their cut. With more ranks than cores use `mpirun --oversubscribe`: Open
// MPI then yields while it waits.
#include <mpi.h>

#include <exception>
#include <vector>

#include "run.hpp"

namespace himeno {
namespace {

class Mpi : public Version {
 public:
  Mpi(const Size& size, int rank, int ranks)
      : size_(size), rank_(rank), ranks_(ranks), share_(share_of(size, rank, ranks)) {
    // Of p also the neighbours' planes at the cut.
    const Planes reach{std::max(share_.owned.first - 1, 0),
                       std::min(share_.owned.last + 1, size.planes)};
    for (int array = 0; array < arrays; ++array) {
      const Planes planes = array == p ? reach : share_.owned;
      fields_[array] = memory_.add(size, array, planes);
      initialise(size, Array(array), fields_[array], planes);
    }
  }

  void run(long count, Monitor* monitor) override {
    MPI_Barrier(MPI_COMM_WORLD);
    iterate(size_, fields_, share_.interior, count, *this, monitor);
  }

  double sum(double value) {
    double total = 0;
    MPI_Allreduce(&value, &total, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return total;
  }

  void meet() {
    const int below = rank_ == 0 ? MPI_PROC_NULL : rank_ - 1;
    const int above = rank_ == ranks_ - 1 ? MPI_PROC_NULL : rank_ + 1;
    exchange(share_.interior.first, below, share_.interior.last, above);
    exchange(share_.interior.last - 1, above, share_.interior.first - 1, below);
  }

  long agree(long value) override {
    MPI_Bcast(&value, 1, MPI_LONG, 0, MPI_COMM_WORLD);
    return value;
  }

  const float* gather() override {
    const auto floats = [&](int planes) {
      return static_cast<int>(static_cast<std::size_t>(planes) * size_.plane());
    };
    std::vector<int> counts;
    std::vector<int> starts;
    for (int rank = 0; rank < ranks_; ++rank) {
      const Planes owned = share_of(size_, rank, ranks_).owned;
      counts.push_back(floats(owned.count()));
      starts.push_back(floats(owned.first));
    }
    if (rank_ == 0) whole_.resize(size_.points());
    MPI_Gatherv(plane(share_.owned.first), counts[static_cast<std::size_t>(rank_)], MPI_FLOAT,
                whole_.data(), counts.data(), starts.data(), MPI_FLOAT, 0, MPI_COMM_WORLD);
    return rank_ == 0 ? whole_.data() : nullptr;
  }

 private:
  float* plane(int i) const {
    return fields_[p].data + static_cast<std::size_t>(i - fields_[p].first_plane) * size_.plane();
  }

  // Sends plane `sent` of p to one neighbour while plane `received` comes from the other.
  void exchange(int sent, int to, int received, int from) {
    const int count = static_cast<int>(size_.plane());
    MPI_Sendrecv(plane(sent), count, MPI_FLOAT, to, 0, plane(received), count, MPI_FLOAT, from, 0,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }

  Size size_;
  int rank_;
  int ranks_;
  Share share_;
  PrivateArrays memory_;
  Fields fields_;
  std::vector<float> whole_;
};

int run_on_all(int argc, char** argv) {
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const bool speaks = rank == 0;
  const Parsed parsed =
      parse(argc, argv, {.name = "himeno-mpi", .summary = "The Himeno benchmark with MPI."});
  if (!parsed.options) return parsed.print(speaks);
  const Options& options = *parsed.options;
  if (const std::string why = too_many_parts(options.size, ranks, 1); !why.empty()) {
    if (speaks) std::fprintf(stderr, "himeno-mpi: %s\n", why.c_str());
    return 2;
  }
  Mpi version(options.size, rank, ranks);
  Result result;
  result.version = "mpi";
  result.nodes = ranks;
  result.setting = "MPI, " + std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks");
  return run(version, options, result, speaks);
}

}  // namespace
}  // namespace himeno

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int status = 1;
  try {
    status = himeno::run_on_all(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "himeno-mpi: %s\n", error.what());
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  MPI_Finalize();
  return status;
}
