// What the reduction (reduced.hpp) keeps of the path that it is on: sets of its steps, and which of
// them used what. Values.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/footprint.hpp"

namespace dsm::sim {

inline constexpr std::size_t depth_max = 1024;  // actions of one run, from the start of its threads

// A set of steps of the path.
class Steps {
 public:
  void add(std::size_t step) { words_[step / 64] |= std::uint64_t{1} << (step % 64); }
  bool has(std::size_t step) const { return (words_[step / 64] >> (step % 64) & 1) != 0; }
  void add(const Steps& other) {
    for (std::size_t w = 0; w < words_.size(); ++w) words_[w] |= other.words_[w];
  }
  // From the last to the first. REQUIRES: `look` changes no step that is still to come.
  template <typename Look>
  void each_down(Look look) const {
    for (std::size_t w = words_.size(); w-- > 0;)
      for (std::uint64_t rest = words_[w]; rest != 0;) {
        const int bit = 63 - std::countl_zero(rest);
        rest &= ~(std::uint64_t{1} << bit);
        look(w * 64 + static_cast<std::size_t>(bit));
      }
  }

 private:
  std::array<std::uint64_t, depth_max / 64> words_{};
};

// Which steps of the path used each part.
class Users {
 public:
  void push(std::size_t step, const Footprint& used) {
    each(used.reads(), [&](std::size_t part) { readers_[part].push_back(step); });
    each(used.writes(), [&](std::size_t part) { writers_[part].push_back(step); });
  }
  // REQUIRES: it is the last that was pushed.
  void pop(const Footprint& used) {
    each(used.reads(), [&](std::size_t part) { readers_[part].pop_back(); });
    each(used.writes(), [&](std::size_t part) { writers_[part].pop_back(); });
  }
  // The last steps that what uses these parts cannot be exchanged with: whatever wrote a part came
  // after all that used it before.
  Steps last(const Footprint& uses) const {
    Steps steps;
    each(uses.reads() | uses.writes(), [&](std::size_t part) {
      if (!writers_[part].empty()) steps.add(writers_[part].back());
    });
    each(uses.writes(), [&](std::size_t part) {
      for (std::size_t r = readers_[part].size(); r-- > 0;) {
        if (!writers_[part].empty() && readers_[part][r] < writers_[part].back()) break;
        steps.add(readers_[part][r]);
      }
    });
    return steps;
  }

 private:
  template <typename Look>
  static void each(Footprint::Bits bits, Look look) {
    for (const std::size_t base : {std::size_t{0}, std::size_t{64}})
      for (auto rest = static_cast<std::uint64_t>(bits >> base); rest != 0; rest &= rest - 1)
        look(base + static_cast<std::size_t>(std::countr_zero(rest)));
  }

  std::array<std::vector<std::size_t>, Footprint::bits> readers_, writers_;
};

}  // namespace dsm::sim
