// All members but one send to that one, as fast as they can: not one datagram finds its ring full,
// and nothing is sent twice. On a wire that loses nothing.
#include "open_channel.hpp"

namespace dsm::transport {
namespace {

class Flood : public Together {
 protected:
  // Of what member `rank` sent to member 0.
  struct Sent {
    std::uint64_t messages = 0;
    std::uint64_t packets = 0;
    std::uint64_t resent = 0;
  };

  void run(const VerbsOptions& options, std::chrono::milliseconds looks_away) {
    Member& me = member();
    const NodeId target{0};
    constexpr std::uint32_t each = 2000;
    OpenChannel mine(me.size(), options);
    const Status connected = mine.channel->connect(me.exchange(mine.channel->address()));
    ASSERT_TRUE(connected.ok()) << connected.message();
    const auto poll = [&] { mine.poll(); };
    me.meet(poll);

    Sent sent;
    if (me.self() == target) {
      std::this_thread::sleep_for(looks_away);
      const std::size_t all = std::size_t{each} * (me.size() - 1);
      EXPECT_TRUE(mine.poll_until([&] { return mine.book.entered() == all; }, 120))
          << mine.book.entered() << " of " << all;
    } else {
      for (std::uint32_t number = 0; number < each; ++number)
        mine.send(target, number, number % 16 == 0 ? 6000 : number % 200);
    }
    me.meet(poll);
    if (me.self() != target) {
      const ReliableCounters counters = mine.channel->counters(target);
      sent = {counters.messages_sent, counters.packets_sent, counters.pieces_resent};
    }
    const std::vector<Bytes> all =
        me.exchange({reinterpret_cast<const std::byte*>(&sent), sizeof sent}, poll);
    if (me.self() == target) judge(mine, all);
    me.meet(poll);
  }

 private:
  static void judge(OpenChannel& mine, const std::vector<Bytes>& all) {
    std::uint64_t messages = 0;
    std::uint64_t resent = 0;
    for (NodeId from{1}; from.value < all.size(); ++from) {
      Sent sent;
      ASSERT_EQ(all[from.value].size(), sizeof sent);
      std::memcpy(&sent, all[from.value].data(), sizeof sent);
      messages += sent.messages;
      resent += sent.resent;
      const auto received = [&] { return mine.channel->counters(from).packets_received; };
      mine.poll_until([&] { return received() >= sent.packets; }, 2);
      EXPECT_GE(received(), sent.packets) << "datagrams of node " << from.value << " were dropped";
    }
    EXPECT_GT(messages, 0u);
    EXPECT_LE(1000 * resent, messages) << resent << " pieces were sent again";
    std::printf("%llu messages, %llu pieces sent again\n",
                static_cast<unsigned long long>(messages), static_cast<unsigned long long>(resent));
  }
};

TEST_F(Flood, OverrunsNoRing) {
  run({}, std::chrono::milliseconds(0));
}

TEST_F(Flood, OverrunsNoRingThatNobodyReads) {
  run({}, std::chrono::milliseconds(400));
}

TEST_F(Flood, OverrunsNoShortRing) {
  VerbsOptions options;
  options.queue_depth = 24;
  run(options, std::chrono::milliseconds(100));
}

}  // namespace
}  // namespace dsm::transport
