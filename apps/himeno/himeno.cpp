// Himeno on one shared memory: nodes divide the planes, threads divide a node's. p is shared, so
// that a node reads its neighbours' planes at the cut by plain loads; each plane is homed at the
// node that computes it. The other thirteen arrays are never read by anyone else: they are private,
// or shared too on request.
#include <algorithm>
#include <barrier>
#include <cstdio>
#include <dsm/dsm.hpp>
#include <exception>
#include <span>
#include <thread>
#include <vector>

#include "run.hpp"

namespace himeno {
namespace {

// The threads of this node among those of all nodes.
class Nodes {
 public:
  explicit Nodes(int threads)
      : threads_(threads), here_(threads), everywhere_(threads), sums_(std::size_t(threads)) {}

  int threads() const { return threads_; }

  // How one thread sees the team. See iterate().
  class Member {
   public:
    Member(Nodes& nodes, int thread) : nodes_(nodes), thread_(thread) {}
    double sum(double value) { return nodes_.sum(value, thread_); }
    void meet() { nodes_.everywhere_.arrive_and_wait(); }

   private:
    Nodes& nodes_;
    int thread_;
  };

 private:
  struct alignas(64) Slot {
    double value = 0;
  };

  // The threads' parts in order of thread, then the nodes' in order of rank: the same bits
  // everywhere and in every run.
  double sum(double value, int thread) {
    if (threads_ == 1) return dsm::all_reduce(value);
    sums_[std::size_t(thread)].value = value;
    here_.arrive_and_wait();
    if (thread == 0) {
      double total = 0;
      for (const Slot& slot : sums_) total += slot.value;
      total_ = dsm::all_reduce(total);
    }
    here_.arrive_and_wait();
    return total_;
  }

  const int threads_;
  std::barrier<> here_;
  dsm::Barrier everywhere_;
  std::vector<Slot> sums_;
  double total_ = 0;
};

// By then every page has been met, and whatever adapts to how pages are used has done so.
constexpr long settled_iterations = 10;

// Of this node.
std::uint64_t traps() {
  const dsm::Statistics now = dsm::statistics();
  return now.read_faults + now.write_faults;
}

class SharedMemory : public Version {
 public:
  SharedMemory(const Size& size, int threads, bool share_all)
      : size_(size), share_all_(share_all), nodes_(threads) {
    for (int array = 0; array < arrays; ++array) {
      const bool shared = array == p || share_all;
      fields_[std::size_t(array)] =
          shared ? add_shared(array)
                 : memory_.add(size_, array, share_of(size_, dsm::rank(), dsm::size()).owned);
    }
    on_every_thread(
        [&](int thread) { initialise_all(size_, fields_, share_of_thread(thread).owned); });
    dsm::barrier();
  }

  ~SharedMemory() override {
    for (std::span<float> region : regions_) dsm::free(region);
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void run(long count, Monitor* monitor) override {
    dsm::barrier();
    const long unsettled = std::clamp(settled_iterations - done_, 0L, count);
    on_every_thread([&](int thread) {
      Nodes::Member member(nodes_, thread);
      const auto some = [&](long iterations) {
        iterate(size_, fields_, share_of_thread(thread).interior, iterations, member,
                thread == 0 ? monitor : nullptr);
      };
      some(unsettled);
      if (thread == 0 && done_ < settled_iterations) traps_before_ = traps();
      some(count - unsettled);
    });
    done_ += count;
    traps_after_ = traps();
  }

  long agree(long value) override {
    dsm::broadcast(value);
    return value;
  }

  const float* gather() override { return dsm::rank() == 0 ? fields_[p].data : nullptr; }

  nlohmann::json details() override {
    const std::uint64_t settled_traps = dsm::all_reduce(traps_after_ - traps_before_);
    return {{"transport", dsm::transport_name()},
            {"traps", dsm::trap_name()},
            {"share", share_all_ ? "all" : "p"},
            {"library", dsm::version()},
            {"settled_iterations", std::max(done_ - settled_iterations, 0L)},
            {"settled_traps", settled_traps}};
  }

 private:
  Share share_of_thread(int thread) const {
    return share_of(size_, dsm::rank() * nodes_.threads() + thread, dsm::size() * nodes_.threads());
  }

  // One array in shared memory, each plane at home with the node that owns it.
  Field add_shared(int array) {
    const std::size_t gap = stagger_bytes(array) / sizeof(float);
    std::vector<std::size_t> bytes;
    for (int node = 0; node < dsm::size(); ++node) {
      bytes.push_back(std::size_t(share_of(size_, node, dsm::size()).owned.count()) *
                      size_.plane() * sizeof(float));
    }
    bytes.front() += gap * sizeof(float);
    regions_.push_back(dsm::allocate<float>(size_.points() + gap, dsm::Placement::shares(bytes)));
    return {regions_.back().data() + gap, 0};
  }

  template <typename Work>
  void on_every_thread(const Work& work) {
    std::vector<std::jthread> others;
    for (int thread = 1; thread < nodes_.threads(); ++thread)
      others.emplace_back([&work, thread] { work(thread); });
    work(0);
  }

  Size size_;
  bool share_all_;
  Nodes nodes_;
  PrivateArrays memory_;
  std::vector<std::span<float>> regions_;
  Fields fields_;
  long done_ = 0;                   // iterations
  std::uint64_t traps_before_ = 0;  // of this node: up to the settled iterations, and to the last
  std::uint64_t traps_after_ = 0;
};

std::string setting(int threads, bool share_all) {
  const auto counted = [](int n, const char* word) {
    return std::to_string(n) + " " + word + (n == 1 ? "" : "s");
  };
  return counted(dsm::size(), "node") + " x " + counted(threads, "thread") + " over " +
         dsm::transport_name() + ", traps by " + dsm::trap_name() +
         (share_all ? ", all arrays shared" : ", p shared");
}

// With the job joined: its size is known, and only node 0 speaks.
int run_on_all(int argc, char** argv) {
  const bool speaks = dsm::rank() == 0;
  const Parsed parsed = parse(
      argc, argv,
      {.name = "himeno",
       .summary = "The Himeno benchmark on one shared memory. Start it on several nodes by dsmrun.",
       .has_threads = true,
       .has_share = true});
  if (!parsed.options) return parsed.print(speaks);
  const Options& options = *parsed.options;
  if (const std::string why = too_many_parts(options.size, dsm::size(), options.threads);
      !why.empty()) {
    if (speaks) std::fprintf(stderr, "himeno: %s\n", why.c_str());
    return 2;
  }
  SharedMemory version(options.size, options.threads, options.share_all);
  Result result;
  result.version = "dsm";
  result.nodes = dsm::size();
  result.threads = options.threads;
  result.setting = setting(options.threads, options.share_all);
  return run(version, options, result, speaks);
}

}  // namespace
}  // namespace himeno

int main(int argc, char** argv) try {
  dsm::Session session;
  try {
    return himeno::run_on_all(argc, argv);
  } catch (const std::exception& error) {
    // Not through ~Session: it would wait for the nodes that go on, while they wait for this one.
    std::fprintf(stderr, "himeno: %s\n", error.what());
    std::quick_exit(1);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "himeno: %s\n", error.what());
  return 1;
}
