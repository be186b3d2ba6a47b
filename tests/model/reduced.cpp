#include "model/reduced.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

#include "base/check.hpp"
#include "model/future.hpp"
#include "model/path.hpp"
#include "support/simulator.hpp"

namespace dsm::sim {
namespace {

constexpr std::size_t nobody = std::numeric_limits<std::size_t>::max();

struct Step {
  std::uint64_t number = 0;
  std::uint64_t made_before = 0;  // what it made has numbers from here
  std::size_t maker = nobody;
  Footprint used;
  Steps before;  // that this one could not come ahead of
};

struct Frame {
  Simulator simulator;
  std::uint64_t hash = 0;
  std::vector<std::uint64_t> chosen{};  // actions to be tried here, by number
  std::size_t tried = 0;
  Future later{};

  void choose(std::uint64_t number) {
    if (!has_chosen(number)) chosen.push_back(number);
  }
  bool has_chosen(std::uint64_t number) const {
    return std::find(chosen.begin(), chosen.end(), number) != chosen.end();
  }
};

class Reduced {
 public:
  Reduced(const Program& program, std::uint64_t states_max, core::Bug bug)
      : program_(program), states_max_(states_max), bug_(bug) {}

  Exploration run() {
    Simulator start = ready(program_, bug_);
    start.carry_movers(true);
    if (failed(start)) return result_;
    const std::uint64_t hash = start.hash();
    visit(std::move(start), hash);
    while (!stack_.empty() && !over_) {
      if (stack_.back().tried < stack_.back().chosen.size()) {
        take_step();
      } else {
        leave();
      }
    }
    result_.states = seen_.size();
    result_.complete = !over_;
    return result_;
  }

 private:
  struct Seen {
    std::uint32_t first = on_stack;  // of its entries in later_
    std::uint32_t count = 0;
  };
  static constexpr std::uint32_t on_stack = ~std::uint32_t{0};

  bool failed(const Simulator& simulator) {
    if (simulator.failure().empty()) return false;
    fail(simulator.failure());
    return true;
  }

  void fail(const std::string& what) {
    result_.failure = what;
    for (const Frame& f : stack_)
      if (f.tried > 0)
        result_.path.push_back(f.simulator.describe(choice_of(f.simulator, f.chosen[f.tried - 1])));
    over_ = true;
  }

  static std::size_t choice_of(const Simulator& simulator, std::uint64_t number) {
    for (std::size_t c = 0; c < simulator.choices(); ++c)
      if (simulator.number(c) == number) return c;
    DSM_CHECK(false, "an action waits until it is performed");
  }

  // A state that was never seen: begins with the action that is likely to meet the fewest others.
  void visit(Simulator simulator, std::uint64_t hash) {
    Frame frame{std::move(simulator)};
    frame.hash = hash;
    seen_[frame.hash] = {};
    if (frame.simulator.choices() == 0) {
      ++result_.ends;
      result_.outcomes.insert(frame.simulator.registers());
      result_.finals.insert(frame.hash);
      frame.simulator.finish();
      if (failed(frame.simulator)) return;
    } else {
      std::size_t best = 0;
      for (std::size_t c = 1; c < frame.simulator.choices(); ++c) {
        const auto key = [&](std::size_t i) {
          return std::pair(frame.simulator.rank(i), frame.simulator.number(i));
        };
        if (key(c) < key(best)) best = c;
      }
      frame.choose(frame.simulator.number(best));
    }
    stack_.push_back(std::move(frame));
  }

  void take_step() {
    const std::size_t n = stack_.size() - 1;
    Frame& frame = stack_.back();
    Simulator after = frame.simulator;
    Step& step = path_[n];
    step.number = frame.chosen[frame.tried++];
    step.made_before = after.made();
    step.maker = maker_of(step.number, n);
    after.perform(choice_of(after, step.number));
    step.used = after.footprint();
    ++result_.transitions;
    if (failed(after)) return;
    find_races(n);
    users_.push(n, step.used);
    frame.later.add({step.number, step.used, {}});
    if (!enter(std::move(after), n)) users_.pop(step.used);
  }

