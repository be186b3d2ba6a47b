#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/log.hpp"
#include "dsm/api/current.hpp"
#include "dsm/api/misuse.hpp"

namespace dsm {
namespace {

// Deleted by the Session alone: a process that ends by exit() has not left the job, and must not
// wait for the others in a destructor.
Node* the_node = nullptr;
bool is_child = false;  // of a process that had a Session when it forked

// A forked child has neither the memory nor the threads of the node, and must not speak in its
// name.
void forget_in_children() {
  static const int registered = ::pthread_atfork(nullptr, nullptr, [] {
    if (the_node == nullptr) return;
    the_node = nullptr;
    is_child = true;
  });
  DSM_CHECK(registered == 0, "a handler for fork() can be registered");
}

std::terminate_handler terminate_otherwise = nullptr;

// A program that lets an Error go ends with its one line, and the others hear why.
[[noreturn]] void on_terminate() {
  try {
    if (const std::exception_ptr thrown = std::current_exception()) std::rethrow_exception(thrown);
  } catch (const Error& error) {
    log_line("%s", error.what());
    if (the_node != nullptr) the_node->fail(error.what());
    ::_exit(EXIT_FAILURE);
  } catch (...) {  // the program's own
  }
  terminate_otherwise();
  std::abort();
}

void answer_for_errors() {
  static const bool once = [] {
    terminate_otherwise = std::set_terminate(on_terminate);
    return true;
  }();
  (void)once;
}

void log_statistics(const Statistics& s) {
  log_line(
      "faults: %lu read, %lu write; pages: %lu fetched (%lu ahead, %lu of them unread), %lu pushed, "
      "%lu kept up, %lu invalidated, %lu sent home; homes: %lu moved here, %lu away; "
      "%lu chunks evicted",
      s.read_faults, s.write_faults, s.pages_fetched, s.pages_fetched_ahead,
      s.pages_fetched_ahead_unread, s.pages_pushed, s.pages_kept_up, s.pages_invalidated,
      s.pages_sent_home, s.pages_moved_here, s.pages_moved_away, s.chunks_evicted);
  log_line(
      "%lu messages of %lu bytes sent, %lu bytes read; locks: %lu taken, %lu of them here; %lu "
      "barriers",
      s.messages_sent, s.bytes_sent, s.bytes_read, s.locks_taken, s.locks_taken_here, s.barriers);
  if (s.chains_posted + s.operations_served + s.datagrams_sent == 0) return;
  log_line(
      "wire: %lu chains posted, %lu operations served, %lu datagrams sent, %lu to all, %lu "
      "relayed, "
      "%lu again, %lu missed",
      s.chains_posted, s.operations_served, s.datagrams_sent, s.datagrams_multicast,
      s.datagrams_relayed, s.datagrams_resent, s.datagrams_missed);
}

}  // namespace

namespace api {

Node& current(const char* call) {
  if (is_child)
    throw Error(std::string(call) +
                " in a child process: the Session is its parent's; start programs that share "
                "memory with dsmrun");
  if (!the_node)
    throw Error(
        std::string(call) +
        " needs a dsm::Session: make one first, and keep it until the last use of shared memory");
  return *the_node;
}

Node* joined() {
  return the_node;
}

void fail(const Status& status) {
  throw Error(status.message());
}

}  // namespace api

Session::Session() : exceptions_(std::uncaught_exceptions()) {
  answer_for_errors();
  if (the_node) throw Error("there is a dsm::Session already: a process joins its job once");
  Result<std::unique_ptr<Node>> node = Node::join();
  if (!node) api::fail(node.status());
  forget_in_children();
  the_node = std::move(node).value().release();
  is_child = false;
}

Session::~Session() {
  if (the_node == nullptr) return;
  if (std::uncaught_exceptions() > exceptions_) {
    the_node->abandon("it was left by an exception");
  } else {
    if (log_debug()) log_statistics(statistics());
    api::report_held_locks(*the_node);
    api::leave(*the_node);
  }
  delete std::exchange(the_node, nullptr);
}

int rank() noexcept {
  return the_node ? static_cast<int>(the_node->self().value) : 0;
}

int size() noexcept {
  return the_node ? static_cast<int>(the_node->size()) : 1;
}

std::size_t page_size() noexcept {
  return memory::AddressSpace::page_size();
}

const char* transport_name() noexcept {
  return the_node ? the_node->transport_name() : "none";
}

const char* trap_name() noexcept {
  return the_node ? memory::name(the_node->space().trap_kind()) : "none";
}

const char* version() noexcept {
  return DSM_VERSION;
}

Statistics statistics() {
  Node& node = api::current("statistics()");
  Statistics s;
  node.driver().look([&](const core::Engine& engine) {
    const core::Counters& c = engine.counters();
    s.read_faults = c.read_faults;
    s.write_faults = c.write_faults;
    s.pages_fetched = c.fetches;
    s.pages_fetched_ahead = c.fetched_ahead;
    s.pages_fetched_ahead_unread = c.fetched_ahead_unread;
    s.pages_pushed = c.pushed;
    s.pages_kept_up = c.kept_up;
    s.pages_invalidated = c.invalidations;
    s.pages_sent_home = c.diffs;
    s.pages_moved_here = c.moved_here;
    s.pages_moved_away = c.moved_away;
    s.chunks_evicted = c.evictions;
    s.locks_taken = c.locks_taken;
    s.locks_taken_here = c.locks_taken_here;
    s.barriers = c.barriers;
    const std::uint64_t page_bytes = page_size();
    s.cache_bytes = engine.cached_chunks() * engine.config().chunk_pages * page_bytes;
    s.cache_limit_bytes = engine.config().cache_chunks * engine.config().chunk_pages * page_bytes;
    for (const core::Region& region : engine.layout().regions())
      s.home_bytes += region.pages_at(node.self()) * page_bytes;
  });
  s.locks_taken += node.driver().locks_taken_on_loan();
  s.locks_taken_here += node.driver().locks_taken_on_loan();
  s.registered_bytes = node.wire().registered_bytes();
  const Traffic traffic = node.driver().traffic();
  s.messages_sent = traffic.messages_sent;
  s.bytes_sent = traffic.bytes_sent;
  s.bytes_read = traffic.bytes_read;
  s.chains_posted = traffic.wire.chains;
  s.operations_served = traffic.wire.served;
  s.datagrams_sent = traffic.wire.datagrams;
  s.datagrams_resent = traffic.wire.resent;
  s.datagrams_missed = traffic.wire.missed;
  s.datagrams_multicast = traffic.wire.multicast;
  s.datagrams_relayed = traffic.wire.relayed;
  return s;
}

}  // namespace dsm
