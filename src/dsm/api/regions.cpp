// Collective allocation: where the pages go, who is home to each, and the frames behind the home
// pages.
#include <algorithm>
#include <atomic>
#include <optional>
#include <string>

#include "dsm/api/current.hpp"
#include "dsm/api/misuse.hpp"
#include "dsm/core/layout.hpp"
#include "dsm/frames.hpp"

namespace dsm {

struct PlacementAccess {
  static core::Homes homes(const Placement& p, std::uint64_t pages, std::uint32_t nodes,
                           std::size_t page_bytes);
};

namespace {

std::uint32_t next_region = 0;  // only collective calls count here, one at a time

std::uint32_t checked_node(long node, std::uint32_t nodes) {
  if (node < 0 || node >= static_cast<long>(nodes))
    throw Error("a placement names node " + std::to_string(node) + "; this job has nodes 0 to " +
                std::to_string(nodes - 1));
  return static_cast<std::uint32_t>(node);
}

// Page i goes to the node whose share holds the page's first byte.
core::Homes homes_by_shares(const std::vector<std::size_t>& shares, std::uint64_t pages,
                            std::uint32_t nodes, std::size_t page_bytes) {
  if (shares.size() != nodes)
    throw Error("Placement::shares() needs one share for each of the " + std::to_string(nodes) +
                " nodes, not " + std::to_string(shares.size()));
  core::Homes homes;
  std::uint64_t start = 0, end_bytes = 0;
  for (std::uint32_t n = 0; n < nodes; ++n) {
    end_bytes += shares[n];
    const std::uint64_t end =
        n + 1 == nodes ? pages
                       : std::min<std::uint64_t>((end_bytes + page_bytes / 2) / page_bytes, pages);
    if (end > start) homes.pattern.push_back({end - start, NodeId(n)});
    start = std::max(start, end);
  }
  return homes;
}

// Every node says how it went; a failure anywhere is everyone's.
void agree(const api::Call& call, const Status& mine) {
  const std::string& message = mine.message();
  const std::vector<Bytes> all =
      api::collective(call, std::as_bytes(std::span(message.data(), message.size())));
  for (std::size_t n = 0; n < all.size(); ++n)
    if (!all[n].empty())
      throw Error("node " + std::to_string(n) + ": " +
                  std::string(reinterpret_cast<const char*>(all[n].data()), all[n].size()));
}

// The home pages' frames, filled with zeros and open to the program: they never trap while nobody
// else has a copy.
Status prepare_home(Node& node, const core::Region& region) {
  const PageRun whole = region.run();
  std::vector<PageRun> own;
  for (PageId page = whole.first; page < whole.end();) {
    const PageRun run = region.same_home(page, whole.end() - page);
    if (region.home(page) == node.self()) own.push_back(run);
    page = run.end();
  }
  if (Status s = make_frames(node.space(), node.wire(), own); !s.ok()) return s;
  for (const PageRun& run : own) node.space().open(run, Access::write);
  return {};
}

core::Policy core_policy(const Node& node, Policy policy) {
  switch (policy) {
    case Policy::standard:
      return node.standard_policy();
    case Policy::scope:
      return core::Policy::scope;
    case Policy::release:
      return core::Policy::release;
    case Policy::bound:
      return core::Policy::bound;
    case Policy::sequential:
      return core::Policy::sequential;
  }
  throw Error(
      "allocate() is given a policy that does not exist; give standard, scope, release, "
      "bound or sequential");
}

}  // namespace

core::Homes PlacementAccess::homes(const Placement& p, std::uint64_t pages, std::uint32_t nodes,
                                   std::size_t page_bytes) {
  switch (p.kind_) {
    case Placement::Kind::block:
      return core::Homes::block(pages, nodes);
    case Placement::Kind::cyclic:
      return core::Homes::cyclic(p.number_, nodes);
    case Placement::Kind::on:
      return core::Homes::on(NodeId(checked_node(static_cast<long>(p.number_), nodes)));
    case Placement::Kind::shares:
      return homes_by_shares(p.shares_, pages, nodes, page_bytes);
    case Placement::Kind::by: {
      std::vector<NodeId> home(pages);
      for (std::uint64_t i = 0; i < pages; ++i) home[i] = NodeId(checked_node(p.home_(i), nodes));
      return core::Homes::of(home);
    }
  }
  return {};
}

Placement Placement::block() {
  return {};
}

Placement Placement::cyclic(std::size_t pages) {
  if (pages == 0) throw Error("Placement::cyclic() needs at least one page a turn");
  Placement p;
  p.kind_ = Kind::cyclic;
  p.number_ = pages;
  return p;
}

Placement Placement::on(int node) {
  if (node < 0)
    throw Error("Placement::on() names node " + std::to_string(node) +
                "; nodes are numbered from 0");
  Placement p;
  p.kind_ = Kind::on;
  p.number_ = static_cast<std::size_t>(node);
  return p;
}

Placement Placement::by(std::function<int(std::size_t)> home) {
  if (!home) throw Error("Placement::by() needs a function");
  Placement p;
  p.kind_ = Kind::by;
  p.home_ = std::move(home);
  return p;
}

Placement Placement::shares(std::vector<std::size_t> bytes) {
  Placement p;
  p.kind_ = Kind::shares;
  p.shares_ = std::move(bytes);
  return p;
}

void* allocate_bytes(std::size_t bytes, const Placement& placement, Policy policy, CallSite at) {
  Node& node = api::current("allocate()");
  const std::size_t page_bytes = page_size();
  const std::uint64_t space_bytes = node.space().bytes();
  const std::string in_words = std::to_string(bytes) + " bytes";
  if (bytes > space_bytes)
    throw Error("allocate() of " + in_words + " exceeds the shared space of " +
                std::to_string(space_bytes >> 20) + " MiB; a larger DSM_SPACE makes room");
  const std::uint64_t pages = std::max<std::uint64_t>(1, (bytes + page_bytes - 1) / page_bytes);
  const std::uint64_t align = pages >= node.chunk_pages() ? node.chunk_pages() : 1;
  const std::optional<PageRun> run = node.driver().look(
      [&](const core::Engine& engine) { return engine.layout().find_space(pages, align); });
  if (!run)
    throw Error("allocate() of " + in_words + " finds no room in the shared space of " +
                std::to_string(space_bytes >> 20) +
                " MiB; free something, or give a larger DSM_SPACE");

  const core::Region region(RegionId(next_region++), *run,
                            PlacementAccess::homes(placement, pages, node.size(), page_bytes),
                            core_policy(node, policy));
  const Status prepared = prepare_home(node, region);
  // From here on this node answers for its pages; nobody comes before the barrier below.
  if (prepared.ok()) node.driver().add_region(region);
  try {
    agree({api::Collective::allocate, region.hash(), at}, prepared);
  } catch (const Error&) {
    if (prepared.ok()) node.driver().drop_region(region.id());
    throw;
  }
  return node.space().program(run->first);
}

void free_bytes(void* memory, CallSite at) {
  Node& node = api::current("free()");
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  std::optional<RegionId> id;
  if (node.space().contains(address)) {
    const PageId page = node.space().page_of(address);
    id = node.driver().look([&](const core::Engine& engine) -> std::optional<RegionId> {
      const core::Region* region = engine.layout().region_of(page);
      if (region == nullptr || region->run().first != page) return std::nullopt;
      return region->id();
    });
  }
  if (!id || node.space().program(node.space().page_of(address)) != memory)
    throw Error(
        "free() is given an address that allocate() did not return, or that was freed before");
  api::collective({api::Collective::free, id->value, at}, {});
  const PageRun run = node.driver().look(
      [&](const core::Engine& engine) { return engine.layout().region(*id)->run(); });
  node.driver().drop_region(*id);
  api::has_freed(node, run);
  api::collective({api::Collective::free, id->value, at}, {});
}

}  // namespace dsm
