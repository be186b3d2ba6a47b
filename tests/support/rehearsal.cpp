#include "support/rehearsal.hpp"

#include <algorithm>
#include <utility>

namespace dsm::sim {
namespace {

bool is_join(const Op& op) {
  return op.what == Do::join;
}

}  // namespace

Rehearsal::Rehearsal(Program& program, Random& random) : program_(program), random_(random) {
  for (std::uint32_t node = 0; node < program_.node_count(); ++node) {
    for (std::vector<Op>& ops : program_.nodes[node]) {
      Thread t;
      t.node = node;
      t.ops = &ops;
      t.first_join =
          static_cast<std::size_t>(std::find_if(ops.begin(), ops.end(), is_join) - ops.begin());
      t.last_join = static_cast<std::size_t>(ops.rend() -
                                             std::find_if(ops.rbegin(), ops.rend(), is_join) - 1);
      threads_.push_back(std::move(t));
    }
  }
}

std::vector<Field> Rehearsal::take_fields(std::vector<Field>& from, std::uint32_t count) {
  std::vector<Field> taken;
  for (; count > 0 && !from.empty(); --count) {
    std::swap(from[random_.below(from.size())], from.back());
    taken.push_back(from.back());
    from.pop_back();
  }
  return taken;
}

void Rehearsal::access(const Field& field, bool writes, std::vector<Op>& out) {
  out.push_back({writes ? Do::write : Do::read, field.length, field.offset, field.page});
}

// Not to a scope that begins with a wait which would be one.
bool Rehearsal::Thread::may_go(const Counts& counts) const {
  if (done() || blocked) return false;
  if (next + 1 >= ops->size()) return true;
  const Op& wait = (*ops)[next + 1];
  if (wait.what != Do::await_count) return true;
  const auto count = counts.find({wait.page, wait.offset});
  return count != counts.end() && count->second >= wait.lock;
}

// At a barrier: of all threads of the node or for all of them, of the job or of a team. Whoever
// completes it lets everybody go on.
void Rehearsal::arrive(std::uint32_t thread, const Op& op) {
  threads_[thread].blocked = true;
  const bool of_team = op.what == Do::team_arrive || op.what == Do::team_join;
  const bool whole = op.what == Do::join || op.what == Do::team_join;
  const auto waits_here = [&](const Thread& t) {
    if (!t.blocked) return false;
    const Op& its = (*t.ops)[t.next];
    return its.what == op.what && (!of_team || its.arg == op.arg);
  };
  for (std::uint32_t node = 0; node < program_.node_count(); ++node) {
    const auto& members = of_team ? program_.teams[op.arg] : std::vector<NodeId>();
    if (of_team && std::find(members.begin(), members.end(), NodeId(node)) == members.end())
      continue;
    std::size_t waiting = 0;
    for (const Thread& t : threads_) waiting += t.node == node && waits_here(t);
    if (waiting < (whole ? program_.nodes[node].size() : 1)) return;
  }
  std::vector<Thread*> passed;
  for (Thread& t : threads_)
    if (waits_here(t)) passed.push_back(&t);
  for (Thread* t : passed) {
    t->blocked = false;
    ++t->next;
  }
}

void Rehearsal::advance(std::uint32_t thread) {
  Thread& t = threads_[thread];
  do {
    const Op op = (*t.ops)[t.next];
    t.begins.push_back(t.woven.size());
    if (t.next > t.first_join && t.next <= t.last_join && t.pins == 0 && random_.one_in(one_in_))
      insert(thread);
    t.moved_to.push_back(t.woven.size());
    t.woven.push_back(op);
    if (op.skip != 0) t.guarded = std::max<std::size_t>(t.guarded, t.next + op.skip);
    switch (op.what) {
      case Do::acquire:
      case Do::try_acquire:
      case Do::timed_acquire:
      case Do::acquire_shared:
      case Do::try_acquire_shared:
      case Do::timed_acquire_shared:
        ++t.held;
        break;
      case Do::release:
      case Do::release_shared:
        --t.held;
        break;
      case Do::count_up:
        ++counts_[{op.page, op.offset}];
        t.owes = true;
        break;
      case Do::notify_one:
      case Do::notify_all:
        t.owes = false;
        break;
      case Do::pin:
        ++t.pins;
        break;
      case Do::unpin:
        --t.pins;
        break;
      case Do::arrive:
      case Do::join:
      case Do::team_arrive:
      case Do::team_join:
        return arrive(thread, op);
      default:
        break;
    }
    ++t.next;
  } while (!t.done() && !t.is_clean());
}

void Rehearsal::run(std::uint32_t one_in) {
  one_in_ = one_in;
  for (;;) {
    std::vector<std::uint32_t> ready;
    for (std::uint32_t i = 0; i < threads_.size(); ++i)
      if (threads_[i].may_go(counts_)) ready.push_back(i);
    if (ready.empty()) break;
    advance(ready[random_.below(ready.size())]);
  }
  for (Thread& t : threads_) {
    t.begins.push_back(t.woven.size());
    for (std::size_t i = 0; i < t.ops->size(); ++i)
      if (const std::uint32_t skip = (*t.ops)[i].skip; skip != 0)
        t.woven[t.moved_to[i]].skip =
            static_cast<std::uint32_t>(t.begins[i + skip] - t.moved_to[i]);
    *t.ops = std::move(t.woven);
  }
}

}  // namespace dsm::sim
