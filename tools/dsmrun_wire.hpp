// What dsmrun and its agent on another host say to each other, over the standard streams of the
// launcher between them. The agent (dsmrun_agent.hpp) begins with `agent_greeting`, so that what a
// shell prints on its way is told apart; then both send frames: a size of 4 bytes and a message.
//
// Decoders are total: any bytes give a message or nothing. Values; one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/wire.hpp"
#include "dsmrun_options.hpp"
#include "dsmrun_verdict.hpp"

namespace dsm::run {

inline constexpr std::string_view agent_greeting = "\ndsmrun agent 1\n";
inline constexpr std::size_t frame_bytes_max = 16 << 20;    // an environment is the largest
inline constexpr std::size_t chatter_bytes_max = 64 << 10;  // before the greeting

// The ranks that one host is to run. The key goes this way rather than on a command line, where
// every user of a host reads it.
struct Order {
  std::uint32_t nodes = 1;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  Binding bind = Binding::automatic;
  std::string rendezvous;
  std::string key;  // hexadecimal
  std::string directory;
  std::string program;
  std::vector<std::string> command;
  std::vector<std::pair<std::string, std::string>> environment;

  bool operator==(const Order&) const = default;
};

// For every rank of the host.
struct SignalRanks {
  std::int32_t signal = 0;
  bool operator==(const SignalRanks&) const = default;
};

// What a rank wrote.
struct Output {
  std::uint32_t rank = 0;
  bool is_error = false;
  std::string bytes;
  bool operator==(const Output&) const = default;
};

// A rank's process; everything that it wrote has been sent.
struct RankEnded {
  End end;
  bool operator==(const RankEnded& other) const {
    return end.rank == other.end.rank && end.code == other.end.code &&
           end.signal == other.end.signal && end.core == other.end.core;
  }
};

// The agent cannot do what it was told.
struct AgentFailed {
  std::int32_t exit_code = 1;
  std::string why;
  bool operator==(const AgentFailed&) const = default;
};

using AgentMessage = std::variant<Order, SignalRanks, Output, RankEnded, AgentFailed>;

// A frame, whole.
Bytes encode(const AgentMessage& message);
std::optional<AgentMessage> decode(ByteView body);

// Bytes in, messages out.
class AgentStream {
 public:
  // `greeted`: no greeting is to come.
  explicit AgentStream(bool greeted) : greeted_(greeted) {}

  void add(ByteView bytes) { held_.insert(held_.end(), bytes.begin(), bytes.end()); }

  // The next message; nothing: it is not whole yet, or the stream is broken.
  std::optional<AgentMessage> next();
  bool broken() const { return broken_; }
  bool greeted() const { return greeted_; }
  // What came before the greeting, once.
  std::string take_chatter() { return std::exchange(chatter_, {}); }

 private:
  void look_for_greeting();

  Bytes held_;
  bool greeted_;
  bool broken_ = false;
  std::string chatter_;
};

}  // namespace dsm::run
