// Messages: whole, exactly once, of any size, from any thread, to anyone including oneself.
#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "wires.hpp"

namespace dsm::transport {
namespace {

class Messages : public Conformance {};
DSM_OVER_ALL_WIRES(Messages);

TEST_P(Messages, AllToAllExactlyOnceForOneToFiveNodes) {
  for (std::uint32_t n = 1; n <= 5; ++n) {
    Job job(GetParam(), n);
    constexpr int rounds = 20;
    for (int round = 0; round < rounds; ++round)
      for (std::uint32_t i = 0; i < n; ++i)
        for (std::uint32_t j = 0; j < n; ++j)
          job.send(i, NodeId(j), std::to_string(i) + ">" + std::to_string(j) + "#",
                   std::to_string(round));
    const std::size_t each = std::size_t{n} * rounds;
    ASSERT_TRUE(job.pump([&] {
      for (std::uint32_t i = 0; i < n; ++i)
        if (job[i].arrived.size() < each) return false;
      return true;
    }));
    for (std::uint32_t j = 0; j < n; ++j) {
      std::set<std::string> seen;
      for (const Arrived& a : job[j].arrived) {
        ASSERT_EQ(a.kind, Event::Kind::message);
        ASSERT_EQ(a.bytes.substr(0, a.bytes.find('#')),
                  std::to_string(a.peer.value) + ">" + std::to_string(j));
        ASSERT_TRUE(seen.insert(a.bytes).second) << a.bytes << " came twice";
      }
      ASSERT_EQ(seen.size(), each);
    }
  }
}

TEST_P(Messages, EverySizeUpToTheLargest) {
  Job job(GetParam(), 2);
  const std::size_t largest =
      std::min<std::size_t>(job[0].wire->caps().message_max, std::size_t{64} << 20);
  ASSERT_GE(largest, std::size_t{64} << 20);
  std::vector<std::size_t> sizes{0,     1,     7,     8,     9,      63,     64,     65,
                                 4095,  4096,  4097,  16383, 16384,  16385,  65519,  65520,
                                 65528, 65535, 65536, 65537, 262143, 262144, 262145, 1000003};
  // Adapters pass bytes through: the largest go over the plain wire only, which is slow enough.
  if (*GetParam().adapters == '\0') sizes.insert(sizes.end(), {largest - 1, largest});
  for (const NodeId to : {NodeId(1), NodeId(0)}) {
    for (const std::size_t size : sizes) {
      const std::string text = pattern(size, size + to.value);
      // The cut between header and body falls anywhere.
      const std::size_t cut = size / 3;
      job.send(0, to, std::string_view(text).substr(0, cut), std::string_view(text).substr(cut));
      Node& receiver = job[to.value];
      ASSERT_TRUE(job.pump([&] { return !receiver.arrived.empty(); }))
          << size << " bytes never came";
      ASSERT_EQ(receiver.arrived.front().bytes.size(), size);
      ASSERT_TRUE(receiver.arrived.front().bytes == text) << "of " << size << " bytes some differ";
      receiver.arrived.pop_front();
    }
  }
}

// To all others, or to all but one, from everybody.
TEST_P(Messages, LettersThatAreSentTogetherComeOnce) {
  for (const std::uint32_t n : {2u, 4u}) {
    Job job(GetParam(), n);
    constexpr std::size_t rounds = 20;
    std::vector<std::set<std::string>> expected(n);
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::uint32_t from = 0; from < n; ++from) {
        std::deque<std::string> texts;
        std::vector<Letter> letters;
        for (std::uint32_t to = 0; to < n; ++to) {
          if (to == from || (n > 2 && to == round % n)) continue;
          texts.push_back(std::to_string(from) + "#" + std::to_string(round) +
                          pattern(round * 97, to));
          expected[to].insert(texts.back());
          letters.push_back({.to = NodeId(to), .message = std::as_bytes(std::span(texts.back()))});
        }
        for (const double end = now_seconds() + 20; !letters.empty() && now_seconds() < end;) {
          job[from].wire->send_each(letters);
          std::erase_if(letters, [](const Letter& each) { return each.code == Code::ok; });
          for (const Letter& each : letters) ASSERT_EQ(each.code, Code::would_block);
          for (std::uint32_t i = 0; i < n; ++i) job[i].poll();
        }
        ASSERT_TRUE(letters.empty());
      }
    }
    ASSERT_TRUE(job.pump([&] {
      for (std::uint32_t i = 0; i < n; ++i)
        if (job[i].arrived.size() < expected[i].size()) return false;
      return true;
    }));
    for (std::uint32_t i = 0; i < n; ++i) {
      ASSERT_EQ(job[i].arrived.size(), expected[i].size());
      for (const Arrived& each : job[i].arrived)
        ASSERT_EQ(expected[i].erase(each.bytes), 1u) << "came twice, or altered";
    }
  }
}

TEST_P(Messages, AboveTheLargestIsRefused) {
  Job job(GetParam(), 2);
  const std::size_t most = job[0].wire->caps().message_max;
  // Sizes only: a view of that many bytes is never read.
  const Memory big(4096);
  const Status refused =
      job[0].wire->send(NodeId(1), ByteView(big.data(), most), ByteView(big.data(), 1));
  if (GetParam().faulty() && refused.code() == Code::would_block) return;
  EXPECT_EQ(refused.code(), Code::too_large);
  EXPECT_FALSE(refused.message().empty());
}

