#include "dsm/node.hpp"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "base/log.hpp"
#include "base/wire.hpp"
#include "dsm/cores.hpp"
#include "dsm/launch/interface.hpp"
#include "dsm/memory/base_address.hpp"

namespace dsm {
namespace {

// what is cached, registered and evicted together
constexpr std::uint64_t chunk_bytes = 2u << 20;
// one instruction of each of several threads may touch many chunks
constexpr std::uint32_t chunks_least = 16;
constexpr std::uint32_t ring_slots = 512;
constexpr std::uint32_t fetch_window_pages = 16;
constexpr std::uint32_t pushed_pages_max =
    4096;  // a base is a page long, and is made when it is wanted
constexpr std::chrono::milliseconds exchange_limit{30000};
constexpr std::chrono::milliseconds reason_limit{200};  // between two signs of one loss
constexpr std::chrono::milliseconds reason_step{5};
// Between this node's line and its end: the others hear the reason before they see it gone, also
// when the rendezvous is served here.
constexpr std::chrono::milliseconds linger{500};

static_assert(chunks_least >= core::cache_chunks_min);

std::string host_name() {
  char name[256] = "?";
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string mebibytes(std::uint64_t bytes) {
  return std::to_string(bytes >> 20) + " MiB";
}

}  // namespace

Result<std::unique_ptr<Node>> Node::join() {
  Result<launch::Settings> settings = launch::read_settings(launch::process_environment());
  if (!settings) return settings.status();
  // dsmrun has said them once for all nodes.
  if (!settings->launch.launched)
    for (const std::string& warning : settings->warnings) log_line("%s", warning.c_str());
  Result<launch::Job> job = launch::read_job(*settings);
  if (!job) return job.status();
  log_set_rank(job->rank.value);

  std::unique_ptr<Node> node(new Node(std::move(settings).value(), std::move(job).value()));
  for (Status (Node::*step)() : {&Node::check_limits, &Node::meet, &Node::map_space,
                                 &Node::open_wire, &Node::wire_up, &Node::start_engine}) {
    if (Status status = (node.get()->*step)(); !status.ok()) {
      if (node->rendezvous_) node->rendezvous_->abort(status.code(), status.message());
      node->driver_.reset();
      return status;
    }
  }
  return node;
}

Status Node::check_limits() {
  const std::uint64_t least = chunk_bytes * chunks_least;
  if (settings_.cache_bytes < least)
    return Status(Code::invalid, "DSM_CACHE is " + mebibytes(settings_.cache_bytes) +
                                     "; a node needs at least " + mebibytes(least) +
                                     " of cache for other nodes' pages");
  chunk_pages_ = static_cast<std::uint32_t>(chunk_bytes / memory::AddressSpace::page_size());
  return {};
}

Status Node::meet() {
  const Cores cores = Cores::allowed_here();
  if (job_.size == 1) {
    hosts_.push_back(host_name());
    spinners_ = cores.share_among(std::span(&cores, 1));
    return {};
  }
  auto rendezvous = launch::make_rendezvous(job_, launch::settings_agreement(settings_));
  if (!rendezvous) return rendezvous.status();
  rendezvous_ = std::move(rendezvous).value();
  const std::string host = host_name();
  Bytes mine;
  Writer out(mine);
  out.put_string(host + ", process " + std::to_string(::getpid()));
  cores.encode(out);
  if (Status s = rendezvous_->publish("host", mine); !s.ok()) return s;
  auto hosts = launch::gather(*rendezvous_, job_.size, "host", exchange_limit);
  if (!hosts) return hosts.status();
  std::vector<Cores> here;
  for (const Bytes& bytes : hosts.value()) {
    Reader in(bytes);
    hosts_.push_back(in.get_string());
    if (hosts_.back().starts_with(host + ", ")) here.push_back(Cores::decode(in));
  }
  spinners_ = cores.share_among(here);
  return {};
}

// All nodes map the space at one address: the first of the candidates that is free on every one of
// them (DESIGN.md 4).
Status Node::map_space() {
  std::uintptr_t base = settings_.base.value_or(0);
  if (!settings_.base) {
    std::uint32_t free = memory::first_free_bases(settings_.space_bytes);
    if (rendezvous_) {
      Bytes mine;
      Writer(mine).put(free);
      if (Status s = rendezvous_->publish("bases", mine); !s.ok()) return s;
      auto all = launch::gather(*rendezvous_, job_.size, "bases", exchange_limit);
      if (!all) return all.status();
      for (const Bytes& bytes : all.value()) free &= Reader(bytes).get<std::uint32_t>();
    }
    if (free == 0)
      return Status(
          Code::exhausted,
          "no address range of " + mebibytes(settings_.space_bytes) +
              " is free on all nodes; give a smaller DSM_SPACE, or a free address as DSM_BASE");
    base = memory::candidate_bases()[static_cast<std::size_t>(std::countr_zero(free))];
  }

  const memory::TrapProbe probe = memory::probe_traps();
  memory::TrapKind kind = probe.best();
  if (settings_.trap == launch::TrapChoice::uffd) kind = memory::TrapKind::uffd;
  if (settings_.trap == launch::TrapChoice::mprotect) kind = memory::TrapKind::mprotect;
  if (const Status& usable = probe.of(kind); !usable.ok())
    return Status(usable.code(), std::string("DSM_TRAP=") + memory::name(kind) +
                                     " cannot be used here: " + usable.message());

  const Status scans = probe.scans_with(kind);
  if (settings_.watch == launch::WatchChoice::scan && !scans.ok())
    return Status(scans.code(), "DSM_WATCH=scan cannot be used here: " + scans.message());
  // Homes move by what traps tell (core/on_move.cpp).
  const bool by_traps = settings_.watch == launch::WatchChoice::trap || settings_.migrate_after > 0;
  if (!by_traps && scans.ok())
    watching_ = settings_.watch == launch::WatchChoice::scan ? core::Watching::by_scans
                                                             : core::Watching::by_either;
  auto space = memory::AddressSpace::create(
      base, settings_.space_bytes, kind,
      watching_ == core::Watching::by_traps ? memory::Watching::traps : memory::Watching::scans);
  if (!space) return space.status();
  space_ = std::move(space).value();
  auto rings = MarkRings::create(job_.size, ring_slots);
  if (!rings) return rings.status();
  rings_ = std::move(rings).value();
  const std::uint64_t cached_pages = settings_.cache_bytes / chunk_bytes * chunk_pages_;
  auto twins =
      Twins::create(space_->pages(), static_cast<std::uint32_t>(cached_pages + pushed_pages_max),
                    memory::AddressSpace::page_size());
  if (!twins) return twins.status();
  twins_ = std::move(twins).value();
  return {};
}

Status Node::open_wire() {
  transport::Options options;
  options.self = job_.rank;
  options.nodes = job_.size;
  options.job_key = job_.key.view();
  options.lent_bytes_max = settings_.cache_bytes;
  if (rendezvous_) options.bind_host = rendezvous_->near_host();
  if (!settings_.interface.empty()) {
    auto address = launch::address_of_interface(settings_.interface);
    if (!address)
      return Status(address.status().code(), "DSM_INTERFACE: " + address.status().message());
    options.bind_host = *address;
  }
  std::string name = settings_.transport;
  if (job_.size == 1 && name == "best") name = "loopback";
  auto wire = transport::open(name, options);
  if (!wire) return wire.status();
  wire_ = std::move(wire).value();
  const std::uint64_t largest = core::fetch_run_max * memory::AddressSpace::page_size();
  if (job_.size > 1 && wire_->caps().operation_max < largest)
    return Status(Code::unavailable, std::string("transport ") + wire_->caps().name +
                                         " cannot READ " + std::to_string(largest) +
                                         " bytes at once");
  if (job_.size == 1) return {};
  if (Status s = rendezvous_->publish("address", wire_->address()); !s.ok()) return s;
  auto addresses = launch::gather(*rendezvous_, job_.size, "address", exchange_limit);
  if (!addresses) return addresses.status();
  return wire_->connect(addresses.value());
}

// Every node lets every other one reach its frames and its rings.
Status Node::wire_up() {
  std::vector<Lanes::Remote> remotes(job_.size);
  if (job_.size > 1) {
    auto space_key =
        wire_->expose({space_->runtime(PageId(0)), space_->bytes()}, space_->descriptor(), 0);
    if (!space_key) return space_key.status();
    auto rings_key = wire_->expose(rings_->memory(), rings_->descriptor(), 0);
    if (!rings_key) return rings_key.status();
    if (Status s = rendezvous_->publish("space", space_key.value()); !s.ok()) return s;
    if (Status s = rendezvous_->publish("rings", rings_key.value()); !s.ok()) return s;
    auto spaces = launch::gather(*rendezvous_, job_.size, "space", exchange_limit);
    if (!spaces) return spaces.status();
    auto rings = launch::gather(*rendezvous_, job_.size, "rings", exchange_limit);
    if (!rings) return rings.status();
    for (std::uint32_t n = 0; n < job_.size; ++n) {
      if (NodeId(n) == job_.rank) continue;
      auto space = wire_->import_memory(NodeId(n), spaces.value()[n]);
      if (!space) return space.status();
      auto ring = wire_->import_memory(NodeId(n), rings.value()[n]);
      if (!ring) return ring.status();
      remotes[n] = {space.value(), ring.value()};
    }
  }
  lanes_ = std::make_unique<Lanes>(*wire_, *space_, job_.rank, ring_slots, std::move(remotes));
  return {};
}

Status Node::start_engine() {
  core::Config config;
  config.self = job_.rank;
  config.nodes = job_.size;
  config.space_pages = space_->pages();
  config.chunk_pages = chunk_pages_;
  config.cache_chunks = static_cast<std::uint32_t>(settings_.cache_bytes / chunk_bytes);
  config.mark_ring_slots = ring_slots;
  const transport::Caps& caps = wire_->caps();
  const launch::Without& without = settings_.without;
  config.marks_by_message = !caps.ordered || without.ordered_marks;
  config.fetch_window = without.runs ? 1 : fetch_window_pages;
  config.private_pages = !without.private_pages;
  config.lends_locks = !without.lending;
  if (without.dissemination) config.disseminate = 1;
  config.read_ahead = settings_.read_ahead_pages;
  config.push_after = settings_.push_after;
  config.migrate_after = settings_.migrate_after;
  config.pushed_pages = pushed_pages_max;
  config.watching = watching_;
  config.find_races = settings_.debug;
  config.page_bytes = static_cast<std::uint32_t>(memory::AddressSpace::page_size());
  // A home sees what it is told of.
  config.atomics_by_message = !caps.atomics || !caps.atomic_with_processor || config.find_races;

  Patience::Policy patience;
  patience.spinners = spinners_;
  if (settings_.spin) patience.before_sleep = *settings_.spin;

  driver_ = std::make_unique<Driver>(
      config, Driver::Parts{job_.rank, *wire_, *space_, *rings_, *lanes_, *twins_, patience,
                            [this](NodeId lost, const std::string& why, const Doing& doing,
                                   const std::string& data) { on_lost(lost, why, doing, data); },
                            [this](const Doing& doing) { on_news(doing); },
                            rendezvous_ ? rendezvous_->wait_fd() : -1, settings_.debug});
  auto trap = memory::Trap::install(*space_, &Node::on_trap, this);
  if (!trap) return trap.status();
  trap_ = std::make_unique<memory::Trap>(std::move(trap).value());
  driver_->start();
  return rendezvous_ ? rendezvous_->fence(exchange_limit) : Status();
}

Node::~Node() {
  if (!driver_) return;  // joining failed
  leaving_.store(true);
  driver_->closing();
  if (rendezvous_ && !abandoned_) {
    // Nobody closes before everyone knows that a closed connection is no loss from here on.
    if (const Status s = rendezvous_->fence(exchange_limit); !s.ok())
      log_line("%s", s.message().c_str());
    rendezvous_->finish();
  }
  trap_.reset();
  driver_.reset();
}

core::Policy Node::standard_policy() const {
  switch (settings_.consistency) {
    case launch::ConsistencyChoice::scope:
      return core::Policy::scope;
    case launch::ConsistencyChoice::release:
      return core::Policy::release;
    case launch::ConsistencyChoice::sequential:
      return core::Policy::sequential;
  }
  return core::Policy::scope;
}

void Node::abandon(const char* why) {
  abandoned_ = true;
  if (rendezvous_)
    rendezvous_->abort(Code::refused, "node " + std::to_string(self().value) + " (" +
                                          hosts_[self().value] + ") left: " + why);
}

void Node::fail(const char* why) {
  ending_.store(true);  // the others' answer is no news to this one
  abandon(why);
  std::this_thread::sleep_for(linger);
  ::_exit(EXIT_FAILURE);
}

bool Node::on_trap(void* context, std::uintptr_t address, Access wanted) {
  Node& node = *static_cast<Node*>(context);
  const PageId page = node.space_->page_of(address);
  if (node.driver_->fault(page, wanted)) return true;
  if (node.debug()) node.describe_stray(address, page);
  return false;
}

void Node::describe_stray(std::uintptr_t address, PageId page) const {
  if (const auto run = freed_->find(page)) {
    log_line("address 0x%lx lies in a region of %lu bytes at 0x%lx that was freed", address,
             static_cast<unsigned long>(run->count * memory::AddressSpace::page_size()),
             reinterpret_cast<std::uintptr_t>(space_->program(run->first)));
  } else {
    log_line("address 0x%lx lies in the shared space and in no region", address);
  }
}

// Far away, and the end of the job. A node that vanishes is noticed on its wire and at the
// rendezvous, in any order: the wire knows the node, the rendezvous knows its reason if it had time
// to give one (any Code but peer_lost). What only this node's wire knows, the others hear from
// here.
void Node::on_lost(NodeId lost, const std::string& why, const Doing& doing,
                   const std::string& data) {
  if (lost == self()) {
    end_job("this node is cut off: " + why, doing, Cause::told);
  }
  for (auto left = reason_limit; rendezvous_ && left.count() > 0; left -= reason_step) {
    const Status status = rendezvous_->check();
    if (!status.ok() && status.code() != Code::peer_lost) end_job(status.message() + data, doing);
    if (!status.ok()) break;
    std::this_thread::sleep_for(reason_step);
  }
  const std::string what = "lost node " + std::to_string(lost.value) + " (" +
                           (lost.value < hosts_.size() ? hosts_[lost.value] : "?") + ")" +
                           (why.empty() ? "" : ": " + why);
  end_job(what + data, doing, why.empty() ? Cause::known : Cause::told);
}

void Node::on_news(const Doing& doing) {
  const Status status = rendezvous_->check();
  if (status.ok() || leaving_.load()) return;  // asked in this order: the rendezvous is left later
  if (status.code() == Code::peer_lost) driver_->watch(reason_limit);
  end_job(status.message(), doing);
}

void Node::end_job(const std::string& why, const Doing& doing, Cause cause) {
  // another thread is saying it
  if (ending_.exchange(true)) std::this_thread::sleep_for(std::chrono::hours(1));
  if (cause == Cause::told) abandon(why.c_str());
  if (doing.what[0] == '\0') {
    log_line("%s; this node was computing", why.c_str());
  } else if (doing.numbered) {
    log_line("%s; this node was waiting %s %lu", why.c_str(), doing.what,
             static_cast<unsigned long>(doing.number));
  } else {
    log_line("%s; this node was waiting %s", why.c_str(), doing.what);
  }
  std::this_thread::sleep_for(linger);
  ::_exit(cause == Cause::told ? EXIT_FAILURE : launch::exit_code_of_bystander);
}

}  // namespace dsm
