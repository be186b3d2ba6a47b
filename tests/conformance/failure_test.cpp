// A peer that ends, in one process: noticed once, after all that it sent; its operations complete
// with an error.
#include "wires.hpp"

namespace dsm::transport {
namespace {

class Failure : public Conformance {};
DSM_OVER_ALL_WIRES(Failure);
class LastWords : public Conformance {};
INSTANTIATE_TEST_SUITE_P(Wires, LastWords, testing::ValuesIn(lossless_wires()), wire_name);

std::size_t downs(const Node& node, NodeId peer) {
  std::size_t count = 0;
  for (const Arrived& a : node.arrived) count += a.kind == Event::Kind::peer_down && a.peer == peer;
  return count;
}

TEST_P(LastWords, APeerThatEndsIsReportedOnceBehindItsMessages) {
  Job job(GetParam(), 3);
  constexpr std::size_t messages = 20;
  for (std::size_t i = 0; i < messages; ++i) job[1].send(NodeId(0), std::to_string(i));
  for (int i = 0; i < 100; ++i) job[1].poll();  // a buffered rest goes out
  job.end(1);
  ASSERT_TRUE(
      job.pump([&] { return downs(job[0], NodeId(1)) == 1 && downs(job[2], NodeId(1)) == 1; }, 5));
  ASSERT_EQ(job[0].arrived.size(), messages + 1);
  EXPECT_EQ(job[0].arrived.back().kind, Event::Kind::peer_down);
  // The rest of the job goes on.
  job[0].send(NodeId(2), "still here");
  job[2].arrived.clear();
  ASSERT_TRUE(job.pump([&] { return !job[2].arrived.empty(); }));
  EXPECT_EQ(job[2].arrived.front().bytes, "still here");
  for (int i = 0; i < 3000; ++i) job[0].poll();
  EXPECT_EQ(downs(job[0], NodeId(1)), 1u);
}

TEST_P(Failure, ADeadPeerRefusesMessagesAndFailsOperations) {
  Job job(GetParam(), 2);
  job.end(1);
  ASSERT_TRUE(job.pump([&] { return downs(job[0], NodeId(1)) == 1; }, 5));
  job[0].arrived.clear();
  Status sent = Status::would_block();
  for (int i = 0; i < 100 && sent.code() == Code::would_block; ++i)
    sent = job[0].wire->send(NodeId(1), {});
  EXPECT_EQ(sent.code(), Code::peer_lost);
  std::uint64_t value = 0;
  const Operation o{
      .kind = Operation::Kind::read, .memory = job[0].memory_of[1], .local = &value, .size = 8};
  EXPECT_EQ(job.run(0, NodeId(1), o), Code::peer_lost);
}

TEST_P(Failure, OperationsOutstandingAtADeadPeerComplete) {
  Job job(GetParam(), 2);
  std::vector<std::uint64_t> values(100);
  std::size_t posted = 0;
  for (std::size_t i = 0; i < 2000 && posted < values.size(); ++i) {
    const Operation o{.kind = Operation::Kind::read,
                      .memory = job[0].memory_of[1],
                      .local = &values[posted],
                      .size = 8,
                      .cookie = 1 + posted};
    posted += job[0].wire->post(NodeId(1), std::span(&o, 1));  // node 1 does not poll
  }
  ASSERT_GT(posted, 0u);
  job.end(1);
  ASSERT_TRUE(job.pump([&] { return downs(job[0], NodeId(1)) == 1; }, 5));
  ASSERT_EQ(job[0].arrived.size(), posted + 1);
  EXPECT_EQ(job[0].arrived.back().kind, Event::Kind::peer_down)
      << "peer_down came before the completions";
  for (std::size_t i = 0; i < posted; ++i) {
    EXPECT_EQ(job[0].arrived[i].cookie, i + 1);
    const bool happened = job[0].arrived[i].code == Code::ok;
    EXPECT_TRUE(happened || job[0].arrived[i].code == Code::peer_lost);
    // Done by the poster at once, by a device in its time, or never.
    if (!GetParam().has_device()) {
      EXPECT_EQ(happened, job[0].wire->caps().one_sided);
    }
    if (i > 0 && happened) {
      EXPECT_EQ(job[0].arrived[i - 1].code, Code::ok) << "one before it did not happen";
    }
  }
}

}  // namespace
}  // namespace dsm::transport
