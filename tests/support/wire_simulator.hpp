// WireSimulator: n nodes of Reliable on a simulated wire of datagrams, in simulated time, by seed.
// Every node has one ring that all others send to; what finds it full is an overrun. Datagrams are
// sealed as on a real wire. One for all comes back to its sender, and is lost or not for each
// alone.
//
// An oracle holds every message against what was sent: exactly once, whole, and the in_order lane
// in order. Its first complaint stays in broken().
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "support/random.hpp"
#include "transport/reliable.hpp"
#include "transport/seal.hpp"
#include "transport/tree.hpp"

namespace dsm::transport {

struct WireFaults {
  double loss = 0, duplicate = 0, corrupt = 0;
  Time delay_least = std::chrono::microseconds(20);
  Time delay_most = std::chrono::microseconds(20);  // more than the least: reordered
};

class WireSimulator {
 public:
  struct Setup {
    std::uint64_t seed = 1;
    std::uint32_t nodes = 2;
    std::uint32_t slots = slots_max;  // of one ring, for each sender
    std::size_t datagram = 1024;
    WireFaults faults;
    Time poll_every = std::chrono::microseconds(50);  // about
    Time dead_after = dead_after_default;
    bool multicast = false;
    std::uint32_t fan_out =
        0;  // messages to several go by a tree of so many branches; 0: they do not
    ReliableBug bug = ReliableBug::none;
  };

  explicit WireSimulator(const Setup& setup);

  // Runs until `moment` of simulated time, or until something is broken.
  void run_until(Time moment);
  // Runs until every message has arrived, at most for so long. False: it did not.
  bool run_until_quiet(Time most);
  Time now() const { return now_; }

  // False: the sender's queue is full.
  bool send(std::uint32_t from, std::uint32_t to, Lane lane, std::size_t size);
  // A message to each, as one datagram where all peers of the sender have a slot for it. Returns
  // how many its queues took. By a tree, if that is what there is. REQUIRES: Setup::multicast or
  // fan_out.
  std::size_t send_each(std::uint32_t from, std::span<const std::uint32_t> to, Lane lane,
                        std::size_t size);
  // A node that is stopped reads nothing and sends nothing; its ring fills.
  void stop(std::uint32_t node) { nodes_[node].stopped = true; }
  void go_on(std::uint32_t node) { nodes_[node].stopped = false; }
  // Nothing leaves it and nothing reaches it any more.
  void cut(std::uint32_t node) { nodes_[node].cut = true; }

  Reliable& link(std::uint32_t node, std::uint32_t peer) { return *nodes_[node].links[peer]; }
  std::size_t overruns() const { return overruns_; }
  std::size_t fullest_ring() const { return fullest_ring_; }
  std::size_t unsealed() const { return unsealed_; }
  std::size_t bundles() const { return bundles_; }  // datagrams for all
  // Datagrams of trees, by who sends the messages, and by who passes them on; packets that were not
  // passed on.
  std::size_t planted() const { return planted_; }
  std::size_t passed_on() const { return passed_on_; }
  std::size_t dropped() const { return dropped_; }
  std::uint64_t delivered() const { return delivered_; }
  std::size_t missing() const;
  const std::string& broken() const { return broken_; }
  ReliableCounters counters() const;

 private:
  struct Datagram {
    std::uint32_t to = 0;
    Bytes bytes;
    bool copy = false;  // made by the wire: may be dropped where the ring is full
  };
  struct Node {
    std::unique_ptr<BufferPool> pool = std::make_unique<BufferPool>();
    std::vector<std::unique_ptr<Reliable>> links;
    std::unique_ptr<Tree> tree;
    std::deque<Datagram> ring;
    Time next_poll{0};
    bool stopped = false;
    bool cut = false;
  };
  class Here;
  struct Expected {
    std::uint64_t sent = 0;
    std::uint64_t next = 0;                        // in_order
    std::map<std::uint64_t, std::size_t> missing;  // size by number
  };

  bool queue(std::uint32_t from, std::uint32_t to, Lane lane, std::size_t size);
  void send_bundle(std::uint32_t from);
  void poll(std::uint32_t node);
  void open_bundle(std::uint32_t node, ByteView bytes);
  bool open(std::uint32_t node, ByteView bytes);
  void flush(std::uint32_t node, std::uint32_t peer, bool drained);
  void transmit(std::uint32_t from, std::uint32_t to, ByteView bytes);
  void arrive(Datagram datagram);
  void check(std::uint32_t to, std::uint32_t from, const Reliable::Whole& whole);
  void complain(std::string what);
  Expected& expected(std::uint32_t from, std::uint32_t to, Lane lane);
  bool chance(double probability);

  const Setup setup_;
  sim::Random random_;
  Time now_{0};
  std::vector<Node> nodes_;
  std::multimap<Time, Datagram> wire_;
  std::map<std::tuple<std::uint32_t, std::uint32_t, Lane>, Expected> expected_;
  std::vector<std::vector<SealKey>> keys_;  // [from][to]
  std::size_t overruns_ = 0;
  std::size_t fullest_ring_ = 0;
  std::size_t unsealed_ = 0;
  std::size_t bundles_ = 0;
  std::size_t planted_ = 0;
  std::size_t passed_on_ = 0;
  std::size_t dropped_ = 0;
  std::uint64_t delivered_ = 0;
  std::string broken_;
};

}  // namespace dsm::transport
