// Teams: who is in them. What they do together is in collectives.cpp.
#include <algorithm>
#include <cstring>
#include <string>

#include "dsm/api/current.hpp"

namespace dsm {
namespace {

std::uint32_t next_team = 0;  // only collective calls count here, one at a time

}  // namespace

TeamAccess::State* TeamAccess::state(const Team& team, const char* call) {
  api::current(call);
  if (team.empty()) throw Error(std::string(call) + " of a team that this node is not a member of");
  return team.state_.get();
}

Team Team::all() {
  Team team;
  team.all_ = true;
  return team;
}

Team Team::split(int colour, int key, CallSite at) {
  Node& node = api::current("Team::split()");
  struct Choice {
    int colour, key;
  };
  const Choice mine{colour, key};
  const std::vector<Bytes> all =
      api::collective({api::Collective::split, 0, at}, std::as_bytes(std::span(&mine, 1)));
  std::vector<Choice> choices(all.size());
  std::vector<NodeId> members;
  for (std::uint32_t n = 0; n < all.size(); ++n) {
    std::memcpy(&choices[n], all[n].data(), sizeof(Choice));
    if (choices[n].colour == colour) members.push_back(NodeId(n));
  }
  std::stable_sort(members.begin(), members.end(),
                   [&](NodeId a, NodeId b) { return choices[a.value].key < choices[b.value].key; });

  // One number for all the groups of a split: a node is in one of them at most.
  const TeamId id(next_team++);
  Team team;
  if (colour >= 0) {
    team.state_ = std::make_shared<State>();
    team.state_->id = id;
    team.state_->members = members;
    team.state_->rank =
        static_cast<int>(std::find(members.begin(), members.end(), node.self()) - members.begin());
    node.driver().add_team(id, std::move(members));
  }
  // Every member knows the team before the first of them uses it.
  api::collective({api::Collective::split, 1, at}, {});
  return team;
}

int Team::size() const noexcept {
  return all_ ? dsm::size() : state_ ? static_cast<int>(state_->members.size()) : 0;
}

int Team::rank() const noexcept {
  return all_ ? dsm::rank() : state_ ? state_->rank : -1;
}

int Team::node(int rank) const {
  if (rank < 0 || rank >= size())
    throw Error("Team::node() of member " + std::to_string(rank) + "; the team has " +
                std::to_string(size()) + " members, numbered from 0");
  return all_ ? rank : static_cast<int>(state_->members[static_cast<std::size_t>(rank)].value);
}

}  // namespace dsm
