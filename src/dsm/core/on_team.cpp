// Barriers of teams: subsets of the nodes. A team's barrier is a scope of its own: at its exit a
// member hears of what the members wrote since their last part of it, or since the job's last
// barrier. It publishes as the job's does, and settles nothing: who is no member has not heard, so
// the log, the marks and the epoch stay as they are (PROTOCOL.md A1, A2, B7).
//
// Each member contributes a token, so that members on different sides of a barrier of the job
// understand each other as holders of a lock do: what comes from beyond a barrier waits until this
// node has left it.
#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {
namespace {

Bytes encode_contribution(const Token& token, ByteView payload) {
  Bytes bytes;
  Writer writer(bytes);
  encode(token, writer);
  writer.put_bytes(payload);
  return bytes;
}

Token decode_contribution(const Bytes& bytes, Bytes& payload) {
  Reader in(bytes);
  Token token;
  const bool good = decode(in, token);
  DSM_CHECK(good, "a member contributes a token");
  const ByteView rest = in.get_bytes(in.left());
  payload.assign(rest.begin(), rest.end());
  return token;
}

std::uint64_t hash_of(const std::vector<NodeId>& members) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const NodeId member : members) hash = (hash ^ member.value) * 0x100000001b3u;
  return hash;
}

}  // namespace

void Engine::on(const AddTeam& e, Effects&) {
  const auto self = std::find(e.members.begin(), e.members.end(), config_.self);
  DSM_CHECK_WITH(self != e.members.end(), "a node adds teams that it is a member of",
                 {"team", e.team.value});
  TeamHere team;
  team.members = e.members;
  team.barrier = sync::Barrier(NodeId(static_cast<std::uint32_t>(self - e.members.begin())),
                               static_cast<std::uint32_t>(e.members.size()), config_.disseminate);
  const bool made = teams_.emplace(e.team, std::move(team)).second;
  DSM_CHECK_WITH(made, "a team is added once", {"team", e.team.value});
}

void Engine::on(const ArriveTeam& e, Effects& out) {
  const auto it = teams_.find(e.team);
  DSM_CHECK_WITH(it != teams_.end(), "members arrive at a team's barrier", {"team", e.team.value});
  TeamHere& team = it->second;
  DSM_CHECK_WITH(!team.waiting, "a node arrives once at each barrier of a team",
                 {"team", e.team.value});
  if (is_left(team)) {
    out.push(Wake{e.who, false});
    return;
  }
  team.waiting = true;
  team.who = e.who;
  team.payload = e.payload;
  team.site = e.site;
  ++counters_.barriers;
  publish(Publication::Kind::team, LockId(), out, e.team);
}

// Everything that this node wrote is home: its part of the barrier leaves.
void Engine::contribute(TeamId id, Effects& out) {
  TeamHere& team = teams_.at(id);
  if (!team.waiting) return;  // a member has left
  Token token;
  tell(token, team.stamp, true);
  team.stamp = log_.now();
  // What is on its way home for another thread has been told too early, and counts again.
  if (!planted(Bug::team_tells_unsent)) log_unsent();
  std::vector<sync::BarrierMessage> messages;
  team.barrier.arrive(encode_contribution(token, team.payload), messages);
  team.payload.clear();
  send_rounds(id, team, std::move(messages), out);
}

void Engine::on(const TeamRound& m, NodeId from, Effects& out) {
  const auto it = teams_.find(m.team);
  DSM_CHECK_WITH(it != teams_.end(), "a team's members know it before they meet",
                 {"team", m.team.value}, {"from", from.value});
  TeamHere& team = it->second;
  DSM_CHECK_WITH(m.members == hash_of(team.members), "the members of a team agree on who they are",
                 {"team", m.team.value}, {"from", from.value});
  const auto sender = std::find(team.members.begin(), team.members.end(), from);
  const NodeId rank(static_cast<std::uint32_t>(sender - team.members.begin()));
  std::vector<sync::BarrierMessage> messages;
  const bool expected = team.barrier.receive(rank, m.epoch, m.round, m.known, messages);
  DSM_CHECK_WITH(expected, "a team's message comes from the member below, once",
                 {"team", m.team.value}, {"from", from.value}, {"round", m.round});
  send_rounds(m.team, team, std::move(messages), out);
}

