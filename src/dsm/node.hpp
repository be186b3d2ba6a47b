// One node, wired: settings, rendezvous, memory, transport, engine, traps. Made once a process, by
// joining the job.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/driver.hpp"
#include "dsm/freed.hpp"
#include "dsm/lanes.hpp"
#include "dsm/launch/job.hpp"
#include "dsm/launch/rendezvous.hpp"
#include "dsm/launch/settings.hpp"
#include "dsm/mark_rings.hpp"
#include "dsm/memory/address_space.hpp"
#include "dsm/memory/trap.hpp"
#include "dsm/twins.hpp"
#include "transport/transport.hpp"

namespace dsm {

class Node {
 public:
  // Joins the job that the environment describes. Collective. A Status says in one line what is
  // wrong and what would help.
  static Result<std::unique_ptr<Node>> join();

  // Leaves it. REQUIRES: all nodes are about to (a barrier said so), and no thread of the program
  // uses the space any more.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // This node goes although the others have not agreed to, and their job ends. Only destruction may
  // follow.
  void abandon(const char* why);
  // The same, and the end of the process, from wherever it is.
  [[noreturn]] void fail(const char* why);

  NodeId self() const { return job_.rank; }
  std::uint32_t size() const { return job_.size; }
  Driver& driver() { return *driver_; }
  memory::AddressSpace& space() { return *space_; }
  transport::Transport& wire() { return *wire_; }
  core::Policy standard_policy() const;           // of regions that name none
  bool debug() const { return settings_.debug; }  // misuse is looked for
  Freed& freed() const { return *freed_; }
  std::uint64_t cache_bytes() const { return settings_.cache_bytes; }
  std::uint32_t chunk_pages() const { return chunk_pages_; }
  const char* transport_name() const { return wire_->caps().name; }

 private:
  Node(launch::Settings settings, launch::Job job)
      : settings_(std::move(settings)), job_(std::move(job)) {}

  // The steps of joining, in order.
  Status check_limits();
  Status meet();
  Status map_space();
  Status open_wire();
  Status wire_up();
  Status start_engine();

  void describe_stray(std::uintptr_t address, PageId page) const;
  static bool on_trap(void* context, std::uintptr_t address, Access wanted);
  [[noreturn]] void on_lost(NodeId lost, const std::string& why, const Doing& doing,
                            const std::string& data);
  void on_news(const Doing& doing);
  // Known to all, or to be told them by this node.
  enum class Cause { known, told };
  [[noreturn]] void end_job(const std::string& why, const Doing& doing, Cause cause = Cause::known);

  launch::Settings settings_;
  launch::Job job_;
  const std::unique_ptr<Freed> freed_ = std::make_unique<Freed>();
  bool abandoned_ = false;
  std::atomic<bool> leaving_{false};  // in good order
  std::atomic<bool> ending_{false};   // because of someone else
  std::uint32_t chunk_pages_ = 0;
  core::Watching watching_ = core::Watching::by_traps;
  std::uint32_t spinners_ = 1;      // threads of this node that may spin without taking a core
  std::vector<std::string> hosts_;  // "host, process 123", by rank
  // Destroyed in reverse: the trap first, the rendezvous last.
  std::unique_ptr<launch::Rendezvous> rendezvous_;
  std::unique_ptr<memory::AddressSpace> space_;
  std::unique_ptr<MarkRings> rings_;
  std::unique_ptr<Twins> twins_;
  std::unique_ptr<transport::Transport> wire_;
  std::unique_ptr<Lanes> lanes_;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<memory::Trap> trap_;
};

}  // namespace dsm
