// The last member is a stranger on the wire of the others, who are a job: it has their addresses
// and hears what they say, and has not the job's key. What it sends is dropped and counted, and the
// job goes on beside it.
//
// The queue key is no secret from who hears the wire, so the stranger's ports have it, except where
// a test is about just that.
#include <algorithm>

#include "open_channel.hpp"
#include "transport/packet.hpp"

namespace dsm::transport {
namespace {

constexpr std::size_t captured_max = 40;  // datagrams; they travel through the rendezvous

class StrangersOnUd : public Together {
 protected:
  StrangersOnUd() : nodes_(member().size() - 1), is_stranger_(member().self().value == nodes_) {}

  void SetUp() override { ASSERT_GE(nodes_, 2u) << "a stranger needs a job of two: three members"; }

  // Members: a job begins. The stranger: hears where.
  void begin(const VerbsOptions& options = {}) {
    if (!is_stranger_) mine_ = std::make_unique<OpenChannel>(nodes_, options);
    addresses_ = member().exchange(mine_ ? mine_->channel->address() : Bytes());
    addresses_.resize(nodes_);
    if (mine_) {
      const Status connected = mine_->channel->connect(addresses_);
      ASSERT_TRUE(connected.ok()) << connected.message();
      violations_before_ = key_violations();
    }
    meet();
  }

  // The job says some things, of which the stranger hears what node 1 says to node 0.
  std::vector<Bytes> overheard() {
    settle();
    if (member().self() == NodeId(1)) {
      mine_->port->recording = true;
      for (; extra_ < 20; ++extra_) mine_->send(NodeId(0), number_++, 200);
    }
    settle();
    Bytes packed;
    Writer writer(packed);
    if (member().self() == NodeId(1)) {
      mine_->port->recording = false;
      std::vector<Bytes>& recorded = mine_->port->recorded;
      recorded.resize(std::min(recorded.size(), captured_max));
      for (const Bytes& each : recorded) writer.put_sized(each);
    }
    const Bytes all = member().exchange(packed, polling())[1];
    std::vector<Bytes> datagrams;
    for (Reader reader(all); !reader.done();) {
      const ByteView each = reader.get_sized();
      datagrams.emplace_back(each.begin(), each.end());
    }
    EXPECT_GE(datagrams.size(), 20u);
    return datagrams;
  }

  // While the job talks: the stranger attacks. Then all that was said has arrived, once.
  void during_talk(const std::function<void()>& attack) {
    if (is_stranger_) {
      attack();
      member().meet();
    } else {
      member().meet([&] { talk(); });
      EXPECT_GT(said_, 0u);
    }
    settle();
  }

  void meet() { member().meet(polling()); }

  void end() {
    mine_.reset();
    number_ = 0;
    said_ = extra_ = 0;
  }

  // A port of the stranger's that reaches the job's nodes.
  std::unique_ptr<VerbsUd> port(std::string_view key) {
    const std::shared_ptr<const VerbsDevice> device = must(VerbsDevice::open(VerbsOptions()));
    auto made = must(VerbsUd::open(device, nodes_, key));
    std::vector<Bytes> targets;
    for (const Bytes& address : addresses_) targets.push_back(target(address, device->port().mtu));
    must(made->connect(targets));
    return made;
  }

  // The port's part of a channel's address, as if its datagrams might be so long.
  static Bytes target(const Bytes& address, std::uint32_t mtu) {
    Reader outer(address);
    const ByteView inner = outer.get_sized();
    Reader reader(inner);
    const auto magic = reader.get<std::uint32_t>();
    VerbsPort to = VerbsPort::decode(reader);
    const auto pair = reader.get<std::uint32_t>();
    const auto grouped = reader.get<std::uint8_t>();
    EXPECT_TRUE(reader.done());
    to.mtu = mtu;
    Bytes bytes;
    Writer writer(bytes);
    writer.put(magic);
    to.encode(writer);
    writer.put(pair);
    writer.put(grouped);
    return bytes;
  }

