// What the rendezvous decides: who has joined, what was published, which fences are full, and when
// the job is over. Pure: messages and time in, messages out; no socket, no clock, no thread.
// Thread-compatible.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/launch/frame.hpp"

namespace dsm::launch {

inline constexpr std::size_t values_max = 256;          // values that one node publishes
inline constexpr std::size_t waiting_lookups_max = 64;  // lookups of one node that wait for a value

class Board {
 public:
  using Time = std::chrono::milliseconds;  // since the server started

  struct Effect {
    NodeId to{};
    Message message;
  };

  Board(std::uint32_t size, Time join_timeout);

  // A node wants in. Not ok: it stays outside, told why; the job itself goes on unless ended() says
  // otherwise.
  Status join(const Join& join, Time now);

  // From a node that has joined.
  void receive(NodeId from, const Message& message);

  // The connection of a node that has joined ended.
  void lost(NodeId rank);

  // The process of this rank ended, says whoever started it: if it has not joined by now, it never
  // will.
  void process_ended(NodeId rank);

  void tick(Time now);

  // The server is about to leave in good order.
  void close();

  std::vector<Effect> take_effects() { return std::exchange(effects_, {}); }

  // Why the job ended, and by whom.
  const std::optional<Abort>& ended() const { return ended_; }
  bool complete() const { return joined_ == nodes_.size(); }
  // When tick() would end the wait for missing nodes; absent: nobody waits.
  std::optional<Time> deadline() const;

 private:
  enum class State : std::uint8_t { absent, joined, finished, lost };
  struct Node {
    State state = State::absent;
    bool process_ended = false;
    std::uint64_t fences = 0;  // how often it has called fence()
    std::string name;          // host and process, for messages
    std::map<std::string, Bytes> values;
    std::vector<Lookup> waiting;
  };

  Node& node(NodeId rank) { return nodes_[rank.value]; }
  void send(NodeId to, Message message) { effects_.push_back({to, std::move(message)}); }
  void send_all(const Message& message);
  void end(NodeId rank, Code code, std::string text);
  Status compare(const Join& join) const;
  std::string missing() const;

  void on(NodeId from, const Publish& message);
  void on(NodeId from, const Lookup& message);
  void on(NodeId from, const Fence& message);
  void on(NodeId from, const Finish& message);
  void on(NodeId from, const Abort& message);
  template <typename Other>
  void on(NodeId from, const Other& message);
  void check_fence();

  std::vector<Node> nodes_;
  Time join_timeout_;
  std::optional<Time> first_join_;
  NodeId first_rank_ = no_node;  // whose agreement the others are held against
  Agreement agreement_;
  std::size_t joined_ = 0;  // ever
  std::uint64_t fences_done_ = 0;
  std::optional<Abort> ended_;
  std::vector<Effect> effects_;
};

// "2, 5-9 and 11"; long lists are cut.
std::string rank_list(const std::vector<std::uint32_t>& ranks);

}  // namespace dsm::launch
