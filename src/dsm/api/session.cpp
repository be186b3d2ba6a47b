#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <string>

#include "base/log.hpp"
#include "dsm/api/current.hpp"

namespace dsm {
namespace {

std::unique_ptr<Node> the_node;
std::atomic<bool> in_collective{false};

const char* name_of(api::Collective kind) {
  switch (kind) {
    case api::Collective::barrier: return "barrier()";
    case api::Collective::allocate: return "allocate()";
    case api::Collective::free: return "free()";
    case api::Collective::broadcast: return "broadcast()";
    case api::Collective::all_gather: return "all_reduce() or all_gather_bytes()";
    case api::Collective::lock: return "Lock()";
    case api::Collective::make_barrier: return "Barrier()";
  }
  return "?";
}

void log_statistics(const Statistics& s) {
  log_line("faults: %lu read, %lu write; pages: %lu fetched, %lu invalidated, %lu sent home; %lu chunks evicted", s.read_faults,
           s.write_faults, s.pages_fetched, s.pages_invalidated, s.pages_sent_home, s.chunks_evicted);
  log_line("%lu messages of %lu bytes sent, %lu bytes read; locks: %lu taken, %lu of them here; %lu barriers", s.messages_sent,
           s.bytes_sent, s.bytes_read, s.locks_taken, s.locks_taken_here, s.barriers);
}

}  // namespace

namespace api {

Node& current(const char* call) {
  if (!the_node) throw Error(std::string(call) + " needs a dsm::Session: make one first, and keep it until the last use of shared memory");
  return *the_node;
}

void fail(const Status& status) { throw Error(status.message()); }

std::vector<Bytes> collective(Collective kind, std::uint64_t detail, ByteView data) {
  Node& node = current(name_of(kind));
  if (in_collective.exchange(true))
    throw Error(std::string("two threads of this node are in collective calls at once (") + name_of(kind) +
                "): collective calls are made by one thread of a node at a time");
  Bytes payload;
  Writer writer(payload);
  writer.put(kind);
  writer.put(detail);
  writer.put_bytes(data);
  std::vector<Bytes> all = node.driver().barrier(std::move(payload), "at a barrier");
  in_collective.store(false);
  for (std::uint32_t n = 0; n < all.size(); ++n) {
    Reader in(all[n]);
    const auto other = in.get<Collective>();
    const auto its_detail = in.get<std::uint64_t>();
    if (other != kind)
      throw Error("collective calls differ: node " + std::to_string(node.self().value) + " is in " + name_of(kind) + ", node " +
                  std::to_string(n) + " in " + name_of(other) + "; every node makes the same calls in the same order");
    if (its_detail != detail)
      throw Error(std::string("collective calls differ: ") + name_of(kind) + " has other sizes or arguments on node " +
                  std::to_string(n) + " than on node " + std::to_string(node.self().value));
    const ByteView rest = in.get_bytes(in.left());
    all[n] = Bytes(rest.begin(), rest.end());
  }
  return all;
}

}  // namespace api

Session::Session() : exceptions_(std::uncaught_exceptions()) {
  if (the_node) throw Error("there is a dsm::Session already: a process joins its job once");
  Result<std::unique_ptr<Node>> node = Node::join();
  if (!node) api::fail(node.status());
  the_node = std::move(node).value();
}

Session::~Session() {
  if (std::uncaught_exceptions() > exceptions_) {
    the_node->abandon("it was left by an exception");
  } else if (log_debug()) {
    log_statistics(statistics());
  }
  the_node.reset();
}

int rank() noexcept { return the_node ? static_cast<int>(the_node->self().value) : 0; }

int size() noexcept { return the_node ? static_cast<int>(the_node->size()) : 1; }

std::size_t page_size() noexcept { return memory::AddressSpace::page_size(); }

const char* transport_name() noexcept { return the_node ? the_node->transport_name() : "none"; }

const char* trap_name() noexcept { return the_node ? memory::name(the_node->space().trap_kind()) : "none"; }

const char* version() noexcept { return DSM_VERSION; }

Statistics statistics() {
  Node& node = api::current("statistics()");
  Statistics s;
  node.driver().look([&](const core::Engine& engine) {
    const core::Counters& c = engine.counters();
    s.read_faults = c.read_faults;
    s.write_faults = c.write_faults;
    s.pages_fetched = c.fetches;
    s.pages_invalidated = c.invalidations;
    s.pages_sent_home = c.diffs;
    s.chunks_evicted = c.evictions;
    s.locks_taken = c.locks_taken;
    s.locks_taken_here = c.locks_taken_here;
    s.barriers = c.barriers;
    const std::uint64_t page_bytes = page_size();
    s.cache_bytes = engine.cached_chunks() * engine.config().chunk_pages * page_bytes;
    s.cache_limit_bytes = engine.config().cache_chunks * engine.config().chunk_pages * page_bytes;
    for (const core::Region& region : engine.layout().regions()) s.home_bytes += region.pages_at(node.self()) * page_bytes;
  });
  const Traffic traffic = node.driver().traffic();
  s.messages_sent = traffic.messages_sent;
  s.bytes_sent = traffic.bytes_sent;
  s.bytes_read = traffic.bytes_read;
  return s;
}

}  // namespace dsm