  // The state behind step n; false: nothing new comes of it.
  bool enter(Simulator after, std::size_t n) {
    Frame& frame = stack_[n];
    const std::uint64_t hash = after.hash();
    const auto known = seen_.find(hash);
    if (known == seen_.end()) {
      if (seen_.size() == states_max_) {
        over_ = true;
      } else if (stack_.size() == depth_max) {
        fail("a run does not come to rest");
      } else {
        visit(std::move(after), hash);
        return true;
      }
    } else if (known->second.first == on_stack) {
      // A cycle: everything may follow.
      for (std::size_t c = 0; c < frame.simulator.choices(); ++c)
        frame.choose(frame.simulator.number(c));
      Footprint all;
      all.everything();
      for (std::size_t c = 0; c < after.choices(); ++c) meet({after.number(c), all, {}}, n);
    } else {
      for (std::size_t i = 0; i < known->second.count; ++i) {
        Later later = knowledge_[later_[known->second.first + i]];
        const std::uint64_t root = later.root;
        for (std::size_t c = 0; c < after.choices(); ++c) {
          later.root = after.number(c);
          if (after.identity(c) == root) meet(later, n);
        }
      }
    }
    return false;
  }

  // The state is done: what follows it is known, for whoever comes here again.
  void leave() {
    Frame& frame = stack_.back();
    Seen& seen = seen_[frame.hash];
    seen = {static_cast<std::uint32_t>(later_.size()),
            static_cast<std::uint32_t>(frame.later.size())};
    for (const Later& l : frame.later) {
      Later kept = l;
      kept.root = frame.simulator.identity(choice_of(frame.simulator, l.root));
      later_.push_back(knowledge_.keep(kept));
    }
    if (stack_.size() > 1) {
      for (const Later& l : frame.later) pass_down(stack_.size() - 2, l);
      users_.pop(path_[stack_.size() - 2].used);
    }
    stack_.pop_back();
  }

  // What comes after a state's step comes after the state too, unless the step hides it: who wrote
  // a part before the step met the step first.
  void pass_down(std::size_t n, Later later) {
    const Step& step = path_[n];
    const bool made = later.root >= step.made_before;
    if (made || step.used.conflicts(later.uses) || step.used.conflicts(later.past))
      later.past.add(step.used);
    if (made) later.root = step.number;
    later.uses.hide(step.used.writes());
    if (!later.uses.empty()) stack_[n].later.add(later);
  }

  // The step of the path's first `steps` that made the action.
  std::size_t maker_of(std::uint64_t number, std::size_t steps) const {
    std::size_t low = 0, high = steps;  // the last step that began at or below it
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (path_[middle].made_before <= number) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low == 0 ? nobody : low - 1;
  }

  void find_races(std::size_t n) {
    Step& step = path_[n];
    step.before = {};
    if (step.maker != nobody) happened(step.before, step.maker);
    users_.last(step.used).each_down([&](std::size_t i) {
      if (step.before.has(i)) return;
      reverse(i, n);
      happened(step.before, i);
    });
  }

  void happened(Steps& before, std::size_t step) const {
    before.add(path_[step].before);
    before.add(step);
  }

  // Steps i and n could have come in the other order: some step that leads to n begins instead of
  // i.
  void reverse(std::size_t i, std::size_t n) {
    Frame& frame = stack_[i];
    std::uint64_t first = 0;
    bool found = false;
    for (std::size_t j = i + 1; j <= n; ++j) {
      const Step& s = path_[j];
      if (j < n && !path_[n].before.has(j)) continue;
      if (s.maker != nobody && s.maker >= i) continue;
      if (frame.has_chosen(s.number)) return;
      if (!found) first = s.number;
      found = true;
    }
    DSM_CHECK(found, "whatever is not made by a step waited beside it");
    frame.choose(first);
  }

  // Something that comes of the action `root`, which waits behind step n, is performed some time.
  void meet(const Later& later, std::size_t n) {
    pass_down(n, later);
    Steps before;
    const std::size_t maker = maker_of(later.root, n + 1);
    if (maker != nobody) happened(before, maker);
    users_.last(later.past).each_down([&](std::size_t i) {
      if (!before.has(i)) happened(before, i);
    });
    // At a step's state waits the action of which the root came.
    std::uint64_t number = later.root;
    std::size_t made_by = maker;
    users_.last(later.uses).each_down([&](std::size_t i) {
      if (before.has(i)) return;
      while (made_by != nobody && made_by >= i) {
        number = path_[made_by].number;
        made_by = path_[made_by].maker;
      }
      stack_[i].choose(number);
    });
  }

  const Program& program_;
  std::uint64_t states_max_;
  core::Bug bug_;
  Exploration result_;
  bool over_ = false;
  std::vector<Frame> stack_;
  std::vector<Step> path_ = std::vector<Step>(depth_max);  // by frame: the step under way
  std::unordered_map<std::uint64_t, Seen> seen_;
  Users users_;  // of the path
  Knowledge knowledge_;
  std::vector<std::uint32_t> later_;  // of it, state by state
};

}  // namespace

Exploration explore_reduced(const Program& program, std::uint64_t states_max, core::Bug bug) {
  return Reduced(program, states_max, bug).run();
}

}  // namespace dsm::sim
