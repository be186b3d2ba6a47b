// Ring: a queue in one block that grows and never shrinks; indexed from its front.
// Thread-compatible.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace dsm::transport {

template <typename T>
class Ring {
 public:
  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return places_[(first_ + i) & (places_.size() - 1)]; }
  const T& operator[](std::size_t i) const { return places_[(first_ + i) & (places_.size() - 1)]; }
  T& front() { return (*this)[0]; }
  T& back() { return (*this)[count_ - 1]; }

  void push_back(T value) {
    if (count_ == places_.size()) grow();
    places_[(first_ + count_++) & (places_.size() - 1)] = std::move(value);
  }
  // REQUIRES: !empty().
  T pop_front() {
    T value = std::move(front());
    first_ = (first_ + 1) & (places_.size() - 1);
    --count_;
    return value;
  }

 private:
  void grow() {
    std::vector<T> larger(places_.empty() ? 64 : 2 * places_.size());
    for (std::size_t i = 0; i < count_; ++i) larger[i] = std::move((*this)[i]);
    places_ = std::move(larger);
    first_ = 0;
  }

  std::vector<T> places_;  // a power of two
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace dsm::transport
