// The directory entry of one page of a sequential region, at its home: which nodes may use the page
// (one writer or many readers, the home among them), and who waits for it, in order. Pure value.
//
// Requests are served one by one. Each grant has a number, its *turn*, by which a copy's recall and
// return are told from those of an earlier copy of the same node, since messages overtake one
// another.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/types.hpp"

namespace dsm::core {

// Numbers the grants of one home. Wraps: compare with is_older.
using Turn = std::uint32_t;
constexpr bool is_older(Turn a, Turn b) {
  return static_cast<std::int32_t>(a - b) < 0;
}

class Sharing {
 public:
  struct Holder {
    NodeId node{};
    Access access = Access::none;
    Turn turn = 0;
    // It wrote, has given back all, and the message with its content has been overtaken.
    bool gone = false;
    bool operator==(const Holder&) const = default;
  };
  struct Request {
    NodeId from{};
    Access wanted = Access::read;
    // It is a reader that wants to write. Otherwise it has nothing, though the directory may still
    // list it: what it gave back is on its way, and may carry the newest content.
    bool has_copy = false;
    bool operator==(const Request&) const = default;
  };
  struct Recall {  // of a holder's copy, down to `keep`
    Holder holder;
    Access keep = Access::none;
  };
  struct Grant {
    Holder holder;
    bool content = false;  // it has no valid copy
  };

  Sharing() = default;
  // The home alone has it, and may write.
  explicit Sharing(NodeId home) : holders_{{home, Access::write, 0}} {}

  void ask(const Request& request) { queue_.push_back(request); }
  // A copy of that turn is now allowed `kept` only, and, if its node could write, the home's frame
  // has its content.
  void give_back(NodeId from, Turn turn, Access kept);
  // The same where the content of a copy that could be written has not come yet.
  void give_back_behind(NodeId from, Turn turn);

  // What is to be done next: either nothing, or copies to be recalled (appended, each once), or a
  // grant, with a new turn. Call again after a grant. `hasty`: does not wait for the last holder
  // (a planted bug).
  std::optional<Grant> next(Turn& turns, std::vector<Recall>& recalls, bool hasty);

  const Holder* holder(NodeId node) const;
  const std::vector<Holder>& holders() const { return holders_; }
  const std::vector<Request>& queue() const { return queue_; }
  // What a holder gave back is being stored into the home's frame; then it counts as given back.
  std::optional<Holder> filling;
  template <typename Mix>
  void hash(Mix mix) const;
  bool operator==(const Sharing&) const = default;

 private:
  std::vector<Holder> holders_;  // one that may write, or any that may read
  std::vector<Request> queue_;   // the first is being served when serving_
  bool serving_ = false;         // its recalls are out
};

template <typename Mix>
void Sharing::hash(Mix mix) const {
  const auto mix_holder = [&](const Holder& h) {
    mix(std::uint64_t{h.node.value} << 8 | static_cast<std::uint64_t>(h.access) << 1 |
        std::uint64_t{h.gone});
    mix(h.turn);
  };
  mix(holders_.size());
  for (const Holder& h : holders_) mix_holder(h);
  for (const Request& r : queue_)
    mix(std::uint64_t{r.from.value} << 8 | static_cast<std::uint64_t>(r.wanted) << 1 |
        std::uint64_t{r.has_copy});
  mix(std::uint64_t{serving_} << 1 | std::uint64_t{filling.has_value()});
  if (filling) mix_holder(*filling);
}

}  // namespace dsm::core
