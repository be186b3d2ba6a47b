// What an action of the simulator used: which parts of the cluster it read, and which it wrote. Two
// actions of which neither writes what the other uses commute: in either order they lead to the
// same state, and neither makes or unmakes the other. That is all that the model's reduction rests
// on (model/reduced.hpp), and model_test tries it on every pair of actions of small programs.
//
// Left out, since these commute whatever their order: messages under way and the actions that are
// pending (a set); one-sided operations behind others on their channel (the queue has the order of
// its node's engine); statistics; the times. What is checked *between* nodes after a step reads
// without being recorded: see model/reduced.hpp.
//
// A part is a bit. With more parts than bits several share one, which makes more actions conflict
// than must. A value.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace dsm::sim {

enum class Part : std::uint8_t {
  engine,   // of a node: its state, except for the next two
  barrier,  // of a node: how far it is in a barrier
  early,    // of a node's barrier: a round's message, before it is its turn
  queues,   // of a node: the ends of the queues of the locks that it manages
  tenures,  // of a node: those that nobody waits for
  loan,     // of a node and a lock: the lock's word
  thread,   // of a node's thread: where it is
  stores,   // of a node's thread: its store buffer
  view,     // of a node's page: what the program may do with it
  frame,    // of a node's page: its bytes
  twin,     // of a node's page: its twin, and READs that are under way into its frame
  ring,     // of a node's marks that one reader leaves there
  word,     // of a page: what the oracle knows of it
  holder,   // of a lock: who has it, as the oracle knows it
  program,  // what threads of different nodes share: batons, waits that have begun
};
inline constexpr std::size_t part_count = static_cast<std::size_t>(Part::program) + 1;

class Footprint {
 public:
  __extension__ using Bits = unsigned __int128;
  static constexpr std::uint32_t bits = 128;

  void read(Bits part) { reads_ |= part; }
  void write(Bits part) { writes_ |= part; }
  void everything() { reads_ = writes_ = ~Bits{0}; }
  void add(const Footprint& other) { reads_ |= other.reads_, writes_ |= other.writes_; }

  Bits reads() const { return reads_; }
  Bits writes() const { return writes_; }
  bool empty() const { return reads_ == 0 && writes_ == 0; }
  bool conflicts(const Footprint& other) const {
    return (writes_ & (other.reads_ | other.writes_)) != 0 || (reads_ & other.writes_) != 0;
  }
  // Whatever conflicts with the other conflicts with this.
  bool has(const Footprint& other) const {
    return (other.reads_ & ~(reads_ | writes_)) == 0 && (other.writes_ & ~writes_) == 0;
  }
  void keep(const Footprint& other) {
    reads_ = (reads_ | writes_) & (other.reads_ | other.writes_);
    writes_ &= other.writes_;
    reads_ &= ~writes_;
  }
  // Leaves what conflicts with something that the other does not conflict with.
  void remove(const Footprint& other) {
    reads_ &= ~(other.reads_ | other.writes_);
    writes_ &= ~other.writes_;
  }
  int size() const {
    const Bits both = reads_ | writes_;
    return std::popcount(static_cast<std::uint64_t>(both)) +
           std::popcount(static_cast<std::uint64_t>(both >> 64)) +
           std::popcount(static_cast<std::uint64_t>(writes_)) +
           std::popcount(static_cast<std::uint64_t>(writes_ >> 64));
  }
  // Who writes a part need not be said to read it.
  void simplify() { reads_ &= ~writes_; }
  // Takes these parts away.
  void hide(Bits parts) { reads_ &= ~parts, writes_ &= ~parts; }
  bool operator==(const Footprint&) const = default;

 private:
  Bits reads_ = 0, writes_ = 0;
};

// Which bit a part is. `which` counts below what it was made with, except for a holder: those share
// their bits.
class Parts {
 public:
  // Messages of this barrier and of the next, of two rounds (more share): which of `early`.
  static constexpr std::uint64_t early_count = 4;
  static std::uint64_t early(std::uint64_t epoch, std::uint64_t round) {
    return epoch % 2 * 2 + round % 2;
  }

  Parts() = default;
  Parts(std::uint32_t nodes, std::uint32_t threads, std::uint32_t pages, std::uint32_t locks) {
    std::uint64_t first = 0;
    const auto give = [&](Part part, std::uint64_t count) {
      first_[static_cast<std::size_t>(part)] = first;
      first += count;
    };
    for (const Part part : {Part::engine, Part::barrier, Part::queues, Part::tenures})
      give(part, 1);
    give(Part::early, early_count);
    give(Part::loan, locks);
    for (const Part part : {Part::thread, Part::stores}) give(part, threads);
    for (const Part part : {Part::view, Part::frame, Part::twin}) give(part, pages);
    give(Part::ring, nodes);
    by_node_ = first;
    first *= nodes;
    give(Part::program, 1);
    give(Part::word, pages);
    give(Part::holder, locks);
  }

  // `which`: thread, page, reader, lock; or none.
  Footprint::Bits bit(Part part, std::uint32_t node, std::uint64_t which = 0) const {
    const std::uint64_t number = first_[static_cast<std::size_t>(part)] + which + node * by_node_;
    return Footprint::Bits{1} << (number % Footprint::bits);
  }

 private:
  std::uint64_t first_[part_count] = {};  // of node 0, or of all
  std::uint64_t by_node_ = 0;
};

}  // namespace dsm::sim