  // To every node of the job, slowly: what is counted must be what was sent, not what a ring took.
  void fling(VerbsUd& from, ByteView bytes) {
    for (NodeId to{0}; to.value < nodes_; ++to) {
      Status sent = Status::would_block();
      while (sent.code() == Code::would_block) sent = from.send(to, bytes, {});
      ASSERT_TRUE(sent.ok()) << sent.message();
    }
    if (++flung_ % 8 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }

  // Datagrams with another queue key that this node's device has dropped.
  std::uint32_t key_violations() {
    ibv_port_attr port{};
    const VerbsDevice& device = mine_->device();
    EXPECT_EQ(ibv_query_port(device.context(), device.port_number(), &port), 0);
    return port.qkey_viol_cntr;
  }
  std::uint32_t key_violations_before() const { return violations_before_; }

  bool is_stranger() const { return is_stranger_; }
  bool is_victim() const { return member().self() == NodeId(0); }  // of replays, above all
  OpenChannel& mine() { return *mine_; }
  const std::vector<Bytes>& addresses() const { return addresses_; }
  std::uint32_t nodes() const { return nodes_; }

 private:
  std::function<void()> polling() {
    if (!mine_) return {};
    return [this] { mine_->poll(); };
  }

  // One message to every other node.
  void talk() {
    for (NodeId to{0}; to.value < nodes_; ++to)
      if (to != member().self()) mine_->send(to, number_, (number_ * 37) % 3000);
    ++number_;
    ++said_;
    mine_->poll();
  }

  // Until all that was said has arrived everywhere.
  void settle() {
    std::array<std::uint64_t, 2> counts{said_, extra_};
    const std::vector<Bytes> all = member().exchange(std::as_bytes(std::span(counts)), polling());
    if (mine_) {
      std::size_t expected = 0;
      for (NodeId from{0}; from.value < nodes_; ++from) {
        if (from == member().self()) continue;
        std::memcpy(counts.data(), all[from.value].data(), sizeof counts);
        expected += counts[0] + (is_victim() ? counts[1] : 0);
      }
      EXPECT_TRUE(mine_->poll_until([&] { return mine_->book.entered() >= expected; }))
          << mine_->book.entered() << " messages of " << expected << " came";
      EXPECT_EQ(mine_->book.entered(), expected);
    }
    meet();
  }

  const std::uint32_t nodes_;
  const bool is_stranger_;
  std::unique_ptr<OpenChannel> mine_;
  std::vector<Bytes> addresses_;
  std::uint32_t violations_before_ = 0;
  std::uint32_t number_ = 0;
  std::uint64_t said_ = 0;   // to every other node
  std::uint64_t extra_ = 0;  // of node 1 to node 0
  std::uint64_t flung_ = 0;
};

std::string text_of(const Refused& refused) {
  return std::to_string(refused.truncated) + " truncated, " + std::to_string(refused.foreign) +
         " foreign, " + std::to_string(refused.stranger) + " of strangers, " +
         std::to_string(refused.forged) + " forged, " + std::to_string(refused.malformed) +
         " malformed";
}

TEST_F(StrangersOnUd, AWrongQueueKeyStopsAtTheDevice) {
  begin();
  during_talk([&] {
    const auto blind = port("a guess");
    const std::string text(200, 'x');
    for (int i = 0; i < 100; ++i) fling(*blind, OpenChannel::view(text));
  });
  if (!is_stranger()) {
    EXPECT_EQ(mine().channel->refused().sum(), 0u) << text_of(mine().channel->refused());
    EXPECT_GE(key_violations(), key_violations_before() + 50);
  }
  end();
}

TEST_F(StrangersOnUd, GarbageOfEverySizeIsDroppedAndCounted) {
  VerbsOptions options;
  options.mtu = 1024;  // the stranger's is the port's: some is longer than the job's slots
  begin(options);
  during_talk([&] {
    const auto knows = port(member().job_key());
    const std::size_t most = knows->payload_max(NodeId(0));
    for (std::size_t size = 0; size <= most; size += size < 70 ? 1 : 61)
      fling(*knows, OpenChannel::view(pattern(size, size)));
  });
  if (!is_stranger()) {
    const Refused refused = mine().channel->refused();
    EXPECT_GT(refused.truncated, 30u);  // 64 were sent
    EXPECT_LE(refused.truncated, 64u);
    EXPECT_GT(refused.foreign, 35u);  // 73 were sent, some longer than the job's MTU
    EXPECT_EQ(refused.malformed, 0u);
  }
  end();
}

TEST_F(StrangersOnUd, AlteredAndTruncatedDatagramsAreDroppedAndCounted) {
  begin();
  const std::vector<Bytes> heard = overheard();
  during_talk([&] {
    const auto knows = port(member().job_key());
    const Bytes& example =
        *std::max_element(heard.begin(), heard.end(),
                          [](const Bytes& a, const Bytes& b) { return a.size() < b.size(); });
    for (std::size_t at = 0; at < packet_header_bytes; ++at) {
      Bytes altered = example;
      altered[at] ^= std::byte{0x40};
      fling(*knows, altered);
    }
    for (std::size_t size = 0; size < example.size(); size += 3)
      fling(*knows, ByteView(example).first(size));
  });
  if (is_victim()) {
    const Refused refused = mine().channel->refused();
    EXPECT_GT(refused.forged, 30u);
    EXPECT_GT(refused.truncated, 10u);
    EXPECT_GT(refused.foreign + refused.stranger, 0u);
    EXPECT_EQ(refused.malformed, 0u);
  }
  end();
}

// The same bytes again: from the stranger, and, as a switch might do it, from where they came.
TEST_F(StrangersOnUd, ReplayedDatagramsAreKnown) {
  begin();
  const std::vector<Bytes> heard = overheard();
  const ReliableCounters before =
      is_victim() ? mine().channel->counters(NodeId(1)) : ReliableCounters();
  meet();
  if (member().self() == NodeId(1)) {
    for (const Bytes& each : heard) ASSERT_TRUE(mine().port->send(NodeId(0), each, {}).ok());
  }
  during_talk([&] {
    const auto knows = port(member().job_key());
    for (int round = 0; round < 5; ++round)
      for (const Bytes& each : heard) fling(*knows, each);
  });
  if (is_victim()) {
    const ReliableCounters now = mine().channel->counters(NodeId(1));
    EXPECT_GT(now.duplicate_packets - before.duplicate_packets, heard.size());
    EXPECT_EQ(mine().channel->refused().sum(), 0u);  // each was node 1's, once
  } else if (!is_stranger()) {
    EXPECT_GT(mine().channel->refused().sum(), 0u);  // they are for node 0 alone
  }
  end();
}

TEST_F(StrangersOnUd, DatagramsOfAnEarlierSessionAreForgeries) {
  begin();
  const std::vector<Bytes> heard = overheard();
  end();
  begin();
  during_talk([&] {
    const auto knows = port(member().job_key());
    for (int round = 0; round < 3; ++round)
      for (const Bytes& each : heard) fling(*knows, each);
  });
  if (is_victim()) {
    EXPECT_GT(mine().channel->refused().forged, heard.size());
    EXPECT_EQ(mine().channel->counters(NodeId(1)).duplicate_packets, 0u);
  }
  end();
}

// A whole node of another job that takes itself for node 1 of this one.
TEST_F(StrangersOnUd, ANodeOfAnotherJobNeverConnects) {
  begin();
  during_talk([&] {
    const std::shared_ptr<const VerbsDevice> device = must(VerbsDevice::open(VerbsOptions()));
    const auto channel = must(ReliableChannel::make(
        must(VerbsUd::open(device, nodes(), member().job_key())), {.wire = "verbs",
                                                                   .self = NodeId(1),
                                                                   .nodes = nodes(),
                                                                   .job_key = "another job",
                                                                   .connect_timeout_ms = 700}));
    const Status refused = channel->connect(addresses());
    EXPECT_EQ(refused.code(), Code::timed_out) << refused.message();
  });
  if (is_victim()) {
    EXPECT_GT(mine().channel->refused().forged, 0u);
  }
  end();
}

}  // namespace
}  // namespace dsm::transport
