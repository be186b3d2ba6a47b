#include "dsm/launch/board.hpp"

#include <algorithm>

namespace dsm::launch {
namespace {

constexpr std::size_t listed_max = 16;  // runs of ranks that a message names

std::string rank_text(NodeId rank) {
  return "rank " + std::to_string(rank.value);
}

std::string seconds_text(Board::Time time) {
  const auto tenths = time.count() / 100;
  return std::to_string(tenths / 10) + (tenths % 10 != 0 ? "." + std::to_string(tenths % 10) : "") +
         " s";
}

}  // namespace

std::string rank_list(const std::vector<std::uint32_t>& ranks) {
  std::string text;
  std::size_t runs = 0;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t end = i + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1) ++end;
    if (runs++ == listed_max) return text + " and " + std::to_string(ranks.size() - i) + " more";
    if (i > 0) text += end == ranks.size() ? " and " : ", ";
    text += std::to_string(ranks[i]);
    if (end - i > 1) text += "-" + std::to_string(ranks[end - 1]);
    i = end;
  }
  return text;
}

Board::Board(std::uint32_t size, Time join_timeout) : nodes_(size), join_timeout_(join_timeout) {}

Status Board::join(const Join& join, Time now) {
  if (ended_) return Status(ended_->code, ended_->text);
  if (join.rank.value >= nodes_.size())
    return Status(Code::refused, rank_text(join.rank) + " is not part of this job, which has " +
                                     std::to_string(nodes_.size()) + " nodes");
  Node& node = this->node(join.rank);
  if (node.state != State::absent)
    return Status(Code::refused,
                  rank_text(join.rank) + " has joined already, from " + node.name +
                      ": two processes have the same DSM_RANK, or an earlier one came back");
  if (!first_join_) {
    first_join_ = now;
    first_rank_ = join.rank;
    agreement_ = join.agreement;
  }
  node.name = join.host + ", process " + std::to_string(join.pid);
  if (Status same = compare(join); !same) {
    end(no_node, same.code(), same.message());
    return same;
  }
  node.state = State::joined;
  ++joined_;
  if (complete()) {
    send_all(Welcome{});
    return Status();
  }
  for (std::uint32_t r = 0; r < nodes_.size(); ++r)
    if (nodes_[r].process_ended && nodes_[r].state == State::absent) process_ended(NodeId(r));
  return Status();
}

Status Board::compare(const Join& join) const {
  if (join.size != nodes_.size())
    return Status(Code::refused, "nodes disagree on the size of the job: " + rank_text(join.rank) +
                                     " has DSM_SIZE=" + std::to_string(join.size) +
                                     ", the rendezvous " + std::to_string(nodes_.size()));
  const std::size_t lines = std::max(join.agreement.size(), agreement_.size());
  for (std::size_t i = 0; i < lines; ++i) {
    const Agreed here = i < join.agreement.size() ? join.agreement[i] : Agreed{};
    const Agreed there = i < agreement_.size() ? agreement_[i] : Agreed{};
    if (here == there) continue;
    return Status(Code::refused,
                  "nodes of different builds or sizes of space: " + rank_text(join.rank) + " has " +
                      here.name + " " + here.value + ", " + rank_text(first_rank_) + " has " +
                      there.name + " " + there.value);
  }
  return Status();
}

void Board::receive(NodeId from, const Message& message) {
  if (ended_ || node(from).state != State::joined) return;
  std::visit([this, from](const auto& m) { on(from, m); }, message);
}

// A node that joined with the key but does not keep to the protocol is a bug of its build; the job
// cannot go on.
template <typename Other>
void Board::on(NodeId from, const Other&) {
  end(from, Code::invalid, rank_text(from) + " sent the rendezvous what a node never sends");
}

void Board::on(NodeId from, const Publish& message) {
  Node& publisher = node(from);
  publisher.values[message.key] = message.value;
  if (publisher.values.size() > values_max) {
    end(from, Code::too_large,
        rank_text(from) + " published more than " + std::to_string(values_max) + " values");
    return;
  }
  for (std::uint32_t r = 0; r < nodes_.size(); ++r) {
    auto& waiting = nodes_[r].waiting;
    const auto answered = [&](const Lookup& lookup) {
      const bool hit = lookup.rank == from && lookup.key == message.key;
      if (hit) send(NodeId(r), Value{lookup.request, message.value});
      return hit;
    };
    waiting.erase(std::remove_if(waiting.begin(), waiting.end(), answered), waiting.end());
  }
}

