// What an action of the simulator used: which parts of the cluster it read, and which it wrote. Two
// actions of which neither writes what the other uses commute: in either order they lead to the same
// state, and neither makes or unmakes the other. That is all that the model's reduction rests on
// (model/reduced.hpp), and model_test tries it on every pair of actions of small programs.
//
// Left out, since these commute whatever their order: messages under way and the actions that are
// pending (a set); one-sided operations behind others on their channel (the queue has the order of
// its node's engine); statistics; the times. What is checked *between* nodes after a step reads
// without being recorded: see model/reduced.hpp.
//
// A part is a bit. With more parts than bits several share one, which makes more actions conflict
// than must. A value.
#pragma once

#include <cstdint>

namespace dsm::sim {

enum class Part : std::uint8_t {
  engine,   // of a node: its state, except for the next two
  barrier,  // of a node: what has come of a barrier that is not complete
  queues,   // of a node: the ends of the queues of the locks that it manages
  loans,    // of a node: the words of locks that are lent, tenures that nobody waits for
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

class Footprint {
 public:
  using Bits = std::uint64_t;

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
  bool has(const Footprint& other) const {
    return (other.reads_ & ~reads_) == 0 && (other.writes_ & ~writes_) == 0;
  }
  void keep(const Footprint& other) { reads_ &= other.reads_, writes_ &= other.writes_; }
  // Takes these parts away.
  void hide(Bits parts) { reads_ &= ~parts, writes_ &= ~parts; }
  bool operator==(const Footprint&) const = default;

 private:
  Bits reads_ = 0, writes_ = 0;
};

// Which bit a part is. REQUIRES: what() gets numbers below those that it was made with.
class Parts {
 public:
  Parts() = default;
  Parts(std::uint32_t nodes, std::uint32_t threads, std::uint32_t pages)
      : nodes_(nodes), threads_(threads), pages_(pages) {}

  // `which`: thread, page, reader, lock; or none.
  Footprint::Bits bit(Part part, std::uint32_t node, std::uint64_t which = 0) const {
    return Footprint::Bits{1} << (number(part, node, which) % 64);
  }

 private:
  std::uint64_t number(Part part, std::uint32_t node, std::uint64_t which) const {
    const std::uint64_t by_node = 2 * threads_ + 3 * pages_ + nodes_ + 4;
    const std::uint64_t first = node * by_node;
    const std::uint64_t pages = first + 4 + 2 * threads_;
    const std::uint64_t shared = nodes_ * by_node;
    switch (part) {
      case Part::engine:
        return first;
      case Part::barrier:
        return first + 1;
      case Part::queues:
        return first + 2;
      case Part::loans:
        return first + 3;
      case Part::thread:
        return first + 4 + which;
      case Part::stores:
        return first + 4 + threads_ + which;
      case Part::view:
        return pages + which;
      case Part::frame:
        return pages + pages_ + which;
      case Part::twin:
        return pages + 2 * pages_ + which;
      case Part::ring:
        return pages + 3 * pages_ + which;
      case Part::program:
        return shared;
      case Part::word:
        return shared + 1 + which;
      case Part::holder:
        return shared + 1 + pages_ + which;
    }
    return 0;
  }

  std::uint64_t nodes_ = 1, threads_ = 1, pages_ = 1;
};

}  // namespace dsm::sim
