// The barrier: it opens and closes the global scope. Everyone hears of every write since the last
// one.
#include <utility>

#include "base/check.hpp"
#include "dsm/core/engine.hpp"

namespace dsm::core {
namespace {

// What a node contributes: what it has pushed to whom, the pages that it wrote, those that it
// operated on, those of its own that get another home, its clock where races are looked for, then
// the payload.
Bytes encode_contribution(const std::vector<PushCount>& pushed, const PageSet& written,
                          const PageSet& operated_on, const std::vector<Move>& moves,
                          const Clock& clock, ByteView payload) {
  constexpr std::size_t small = 64;  // grown at once, not step by step
  Bytes bytes;
  bytes.reserve(small + written.runs.size() * sizeof(PageRun) + payload.size());
  Writer writer(bytes);
  encode(pushed, writer);
  encode(written, writer);
  encode(operated_on, writer);
  encode(moves, writer);
  if (!clock.empty()) encode(clock, writer);
  writer.put_bytes(payload);
  return bytes;
}

}  // namespace

void Engine::on(const Arrive& e, Effects& out) {
  DSM_CHECK(!barrier_wait_.waiting, "a node arrives once at each barrier");
  barrier_wait_ = {true, e.who, e.payload, e.site};
  ++counters_.barriers;
  publish(Publication::Kind::barrier, LockId(), out);
}

// Is the trap that the next write would cost worth it? Readers of a watched page keep their copies
// while nobody writes.
bool Engine::worth_watching(HomePage& page) {
  if (page.rest == 0) return true;
  --page.rest;
  return false;
}

void Engine::contribute(Effects& out) {
  arrived_at_ = log_.now();
  contributed_ = true;
  if (!planted(Bug::barrier_tells_unsent)) log_unsent();
  std::vector<sync::BarrierMessage> messages;
  barrier_.arrive(encode_contribution(pushes_.to, written(Seq(), arrived_at_), tell_atomics(),
                                      announce_moves(), tell_clock(), barrier_wait_.payload),
                  messages);
  barrier_wait_.payload.clear();
  for (sync::BarrierMessage& m : messages)
    out.push(Send{m.to, BarrierRound{m.epoch, m.round, std::move(m.known)}});
  exit_if_all_is_here(out);
}

// Another thread's diff may have begun after this node arrived: its page is in the log, and the
// barrier will tell of it, but its bytes are not home, and whoever fetches the page behind the
// barrier may come too early. So it counts for the next interval too.
void Engine::log_unsent() {
  if (flushes_.open() == 0) return;
  for (const Chunk& chunk : cache_.chunks()) {
    if (chunk.number == Chunk::unused || chunk.busy == 0) continue;
    const PageId first = cache_.first_page(chunk);
    for (PageId id = first; id < first + config_.chunk_pages; ++id)
      if (cache_.page(chunk, id).state == PageState::diffing) log_.append(id);
  }
}

void Engine::on(const BarrierRound& m, NodeId from, Effects& out) {
  std::vector<sync::BarrierMessage> messages;
  const bool expected = barrier_.receive(from, m.epoch, m.round, m.known, messages);
  DSM_CHECK_WITH(expected, "a barrier's message comes from the node below, once",
                 {"from", from.value}, {"round", m.round});
  for (sync::BarrierMessage& next : messages)
    out.push(Send{next.to, BarrierRound{next.epoch, next.round, std::move(next.known)}});
  exit_if_all_is_here(out);
}

// A pusher's bytes have no other sign of their coming than themselves (C14).
void Engine::exit_if_all_is_here(Effects& out) {
  if (!barrier_.complete()) return;
  if (pushes_are_here() || planted(Bug::barrier_left_before_push)) exit_barrier(out);
}

void Engine::exit_barrier(Effects& out) {
  const Epoch ended = epoch();
  std::vector<std::pair<NodeId, std::vector<Move>>> moves;  // of those who tell of some
  std::vector<Bytes> contributions = barrier_.leave();
  contributed_ = false;
  log_.forget_before(arrived_at_);
  heard_[0] = std::exchange(heard_[1], History());

  for (std::uint32_t n = 0; n < config_.nodes; ++n) {
    Bytes& contribution = contributions[n];
    Reader in(contribution);
    PageSet named, operated_on;
    std::vector<Move> moved;
    Clock clock;
    decode_push_counts(in);
    const bool good = decode(in, named) && decode(in, operated_on) && decode(in, moved) &&
                      (!config_.find_races || decode(in, clock));
    if (!planted(Bug::clock_of_barrier_lost)) clock_.merge(clock);
    DSM_CHECK_WITH(good, "a contribution names pages", {"rank", n});
    contribution.erase(contribution.begin(),
                       contribution.end() - static_cast<std::ptrdiff_t>(in.left()));
    forget_bases(operated_on, out);
    note_operations(operated_on);
    if (!moved.empty()) moves.emplace_back(NodeId(n), std::move(moved));
    named.add(operated_on);
    clear_marks(named, NodeId(n), ended);
    if (NodeId(n) != config_.self) invalidate(named, out, NodeId(n));
  }
  judge_writers(ended);
  passed_ = std::move(contributions);  // what is left of them: the payloads
  drop_copies_of_atomics(out);
  races_.passed(epoch());
  if (planted(Bug::reduction_counted_twice) && config_.nodes == 3) passed_[0] = passed_[1];
  // A home page whose readers have all gone needs no watching; whoever comes next leaves a mark
  // first. But by scans it costs next to nothing, and who comes next need not be told for nothing.
  for (const PageId id : dirty_) {
    if (!is_home(id)) continue;
    HomePage& home = home_page(id);
    if (!may_be_private(home) || home.page.state != PageState::own_written || home.pushed) continue;
    if (is_scanned(id) && worth_watching(home)) {
      start_flush(home.page, id, out);
    } else {
      set_state(home.page, id, PageState::own_private);
    }
  }
  forget_clean();
  finish_pushes(out);

  std::vector<LockId> waiting = std::move(deferred_);
  deferred_.clear();
  for (const LockId id : waiting) {
    LockHere& lock = lock_here(id);
    if (lock.token.passed > epoch()) {
      deferred_.push_back(id);
    } else {
      enter(id, lock, out);
    }
  }
  resume_shared(out);
  resume_semaphores(out);
  exiting_ = true;
  for (const auto& [home, moved] : moves) begin_moves(home, ended, moved, out);
  exit_departures_ = departures_.next();
  retry_teams(out);
}

// Marks of copies that this barrier's notices take away. A page's only writer keeps its copy, and
// so its mark, and so do those that its home pushed to; a reader that has left this barrier already
// and come back has a newer mark, which stays (B7).
void Engine::clear_marks(const PageSet& named, NodeId writer, Epoch last) {
  if (planted(Bug::mark_cleared_by_next_epoch)) last = last + 1;
  const auto clear = [&](PageRun run) {
    for (const PageId id : homes_.marked_in(run)) {
      const bool own = writer == config_.self && !planted(Bug::pushed_marks_cleared);
      const std::vector<NodeId>* readers = own ? pushes_.readers_of(id) : nullptr;
      homes_.clear_marks(home_page(id), id, last,
                         readers != nullptr ? std::span(*readers) : std::span(&writer, 1));
    }
  };
  if (named.everything) clear({PageId(0), layout_.pages()});
  for (const PageRun& run : named.runs) clear(run);
}

void Engine::finish_exit(Effects& out) {
  exiting_ = false;
  barrier_wait_.waiting = false;
  out.push(Passed{barrier_wait_.who, std::exchange(passed_, {})});
  out.push(Wake{barrier_wait_.who});
}

}  // namespace dsm::core
