// A vector of values whose copies share what has not changed since. A copy costs a count for each
// value, and a hash is computed once for each change: an explorer copies whole clusters, of which
// one action changes one node. Thread-compatible, but copies of one another must stay in one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace dsm::sim {

template <typename T>
class SharedValues {
  struct Cell {
    T value;
    mutable std::optional<std::uint64_t> hash;
  };

 public:
  class Iterator {
   public:
    explicit Iterator(const std::shared_ptr<Cell>* at) : at_(at) {}
    const T& operator*() const { return (*at_)->value; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    const std::shared_ptr<Cell>* at_;
  };

  void reserve(std::size_t count) { cells_.reserve(count); }
  void push_back(T value) { cells_.push_back(std::make_shared<Cell>(Cell{std::move(value), {}})); }
  std::size_t size() const { return cells_.size(); }
  const T& operator[](std::size_t i) const { return cells_[i]->value; }
  Iterator begin() const { return Iterator(cells_.data()); }
  Iterator end() const { return Iterator(cells_.data() + cells_.size()); }

  // The value, to be changed: its own copy from now on. The reference is good until this container
  // is copied.
  T& change(std::size_t i) {
    std::shared_ptr<Cell>& cell = cells_[i];
    if (cell.use_count() > 1) cell = std::make_shared<Cell>(Cell{cell->value, {}});
    cell->hash.reset();
    return cell->value;
  }
  std::uint64_t hash(std::size_t i) const {
    const Cell& cell = *cells_[i];
    if (!cell.hash) cell.hash = cell.value.hash();
    return *cell.hash;
  }

 private:
  std::vector<std::shared_ptr<Cell>> cells_;
};

}  // namespace dsm::sim
