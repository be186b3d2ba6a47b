// What it costs to go through 64 MiB of another node's memory, every word of them: in order and at
// random; into frames that this node had before (warm) and into new ones (cold). Beside it, in the
// same process, what this machine charges for moving as much: memcpy between touched buffers and
// into untouched memory, and a plain TCP stream on loopback between the same two nodes.
//
// An operation is a page. The last node is home to the memory, writes each page before every round,
// and waits in a barrier while node 0 reads.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cstdlib>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "nodes.hpp"

namespace {

constexpr std::size_t total_bytes = std::size_t{64} << 20;
constexpr std::size_t stream_block = std::size_t{128} << 10;  // as iperf3 does

using Memory = std::span<std::uint64_t>;
using Order = std::vector<std::uint32_t>;  // of pages

std::size_t words_of_page() {
  return dsm::page_size() / sizeof(std::uint64_t);
}

bool is_reader() {
  return dsm::rank() == 0;
}
bool is_home() {
  return dsm::rank() == dsm::size() - 1;
}

std::uint64_t sum(const std::uint64_t* page, std::size_t words) {
  std::array<std::uint64_t, 8> sums{};
  for (std::size_t i = 0; i < words; i += sums.size())
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += page[i + k];
  return std::accumulate(sums.begin(), sums.end(), std::uint64_t{0});
}

// The round's number is in every page, so that a copy of the round before is noticed.
double read_written(Memory memory, const Order& order) {
  static std::uint64_t round = 0;
  ++round;
  const std::size_t words = words_of_page();
  dsm::barrier();
  if (is_home())
    for (const std::uint32_t page : order) memory[page * words] = round + page;
  dsm::barrier();
  double seconds = 0;
  if (is_reader()) {
    std::uint64_t wanted = 0, found = 0;
    for (const std::uint32_t page : order) wanted += round + page;
    seconds = bench::timed([&] {
      for (const std::uint32_t page : order) found += sum(&memory[page * words], words);
    });
    if (found != wanted) throw dsm::Error("what was read is not what was written");
  }
  dsm::barrier();
  return seconds;
}

Memory allocate() {
  return dsm::allocate<std::uint64_t>(total_bytes / sizeof(std::uint64_t),
                                      dsm::Placement::on(dsm::size() - 1));
}

double read_cold(const Order& order) {
  const Memory memory = allocate();
  const double seconds = read_written(memory, order);
  dsm::free(memory);
  return seconds;
}

// ---- what the machine charges ----

class Buffer {
 public:
  Buffer()
      : memory_(::mmap(nullptr, total_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0)) {
    if (memory_ == MAP_FAILED) throw dsm::Error("no memory for a buffer of 64 MiB");
  }
  ~Buffer() { ::munmap(memory_, total_bytes); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  char* data() const { return static_cast<char*>(memory_); }
  void touch(int value) const { std::memset(memory_, value, total_bytes); }

 private:
  void* memory_;
};

double copy_touched() {
  if (!is_reader()) return 0;
  static const Buffer from, to;
  static bool touched = false;
  if (!std::exchange(touched, true)) from.touch(1), to.touch(2);
  return bench::timed([&] { std::memcpy(to.data(), from.data(), total_bytes); });
}

double copy_into_untouched() {
  if (!is_reader()) return 0;
  static const Buffer from;
  static bool touched = false;
  if (!std::exchange(touched, true)) from.touch(1);
  const Buffer to;
  return bench::timed([&] { std::memcpy(to.data(), from.data(), total_bytes); });
}

// Two ends of one connection on loopback, of the home and of the reader; made when first used.
class Stream {
 public:
  Stream() {
    int port = 0;
    int listener = -1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (is_home()) {
      listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      socklen_t size = sizeof address;
      auto* const any = reinterpret_cast<sockaddr*>(&address);
      if (listener >= 0 && ::bind(listener, any, size) == 0 && ::listen(listener, 1) == 0 &&
          ::getsockname(listener, any, &size) == 0)
        port = ntohs(address.sin_port);
    }
    dsm::broadcast(port, dsm::size() - 1);
    if (port == 0) throw dsm::Error("no socket on loopback");
    if (is_home()) {
      socket_ = ::accept(listener, nullptr, nullptr);
      ::close(listener);
    } else if (is_reader()) {
      socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      address.sin_port = htons(static_cast<std::uint16_t>(port));
      if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        throw dsm::Error("no connection on loopback");
    }
    const int on = 1;
    if (socket_ >= 0) ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Stream() {
    if (socket_ >= 0) ::close(socket_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  double transfer() {
    char go = 0;
    if (is_home()) {
      pass(&go, 1, ::recv);
      for (std::size_t left = total_bytes; left > 0; left -= stream_block)
        pass(block_.data(), stream_block, ::send);
      return 0;
    }
    if (!is_reader()) return 0;
    return bench::timed([&] {
      pass(&go, 1, ::send);
      for (std::size_t left = total_bytes; left > 0; left -= stream_block)
        pass(block_.data(), stream_block, ::recv);
    });
  }

 private:
  template <typename Call>
  void pass(char* at, std::size_t bytes, Call call) {
    while (bytes > 0) {
      const ssize_t done = call(socket_, at, bytes, MSG_NOSIGNAL);
      if (done <= 0) throw dsm::Error("the connection on loopback broke");
      at += done;
      bytes -= static_cast<std::size_t>(done);
    }
  }

  int socket_ = -1;
  std::vector<char> block_ = std::vector<char>(stream_block, 1);
};

void add_all(bench::Nodes& nodes) {
  if (dsm::size() < 2) throw dsm::Error("needs at least 2 nodes: start it by dsmrun -n 2");
  const std::size_t pages = total_bytes / dsm::page_size();
  Order in_order(pages);
  std::iota(in_order.begin(), in_order.end(), 0u);
  Order shuffled = in_order;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(1));
  const auto add = [&](const char* name, bench::Round round) {
    nodes.add(name, static_cast<int>(pages), std::move(round));
  };
  const Memory one = allocate(), other = allocate();
  add("fetch/sequential_warm", [=](int) { return read_written(one, in_order); });
  add("fetch/sequential_cold", [=](int) { return read_cold(in_order); });
  add("fetch/random_warm", [=](int) { return read_written(other, shuffled); });
  add("fetch/random_cold", [=](int) { return read_cold(shuffled); });
  add("floor/copy_touched", [](int) { return copy_touched(); });
  add("floor/copy_into_untouched", [](int) { return copy_into_untouched(); });
  const auto stream = std::make_shared<Stream>();
  add("floor/tcp_stream", [=](int) { return stream->transfer(); });
}

}  // namespace

int main(int argc, char** argv) {
  ::setenv("DSM_PUSH", "0", 1);  // measured is what is asked for: nothing is to come unasked
  return bench::run_nodes(argc, argv, add_all);
}
