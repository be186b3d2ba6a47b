// Calls that every node makes together: that they are the same calls, and those that move values.
// What the latter are given may be shared memory: it is read and written here as the program would,
// before and after the runtime's part.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/log.hpp"
#include "dsm/api/current.hpp"

namespace dsm {
namespace api {
namespace {

std::atomic<bool> in_collective{false};

const char* name_of(Collective kind) {
  switch (kind) {
    case Collective::barrier:
      return "barrier()";
    case Collective::allocate:
      return "allocate()";
    case Collective::free:
      return "free()";
    case Collective::broadcast:
      return "broadcast()";
    case Collective::all_gather:
      return "all_gather()";
    case Collective::reduce:
      return "reduce()";
    case Collective::all_reduce:
      return "all_reduce()";
    case Collective::inclusive_scan:
      return "inclusive_scan()";
    case Collective::exclusive_scan:
      return "exclusive_scan()";
    case Collective::split:
      return "Team::split()";
    case Collective::bind:
      return "Lock::bind()";
    case Collective::leave:
      return "the end of its Session";
  }
  return "?";
}

constexpr std::size_t call_bytes = sizeof(Collective) + sizeof(std::uint64_t);  // ahead of the data

Bytes encode(const Call& call, ByteView data) {
  Bytes payload;
  payload.reserve(call_bytes + data.size());
  Writer writer(payload);
  writer.put(call.kind);
  writer.put(call.detail);
  writer.put_bytes(data);
  return payload;
}

// The call that one node made.
struct Given {
  Collective kind{};
  std::uint64_t detail = 0;
};

Given decode(const Bytes& payload) {
  Reader in(payload);
  Given given;
  given.kind = in.get<Collective>();
  given.detail = in.get<std::uint64_t>();
  return given;
}

std::string site_of(const CallSite& at) {
  return at.file == nullptr ? "" : std::string(" at ") + at.file + ":" + std::to_string(at.line);
}

// Who meets in a call: all nodes, or a team's.
class Meeting {
 public:
  Meeting(Node& node, TeamAccess::State* team, const char* waiting = "at a barrier")
      : node_(node), team_(team), waiting_(waiting) {}

  std::vector<Bytes> meet(Bytes payload, const Call& call) const {
    std::string site;
    if (node_.debug() && call.at.file != nullptr)
      site = std::string(call.at.file) + ":" + std::to_string(call.at.line);
    if (team_ == nullptr)
      return node_.driver().barrier(std::move(payload), waiting_, std::move(site));
    auto all = node_.driver().team_barrier(team_->id, std::move(payload), std::move(site));
    if (!all) refuse(call);
    return std::move(*all);
  }
  // The member of this rank, in words.
  std::string name(std::size_t rank) const {
    return "node " + std::to_string(team_ == nullptr ? rank : team_->members[rank].value);
  }
  std::size_t self() const {
    return team_ == nullptr ? node_.self().value : static_cast<std::size_t>(team_->rank);
  }
  // One thread of a node at a time.
  bool enter() const { return !busy().exchange(true); }
  void leave() const { busy().store(false); }

 private:
  // A member will not come any more.
  [[noreturn]] void refuse(const Call& call) const {
    leave();
    const NodeId gone = node_.driver().look(
        [&](const core::Engine& engine) { return engine.team_left_by(team_->id); });
    std::string members;
    for (const NodeId member : team_->members)
      members += (members.empty() ? "" : ", ") + std::to_string(member.value);
    throw Error(name_of(call.kind) + site_of(call.at) + ": node " + std::to_string(gone.value) +
                " of this team (nodes " + members +
                ") has come to the end of its Session and takes no part; every member makes the "
                "same calls in the same order");
  }
  std::atomic<bool>& busy() const {
    return team_ == nullptr ? in_collective : team_->in_collective;
  }
  Node& node_;
  TeamAccess::State* team_;
  const char* waiting_;
};

// Call sites travel only when calls differ. Then every node has seen that they do, and takes part
// in one barrier more.
std::vector<std::string> exchange_sites(const Meeting& meeting, const Call& call) {
  const std::string mine = site_of(call.at);
  const ByteView view = std::as_bytes(std::span(mine.data(), mine.size()));
  std::vector<std::string> sites;
  for (const Bytes& one : meeting.meet(Bytes(view.begin(), view.end()), call))
    sites.emplace_back(reinterpret_cast<const char*>(one.data()), one.size());
  return sites;
}

[[noreturn]] void calls_differ(const Meeting& meeting, const Call& call, const Given& other,
                               std::size_t rank, const std::vector<std::string>& sites) {
  const std::string mine = meeting.name(meeting.self()), its = meeting.name(rank);
  const std::string& site = sites[meeting.self()];
  if (other.kind != call.kind)
    throw Error("collective calls differ: " + mine + " is in " + name_of(call.kind) + site + ", " +
                its + " in " + name_of(other.kind) + sites[rank] +
                "; every node makes the same calls in the same order");
  throw Error(std::string("collective calls differ: ") + name_of(call.kind) +
              " has other sizes or arguments on " + its + sites[rank] + " than on " + mine + site);
}

}  // namespace

std::vector<Bytes> collective(const Call& call, ByteView data, TeamAccess::State* team) {
  const Meeting meeting(current(name_of(call.kind)), team);
  if (!meeting.enter())
    throw Error(std::string("two threads of this node are in collective calls at once (") +
                name_of(call.kind) +
                "): collective calls are made by one thread of a node at a time");
  std::vector<Bytes> all = meeting.meet(encode(call, data), call);
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const Given given = decode(all[rank]);
    if (given.kind != call.kind || given.detail != call.detail) {
      const std::vector<std::string> sites = exchange_sites(meeting, call);
      meeting.leave();
      calls_differ(meeting, call, given, rank, sites);
    }
    all[rank].erase(all[rank].begin(), all[rank].begin() + call_bytes);
  }
  meeting.leave();
  return all;
}

void leave(Node& node) {
  const Meeting meeting(node, nullptr, "at the end of its Session");
  if (!meeting.enter()) {
    log_line(
        "the Session ends while another thread of this node is in a collective call: join it "
        "before");
    ::_exit(EXIT_FAILURE);
  }
  node.driver().leave_teams();
  for (bool told = false, all_leave = false; !all_leave;) {
    all_leave = true;
    const Call call{Collective::leave, 0, {}};
    const std::vector<Bytes> all = meeting.meet(encode(call, {}), call);
    std::vector<std::string> sites;
    for (std::size_t n = 0; n < all.size(); ++n) {
      const Collective other = decode(all[n]).kind;
      if (other == Collective::leave) continue;
      if (all_leave) sites = exchange_sites(meeting, call);
      all_leave = false;
      if (!told)
        log_line(
            "the Session ends here while node %zu is in %s%s: every node makes the same calls in "
            "the same order",
            n, name_of(other), sites[n].c_str());
      told = true;
    }
  }
  meeting.leave();
}

}  // namespace api

