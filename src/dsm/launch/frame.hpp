// What a node and the rendezvous say to each other, as bytes on a stream. Pure: no socket, no
// clock.
//
//   node  -> server   Hello      magic, version, nonce                    fixed size, not yet
//   authenticated node <-  server   Challenge  magic, version, nonce, proof             the server
//   knows the job's key node <-> server   frames     size, body, mac                          the
//   first one, Join, proves that the node knows it
//
// Each direction has its own key, made from the job's key and both nonces, and its own count of
// frames, which enters the mac: a frame cannot be forged, repeated, reordered or turned round.
// Frames are bounded before anything is believed, and decoders are total: any bytes are a message,
// a wish for more, or an error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "base/status.hpp"
#include "base/types.hpp"
#include "base/wire.hpp"
#include "dsm/launch/key.hpp"
#include "dsm/launch/settings.hpp"

namespace dsm::launch {

inline constexpr std::uint64_t frame_magic = 0x31307664'6d736472;  // "rdsmdv01"
inline constexpr std::uint32_t frame_version = 1;
inline constexpr std::size_t hello_bytes = 8 + 4 + sizeof(Nonce);
inline constexpr std::size_t challenge_bytes = 8 + 4 + sizeof(Nonce) + mac_bytes;

// Limits, each also the decoder's.
inline constexpr std::size_t value_bytes_max = 256 * 1024;  // one published value
inline constexpr std::size_t name_bytes_max = 256;   // a key, a host, the value of an agreement
inline constexpr std::size_t agreed_max = 16;        // lines of an agreement
inline constexpr std::size_t text_bytes_max = 1000;  // the line of an abort
inline constexpr std::size_t body_bytes_max = value_bytes_max + 1024;
inline constexpr std::size_t join_bytes_max = 16 * 1024;  // until a node has joined
static_assert(value_bytes_max + name_bytes_max + 64 <= body_bytes_max,
              "a published value and its key fit a frame");
static_assert(agreed_max * 2 * (name_bytes_max + 4) + name_bytes_max + 64 <= join_bytes_max,
              "the largest Join fits");

// Node to server.
struct Join {
  NodeId rank{};
  std::uint32_t size = 0;
  std::uint32_t pid = 0;
  std::string host;
  Agreement agreement;
  bool operator==(const Join&) const = default;
};
struct Publish {
  std::string key;
  Bytes value;
  bool operator==(const Publish&) const = default;
};
struct Lookup {
  std::uint64_t request = 0;
  NodeId rank{};
  std::string key;
  bool operator==(const Lookup&) const = default;
};
struct Fence {
  std::uint64_t number = 0;  // 1 for a node's first
  bool operator==(const Fence&) const = default;
};
struct Finish {
  bool operator==(const Finish&) const = default;
};
// Both ways: a node gives up, and all others are told. Rank no_node: the server itself.
struct Abort {
  NodeId rank = no_node;
  Code code = Code::peer_lost;
  std::string text;
  bool operator==(const Abort&) const = default;
};
// Server to node.
struct Welcome {  // all nodes have joined and agree
  bool operator==(const Welcome&) const = default;
};
struct Value {
  std::uint64_t request = 0;
  Bytes value;
  bool operator==(const Value&) const = default;
};
struct FenceDone {
  std::uint64_t number = 0;
  bool operator==(const FenceDone&) const = default;
};
struct Farewell {  // the server leaves in good order; its silence from now on means nothing
  bool operator==(const Farewell&) const = default;
};

using Message =
    std::variant<Join, Publish, Lookup, Fence, Finish, Abort, Welcome, Value, FenceDone, Farewell>;

// REQUIRES: within the limits above.
Bytes encode(const Message& message);
std::optional<Message> decode(ByteView body);

// One direction of a connection, at its sending end. A value.
class Sealer {
 public:
  explicit Sealer(const Digest& key = {}) : key_(key) {}

  // size, body, mac.
  Bytes seal(const Message& message);

 private:
  Digest key_;
  std::uint64_t count_ = 0;
};

// The same at its receiving end.
class Opener {
 public:
  explicit Opener(const Digest& key = {}) : key_(key) {}

  // Takes one frame off the front of the stream. Absent value: more bytes are needed, `stream` is
  // untouched. Error: the bytes are no frame of this connection, and none can follow.
  Result<std::optional<Message>> open(Bytes& stream, std::size_t body_max);

 private:
  Digest key_;
  std::uint64_t count_ = 0;
};

// Both, for one end of a connection whose nonces are known.
enum class Side : std::uint8_t { node, server };
struct Session {
  Session(Side self, const JobKey& key, const Nonce& node, const Nonce& server);
  Sealer out;
  Opener in;
};

Bytes encode_hello(const Nonce& node);
// REQUIRES: hello_bytes of bytes. Absent: not from a node of this version.
std::optional<Nonce> decode_hello(ByteView bytes);

Bytes encode_challenge(const JobKey& key, const Nonce& node, const Nonce& server);
// REQUIRES: challenge_bytes of bytes. The server's nonce, or why it is not this job's rendezvous.
Result<Nonce> decode_challenge(const JobKey& key, const Nonce& node, ByteView bytes);

}  // namespace dsm::launch
