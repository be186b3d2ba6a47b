// Names of transports and adapters, and what is said to a wrong one.
#include <cstdlib>

#include "job.hpp"
#include "transport/faulty.hpp"
#include "transport/loopback.hpp"
#include "transport/traced.hpp"

namespace dsm::transport {
namespace {

TEST(Registry, AnUnknownNameListsWhatThereIs) {
  const auto chosen = choose("carrier-pigeon");
  ASSERT_FALSE(chosen.ok());
  EXPECT_EQ(chosen.status().code(), Code::invalid);
  EXPECT_NE(chosen.status().message().find("'carrier-pigeon'"), std::string::npos);
  for (const Backend* row : backends())
    EXPECT_NE(chosen.status().message().find(row->name), std::string::npos) << row->name;
}

TEST(Registry, EveryUsableRowIsChosenByItsName) {
  ASSERT_FALSE(backends().empty());
  for (const Backend* row : backends()) {
    const auto chosen = choose(row->name);
    ASSERT_EQ(chosen.ok(), row->usable().ok());
    if (chosen.ok()) {
      EXPECT_EQ(chosen.value(), row);
    }
  }
}

TEST(Registry, AdaptersWrapAndAWrongOneIsNamed) {
  const Options options{.self = NodeId(0), .nodes = 1, .job_key = job_key};
  const auto good = open("loopback+faulty+traced", options);
  ASSERT_TRUE(good.ok()) << good.status().message();
  EXPECT_STREQ(good.value()->caps().name, "loopback");
  EXPECT_NE(dynamic_cast<Traced*>(good.value().get()), nullptr);
  const auto bad = open("loopback+fault", options);
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.status().message().find("'fault'"), std::string::npos);
  EXPECT_NE(bad.status().message().find("faulty, traced"), std::string::npos);
  EXPECT_FALSE(open("loopback", {.self = NodeId(1), .nodes = 1}).ok());
  EXPECT_FALSE(open("loopback", {.self = NodeId(0), .nodes = 0}).ok());
  EXPECT_FALSE(open("loopback", {.self = NodeId(0), .nodes = 2}).ok());
}

TEST(Faults, AreParsed) {
  const auto faults =
      Faults::parse("seed=9,delay=0.5,reorder=0,would_block=0.25,ordered=no,cut=3@77");
  ASSERT_TRUE(faults.ok());
  EXPECT_EQ(faults.value().seed, 9u);
  EXPECT_EQ(faults.value().delay, 0.5);
  EXPECT_EQ(faults.value().reorder, 0);
  EXPECT_EQ(faults.value().would_block, 0.25);
  EXPECT_FALSE(faults.value().ordered);
  EXPECT_EQ(faults.value().cut, NodeId(3));
  EXPECT_EQ(faults.value().cut_at, 77u);
  EXPECT_TRUE(Faults::parse("").ok());
}

TEST(Faults, AMalformedPartIsNamedWithItsLegalValues) {
  for (const char* part :
       {"sed=1", "delay=2", "delay=", "delay", "reorder=-0.1", "would_block=1",
        "ordered=", "ordered=maybe", "cut=1", "cut=@3", "cut=1@", "cut=1@2x", "=", "seed=1x"}) {
    const auto faults = Faults::parse(std::string("seed=1,") + part + ",delay=0.1");
    ASSERT_FALSE(faults.ok()) << part;
    EXPECT_NE(faults.status().message().find("'" + std::string(part) + "'"), std::string::npos)
        << faults.status().message();
    EXPECT_NE(faults.status().message().find("0 to 0.9"), std::string::npos);
  }
}

// A cut by faulty looks like a death, at the chosen event.
TEST(Faults, ACutNodeIsDownForTheOthers) {
  LoopbackFabric fabric(2);
  const Faults faults{
      .seed = 1, .delay = 0, .reorder = 0, .would_block = 0, .cut = NodeId(1), .cut_at = 5};
  Node zero(std::make_unique<Faulty>(fabric.endpoint(NodeId(0)), faults, NodeId(0), 2), 4096);
  Node one(std::make_unique<Faulty>(fabric.endpoint(NodeId(1)), faults, NodeId(1), 2), 4096);
  for (int i = 0; i < 10; ++i) {
    one.send(NodeId(0), std::to_string(i));
    zero.poll();
  }
  zero.poll();
  ASSERT_EQ(zero.arrived.size(), 6u);
  EXPECT_EQ(zero.arrived.back().kind, Event::Kind::peer_down);
  EXPECT_EQ(zero.wire->send(NodeId(1), {}).code(), Code::peer_lost);
  EXPECT_TRUE(one.wire->send(NodeId(0), {}).ok()) << "the cut node itself notices nothing";
}

// ordered=no: a wire that says that it promises no order, and keeps none; but loses nothing.
TEST(Faults, OperationsOvertakeOneAnotherWhereNoOrderIsPromised) {
  LoopbackFabric fabric(2);
  const Faults faults{.seed = 1, .delay = 0.2, .reorder = 0.5, .would_block = 0, .ordered = false};
  Node zero(std::make_unique<Faulty>(fabric.endpoint(NodeId(0)), faults, NodeId(0), 2), 4096);
  Node one(std::make_unique<Faulty>(fabric.endpoint(NodeId(1)), faults, NodeId(1), 2), 4096);
  EXPECT_FALSE(zero.wire->caps().ordered);
  const auto key = one.wire->expose(one.memory.span(), one.memory.fd(), 0);
  ASSERT_TRUE(key.ok());
  const auto memory = zero.wire->import_memory(NodeId(1), key.value());
  ASSERT_TRUE(memory.ok());
  constexpr std::uint64_t count = 200;
  std::vector<std::uint64_t> values(count);
  std::vector<std::uint64_t> completed;
  std::uint64_t last_won = 0;
  for (std::uint64_t i = 0; i < count; i += 2) {
    for (const std::uint64_t n : {i, i + 1}) {
      values[n] = n + 1;
      Operation write;
      write.kind = Operation::Kind::write;
      write.memory = memory.value();
      write.local = &values[n];
      write.size = 8;
      write.cookie = n + 1;
      zero.post(NodeId(1), write);
    }
    Arrived arrived;
    for (int n = 0; n < 2; ++n) {
      ASSERT_TRUE(zero.next(arrived));
      EXPECT_EQ(arrived.code, Code::ok);
      completed.push_back(arrived.cookie);
    }
    last_won += *one.memory.word(0) == i + 2 ? 1 : 0;
  }
  EXPECT_GT(last_won, 0u);
  EXPECT_LT(last_won, count / 2) << "no write was ever overtaken";
  std::sort(completed.begin(), completed.end());
  for (std::uint64_t n = 0; n < count; ++n) EXPECT_EQ(completed[n], n + 1);
}

TEST(Tracing, CountsWhatPasses) {
  LoopbackFabric fabric(1);
  auto traced = std::make_unique<Traced>(fabric.endpoint(NodeId(0)), NodeId(0));
  Traced& trace = *traced;
  Node node(std::move(traced), 4096);
  node.send(NodeId(0), "12345", "678");
  Arrived arrived;
  ASSERT_TRUE(node.next(arrived));
  EXPECT_EQ(trace.count(Traced::What::send).times, 1u);
  EXPECT_EQ(trace.count(Traced::What::send).bytes, 8u);
  EXPECT_EQ(trace.count(Traced::What::message).bytes, 8u);
  EXPECT_EQ(trace.count(Traced::What::peer_down).times, 0u);
  testing::internal::CaptureStderr();
  trace.report();
  const std::string report = testing::internal::GetCapturedStderr();
  EXPECT_NE(report.find("send: 1, 8 bytes"), std::string::npos) << report;
}

}  // namespace
}  // namespace dsm::transport
