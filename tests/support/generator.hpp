// Generator: writes one random program (random_program.cpp), after it has chosen what the program
// works on (random_layout.cpp).
#pragma once

#include <utility>

#include "support/program.hpp"
#include "support/random.hpp"
#include "support/weave.hpp"

namespace dsm::sim {

// Who uses the phase fields, phase after phase.
enum class Owners : std::uint8_t {
  rotating,  // another thread in each phase
  stable,    // the same thread always; everyone reads in the odd phases
  home,      // the page's home writes in even phases, everyone reads in the odd ones
  drifting,  // one node writes all of a page for some phases, then another
};

class Generator {
 public:
  Generator(std::uint64_t seed, const Shape& shape)
      : random_(seed),
        races_(seed ^ 0x7261636573),
        team_random_(seed ^ 0x7465616d),
        bound_random_(seed ^ 0x626f756e64),
        pull_random_(seed ^ 0x70756c6c),
        ahead_random_(seed ^ 0x6168656164),
        push_random_(seed ^ 0x70757368),
        watch_random_(seed ^ 0x7761746368),
        without_random_(seed ^ 0x776974686f7574),
        move_random_(seed ^ 0x6d6f7665),
        shape_(shape) {}

  Program make();
  bool drifts() const { return owners_ == Owners::drifting; }

 private:
  void choose_config();
  void place_regions();
  void cut_fields();
  void place_sequential_region();
  void racy_access();
  void write_thread_phase(std::uint32_t node, std::uint32_t thread, std::uint32_t phase,
                          std::uint32_t budget);
  void scope();
  void try_scope();
  void access(const Field& field, bool may_write);
  void locked_access(std::uint32_t lock);
  void sweep(std::uint32_t lock);
  void phase_access();
  void drifting_access();
  void pinned_access();
  void try_scope_on(std::uint32_t lock);
  void baton();
  std::uint32_t lasting_pages() const {
    return static_cast<std::uint32_t>(program_.regions[lasting_ - 1].run().end().value);
  }
  const core::Region& region_of(std::uint32_t page) const {
    return program_.regions[program_.regions[0].run().contains(PageId(page)) ? 0 : 1];
  }
  void choose_teams();
  void bind_fields();
  void team_access();
  void team_barrier();
  void put(Op op) { ops_->push_back(op); }

  Random random_;
  Random races_;        // what sequential regions need: programs without one stay as they are
  Random team_random_;  // so that programs without teams do not change
  Random bound_random_;
  Random pull_random_;
  Random ahead_random_;    // programs whose nodes do not read ahead stay as they are
  Random push_random_;     // the same of those that push nothing
  Random watch_random_;    // and of those that watch by traps alone
  Random without_random_;  // and of those that leave out nothing
  Random move_random_;     // and of those whose homes stay where they are
  Shape shape_;
  Program program_;
  Owners owners_ = Owners::rotating;
  std::uint32_t threads_ = 1;  // of each node
  std::uint32_t phases_ = 1;
  std::uint32_t lasting_ = 0;  // regions that are there from the first barrier to the end
  bool all_join_ =
      true;  // barriers are for all threads of a node; otherwise thread 0 arrives alone
  bool exchanges_ = false;     // hardly any scopes, so that what a barrier brings lives
  std::uint32_t stay_ = 1;     // drifting: so many phases
  bool all_may_read_ = false;  // drifting: everyone reads in the odd ones
  bool lone_lock_ = false;     // the last lock may be held across a barrier
  std::uint32_t write_percent_ = 50;
  std::uint32_t sequential_ = 0;     // the sequential region; 0: none
  std::uint32_t races_percent_ = 0;  // of the operations are in it
  std::uint32_t hot_fields_ = ~0u;   // so many of a lock's fields are used
  std::vector<std::vector<Field>> by_lock_;
  std::vector<std::vector<Field>> by_baton_;
  std::vector<Field> phase_fields_;
  std::vector<std::vector<std::uint32_t>> at_home_;  // phase fields, by the node that is home

  // Teams: those of split s meet by the threads numbered s alone, or each by all threads of its
  // members. A team's fields change hands at its barriers.
  struct Team {
    std::vector<Field> fields;
    std::uint32_t rounds = 0;         // barriers in this phase
    std::uint32_t rounds_before = 0;  // in earlier ones
  };
  std::vector<std::vector<std::uint32_t>> team_of_;  // [split][node]: the team
  bool teams_join_ = false;
  std::vector<Team> teams_;
  static constexpr std::uint32_t no_team = ~std::uint32_t{0};
  std::uint32_t team_ = no_team;  // of the thread being written
  std::uint32_t team_round_ = 0;

  // of the thread being written
  std::vector<Op>* ops_ = nullptr;
  std::uint32_t node_ = 0, thread_ = 0, phase_ = 0;
  std::uint32_t frozen_ =
      0;  // in this phase nobody takes this lock, so everyone may read what belongs to it
  bool in_phase_ = false;  // phase fields may be used
  bool pinned_ = false;
};

}  // namespace dsm::sim