void Engine::send_rounds(TeamId id, TeamHere& team, std::vector<sync::BarrierMessage> messages,
                         Effects& out) {
  for (sync::BarrierMessage& m : messages)
    out.push(Send{team.members[m.to.value],
                  TeamRound{id, hash_of(team.members), m.epoch, m.round, std::move(m.known)}});
  if (team.barrier.complete()) exit_team(team, team.barrier.leave(), out);
}

void Engine::exit_team(TeamHere& team, std::vector<Bytes> contributions, Effects& out) {
  std::vector<Token> tokens;
  team.passed.assign(contributions.size(), Bytes());
  bool beyond = false;
  for (std::size_t n = 0; n < contributions.size(); ++n) {
    tokens.push_back(decode_contribution(contributions[n], team.passed[n]));
    beyond |= tokens.back().passed > epoch();
  }
  // A member has left a barrier of the job that this node has not: what that barrier tells is
  // missing here and not in the token. Everyone has arrived at it, so its exit is near.
  if (beyond && !planted(Bug::team_overtakes_barrier)) {
    team.deferred = std::move(contributions);
    return;
  }
  for (std::size_t n = 0; n < tokens.size(); ++n) {
    if (planted(Bug::team_clears_marks))
      clear_marks(tokens[n].recent[0].scope.since(Seq()), team.members[n], epoch());
    if (team.members[n] != config_.self) heed(tokens[n], Seq(), out);
  }
  if (planted(Bug::team_forgets_log)) log_.forget_before(team.stamp);
  team.exiting = true;
  team.exit_departures = departures_.next();
}

// ---- members that leave ----

void Engine::on(const LeaveTeams&, Effects& out) {
  for (const auto& [id, team] : teams_) {
    const Epoch passed = team.barrier.epoch() + (team.barrier.arrived() ? 1 : 0);
    for (const NodeId member : team.members)
      if (member != config_.self)
        out.push(Send{member, TeamLeft{id, hash_of(team.members), passed}});
  }
}

// Whoever waits for a barrier that this member was in need not mind.
void Engine::on(const TeamLeft& m, NodeId from, Effects& out) {
  const auto it = teams_.find(m.team);
  DSM_CHECK_WITH(it != teams_.end() && m.members == hash_of(it->second.members),
                 "the members of a team agree on who they are", {"team", m.team.value},
                 {"from", from.value});
  TeamHere& team = it->second;
  if (team.left_by == no_node || m.passed < team.left_after) {
    team.left_by = from;
    team.left_after = m.passed;
  }
  if (!team.waiting || team.exiting || !team.deferred.empty() || !is_left(team)) return;
  team.waiting = false;
  out.push(Wake{team.who, false});
}

NodeId Engine::team_left_by(TeamId id) const {
  const auto it = teams_.find(id);
  return it == teams_.end() ? no_node : it->second.left_by;
}

std::vector<NodeId> Engine::awaited(TeamId id) const {
  const auto it = teams_.find(id);
  if (it == teams_.end()) return {};
  std::vector<NodeId> nodes = it->second.barrier.missing();
  for (NodeId& node : nodes) node = it->second.members[node.value];
  return nodes;
}

// This node has left a barrier of the job.
void Engine::retry_teams(Effects& out) {
  for (auto& [id, team] : teams_)
    if (!team.deferred.empty()) exit_team(team, std::exchange(team.deferred, {}), out);
}

void Engine::finish_teams(Effects& out) {
  for (auto& [id, team] : teams_) {
    if (!team.exiting || !departures_.all_before(team.exit_departures)) continue;
    team.exiting = false;
    team.waiting = false;
    out.push(Passed{team.who, std::exchange(team.passed, {})});
    out.push(Wake{team.who});
  }
}

std::string Engine::broken_team() const {
  for (const auto& [id, team] : teams_) {
    const std::string name = "team " + std::to_string(id.value) + " ";
    if (!team.deferred.empty() && team.exiting) return name + "leaves a barrier that it defers";
    if ((team.barrier.arrived() || team.exiting || !team.deferred.empty()) && !team.waiting &&
        !is_left(team))
      return name + "is in a barrier at which nobody waits";
    if (!team.deferred.empty() && !barrier_wait_.waiting)
      return name + "waits for a barrier that this node is not in";
  }
  return {};
}

}  // namespace dsm::core
