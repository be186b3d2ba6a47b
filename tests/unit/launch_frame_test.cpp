// What nodes and the rendezvous say: every message survives its coding, and a frame opens only
// where and when it should.
#include "dsm/launch/frame.hpp"

#include <gtest/gtest.h>

namespace dsm::launch {
namespace {

Bytes bytes(std::string_view text) {
  const auto view = std::as_bytes(std::span(text.data(), text.size()));
  return Bytes(view.begin(), view.end());
}

const std::vector<Message> samples = {
    Join{NodeId(3), 4, 1234, "host", {{"build", "abc"}, {"DSM_SPACE", "1024"}}},
    Publish{"address", bytes("10.0.0.1")},
    Publish{"", {}},
    Lookup{7, NodeId(2), "address"},
    Fence{1},
    Finish{},
    Abort{NodeId(2), Code::exhausted, "too little memory"},
    Abort{no_node, Code::timed_out, ""},
    Welcome{},
    Value{7, bytes("10.0.0.1")},
    FenceDone{1},
    Farewell{},
};

struct Pair {
  JobKey key = JobKey::random();
  Nonce a = random_nonce(), b = random_nonce();
  Session node{Side::node, key, a, b};
  Session server{Side::server, key, a, b};
};

TEST(Frame, EveryMessageSurvives) {
  for (const Message& message : samples) {
    const auto decoded = decode(encode(message));
    ASSERT_TRUE(decoded) << message.index();
    EXPECT_EQ(*decoded, message) << message.index();
  }
}

TEST(Frame, NothingMayFollowAMessage) {
  for (const Message& message : samples) {
    Bytes body = encode(message);
    body.push_back(std::byte{0});
    EXPECT_FALSE(decode(body)) << message.index();
  }
}

TEST(Frame, EveryTruncationIsAnError) {
  for (const Message& message : samples) {
    const Bytes body = encode(message);
    for (std::size_t size = 0; size < body.size(); ++size)
      EXPECT_FALSE(decode(ByteView(body).first(size)));
  }
}

TEST(Frame, LimitsHoldAtTheDecoder) {
  EXPECT_TRUE(decode(encode(Publish{std::string(name_bytes_max, 'k'), Bytes(value_bytes_max)})));
  EXPECT_FALSE(decode(encode(Publish{std::string(name_bytes_max + 1, 'k'), {}})));
  EXPECT_FALSE(decode(encode(Publish{"", Bytes(value_bytes_max + 1)})));
  EXPECT_FALSE(decode(encode(Abort{no_node, Code::invalid, std::string(text_bytes_max + 1, 'x')})));
  EXPECT_FALSE(decode(encode(Abort{no_node, Code::ok, "all is well"})));
  EXPECT_FALSE(decode(encode(Join{NodeId(0), 1, 1, "", Agreement(agreed_max + 1)})));
}

TEST(Session, OpensWhatTheOtherSideSealed) {
  Pair pair;
  Bytes stream;
  for (const Message& message : samples) {
    const Bytes frame = pair.node.out.seal(message);
    stream.insert(stream.end(), frame.begin(), frame.end());
  }
  for (const Message& message : samples) {
    auto opened = pair.server.in.open(stream, body_bytes_max);
    ASSERT_TRUE(opened.ok());
    ASSERT_TRUE(opened.value());
    EXPECT_EQ(*opened.value(), message);
  }
  EXPECT_TRUE(stream.empty());
}

TEST(Session, WaitsForTheRestByteByByte) {
  Pair pair;
  const Bytes frame = pair.server.out.seal(samples[0]);
  Bytes stream;
  for (std::size_t i = 0; i + 1 < frame.size(); ++i) {
    stream.push_back(frame[i]);
    const auto opened = pair.node.in.open(stream, body_bytes_max);
    ASSERT_TRUE(opened.ok());
    ASSERT_FALSE(opened.value());
  }
  stream.push_back(frame.back());
  const auto opened = pair.node.in.open(stream, body_bytes_max);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.value(), samples[0]);
}

TEST(Session, RefusesAnyChangedByte) {
  const Pair pair;
  const Bytes frame = Pair(pair).node.out.seal(Fence{9});
  for (std::size_t i = 0; i < frame.size(); ++i) {
    Bytes stream = frame;
    stream[i] ^= std::byte{1};
    Session server = pair.server;
    const auto opened = server.in.open(stream, body_bytes_max);
    // A changed size may ask for more bytes; nothing opens.
    EXPECT_FALSE(opened.ok() && opened.value()) << i;
    if (i >= sizeof(std::uint32_t)) {
      EXPECT_FALSE(opened.ok()) << i;
    }
  }
}

TEST(Session, RefusesAFrameThatIsRepeatedReorderedOrTurnedRound) {
  const Pair pair;
  Pair sender = pair;
  const Bytes first = sender.node.out.seal(Fence{1});
  const Bytes second = sender.node.out.seal(Fence{2});

  Session server = pair.server;
  Bytes stream = first;
  ASSERT_TRUE(server.in.open(stream, body_bytes_max).ok());
  stream = first;
  EXPECT_FALSE(server.in.open(stream, body_bytes_max).ok()) << "repeated";

  server = pair.server;
  stream = second;
  EXPECT_FALSE(server.in.open(stream, body_bytes_max).ok()) << "reordered";

  Session node = pair.node;
  stream = first;
  EXPECT_FALSE(node.in.open(stream, body_bytes_max).ok()) << "turned round";
}

TEST(Session, RefusesAnotherKeyAndAnotherConnection) {
  Pair pair;
  const Bytes frame = pair.node.out.seal(Finish{});
  Session other_key(Side::server, JobKey::random(), pair.a, pair.b);
  Session other_nonce(Side::server, pair.key, pair.a, random_nonce());
  Bytes stream = frame;
  EXPECT_FALSE(other_key.in.open(stream, body_bytes_max).ok());
  stream = frame;
  EXPECT_FALSE(other_nonce.in.open(stream, body_bytes_max).ok());
}

TEST(Session, RefusesATooLargeFrameBeforeItHasArrived) {
  Pair pair;
  Bytes stream;
  Writer(stream).put(static_cast<std::uint32_t>(join_bytes_max + 1));
  EXPECT_FALSE(pair.server.in.open(stream, join_bytes_max).ok());
}

TEST(Greeting, ProvesTheKeyBothWays) {
  const JobKey key = JobKey::random();
  const Nonce node = random_nonce(), server = random_nonce();
  const Bytes hello = encode_hello(node);
  ASSERT_EQ(hello.size(), hello_bytes);
  EXPECT_EQ(decode_hello(hello), node);

  const Bytes challenge = encode_challenge(key, node, server);
  ASSERT_EQ(challenge.size(), challenge_bytes);
  const auto decoded = decode_challenge(key, node, challenge);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded.value(), server);

  EXPECT_NE(
      decode_challenge(JobKey::random(), node, challenge).status().message().find("another key"),
      std::string::npos);
  EXPECT_FALSE(decode_challenge(key, random_nonce(), challenge).ok())
      << "an answer to somebody else's nonce";
  for (std::size_t i = 0; i < challenge.size(); ++i) {
    Bytes changed = challenge;
    changed[i] ^= std::byte{0x80};
    EXPECT_FALSE(decode_challenge(key, node, changed).ok()) << i;
  }
}

}  // namespace
}  // namespace dsm::launch
