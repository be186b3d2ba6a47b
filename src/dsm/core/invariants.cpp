// What is true between any two steps; the debugger's view; the hash of a state.
#include <algorithm>
#include <vector>

#include "dsm/core/engine.hpp"

namespace dsm::core {
namespace {

std::string at_page(const char* what, PageId id, PageState state) {
  return std::string(what) + ": page " + std::to_string(id.value) + " is " + name_of(state);
}

bool is_own(PageState s) {
  return s >= PageState::own_private;
}

// Whether what began as `number` is among those that began before `limit` (pending.hpp).
bool waits_for(std::uint32_t limit, std::uint32_t number) {
  return static_cast<std::int32_t>(number - limit) < 0;
}

class Hash {
 public:
  void mix(std::uint64_t v) {
    value_ ^= v + 0x9e3779b97f4a7c15ull + (value_ << 6) + (value_ >> 2);
    value_ *= 0xff51afd7ed558ccdull;
    value_ ^= value_ >> 32;
  }
  void mix(const Page& p) {
    mix(static_cast<std::uint64_t>(p.state) | std::uint64_t{p.poisoned} << 8 |
        std::uint64_t{p.invalidate} << 9 | std::uint64_t{p.flush} << 10 |
        std::uint64_t{p.had} << 11 | std::uint64_t{p.private_next} << 12 |
        std::uint64_t{p.held} << 13 | std::uint64_t{p.timed} << 14 |
        std::uint64_t{p.recalled} << 15 | std::uint64_t{p.asked} << 16 |
        std::uint64_t{p.written} << 17 | std::uint64_t{p.discard} << 18 |
        static_cast<std::uint64_t>(p.keep) << 19 | static_cast<std::uint64_t>(p.next) << 21 |
        std::uint64_t{p.ahead} << 23 | std::uint64_t{p.tenure} << 24 |
        std::uint64_t{p.covered} << 32 | std::uint64_t{p.steady} << 33);
    mix(p.rewritten | std::uint64_t{p.in_vain} << 8 | std::uint64_t{p.samples} << 16 |
        std::uint64_t{p.rewritten_at} << 24 | std::uint64_t{p.unsampled} << 40);
    if (is_sequential(p.state)) mix(p.flush_number), mix(p.departure_number);
  }
  void mix(ByteView bytes) {
    mix(bytes.size());
    for (const std::byte b : bytes) mix(std::to_integer<std::uint64_t>(b));
  }
  void mix(const PageSet& set) {
    mix(set.everything);
    for (const PageRun& r : set.runs) mix(r.first.value), mix(r.count);
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0x2545f4914f6cdd1dull;
};

}  // namespace

std::string Engine::broken_invariant() const {
  std::vector<PageId> dirty(dirty_.begin(), dirty_.end());
  std::sort(dirty.begin(), dirty.end());
  if (std::adjacent_find(dirty.begin(), dirty.end()) != dirty.end())
    return "a page is listed as dirty twice";
  for (const PageId id : dirty_)
    if (!counts_as_dirty(id)) return at_page("listed as dirty", id, state_of(id));

  std::size_t flushing = pushes_.comparing ? 1 : 0, departing = 0, based = 0;
  std::string broken;
  const auto look = [&](PageId id, const Page& page) {
    if (page.flush || page.state == PageState::diffing || page.state == PageState::settling)
      ++flushing;
    if (page.invalidate || page.state == PageState::unmapping ||
        page.state == PageState::own_closing)
      ++departing;
    if (counts_as_dirty(page) && !std::binary_search(dirty.begin(), dirty.end(), id))
      broken = at_page("not listed as dirty", id, page.state);
    if (page.poisoned && page.state != PageState::fetching)
      broken = at_page("poisoned", id, page.state);
    if (page.ahead && page.state != PageState::absent && page.state != PageState::fetching &&
        page.state != PageState::fetched)
      broken = at_page("nobody has come to it", id, page.state);
    if (page.state == PageState::fetched && !page.ahead)
      broken = at_page("somebody has asked for it", id, page.state);
    const bool stable = page.state == PageState::absent || page.state == PageState::fetched ||
                        page.state == PageState::clean || page.state == PageState::dirty;
    if (page.invalidate && (stable || is_own(page.state)))
      broken = at_page("waits for invalidation", id, page.state);
  };
  std::uint32_t used = 0, evicting = 0;
  for (const Chunk& chunk : cache_.chunks()) {
    if (chunk.number == Chunk::unused) continue;
    ++used;
    evicting += chunk.evicting;
    std::uint32_t present = 0;
    const PageId first = cache_.first_page(chunk);
    for (PageId id = first; id < first + config_.chunk_pages; ++id) {
      const Page& page = cache_.page(chunk, id);
      present += page.state != PageState::absent;
      if (is_own(page.state)) return at_page("an own page in the cache", id, page.state);
      if (page.state != PageState::absent && is_home(id))
        return at_page("a copy at home", id, page.state);
      look(id, page);
    }
    if (present != chunk.present)
      return "a chunk miscounts its pages: chunk " + std::to_string(chunk.number);
  }
  if (used != cache_.used() || evicting != cache_.evicting())
    return "the cache miscounts its chunks";
  if (used > config_.cache_chunks) return "the cache holds more than its limit";
  for (const Region& region : layout_.regions()) {
    for (PageId id = region.run().first; id < region.run().end(); ++id) {
      if (region.home(id) != config_.self) continue;
      const HomePage& home = homes_.at(region, id);
      look(id, home.page);
      const auto marks = homes_.marked().find(id);
      const std::size_t count = marks == homes_.marked().end() ? 0 : marks->second.size();
      if (count != home.sharers) return at_page("miscounted sharers", id, home.page.state);
      based += home.pushed ? 1 : 0;
      const bool comparing = home.page.state == PageState::own_comparing;
      if (comparing && !(home.pushed && pushes_.comparing))
        return at_page("compared with no base", id, home.page.state);
      const bool is_private = home.page.state == PageState::own_private || home.page.private_next;
      if (is_private && count > 0 && !planted(Bug::shared_not_written))
        return at_page("shared but private", id, home.page.state);
    }
  }
  if (!broken.empty()) return broken;
  if (based != pushes_.based.size() || !std::is_sorted(pushes_.based.begin(), pushes_.based.end()))
    return "pages with a base are miscounted";
  for (const auto& [id, queue] : conditions_)
    if (queue.empty()) return "a condition is kept for nobody";
  for (const auto& [number, wait] : waits_)
    if (wait.registered && wait.ended) return "a wait is kept though it is over";
  if (broken = broken_team(); !broken.empty()) return broken;
  if (broken = broken_watch(); !broken.empty()) return broken;
  if (broken = broken_move(); !broken.empty()) return broken;
  if (flushing != flushes_.open()) return "flushes are miscounted";
  for (const Moves::Batch& batch : moves_.batches) departing += batch.open.size();
  if (departing != departures_.open()) return "departures are miscounted";
  for (const Waiter& w : waiters_) {
    const PageState s = state_of(w.page);
    const bool stable = s == PageState::fetched || s == PageState::clean || s == PageState::dirty ||
                        s == PageState::seq_read || s == PageState::seq_write ||
                        s == PageState::own_seq_write || s == PageState::own_private ||
                        s == PageState::own_watched || s == PageState::own_written;
    if (stable) return at_page("a thread waits for nothing", w.page, s);
  }
  if (broken = broken_sequential_invariant(); !broken.empty()) return broken;
  if (broken = broken_invariant_of_semaphores(); !broken.empty()) return broken;
  return broken_invariant_of_shared();
}

std::uint64_t Engine::hash() const {
  Hash h;
  const auto put = [&](std::uint64_t v) { h.mix(v); };
  // Numbers that only tell which came first count as that: who waits for this page's flush, who for
  // its departure, which chunks were used later.
  const auto put_page = [&](const Page& page) {
    h.mix(page);
    if (is_sequential(page.state)) return;
    if (page.flush || page.state == PageState::diffing || page.state == PageState::settling)
      for (const Publication& p : publications_)
        h.mix(waits_for(p.flushes_before, page.flush_number));
    if (page.invalidate || page.state == PageState::unmapping ||
        page.state == PageState::own_closing) {
      for (const Entering& e : entering_)
        h.mix(waits_for(e.departures_before, page.departure_number));
      for (const SharedLocks::Entering& e : shared_.entering)
        h.mix(waits_for(e.departures_before, page.departure_number));
      for (const auto& [id, team] : teams_)
        if (team.exiting) h.mix(waits_for(team.exit_departures, page.departure_number));
      if (exiting_) h.mix(waits_for(exit_departures_, page.departure_number));
    }
  };
  for (const Chunk& chunk : cache_.chunks()) {
    h.mix(chunk.number);
    if (chunk.number == Chunk::unused) continue;
    for (const Chunk& other : cache_.chunks())
      if (other.number != Chunk::unused) h.mix(other.last_use < chunk.last_use);
    h.mix(std::uint64_t{chunk.punches} << 1 | std::uint64_t{chunk.evicting});
    for (const Page& page : chunk.pages) put_page(page);
  }
  for (const Region& region : layout_.regions()) {
    h.mix(region.run().first.value);
    for (PageId id = region.run().first; id < region.run().end(); ++id) {
      if (region.home(id) != config_.self) continue;
      const HomePage& home = homes_.at(region, id);
      put_page(home.page);
      h.mix(std::uint64_t{home.heat} << 8 | home.rest);
      h.mix(home.watched_since.value);
      h.mix(home.returns | std::uint64_t{home.quiet} << 8 | std::uint64_t{home.pushed} << 16 |
            std::uint64_t{home.returned_at.value} << 32);
      h.mix(home.writer | std::uint64_t{home.written} << 16 | std::uint64_t{home.contested} << 17 |
            std::uint64_t{home.moves} << 24 | std::uint64_t{home.alone} << 32);
      h.mix(home.written_at.value);
    }
  }
  for (const auto& [page, marks] : homes_.marked())
    for (const Homeland::Mark& m : marks)
      h.mix(page.value), h.mix(m.reader.value), h.mix(m.epoch.value);
  for (const Waiter& w : waiters_)
    h.mix(w.who.value), h.mix(w.page.value), h.mix(static_cast<std::uint64_t>(w.wanted)),
        h.mix(w.behind.value);
  for (const Stream& s : streams_.all())
    h.mix(s.newest.value), h.mix(s.edge.value), h.mix(s.window);
  for (const auto& [page, sharing] : sharings_) {
    h.mix(page.value);
    sharing.hash(put);
  }
  h.mix(turns_);
  for (const auto& [first, s] : watches_.stretches) {
    h.mix(first.value), h.mix(s.run.count), h.mix(static_cast<std::uint64_t>(s.balance));
    h.mix(s.counted | std::uint64_t{s.scanned} << 61 | std::uint64_t{s.changing} << 62 |
          std::uint64_t{s.refused} << 63);
  }
  for (const PageId first : watches_.due) h.mix(first.value);
  for (const PageId id : dirty_) h.mix(id.value);
  log_.hash(put);
  h.mix(arrived_at_.value);
  for (const auto& [id, lock] : locks_) {
    h.mix(id.value);
    lock.queue.hash(put);
    h.mix(lock.seen.value);
    h.mix(lock.stamp.value);
    Bytes token;
    Writer writer(token);
    encode(lock.token, writer);
    h.mix(token);
  }
  Bytes heard;
  Writer writer(heard);
  for (const History& history : heard_) encode(history, writer);
  h.mix(heard);
  h.mix(told_.value);
  for (const auto& [id, parts] : bindings_.all())
    for (const BoundPart& part : parts) {
      h.mix(id.value), h.mix(part.span.page.value), h.mix(part.span.offset);
      h.mix(part.version.value);
      h.mix(std::uint64_t{part.had} | std::uint64_t{part.pending} << 1 |
            static_cast<std::uint64_t>(part.where) << 2 |
            static_cast<std::uint64_t>(part.refresh) << 4 | std::uint64_t{part.forbidden} << 5);
      h.mix(part.since.value);
      h.mix(part.bytes);
    }
  for (const auto& [node, locks] : held_elsewhere_) {
    h.mix(node.value);
    for (const LockId lock : locks) h.mix(lock.value);
  }
  for (const Offer& offer : offers_) h.mix(offer.lock.value), h.mix(offer.turn.value);
  Bytes shared;
  encode_shared(shared);
  h.mix(shared);
  Bytes semaphores;
  encode_semaphores(semaphores);
  h.mix(semaphores);
  for (const auto& [id, queue] : queues_) h.mix(id.value), h.mix(queue.tail().value);
  for (const Publication& p : publications_)
    h.mix(static_cast<std::uint64_t>(p.kind) | std::uint64_t{p.drained} << 8), h.mix(p.id),
        h.mix(p.lock.value), h.mix(p.team.value), h.mix(p.shared.value), h.mix(p.call);
  for (const Entering& e : entering_) h.mix(e.lock.value);
  for (const LockId id : deferred_) h.mix(id.value);
  const auto put_barrier = [&](const sync::Barrier& barrier) {
    Bytes bytes;
    Writer into(bytes);
    barrier.encode(into);
    h.mix(bytes);
  };
  for (const auto& [id, team] : teams_) {
    h.mix(id.value), h.mix(team.stamp.value), h.mix(team.who.value);
    h.mix(team.left_by.value), h.mix(team.left_after.value);
    put_barrier(team.barrier);
    h.mix(std::uint64_t{team.waiting} | std::uint64_t{team.exiting} << 1);
    h.mix(team.payload);
    for (const Bytes& b : team.deferred) h.mix(b);
    for (const Bytes& b : team.passed) h.mix(b);
  }
  Bytes clock;
  Writer clock_writer(clock);
  encode(clock_, clock_writer);
  h.mix(clock);
  for (const auto& [who, page] : atomics_.under_way) h.mix(who.value), h.mix(page.value);
  for (const PageId page : atomics_.since_barrier) h.mix(page.value);
  for (const PageId page : atomics_.told) h.mix(page.value);
  h.mix(pushes_.comparing);
  for (const PushPart& part : pushes_.parts) {
    h.mix(part.run.first.value), h.mix(part.run.count);
    for (const NodeId node : part.to) h.mix(node.value);
  }
  for (const PageRun& run : pushes_.changed) h.mix(run.first.value), h.mix(run.count);
  for (const PushCount& p : pushes_.to) h.mix(p.node.value), h.mix(p.count);
  for (const PushCount& p : pushes_.came) h.mix(p.node.value), h.mix(p.count);
  for (const PageId page : pushes_.covered) h.mix(page.value);
  for (const PageId page : pushes_.missed) h.mix(page.value);
  for (const auto* kept : {&pushes_.held, &pushes_.early})
    for (const Pushes::Kept& push : *kept) h.mix(push.from.value), h.mix(push.body);
  for (const Region& region : layout_.regions())
    for (const auto& [page, home] : region.moved()) h.mix(page.value), h.mix(home.value);
  for (const auto* pages : {&moves_.written, &moves_.candidates})
    for (const PageId page : *pages) h.mix(page.value);
  for (const Moves::Batch& b : moves_.batches) {
    h.mix(b.from.value), h.mix(b.epoch.value), h.mix(b.quiet), h.mix(b.unfilled);
    h.mix(b.readies << 2 | std::uint64_t{b.begun} << 1 | std::uint64_t{b.ready});
    for (const Move& m : b.moves)
      h.mix(m.run.first.value), h.mix(m.run.count), h.mix(m.to.value), h.mix(m.moves);
    for (const PageId page : b.open) h.mix(page.value);
  }
  for (const auto& [page, leaving] : moves_.leaving)
    h.mix(page.value), h.mix(leaving.from.value), h.mix(leaving.epoch.value),
        h.mix(leaving.arrived);
  for (const PageRun& run : moves_.punching) h.mix(run.first.value), h.mix(run.count);
  for (const auto& [who, operation] : moves_.operations) h.mix(who.value);
  for (const auto& [number, wait] : waits_)
    h.mix(number), h.mix(wait.condition.value), h.mix(wait.who.value), h.mix(wait.waiter.value),
        h.mix(wait.registered | std::uint64_t{wait.ended} << 1);
  for (const auto& [id, queue] : conditions_) {
    h.mix(id.value);
    for (const sync::Registration& r : queue.waiting()) h.mix(r.node.value), h.mix(r.number);
  }
  h.mix(registrations_);
  put_barrier(barrier_);
  h.mix(std::uint64_t{barrier_wait_.waiting} | std::uint64_t{contributed_} << 1 |
        std::uint64_t{exiting_} << 2 | std::uint64_t{starved_} << 3);
  h.mix(barrier_wait_.who.value), h.mix(barrier_wait_.payload);
  for (const Bytes& b : passed_) h.mix(b);
  for (const PageRun& pin : pins_) h.mix(pin.first.value), h.mix(pin.count);
  for (const Drop& d : drops_)
    h.mix(d.region.value), h.mix(d.who.value), h.mix(d.punching << 1 | std::uint64_t{d.started});
  for (std::uint32_t n = 0; n < config_.nodes; ++n) {
    const MarkWindows::Peer& p = marks_[NodeId(n)];
    h.mix(p.sent), h.mix(p.freed), h.mix(p.consumed), h.mix(p.credited);
    h.mix(p.flushing | std::uint64_t{p.credit_due} << 1);
  }
  return h.value();
}

std::string Engine::describe_pages() const {
  std::string text;
  for (const Region& region : layout_.regions()) {
    text += "region " + std::to_string(region.id().value) + ": pages " +
            std::to_string(region.run().first.value) + " to " +
            std::to_string(region.run().end().value - 1) + "\n";
    for (PageId id = region.run().first; id < region.run().end();) {
      const PageState state = state_of(id);
      const NodeId home = region.home(id);
      PageRun run{id, 1};
      while (run.end() < region.run().end() && state_of(run.end()) == state &&
             region.home(run.end()) == home)
        ++run.count;
      text += "  " + std::to_string(id.value) + "+" + std::to_string(run.count) + " home " +
              std::to_string(home.value) + " " + name_of(state) + "\n";
      id = run.end();
    }
  }
  for (const auto& [page, marks] : homes_.marked()) {
    text += "  " + std::to_string(page.value) + " read by";
    for (const Homeland::Mark& m : marks) text += " " + std::to_string(m.reader.value);
    text += "\n";
  }
  for (const auto& [page, sharing] : sharings_) {
    text += "  " + std::to_string(page.value) + " held by";
    for (const Sharing::Holder& h : sharing.holders())
      text += " " + std::to_string(h.node.value) + (h.access == Access::write ? " (writer)" : "");
    if (!sharing.queue().empty()) text += ", wanted by";
    for (const Sharing::Request& r : sharing.queue()) text += " " + std::to_string(r.from.value);
    text += "\n";
  }
  return text;
}

std::string Engine::describe_locks() const {
  static constexpr const char* names[] = {"away", "asked",   "entering", "held",
                                          "idle", "leaving", "lent",     "recalled"};
  std::string text = "barriers passed: " + std::to_string(epoch().value) +
                     (barrier_wait_.waiting ? ", waiting at the next\n" : "\n");
  for (const auto& [id, lock] : locks_) {
    text += "lock " + std::to_string(id.value) + ": " +
            names[static_cast<int>(lock.queue.state())] + ", " +
            std::to_string(lock.queue.waiting().size()) + " waiting here";
    if (lock.queue.successor() != no_node)
      text += ", next is node " + std::to_string(lock.queue.successor().value);
    text += "\n";
  }
  return text + describe_shared() + describe_semaphores();
}

}  // namespace dsm::core