void Board::on(NodeId from, const Lookup& message) {
  if (message.rank.value >= nodes_.size()) {
    end(from, Code::invalid,
        rank_text(from) + " looked up " + rank_text(message.rank) + ", which does not exist");
    return;
  }
  const auto& values = node(message.rank).values;
  if (const auto found = values.find(message.key); found != values.end()) {
    send(from, Value{message.request, found->second});
    return;
  }
  auto& waiting = node(from).waiting;
  if (waiting.size() == waiting_lookups_max)
    waiting.erase(waiting.begin());  // the oldest: its caller gave up long ago
  waiting.push_back(message);
}

void Board::on(NodeId from, const Fence& message) {
  Node& caller = node(from);
  if (message.number != caller.fences + 1 || caller.fences > fences_done_) {
    end(from, Code::invalid, rank_text(from) + " entered a fence out of turn");
    return;
  }
  caller.fences = message.number;
  check_fence();
}

void Board::on(NodeId from, const Finish&) {
  node(from).state = State::finished;
  check_fence();
}

void Board::on(NodeId from, const Abort& message) {
  end(from, message.code, message.text);
}

// Full when every node has come. A node that finished never will.
void Board::check_fence() {
  const auto waits = [this](const Node& n) {
    return n.state == State::joined && n.fences > fences_done_;
  };
  const auto waiter = std::find_if(nodes_.begin(), nodes_.end(), waits);
  if (waiter == nodes_.end()) return;
  const auto finished = [](const Node& n) { return n.state == State::finished; };
  if (const auto gone = std::find_if(nodes_.begin(), nodes_.end(), finished);
      gone != nodes_.end()) {
    const NodeId rank(static_cast<std::uint32_t>(gone - nodes_.begin()));
    const NodeId waiting(static_cast<std::uint32_t>(waiter - nodes_.begin()));
    end(rank, Code::peer_lost,
        rank_text(rank) + " left the job while " + rank_text(waiting) + " waits for it in a fence");
    return;
  }
  if (!std::all_of(nodes_.begin(), nodes_.end(), waits)) return;
  ++fences_done_;
  send_all(FenceDone{fences_done_});
}

void Board::lost(NodeId rank) {
  Node& gone = node(rank);
  if (gone.state != State::joined) return;
  gone.state = State::lost;
  if (!ended_)
    end(rank, Code::peer_lost, "lost node " + std::to_string(rank.value) + " (" + gone.name + ")");
}

void Board::process_ended(NodeId rank) {
  Node& gone = node(rank);
  gone.process_ended = true;
  if (gone.state == State::absent && first_join_ && !ended_)
    end(rank, Code::peer_lost, rank_text(rank) + " ended before it joined the job");
}

void Board::tick(Time now) {
  if (const auto at = deadline(); at && now >= *at) end(no_node, Code::timed_out, missing());
}

std::optional<Board::Time> Board::deadline() const {
  if (!first_join_ || complete() || ended_) return std::nullopt;
  return *first_join_ + join_timeout_;
}

std::string Board::missing() const {
  std::vector<std::uint32_t> ranks;
  for (std::uint32_t r = 0; r < nodes_.size(); ++r)
    if (nodes_[r].state == State::absent) ranks.push_back(r);
  return std::string(ranks.size() == 1 ? "rank " : "ranks ") + rank_list(ranks) + " of " +
         std::to_string(nodes_.size()) + " did not join within " + seconds_text(join_timeout_) +
         ": start them, or raise DSM_JOIN_TIMEOUT";
}

void Board::close() {
  send_all(Farewell{});
}

void Board::send_all(const Message& message) {
  for (std::uint32_t r = 0; r < nodes_.size(); ++r)
    if (nodes_[r].state == State::joined) send(NodeId(r), message);
}

void Board::end(NodeId rank, Code code, std::string text) {
  if (ended_) return;
  ended_ = Abort{rank, code, text.substr(0, text_bytes_max)};
  send_all(*ended_);
}

}  // namespace dsm::launch