TEST_P(Messages, ConcurrentSendersLoseAndMixNothing) {
  Job job(GetParam(), 2);
  constexpr int threads_each = 3;
  constexpr int per_thread = 400;
  // A sender that is refused yields: the two receivers below poll.
  const auto send = [&](std::uint32_t from, int thread) {
    for (int i = 0; i < per_thread; ++i) {
      const std::string head = std::to_string(thread) + ":" + std::to_string(i) + ":";
      const std::string body = pattern(static_cast<std::size_t>((i * 37 + thread * 1001) % 9000),
                                       static_cast<std::uint64_t>(i));
      for (;;) {
        const Status sent = job[from].wire->send(NodeId(1 - from), std::as_bytes(std::span(head)),
                                                 std::as_bytes(std::span(body)));
        if (sent.ok()) break;
        ASSERT_EQ(sent.code(), Code::would_block) << sent.message();
        std::this_thread::yield();
      }
    }
  };
  std::vector<std::thread> threads;
  for (std::uint32_t from = 0; from < 2; ++from)
    for (int t = 0; t < threads_each; ++t) threads.emplace_back(send, from, t);
  const std::size_t expected = threads_each * per_thread;
  const bool all = job.pump(
      [&] { return job[0].arrived.size() == expected && job[1].arrived.size() == expected; }, 60);
  for (auto& thread : threads) thread.join();
  ASSERT_TRUE(all) << job[0].arrived.size() << " and " << job[1].arrived.size() << " of "
                   << expected;
  for (std::uint32_t to = 0; to < 2; ++to) {
    std::set<std::pair<int, int>> seen;
    for (const Arrived& a : job[to].arrived) {
      const std::size_t colon = a.bytes.find(':');
      const std::size_t second = a.bytes.find(':', colon + 1);
      const int thread = std::stoi(a.bytes.substr(0, colon));
      const int i = std::stoi(a.bytes.substr(colon + 1, second - colon - 1));
      ASSERT_TRUE(seen.insert({thread, i}).second);
      ASSERT_TRUE(a.bytes.substr(second + 1) ==
                  pattern(static_cast<std::size_t>((i * 37 + thread * 1001) % 9000),
                          static_cast<std::uint64_t>(i)));
    }
    ASSERT_EQ(seen.size(), expected);
  }
}

TEST_P(Messages, AFullWireSaysSoAndRecovers) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{5000}, std::size_t{300000}}) {
    Job job(GetParam(), 2);
    const std::string text = pattern(size, 1);
    std::size_t sent = 0;
    std::size_t refused = 0;
    // Nobody polls node 1: the wire must become full before it holds 1 GiB. A wrapper's refusals
    // are not the wire's.
    while (refused < 100 && sent * size < (std::size_t{1} << 30)) {
      const Status status = job[0].wire->send(NodeId(1), std::as_bytes(std::span(text)));
      if (status.ok()) {
        ++sent;
        refused = 0;
      } else {
        ASSERT_EQ(status.code(), Code::would_block) << status.message();
        ++refused;
      }
    }
    ASSERT_EQ(refused, 100u) << "the wire swallowed " << sent << " messages of " << size
                             << " bytes";
    std::size_t received = 0;
    const auto drain = [&] {
      for (; !job[1].arrived.empty(); job[1].arrived.pop_front(), ++received)
        if (job[1].arrived.front().bytes != text)
          ADD_FAILURE() << "message " << received << " differs";
      return received == sent;
    };
    ASSERT_TRUE(job.pump(drain, 60)) << received << " of " << sent << " messages of " << size;
    job.send(0, NodeId(1), text);
    ++sent;
    ASSERT_TRUE(job.pump(drain));
  }
}

TEST_P(Messages, BuffersStayUntilRecycledInAnyOrder) {
  Job job(GetParam(), 2);
  Transport& to = *job[1].wire;
  std::vector<Event> kept;
  std::map<std::size_t, std::string> texts;
  std::size_t sent = 0;
  std::uint64_t random = 5;
  for (int round = 0; round < 3000; ++round) {
    const std::string text =
        std::to_string(sent) + ":" + pattern(static_cast<std::size_t>(round * 131 % 3000), sent);
    if (job[0].wire->send(NodeId(1), std::as_bytes(std::span(text))).ok()) texts[sent++] = text;
    job[0].poll();
    Event events[4];
    for (const Event& e : std::span(events).first(to.poll(events))) kept.push_back(e);
    if (kept.size() < 12) continue;
    random = random * 6364136223846793005u + 1442695040888963407u;
    const std::size_t which = (random >> 33) % kept.size();
    const std::string got(reinterpret_cast<const char*>(kept[which].bytes.data()),
                          kept[which].bytes.size());
    const std::size_t number = std::stoul(got);
    ASSERT_TRUE(texts.contains(number)) << "message " << number << " came twice";
    ASSERT_TRUE(texts[number] == got);
    texts.erase(number);
    to.recycle(kept[which]);
    kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(which));
  }
  for (const Event& e : kept) to.recycle(e);
  EXPECT_GT(sent, 500u);
}

}  // namespace
}  // namespace dsm::transport
