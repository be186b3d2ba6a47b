// Any bytes are a message or an error: frames, greetings, variables, endpoints. Each seed is one
// round; a failure names it.
#include <gtest/gtest.h>

#include <random>

#include "dsm/launch/frame.hpp"
#include "dsm/launch/job.hpp"

namespace dsm::launch {
namespace {

constexpr std::uint32_t seeds = 20'000;

class Random {
 public:
  explicit Random(std::uint32_t seed) : engine_(seed) {}
  std::uint32_t operator()() { return static_cast<std::uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

std::size_t below(Random& random, std::size_t n) {
  return random() % n;
}

Bytes random_bytes(Random& random, std::size_t max) {
  Bytes bytes(below(random, max + 1));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

std::string random_text(Random& random, std::size_t max) {
  const Bytes bytes = random_bytes(random, max);
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Message random_message(Random& random) {
  switch (below(random, 6)) {
    case 0: {
      Join join{NodeId(random()), random(), random(), random_text(random, name_bytes_max), {}};
      for (std::size_t i = below(random, agreed_max + 1); i > 0; --i)
        join.agreement.push_back({random_text(random, 20), random_text(random, 20)});
      return join;
    }
    case 1:
      return Publish{random_text(random, name_bytes_max), random_bytes(random, 1000)};
    case 2:
      return Lookup{random(), NodeId(random()), random_text(random, name_bytes_max)};
    case 3:
      return Abort{NodeId(random()), Code::refused, random_text(random, text_bytes_max)};
    case 4:
      return Value{random(), random_bytes(random, 1000)};
    default:
      return Fence{random()};
  }
}

void damage(Random& random, Bytes& bytes) {
  switch (below(random, 3)) {
    case 0:
      bytes.resize(below(random, bytes.size() + 1));
      break;
    case 1:
      bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(below(random, bytes.size() + 1)),
                   static_cast<std::byte>(random()));
      break;
    default:
      for (std::size_t i = 1 + below(random, 4); i > 0 && !bytes.empty(); --i)
        bytes[below(random, bytes.size())] = static_cast<std::byte>(random());
  }
}

// What decodes also encodes to what was read: nothing is invented, nothing is lost.
void decode_and_compare(const Bytes& body) {
  const auto message = decode(body);
  if (message) {
    EXPECT_EQ(encode(*message), body);
  }
}

TEST(Fuzz, BodiesOfRandomBytes) {
  for (std::uint32_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    decode_and_compare(random_bytes(random, 80));
  }
}

TEST(Fuzz, BodiesOfDamagedMessages) {
  for (std::uint32_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const Message message = random_message(random);
    Bytes body = encode(message);
    EXPECT_EQ(decode(body), message);
    damage(random, body);
    decode_and_compare(body);
  }
}

TEST(Fuzz, StreamsOfRandomBytesOpenNothing) {
  for (std::uint32_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Opener opener;
    Bytes stream = random_bytes(random, 200);
    if (stream.size() >= 4 && below(random, 2) == 0)
      stream[1] = stream[2] = stream[3] = std::byte{0};  // a size that fits
    const std::size_t before = stream.size();
    const auto opened = opener.open(stream, below(random, body_bytes_max));
    EXPECT_FALSE(opened.ok() && opened.value());
    EXPECT_EQ(stream.size(), before);
  }
}

TEST(Fuzz, GreetingsOfRandomBytesAreRefused) {
  const JobKey key = JobKey::random();
  for (std::uint32_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const Nonce node = random_nonce();
    Bytes hello = encode_hello(node);
    Bytes challenge = encode_challenge(key, node, random_nonce());
    damage(random, hello);
    damage(random, challenge);
    if (const auto decoded = decode_hello(hello)) {
      EXPECT_EQ(encode_hello(*decoded), hello);
    }
    if (const auto decoded = decode_challenge(key, node, challenge)) {
      EXPECT_EQ(encode_challenge(key, node, decoded.value()), challenge);
    }
  }
}

TEST(Fuzz, VariablesOfRandomTextAreReadOrRefused) {
  constexpr std::string_view likely = "0123456789abcdefxKMGT:[].-+ autobesproff";
  for (std::uint32_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const auto table = settings_table();
    const Setting& row = table[below(random, table.size())];
    std::string value(below(random, 24), '\0');
    for (char& c : value)
      c = below(random, 8) == 0 ? static_cast<char>(random())
                                : likely[below(random, likely.size())];
    auto settings = read_settings({{row.name, value}});
    if (settings) {
      (void)settings_fingerprint(*settings);
    } else {
      EXPECT_NE(settings.status().message().find(row.name), std::string::npos);
    }
    if (const auto endpoint = parse_endpoint(value)) {
      EXPECT_EQ(parse_endpoint(endpoint.value().text()).value(), endpoint.value());
    }
  }
}

}  // namespace
}  // namespace dsm::launch