namespace {

// The size of what each node gives and its root, in one word that must be the same everywhere.
std::uint64_t detail_of(std::size_t bytes, int root) {
  static_assert(nodes_max <= 1u << 12);
  return bytes << 12 | static_cast<std::uint64_t>(root);
}

void check_root(const Team& team, const char* call, int root) {
  const int members = team.size();
  if (root >= 0 && root < members) return;
  const std::string who = TeamAccess::state(team, call) == nullptr ? "this job has nodes 0 to "
                                                                   : "its team has members 0 to ";
  throw Error(std::string(call) + " names node " + std::to_string(root) + "; " + who +
              std::to_string(members - 1));
}

ByteView view_of(const void* data, std::size_t bytes) {
  return {static_cast<const std::byte*>(data), bytes};
}

}  // namespace

void Team::barrier(CallSite at) const {
  TeamAccess::State* team = TeamAccess::state(*this, "barrier()");
  api::collective({api::Collective::barrier, 0, at}, {}, team);
}

void Team::broadcast_bytes(void* data, std::size_t bytes, int root, CallSite at) const {
  TeamAccess::State* team = TeamAccess::state(*this, "broadcast()");
  check_root(*this, "broadcast()", root);
  const bool sends = rank() == root;
  const ByteView mine = sends ? view_of(data, bytes) : ByteView();
  const std::vector<Bytes> all =
      api::collective({api::Collective::broadcast, detail_of(bytes, root), at}, mine, team);
  if (!sends && bytes > 0) std::memcpy(data, all[static_cast<std::size_t>(root)].data(), bytes);
}

void Team::all_gather_bytes(const void* data, std::size_t bytes, void* all, CallSite at) const {
  const std::vector<std::byte> given = gather_bytes(Gather::all_gather, data, bytes, 0, at);
  if (!given.empty()) std::memcpy(all, given.data(), given.size());
}

std::vector<std::byte> Team::gather_bytes(Gather call, const void* data, std::size_t bytes,
                                          int root, CallSite at) const {
  struct Named {
    api::Collective kind;
    const char* call;
  };
  static constexpr Named calls[] = {{api::Collective::all_gather, "all_gather()"},
                                    {api::Collective::reduce, "reduce()"},
                                    {api::Collective::all_reduce, "all_reduce()"},
                                    {api::Collective::inclusive_scan, "inclusive_scan()"},
                                    {api::Collective::exclusive_scan, "exclusive_scan()"}};
  const Named what = calls[static_cast<std::size_t>(call)];
  TeamAccess::State* team = TeamAccess::state(*this, what.call);
  check_root(*this, what.call, root);
  std::vector<std::byte> all;
  all.reserve(bytes * static_cast<std::size_t>(size()));
  for (const Bytes& one :
       api::collective({what.kind, detail_of(bytes, root), at}, view_of(data, bytes), team))
    all.insert(all.end(), one.begin(), one.end());
  return all;
}

void barrier(CallSite at) {
  Team::all().barrier(at);
}

void broadcast_bytes(void* data, std::size_t bytes, int root, CallSite at) {
  Team::all().broadcast_bytes(data, bytes, root, at);
}

void all_gather_bytes(const void* data, std::size_t bytes, void* all, CallSite at) {
  Team::all().all_gather_bytes(data, bytes, all, at);
}

}  // namespace dsm
