// What the future of a state uses first, as the reduction (reduced.hpp) remembers it. Values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "support/footprint.hpp"

namespace dsm::sim {

// By the action of the state that it comes of.
struct Later {
  std::uint64_t root = 0;  // its number on this path; in the table: its identity
  Footprint uses;          // first, of all that come after the state
  Footprint past;          // what surely has been used before, by what it must come after
  bool operator==(const Later&) const = default;
};

// Of one state.
class Future {
 public:
  void add(Later later);
  std::size_t size() const { return all_.size(); }
  std::vector<Later>::const_iterator begin() const { return all_.begin(); }
  std::vector<Later>::const_iterator end() const { return all_.end(); }

 private:
  std::vector<Later> all_;  // entries of one root are neighbours
};

// What is known of futures, each kept once: neighbouring states know much the same.
class Knowledge {
 public:
  std::uint32_t keep(const Later& later);
  const Later& operator[](std::uint32_t i) const { return entries_[i]; }

 private:
  struct Hash {
    std::size_t operator()(const Later& later) const;
  };
  std::unordered_map<Later, std::uint32_t, Hash> index_;
  std::vector<Later> entries_;
};

}  // namespace dsm::sim
