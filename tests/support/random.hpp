// Random numbers by seed: the same on every machine and with every library. A value.
#pragma once

#include <cstdint>
#include <type_traits>

namespace dsm::sim {

// One round of splitmix64's output function: every bit of the result depends on every bit of `x`.
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit Random(std::uint64_t seed = 0) : state_(mix(seed + 0x9e3779b97f4a7c15u)) {}

  std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15u); }
  // Evenly from [0, bound). REQUIRES: 0 < bound < 2^32.
  std::uint32_t below(std::uint64_t bound) {
    return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
  }
  std::uint32_t between(std::uint32_t low, std::uint32_t high) {
    return low + below(high - low + 1);
  }
  bool one_in(std::uint32_t n) { return below(n) == 0; }
  // One of the arguments.
  template <typename... T>
  auto pick(T... values) {
    const std::common_type_t<T...> all[] = {values...};
    return all[below(sizeof...(values))];
  }
  bool operator==(const Random&) const = default;

 private:
  std::uint64_t state_;
};

}  // namespace dsm::sim
