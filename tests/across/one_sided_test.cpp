// One-sided operations between processes: exact to the byte, within what was exposed, indivisible,
// in posted order.
#include <poll.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "history.hpp"
#include "member.hpp"

namespace dsm::transport {
namespace {

class AcrossOneSided : public Across {
 protected:
  AcrossOneSided() : Across(memory_bytes) {}

  Operation operation(Operation::Kind kind, NodeId peer, std::uint64_t offset, void* local,
                      std::uint64_t size) {
    return {.kind = kind,
            .memory = node().memory_of[peer.value],
            .offset = offset,
            .local = local,
            .size = size};
  }
  bool memory_is(std::string_view expected) {
    return std::memcmp(node().memory.data(), expected.data(), expected.size()) == 0;
  }

  static constexpr std::size_t memory_bytes = std::size_t{8} << 20;
};

// Everybody writes into the next one's memory, which holds the sum against what it should be.
TEST_F(AcrossOneSided, ReadsAndWritesOfEverySizeAndAlignment) {
  std::string expected(job_memory, '\0');  // alike everywhere: all write the same
  for (const std::size_t size : {0u, 1u, 3u, 7u, 8u, 9u, 64u, 100u, 1000u, 1025u, 4095u, 4096u,
                                 4097u, 16385u, 70001u, 300000u}) {
    for (const std::size_t shift : {0u, 1u, 4u, 7u}) {
      const std::string out = pattern(size, 77 + size + shift);
      const std::size_t at = 4096 + shift;
      ASSERT_EQ(node().write(after(), at, out.data(), size), Code::ok);
      expected.replace(at, size, out);
      std::string in(size + 16, '#');
      ASSERT_EQ(node().read(after(), at, in.data() + shift, size), Code::ok);
      ASSERT_TRUE(in.substr(shift, size) == out) << size << " bytes at +" << shift;
      ASSERT_EQ(in.substr(0, shift) + in.substr(shift + size), std::string(16, '#'));
    }
  }
  meet();
  EXPECT_TRUE(memory_is(expected));
}

TEST_F(AcrossOneSided, TheWholeMemoryIsOneOperation) {
  const std::string out = pattern(memory_bytes, self().value);
  ASSERT_EQ(node().write(after(), 0, out.data(), out.size()), Code::ok);
  std::string in(memory_bytes, '\0');
  ASSERT_EQ(node().read(after(), 0, in.data(), in.size()), Code::ok);
  ASSERT_TRUE(in == out);
  meet();
  EXPECT_TRUE(memory_is(pattern(memory_bytes, before().value)));
}

// Of all members at once, from everybody.
TEST_F(AcrossOneSided, EverybodyReadsEverybody) {
  constexpr std::size_t pages = 64;
  constexpr std::size_t page = 4096;
  const std::string mine = pattern(pages * page, self().value);
  std::memcpy(node().memory.data(), mine.data(), mine.size());
  meet();
  std::vector<std::string> in(size(), std::string(pages * page, '\0'));
  for (std::size_t i = 0; i < pages; ++i)
    for (NodeId peer{0}; peer.value < size(); ++peer) {
      Operation read =
          operation(Operation::Kind::read, peer, i * page, in[peer.value].data() + i * page, page);
      read.cookie = 1 + i;
      node().post(peer, read);
    }
  std::size_t completed = 0;
  ASSERT_TRUE(poll_until([&] {
    for (; !node().arrived.empty(); node().arrived.pop_front(), ++completed)
      EXPECT_EQ(node().arrived.front().code, Code::ok);
    return completed == pages * size();
  })) << completed;
  for (NodeId peer{0}; peer.value < size(); ++peer)
    EXPECT_TRUE(in[peer.value] == pattern(pages * page, peer.value)) << "of node " << peer.value;
}

TEST_F(AcrossOneSided, CompletionsComeInPostedOrderWithTheirCookies) {
  std::vector<std::uint64_t> sink(64);
  Cookie cookie = 0;
  for (int round = 0; round < 10; ++round) {
    std::vector<Operation> batch;
    for (std::size_t i = 0; i < 40; ++i) {
      batch.push_back(operation(i % 3 == 0 ? Operation::Kind::write : Operation::Kind::read,
                                after(), 8 * i, &sink[i], 8));
      if (i % 4 != 1) batch.back().cookie = ++cookie;  // the rest asks for no completion
    }
    node().post(after(), batch);
  }
  ASSERT_TRUE(poll_until([&] { return node().arrived.size() >= cookie; }));
  Cookie expected = 0;
  for (const Arrived& a : node().arrived) {
    ASSERT_EQ(a.kind, Event::Kind::completion);
    ASSERT_EQ(a.code, Code::ok);
    ASSERT_EQ(a.cookie, ++expected);
  }
}

TEST_F(AcrossOneSided, OutsideTheMemoryNothingHappens) {
  const std::string before = pattern(memory_bytes, 9);
  std::memcpy(node().memory.data(), before.data(), before.size());
  meet();
  std::string local(200'000, 'x');
  constexpr std::uint64_t end = memory_bytes;
  constexpr std::uint64_t wraps = ~std::uint64_t{0} - 7;
  for (const auto kind : {Operation::Kind::read, Operation::Kind::write})
    for (const auto& [offset, bytes] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
             {end, 1}, {end - 7, 8}, {end - 100, 200'000}, {wraps, 16}, {wraps, 8}})
      EXPECT_EQ(node().run(after(), operation(kind, after(), offset, local.data(), bytes)),
                Code::invalid)
          << bytes << " bytes at " << offset;
  for (const auto kind : {Operation::Kind::fetch_add, Operation::Kind::compare_swap})
    for (const std::uint64_t offset : {std::uint64_t{4}, end, end - 4, wraps})
      EXPECT_EQ(node().run(after(), operation(kind, after(), offset, local.data(), 0)),
                Code::invalid);
  EXPECT_EQ(local, std::string(local.size(), 'x'));
  // And the wire goes on.
  std::uint64_t word = 0;
  EXPECT_EQ(node().read(after(), 8, &word, sizeof word), Code::ok);
  EXPECT_EQ(std::memcmp(&word, before.data() + 8, sizeof word), 0);
  meet();
  EXPECT_TRUE(memory_is(before));
}

// Everybody adds to, and takes turns at, words of member 0.
TEST_F(AcrossOneSided, AtomicsAreAtomic) {
  const Caps& caps = node().wire->caps();
  if (!caps.atomics) GTEST_SKIP() << "no atomics on this wire";
  constexpr std::uint64_t rounds = 60;
  constexpr std::uint64_t counter = 0;
  constexpr std::uint64_t swapped = 8;
  const NodeId home{0};
  // The home's own operations are its processor's, with which some devices' do not mix.
  const bool takes_part = self() != home || caps.atomic_with_processor;
  std::uint64_t previous = 0;
  std::uint64_t swaps = 0;
  for (std::uint64_t i = 0; takes_part && i < rounds; ++i) {
    Operation add = operation(Operation::Kind::fetch_add, home, counter, &previous, 0);
    add.operand = 1;
    const std::uint64_t last = previous;
    ASSERT_EQ(node().run(home, add), Code::ok);
    ASSERT_TRUE(i == 0 || previous > last) << "a later fetch_add saw an older value";
    std::uint64_t seen = 0;
    Operation swap = operation(Operation::Kind::compare_swap, home, swapped, &seen, 0);
    for (bool done = false; !done; swap.compare = seen) {
      swap.operand = swap.compare + 1;
      ASSERT_EQ(node().run(home, swap), Code::ok);
      done = seen == swap.compare;
    }
    ++swaps;
  }
  EXPECT_EQ(swaps, takes_part ? rounds : 0);
  meet();
  const std::uint64_t all = rounds * (size() - (caps.atomic_with_processor ? 0 : 1));
  for (const std::uint64_t word : {counter, swapped}) {
    std::uint64_t value = 0;
    ASSERT_EQ(node().read(home, word, &value, sizeof value), Code::ok);
    EXPECT_EQ(value, all);
  }
}

// Member 1 is the home and member 0 its reader, until they have met; others only poll.
TEST_F(AcrossOneSided, MarkThenReadAgainstStoreThenLook) {
  if (!node().wire->caps().ordered) GTEST_SKIP() << "no ordering promised";
  constexpr std::size_t tries = 1500;
  constexpr double patience_seconds = 20;
  const NodeId reader{0};
  const NodeId home{1};
  const auto hear = [&] {
    Arrived arrived;
    EXPECT_TRUE(node().next(arrived, 60)) << "the other side said nothing";
    return arrived.bytes;
  };
  if (self() == home) {
    do {
      forget_marks(node().memory);
      node().send(reader, "begin");
      std::atomic<bool> stop{false};
      std::vector<std::uint32_t> marks_seen;
      std::thread stores([&] { marks_seen = store_and_look(node().memory, tries, stop); });
      const std::string ended = hear();
      stop = true;
      stores.join();
      ASSERT_EQ(ended, "ended");
      const auto bytes = std::as_bytes(std::span(marks_seen));
      node().send(reader, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    } while (hear() == "again");
  }
  if (self() == reader) {
    std::size_t raced = 0;
    const double end = now_seconds() + patience_seconds;
    for (bool again = true; again;) {
      ASSERT_EQ(hear(), "begin");
      History history;
      history.values_read = mark_and_read(node(), home, tries, Reader::marks_then_reads);
      node().send(home, "ended");
      const std::string marks = hear();
      history.marks_seen.resize(marks.size() / sizeof(std::uint32_t));
      std::memcpy(history.marks_seen.data(), marks.data(), marks.size());
      ASSERT_EQ(history.stale(), 0u) << "of " << history.values_read.size() << " tries";
      raced += history.raced();
      again = raced == 0 && now_seconds() < end;
      node().send(home, again ? "again" : "done");
    }
    EXPECT_GT(raced, 0u) << "home and reader never met: the test proves nothing";
  }
}

// Behind a READ, a WRITE to the same place: the READ returns what was there before.
TEST_F(AcrossOneSided, AReadIsNotOvertakenByALaterWrite) {
  constexpr std::size_t bytes = 300'000;
  std::string in(bytes, '\0');
  std::string before(bytes, '\0');
  for (int round = 0; round < 8; ++round) {
    std::string after_it(bytes, static_cast<char>('b' + round));
    Operation both[2] = {operation(Operation::Kind::read, after(), 0, in.data(), bytes),
                         operation(Operation::Kind::write, after(), 0, after_it.data(), bytes)};
    both[1].cookie = 1;
    node().post(after(), both);
    ASSERT_TRUE(poll_until([&] { return !node().arrived.empty(); }));
    ASSERT_EQ(node().arrived.front().code, Code::ok);
    node().arrived.clear();
    ASSERT_TRUE(in == before) << "round " << round;
    before = after_it;
  }
}

// All but one sleep; operations on them are served all the same, and sleepers wake for their own
// completions.
TEST_F(AcrossOneSided, SleepersAreReadAndWritten) {
  constexpr int rounds = 40;
  *node().memory.word(0) = 1000 + self().value;
  meet();
  const auto poll_or_sleep = [&] {
    if (node().poll() != 0 || !node().wire->arm()) return true;
    pollfd one{.fd = node().wire->wait_fd(), .events = POLLIN, .revents = 0};
    return ::poll(&one, 1, 20'000) == 1;
  };
  if (self() == NodeId(0)) {
    for (int round = 0; round < rounds; ++round)
      for (NodeId peer{1}; peer.value < size(); ++peer) {
        std::uint64_t value = 0;
        Operation read = operation(Operation::Kind::read, peer, 0, &value, sizeof value);
        read.cookie = 1;
        node().post(peer, read);
        while (node().arrived.empty()) ASSERT_TRUE(poll_or_sleep()) << "not woken";
        node().arrived.clear();
        ASSERT_EQ(value, 1000 + peer.value);
      }
    for (NodeId peer{1}; peer.value < size(); ++peer) node().send(peer, "done");
  } else {
    while (node().arrived.empty()) ASSERT_TRUE(poll_or_sleep()) << "not woken";
    EXPECT_EQ(node().arrived.front().bytes, "done");
  }
}

}  // namespace
}  // namespace dsm::transport
