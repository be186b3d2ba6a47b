// One-sided operations: exact to the byte, of any size and alignment, with their completions in
// order.
#include <fcntl.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "wires.hpp"

namespace dsm::transport {
namespace {

class OneSided : public Conformance {};
DSM_OVER_ALL_WIRES(OneSided);

Operation operation(Operation::Kind kind, Node& node, NodeId peer, std::uint64_t offset,
                    void* local, std::uint64_t size) {
  return {.kind = kind,
          .memory = node.memory_of[peer.value],
          .offset = offset,
          .local = local,
          .size = size};
}

TEST_P(OneSided, ReadsAndWritesOfEverySizeAndAlignment) {
  Job job(GetParam(), 2);
  for (const NodeId peer : {NodeId(1), NodeId(0)}) {
    Memory& memory = job[peer.value].memory;
    for (const std::size_t size : {0u, 1u, 2u, 3u, 7u, 8u, 9u, 15u, 16u, 31u, 64u, 100u, 1000u,
                                   4095u, 4096u, 4097u, 40960u, 70001u, 300000u}) {
      for (const std::size_t shift : {0u, 1u, 4u, 7u, 8u}) {
        std::string expected = pattern(job_memory, size + shift);
        std::memcpy(memory.data(), expected.data(), expected.size());
        const std::size_t at = 4096 + shift;
        std::string out = pattern(size, 77);
        ASSERT_EQ(
            job.run(0, peer, operation(Operation::Kind::write, job[0], peer, at, out.data(), size)),
            Code::ok);
        expected.replace(at, size, out);
        ASSERT_EQ(std::memcmp(memory.data(), expected.data(), expected.size()), 0)
            << size << " bytes at +" << shift;
        std::string in(size + 16, '#');
        ASSERT_EQ(
            job.run(0, peer,
                    operation(Operation::Kind::read, job[0], peer, at, in.data() + shift, size)),
            Code::ok);
        ASSERT_EQ(in.substr(shift, size), out);
        ASSERT_EQ(in.substr(0, shift) + in.substr(shift + size), std::string(16, '#'))
            << "bytes beside `local` changed";
      }
    }
  }
}

TEST_P(OneSided, TheWholeMemoryIsOneOperation) {
  Job job(GetParam(), 2, std::size_t{8} << 20);
  Memory& memory = job[1].memory;
  const std::string expected = pattern(memory.size(), 4);
  std::memcpy(memory.data(), expected.data(), expected.size());
  std::string in(memory.size(), '\0');
  ASSERT_EQ(job.run(0, NodeId(1),
                    operation(Operation::Kind::read, job[0], NodeId(1), 0, in.data(), in.size())),
            Code::ok);
  ASSERT_TRUE(in == expected);
  std::string out = pattern(memory.size(), 5);
  ASSERT_EQ(
      job.run(0, NodeId(1),
              operation(Operation::Kind::write, job[0], NodeId(1), 0, out.data(), out.size())),
      Code::ok);
  ASSERT_EQ(std::memcmp(memory.data(), out.data(), out.size()), 0);
}

// Also where a device held the frames, because a peer had reached them: it must not go on with
// those that went.
TEST_P(OneSided, DiscardedMemoryStartsAgainAsZeros) {
  constexpr std::size_t size = std::size_t{32} << 20;
  constexpr std::size_t from = (std::size_t{3} << 20) + 4096;
  constexpr std::size_t length = std::size_t{2} << 20;
  constexpr std::size_t reach = 20'000;
  Job job(GetParam(), 2, size);
  Node& owner = job[1];
  const std::string zeros(length, '\0');
  for (Cookie round = 1; round <= 4; ++round) {
    const std::string content = pattern(length + 8192, round);
    std::memcpy(owner.memory.data() + from - 4096, content.data(), content.size());
    for (const std::size_t at : {from - 4096, from + length - reach}) {
      std::string in(reach, '#');
      ASSERT_EQ(job.run(0, NodeId(1),
                        operation(Operation::Kind::read, job[0], NodeId(1), at, in.data(), reach)),
                Code::ok);
      ASSERT_TRUE(in == content.substr(at - from + 4096, reach)) << "round " << round;
    }
    const auto give_back = [&](std::span<std::byte> part) {
      ASSERT_EQ(::fallocate(owner.memory.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            part.data() - owner.memory.data(), static_cast<off_t>(part.size())),
                0);
    };
    if (!owner.wire->discard(owner.memory.span().subspan(from, length), give_back, round)) {
      ASSERT_TRUE(job.pump([&] { return !owner.arrived.empty(); }));
      EXPECT_EQ(owner.arrived.front().kind, Event::Kind::completion);
      EXPECT_EQ(owner.arrived.front().peer, NodeId(1));
      EXPECT_EQ(owner.arrived.front().cookie, round);
      owner.arrived.pop_front();
    }
    ASSERT_EQ(std::memcmp(owner.memory.data() + from, zeros.data(), length), 0);
    ASSERT_EQ(std::memcmp(owner.memory.data() + from - 4096, content.data(), 4096), 0);
    ASSERT_EQ(
        std::memcmp(owner.memory.data() + from + length, content.data() + 4096 + length, 4096), 0);
  }
  job.pump([&] { return !owner.arrived.empty(); }, 0.05);
  EXPECT_TRUE(owner.arrived.empty()) << "each is told once";
}

TEST_P(OneSided, BytesBesideAWriteBelongToOthers) {
  Job job(GetParam(), 2);
  Memory& memory = job[1].memory;
  // The home's thread counts in every second byte while node 0 writes those between: each must keep
  // its own.
  constexpr std::size_t bytes = 512;
  std::atomic<bool> stop{false};
  std::atomic<bool> lost{false};
  std::thread home([&] {
    for (unsigned value = 0; !stop.load(std::memory_order_relaxed); ++value) {
      for (std::size_t i = 0; i < bytes; i += 2) {
        std::atomic_ref<std::byte> mine(memory.data()[i]);
        if (value != 0 && mine.load(std::memory_order_relaxed) != static_cast<std::byte>(value - 1))
          lost = true;
        mine.store(static_cast<std::byte>(value), std::memory_order_relaxed);
      }
    }
  });
  std::vector<std::byte> source(bytes);
  std::vector<Operation> runs;
  for (int round = 0; round < 40; ++round) {
    for (std::size_t i = 1; i < bytes; i += 2) source[i] = static_cast<std::byte>(round);
    runs.clear();
    for (std::size_t i = 1; i < bytes; i += 2)
      runs.push_back(operation(Operation::Kind::write, job[0], NodeId(1), i, &source[i], 1));
    std::span<const Operation> rest(runs);
    while (!rest.empty()) {
      rest = rest.subspan(job[0].wire->post(NodeId(1), rest));
      for (std::uint32_t n = 0; n < 2; ++n) job[n].poll();
    }
    std::uint64_t word;
    ASSERT_EQ(
        job.run(0, NodeId(1), operation(Operation::Kind::read, job[0], NodeId(1), 0, &word, 8)),
        Code::ok);
    for (std::size_t i = 1; i < bytes; i += 2)
      ASSERT_EQ(std::atomic_ref<std::byte>(memory.data()[i]).load(), static_cast<std::byte>(round));
  }
  stop = true;
  home.join();
  EXPECT_FALSE(lost) << "a byte beside a WRITE was overwritten";
}

TEST_P(OneSided, CompletionsComeInPostedOrderWithTheirCookies) {
  Job job(GetParam(), 2);
  std::vector<std::uint64_t> sink(64);
  std::vector<Operation> batch;
  Cookie cookie = 0;
  for (int round = 0; round < 30; ++round) {
    batch.clear();
    for (std::size_t i = 0; i < 40; ++i) {
      Operation o = operation(i % 3 == 0 ? Operation::Kind::write : Operation::Kind::read, job[0],
                              NodeId(1), 8 * i, &sink[i], 8);
      if (i % 4 != 1) o.cookie = ++cookie;  // the rest asks for no completion
      batch.push_back(o);
    }
    std::span<const Operation> rest(batch);
    while (!rest.empty()) {
      rest = rest.subspan(job[0].wire->post(NodeId(1), rest));
      for (std::uint32_t n = 0; n < 2; ++n) job[n].poll();
    }
  }
  ASSERT_TRUE(job.pump([&] { return job[0].arrived.size() >= cookie; }));
  ASSERT_EQ(job[0].arrived.size(), cookie) << "a zero cookie completed";
  Cookie expected = 0;
  for (const Arrived& a : job[0].arrived) {
    ASSERT_EQ(a.kind, Event::Kind::completion);
    ASSERT_EQ(a.peer, NodeId(1));
    ASSERT_EQ(a.code, Code::ok);
    ASSERT_EQ(a.cookie, ++expected);
  }
}

TEST_P(OneSided, OutsideTheMemoryNothingHappens) {
  Job job(GetParam(), 2);
  const std::string before = pattern(job_memory, 9);
  for (std::uint32_t n = 0; n < 2; ++n)
    std::memcpy(job[n].memory.data(), before.data(), before.size());
  std::string local(200000, 'x');
  const std::uint64_t wraps = ~std::uint64_t{0} - 7;
  for (const NodeId peer : {NodeId(1), NodeId(0)}) {
    for (const auto kind : {Operation::Kind::read, Operation::Kind::write}) {
      for (const auto& [offset, size] :
           std::vector<std::pair<std::uint64_t, std::uint64_t>>{{job_memory, 1},
                                                                {job_memory - 7, 8},
                                                                {job_memory - 100, 200000},
                                                                {wraps, 16},
                                                                {wraps, 8},
                                                                {~std::uint64_t{0}, 0}}) {
        ASSERT_EQ(job.run(0, peer, operation(kind, job[0], peer, offset, local.data(), size)),
                  Code::invalid);
        ASSERT_EQ(std::memcmp(job[peer.value].memory.data(), before.data(), before.size()), 0);
        ASSERT_EQ(local, std::string(local.size(), 'x'));
      }
      ASSERT_EQ(job.run(0, peer, operation(kind, job[0], peer, job_memory, local.data(), 0)),
                Code::ok)
          << "an empty range at the end";
    }
    for (const auto kind : {Operation::Kind::fetch_add, Operation::Kind::compare_swap})
      for (const std::uint64_t offset :
           {std::uint64_t{4}, std::uint64_t{job_memory}, std::uint64_t{job_memory - 4}, wraps})
        ASSERT_EQ(job.run(0, peer, operation(kind, job[0], peer, offset, local.data(), 0)),
                  Code::invalid);
  }
  // A failure with a zero cookie is reported too.
  Operation silent =
      operation(Operation::Kind::write, job[0], NodeId(1), job_memory, local.data(), 1);
  while (job[0].wire->post(NodeId(1), std::span(&silent, 1)) == 0) job[0].poll();
  ASSERT_TRUE(job.pump([&] { return !job[0].arrived.empty(); }));
  EXPECT_EQ(job[0].arrived.front().code, Code::invalid);
  EXPECT_EQ(job[0].arrived.front().cookie, 0u);
}

TEST_P(OneSided, AtomicsAreAtomic) {
  Job job(GetParam(), 3);
  if (!job[0].wire->caps().atomics) GTEST_SKIP() << "no atomics on this wire";
  constexpr std::uint64_t rounds = 200;
  *job[1].memory.word(1) = 5;
  std::uint64_t seen = 0;
  Operation swap = operation(Operation::Kind::compare_swap, job[0], NodeId(1), 8, &seen, 0);
  swap.compare = 4;
  swap.operand = 9;
  ASSERT_EQ(job.run(0, NodeId(1), swap), Code::ok);
  EXPECT_EQ(seen, 5u);
  EXPECT_EQ(*job[1].memory.word(1), 5u);
  swap.compare = 5;
  ASSERT_EQ(job.run(0, NodeId(1), swap), Code::ok);
  EXPECT_EQ(seen, 5u);
  EXPECT_EQ(*job[1].memory.word(1), 9u);

  // All three nodes add to one word of node 1, its own processor included.
  std::vector<std::uint64_t> previous(3);
  std::vector<std::thread> adders;
  std::atomic<int> done{0};
  for (std::uint32_t n = 0; n < 3; ++n) {
    adders.emplace_back([&, n] {
      for (std::uint64_t i = 0; i < rounds; ++i) {
        Operation add =
            operation(Operation::Kind::fetch_add, job[n], NodeId(1), 0, &previous[n], 0);
        add.operand = 1;
        const std::uint64_t last = previous[n];
        ASSERT_EQ(job[n].run(NodeId(1), add), Code::ok);
        ASSERT_TRUE(i == 0 || previous[n] > last) << "a later fetch_add saw an older value";
        std::atomic_ref<std::uint64_t>(*job[n].memory.word(2)).fetch_add(1);
      }
      ++done;
      while (done < 3) {
        job[n].poll();
        std::this_thread::yield();
      }
    });
  }
  for (auto& adder : adders) adder.join();
  EXPECT_EQ(*job[1].memory.word(0), 3 * rounds);
}

TEST_P(OneSided, SeveralThreadsPostAtOnce) {
  Job job(GetParam(), 2);
  constexpr std::size_t threads_count = 3;
  constexpr std::uint64_t rounds = 300;
  std::vector<std::vector<std::uint64_t>> values(threads_count, std::vector<std::uint64_t>(rounds));
  std::vector<std::thread> posters;
  for (std::size_t t = 0; t < threads_count; ++t) {
    posters.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < rounds; ++i) {
        values[t][i] = t << 32 | i;
        Operation o = operation(Operation::Kind::write, job[0], NodeId(1), 8 * (t * rounds + i),
                                &values[t][i], 8);
        o.cookie = 1 + (t << 32 | i);
        while (job[0].wire->post(NodeId(1), std::span(&o, 1)) == 0) std::this_thread::yield();
      }
    });
  }
  const bool all = job.pump([&] { return job[0].arrived.size() == threads_count * rounds; });
  for (auto& poster : posters) poster.join();
  ASSERT_TRUE(all);
  std::vector<Cookie> last(threads_count, 0);
  for (const Arrived& a : job[0].arrived) {
    const std::size_t t = (a.cookie - 1) >> 32;
    ASSERT_GT(a.cookie, last[t]) << "completions of one thread changed places";
    last[t] = a.cookie;
  }
  for (std::size_t t = 0; t < threads_count; ++t)
    for (std::uint64_t i = 0; i < rounds; ++i)
      ASSERT_EQ(std::atomic_ref<std::uint64_t>(*job[1].memory.word(t * rounds + i)).load(),
                (t << 32 | i));
}

}  // namespace
}  // namespace dsm::transport
