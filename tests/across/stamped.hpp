// Messages that say what they are, so that their receiver knows all of their bytes; and the book in
// which it keeps that each came once.
#pragma once

#include <cstring>
#include <map>
#include <set>
#include <string>

#include "job.hpp"

namespace dsm::transport {

struct Stamp {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::uint32_t number = 0;
  std::uint32_t body = 0;  // bytes behind this
};

inline std::string body_of(const Stamp& stamp) {
  return pattern(stamp.body, std::uint64_t{stamp.from} << 40 ^ std::uint64_t{stamp.to} << 32 ^
                                 std::uint64_t{stamp.number});
}
inline std::string_view head_of(const Stamp& stamp) {
  return {reinterpret_cast<const char*>(&stamp), sizeof stamp};
}

class Book {
 public:
  explicit Book(NodeId self) : self_(self) {}

  // Enters a message; false, with a failure of the test: it is not what its sender sent, or came
  // before.
  bool enter(NodeId from, std::string_view bytes) {
    Stamp stamp;
    if (bytes.size() >= sizeof stamp) std::memcpy(&stamp, bytes.data(), sizeof stamp);
    const bool right = bytes.size() == sizeof stamp + stamp.body && stamp.from == from.value &&
                       stamp.to == self_.value && bytes.substr(sizeof stamp) == body_of(stamp);
    EXPECT_TRUE(right) << "message " << stamp.number << " of node " << from.value << ", "
                       << bytes.size() << " bytes, is not what was sent";
    const bool first = right && seen_[from.value].insert(stamp.number).second;
    EXPECT_TRUE(first || !right) << "message " << stamp.number << " of node " << from.value
                                 << " came twice";
    if (first) ++with_number_[stamp.number];
    entered_ += first ? 1 : 0;
    return first;
  }

  // Enters the messages among what has arrived, and drops the rest. False as above.
  bool enter_all(std::deque<Arrived>& arrived) {
    bool good = true;
    for (; !arrived.empty(); arrived.pop_front()) {
      EXPECT_EQ(arrived.front().kind, Event::Kind::message);
      good = enter(arrived.front().peer, arrived.front().bytes) && good;
    }
    return good;
  }

  std::size_t entered() const { return entered_; }
  std::size_t entered_with(std::uint32_t number) const {
    const auto found = with_number_.find(number);
    return found == with_number_.end() ? 0 : found->second;
  }

 private:
  const NodeId self_;
  std::size_t entered_ = 0;
  std::map<std::uint32_t, std::set<std::uint32_t>> seen_;  // by sender
  std::map<std::uint32_t, std::size_t> with_number_;
};

}  // namespace dsm::transport
