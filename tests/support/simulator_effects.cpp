// The edge and the network of the simulator: carries out effects, delivers what comes of them.
#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "dsm/core/diff.hpp"
#include "dsm/core/mark.hpp"
#include "dsm/core/push.hpp"
#include "support/simulator.hpp"

namespace dsm::sim {
namespace {

constexpr std::uint32_t piece_bytes = 64;  // what a READ takes at one time

// A message that leaves early can arrive late; a READ that is posted early can take effect late.
bool is_mover(const core::Effect& effect) {
  return std::holds_alternative<core::Send>(effect) ||
         std::holds_alternative<core::Fetch>(effect) ||
         std::holds_alternative<core::ReadBound>(effect) ||
         std::holds_alternative<core::Unmark>(effect) || std::holds_alternative<core::Hold>(effect);
}

}  // namespace

// One-sided operations reach a home in the order of the steps that ask for them, though each is
// posted when its turn comes among the effects of its step: an edge posts them under the engine's
// lock. (Entries of a mark ring must not overtake one another: the home reads up to the first that
// is missing.)
void Simulator::post_transfers(std::uint32_t node, const core::Effects& effects) {
  const auto queue = [&](NodeId home, PageRun run, std::optional<std::uint64_t> slot, Epoch epoch,
                         bool fetch) {
    std::uint32_t index;
    if (free_transfers_.empty()) {
      index = static_cast<std::uint32_t>(transfers_.size());
      transfers_.emplace_back();
    } else {
      index = free_transfers_.back();
      free_transfers_.pop_back();
    }
    Transfer& t = transfers_[index];
    t.used = true;
    t.posted = false;
    t.marked = !slot;
    t.fetch = fetch;
    t.home = home.value;
    t.run = run;
    t.slot = slot;
    t.epoch = epoch;
    t.read = 0;
    channel_of(node, home.value).queue.push_back(index);
  };
  for (const core::Effect& effect : effects.list()) {
    if (const auto* f = std::get_if<core::Fetch>(&effect))
      queue(f->home, f->run, f->slot, f->epoch, true);
    if (const auto* u = std::get_if<core::Unmark>(&effect))
      queue(u->home, u->run, u->slot, u->epoch, false);
  }
}

void Simulator::run_effects(std::uint32_t index, bool may_wait) {
  Executor& executor = executors_[index];
  while (executor.next < executor.effects.list().size() && failure_.empty()) {
    if (std::exchange(may_wait, true) &&
        !(carrying_movers_ && is_mover(executor.effects.list()[executor.next])) &&
        random_.below(100) >= physics_.at_once_percent)
      return schedule(ActionKind::effect, executor.node, index, delay_up_to(physics_.effect_max));
    if (exploring_ && waits_for_stores(executor)) {
      nodes_[executor.node].held.push_back(index);
      return;
    }
    ++statistics_.effects;
    if (!carry_out(executor, executor.effects.begin()[executor.next]))
      return schedule(ActionKind::effect, executor.node, index, delay_up_to(physics_.effect_max));
    ++executor.next;
  }
  executor.used = false;
  executor.packet.reset();
  executor.effects.clear();
  free_executors_.push_back(index);
}

// A change that takes rights away interrupts every processor, whose stores drain then; an explorer
// lets them drain before.
bool Simulator::waits_for_stores(const Executor& executor) {
  const core::Effect& effect = executor.effects.list()[executor.next];
  const auto* change = std::get_if<core::Change>(&effect);
  const std::uint32_t node = executor.node;
  if (change == nullptr || !machines_[node].narrows(change->run, change->to)) return false;
  bool waits = false;
  for (std::uint32_t t = 0; t < nodes_[node].threads.size(); ++t) {
    reads(Part::stores, node, t);
    waits |= machines_[node].buffered(t) > 0;
  }
  reads(Part::view, node, change->run);
  return waits;
}

bool Simulator::carry_out(Executor& executor, core::Effect& effect) {
  const std::uint32_t node = executor.node;
  Machine& machine = machines_.change(node);
  const auto must = [&](std::string complaint) {
    if (!complaint.empty()) fail("node " + std::to_string(node) + ": " + complaint);
  };
  return std::visit(
      [&](auto& e) -> bool {
        using E = std::remove_cvref_t<decltype(e)>;
        if constexpr (std::is_same_v<E, core::Send>) {
          send(node, e.to, e.message);
        } else if constexpr (std::is_same_v<E, core::Fetch> || std::is_same_v<E, core::Unmark>) {
          post(node, e.home, e.run, e.slot);
        } else if constexpr (std::is_same_v<E, core::DrainMarks>) {
          if (bug_ == core::Bug::told_before_scan && executor.scanned == 0) drain_marks(node, e.id);
          if (!e.scan.empty() && !scan(executor, e)) return false;
          if (bug_ != core::Bug::told_before_scan) drain_marks(node, e.id);
        } else if constexpr (std::is_same_v<E, core::Watch>) {
          writes(Part::view, node, e.run);
          machine.set_scanned(e.run, e.scanned);
          if (e.reports)
            schedule(ActionKind::watch_changed, node, e.scanned ? 1 : 0,
                     delay_up_to(physics_.notice_max), e.run);
        } else if constexpr (std::is_same_v<E, core::Change>) {
          writes(Part::view, node, e.run);
          for (PageId p = e.run.first; p < e.run.end(); ++p)
            if (is_sequential(node, p))
              for (std::uint32_t other = 0; other < nodes_.size(); ++other)
                reads(Part::view, other, p.value);
          if (machine.narrows(e.run, e.to)) empty_all(node);
          must(machine.change(e.run, e.to));
          for (PageId p = e.run.first; p < e.run.end(); ++p) check_single_writer(p);
          schedule(ActionKind::changed, node, 0, delay_up_to(physics_.notice_max), e.run);
        } else if constexpr (std::is_same_v<E, core::Twin>) {
          reads(Part::view, node, e.run);
          reads(Part::frame, node, e.run);
          writes(Part::twin, node, e.run);
          must(machine.make_twins(e.run));
        } else if constexpr (std::is_same_v<E, core::PushPages>) {
          push_pages(node, e);
        } else if constexpr (std::is_same_v<E, core::TakeBase> ||
                             std::is_same_v<E, core::DropBase> ||
                             std::is_same_v<E, core::ApplyPush>) {
          // done with its step
        } else if constexpr (std::is_same_v<E, core::SendDiff>) {
          send_diff(node, e);
        } else if constexpr (std::is_same_v<E, core::ApplyDiff>) {
          return apply_diff(executor, e);
        } else if constexpr (std::is_same_v<E, core::Punch>) {
          writes(Part::view, node, e.run);
          writes(Part::frame, node, e.run);
          writes(Part::twin, node, e.run);
          empty_all(node);
          for (PageId p = e.run.first; p < e.run.end(); ++p)
            if (reading_[node * program_->config.space_pages + p.value] != 0)
              fail("node " + std::to_string(node) + " gives back the frame of page " +
                   std::to_string(p.value) + " while a READ is on its way into it");
          check_not_read(node, e.run);
          machine.punch(e.run);
          schedule(ActionKind::punched, node, 0, local_delay(), e.run);
        } else if constexpr (std::is_same_v<E, core::Wake>) {
          wake(node, e);
        } else if constexpr (std::is_same_v<E, core::SendPage>) {
          send_page(node, e);
        } else if constexpr (std::is_same_v<E, core::SendBound>) {
          send(node, e.to, e.grant);
        } else if constexpr (std::is_same_v<E, core::FillBound>) {
          // done with its step
        } else if constexpr (std::is_same_v<E, core::ReadBound>) {
          begin_reading(node, e.source);
        } else if constexpr (std::is_same_v<E, core::SendBoundDiff>) {
          send_bound_diff(node, e);
        } else if constexpr (std::is_same_v<E, core::FillPage>) {
          fill_page(node, e);
        } else if constexpr (std::is_same_v<E, core::SendPages>) {
          send_pages(node, e);
        } else if constexpr (std::is_same_v<E, core::FillPages>) {
          fill_pages(node, e);
        } else if constexpr (std::is_same_v<E, core::Hold>) {
          // begun with its step
        } else if constexpr (std::is_same_v<E, core::Hasten>) {
          hasten(node);
        } else if constexpr (std::is_same_v<E, core::PerformAtomic>) {
          return carry_out_atomic(node, e);
        } else if constexpr (std::is_same_v<E, core::Report>) {
          reported(node, e.race);
        } else if constexpr (std::is_same_v<E, core::Found>) {
          check_found(node, e);
        } else if constexpr (std::is_same_v<E, core::Lend>) {
          lend(node, e.lock);
        } else if constexpr (std::is_same_v<E, core::Recall>) {
          recall(node, e.lock);
        } else {
          static_assert(std::is_same_v<E, core::Passed>);
          const auto who = static_cast<std::uint32_t>(e.who.value);
          reads(Part::thread, node, who);
          const Thread& t = nodes_[node].threads.at(who);
          const Op& op = program_->nodes[node][who][t.next];
          must(t.waiting == Waiting::team ? oracle_.passed_team(node, op.arg, e.payloads)
                                          : oracle_.passed(node, e.payloads));
        }
        return true;
      },
      effect);
}

void Simulator::send(std::uint32_t from, NodeId to, const core::Message& message) {
  auto bytes = std::make_shared<Bytes>();
  core::encode(message, *bytes);
  const bool far = to != NodeId(from);
  if (far) {
    ++statistics_.messages;
    statistics_.message_bytes += bytes->size();
  }
  std::uint32_t index;
  if (free_messages_.empty()) {
    index = static_cast<std::uint32_t>(messages_.size());
    messages_.emplace_back();
  } else {
    index = free_messages_.back();
    free_messages_.pop_back();
  }
  messages_[index] = {true, from, to.value, std::move(bytes)};
  schedule(ActionKind::arrive, to.value, index, far ? trip_delay() : local_delay());
}

void Simulator::arrive(std::uint32_t index) {
  const Message message = std::exchange(messages_[index], {});
  free_messages_.push_back(index);
  std::optional<core::Message> decoded = core::decode(*message.packet);
  if (!decoded) return fail("a message between engines does not decode");
  step(message.to, core::Received{NodeId(message.from), std::move(*decoded)}, message.packet);
}

void Simulator::wake(std::uint32_t node, const core::Wake& wake) {
  const auto thread = static_cast<std::uint32_t>(wake.who.value);
  if (wake.who.value >= waiter_tickets)
    return notified(node, static_cast<std::uint32_t>(wake.who.value - waiter_tickets),
                    wake.granted);
  Node& here = nodes_[node];
  if (thread >= here.threads.size()) return fail("a thread is woken that does not exist");
  writes(Part::thread, node, thread);
  Thread& t = here.threads[thread];
  const Op& op = program_->nodes[node][thread][t.next];
  switch (std::exchange(t.waiting, Waiting::no)) {
    case Waiting::no:
      return fail("a thread is woken that does not wait");
    case Waiting::access:
      return schedule(ActionKind::operate, node, thread, local_delay());
    case Waiting::drop:
    case Waiting::atomic:
      return advance(node, thread);
    case Waiting::registering:
      return registered(node, thread);
    case Waiting::notification:
    case Waiting::waits:
    case Waiting::stores:
      return fail("a thread is woken that the engine does not know to wait");
    case Waiting::lock:
      if (!wake.granted) {
        if (op.what == Do::acquire || op.what == Do::acquire_shared)
          return fail("an acquire is refused");
        return advance(node, thread, op.skip);
      }
      if (op.mode != sync::Mode::none) {
        writes(Part::holder, 0, program_->locks.size() + op.arg);
        if (std::string wrong = oracle_.acquired_shared(op.arg, op.mode); !wrong.empty())
          return fail(wrong);
        return advance(node, thread);
      }
      writes(Part::holder, 0, op.arg);
      if (std::string wrong = oracle_.acquired(op.arg, node, thread); !wrong.empty())
        return fail(wrong);
      return advance(node, thread, behind(node, thread));
    case Waiting::semaphore:
      return woken_semaphore(node, thread, wake.granted);
    case Waiting::team:
      if (std::string wrong = oracle_.left_team(node, op.arg); !wrong.empty()) return fail(wrong);
      if (op.what == Do::team_arrive) return advance(node, thread);
      here.joined = 0;
      for (std::uint32_t other = 0; other < here.threads.size(); ++other)
        if (std::exchange(here.threads[other].joined, false)) advance(node, other);
      return;
    case Waiting::barrier: {
      if (std::string wrong = oracle_.left(node); !wrong.empty()) return fail(wrong);
      if (thread != here.arriving)
        return fail("a thread leaves a barrier at which another arrived");
      if (here.alone) return advance(node, thread);
      for (std::uint32_t other = 0; other < here.threads.size(); ++other)
        if (std::exchange(here.threads[other].joined, false)) advance(node, other);
      return;
    }
  }
}

// ---- locks on loan ----

void Simulator::lend(std::uint32_t node, LockId lock) {
  const std::uint32_t index = index_of(lock);
  writes(Part::loan, node, index);
  Loan& loan = loan_of(node, index);
  if (loan == Loan::early) schedule(ActionKind::lock_back, node, 2 * index, local_delay());
  loan = loan == Loan::early ? Loan::kept : Loan::free;
}

void Simulator::recall(std::uint32_t node, LockId lock) {
  const std::uint32_t index = index_of(lock);
  writes(Part::loan, node, index);
  Loan& loan = loan_of(node, index);
  if (loan != Loan::kept)
    schedule(ActionKind::lock_back, node, 2 * index + (loan == Loan::held ? 1 : 0), local_delay());
  loan = loan == Loan::kept ? Loan::early : Loan::kept;
}

// ---- marks ----

// Page by page, the program goes on meanwhile; no other scan of the node does. False: once more,
// later.
bool Simulator::scan(Executor& executor, const core::DrainMarks& effect) {
  const std::uint32_t node = executor.node;
  Node& here = nodes_[node];
  const bool begins = executor.scanned == 0;
  if (bug_ != core::Bug::scans_overlap) {
    if (begins && here.scanning) return false;
    here.scanning = true;
  }
  Machine& machine = machines_.change(node);
  std::uint64_t number = 0;
  for (const PageRun& run : effect.scan) {
    for (PageId p = run.first; p < run.end(); ++p) {
      if (number++ < executor.scanned) continue;
      writes(Part::view, node, p.value);
      empty_all(node);
      ++executor.scanned;
      if (machine.take_written(p.value)) executor.written.push_back({p, 1});
      if (random_.one_in(4)) return false;
    }
  }
  here.scanning = false;
  executor.scanned = 0;
  const std::vector<PageRun> written = std::exchange(executor.written, {});
  if (!written.empty()) step(node, core::Written{effect.id, written});
  return true;
}

void Simulator::drain_marks(std::uint32_t node, std::uint64_t id) {
  // The threads whose stores matter have entered the runtime before, and that was their fence; see
  // fence().
  Machine& machine = machines_.change(node);
  for (std::uint32_t reader = 0; reader < nodes_.size(); ++reader) {
    reads(Part::ring, node, reader);
    while (const auto entry = machine.next_mark(NodeId(reader), engines_[node].epoch())) {
      writes(Part::ring, node, reader);
      machine.consume_mark(NodeId(reader));
      step(node, core::Marked{NodeId(reader), entry->run, entry->epoch, entry->added});
      if (!failure_.empty()) return;
    }
  }
  step(node, core::MarksDrained{id});
}

// ---- diffs ----

void Simulator::send_diff(std::uint32_t node, const core::SendDiff& diff) {
  Machine& machine = machines_.change(node);
  const std::uint32_t size = machine.page_bytes();
  reads(Part::view, node, diff.run);
  reads(Part::frame, node, diff.run);
  writes(Part::twin, node, diff.run);
  Bytes body;
  PageRun changed{diff.run.first, 0}, same{diff.run.first, 0};
  const auto flush = [&](PageId next) {
    if (changed.count > 0) send(node, diff.home, core::Diff{changed, body, diff.stamp});
    body.clear();
    changed = {next, 0};
  };
  const auto report = [&](PageId next) {
    if (same.count > 0) schedule(ActionKind::diff_home, node, 0, local_delay(), same);
    same = {next, 0};
  };
  for (PageId p = diff.run.first; p < diff.run.end(); ++p) {
    if (!machine.has_twin(p.value))
      return fail("a diff is wanted of page " + std::to_string(p.value) + " without a twin");
    if (machine.view(p.value) == Access::write && !diff.stay)
      return fail("a diff is taken of page " + std::to_string(p.value) +
                  " while the program may write it");
    const auto index = static_cast<std::uint16_t>(changed.count);
    const bool any = core::append_diff({machine.frame(p.value), size},
                                       {machine.twin(p.value), size}, index, body) > 0;
    if (!diff.stay) {
      machine.drop_twin(p.value);
    } else if (bug_ != core::Bug::byte_sent_twice) {
      machine.renew_twin(p.value, 0, size);
    }
    if (any) {
      ++changed.count;
      report(p + 1);
      if (changed.count == core::diff_run_max) flush(p + 1);
    } else {
      ++same.count;
      flush(p + 1);
    }
  }
  flush(diff.run.end());
  report(diff.run.end());
}

// False: the words of a planted blend were loaded and are stored the next time.
bool Simulator::apply_diff(Executor& executor, const core::ApplyDiff& diff) {
  Machine& machine = machines_.change(executor.node);
  const std::size_t size = machine.page_bytes();
  writes(Part::frame, executor.node, diff.run);
  writes(Part::twin, executor.node, diff.run);
  const auto wrong = [&] { fail("the body of a diff is malformed"); };
  if (bug_ != core::Bug::diff_by_blend) {
    const auto frame = [&](std::uint64_t i) { return machine.frame(diff.run.first.value + i); };
    if (!core::apply_diff(diff.body, size, diff.run.count, frame)) wrong();
    std::vector<std::byte> nowhere(size);
    const auto base = [&](std::uint64_t i) {
      const std::uint64_t page = diff.run.first.value + i;
      return machine.has_twin(page) ? machine.twin(page) : nowhere.data();
    };
    if (bug_ != core::Bug::diff_not_in_base)
      core::apply_diff(diff.body, size, diff.run.count, base);
    return true;
  }
  // Which bytes a diff sets shows in two images that differ everywhere before.
  std::byte* frames = machine.frame(diff.run.first.value);
  const std::size_t all = size * diff.run.count;
  std::vector<std::byte>& images = executor.blended;
  if (images.empty()) {
    images.assign(frames, frames + all);
    images.insert(images.end(), frames, frames + all);
    for (std::size_t i = all; i < 2 * all; ++i) images[i] = ~images[i];
    for (const std::size_t base : {std::size_t{0}, all})
      if (!core::apply_diff(diff.body, size, diff.run.count,
                            [&](std::uint64_t i) { return &images[base + i * size]; }))
        wrong();
    return false;
  }
  for (std::size_t word = 0; word < all; word += 8) {
    bool any = false;
    for (std::size_t i = word; i < word + 8; ++i) any |= images[i] == images[all + i];
    if (any) std::memcpy(frames + word, &images[word], 8);
  }
  images.clear();
  return true;
}

// ---- pushes ----

void Simulator::push_pages(std::uint32_t node, const core::PushPages& push) {
  Machine& machine = machines_.change(node);
  const std::size_t size = machine.page_bytes();
  // Pushes are small, so that most are several.
  constexpr std::size_t pages_max = 2;
  struct Letter {
    std::vector<PageRun> runs;
    Bytes body;
    std::uint32_t sent = 0;
  };
  std::map<NodeId, Letter> letters;
  core::Pushed done;
  const auto flush = [&](NodeId to, Letter& letter) {
    if (letter.runs.empty()) return;
    send(node, to, core::Push{push.epoch, letter.runs, letter.body});
    letter = {{}, {}, letter.sent + 1};
  };
  for (const core::PushPart& part : push.parts) {
    reads(Part::frame, node, part.run);
    writes(Part::twin, node, part.run);
    for (PageId p = part.run.first; p < part.run.end(); ++p) {
      if (!machine.has_twin(p.value))
        return fail("page " + std::to_string(p.value) + " is compared with no base");
      std::vector<std::byte> base(machine.twin(p.value), machine.twin(p.value) + size);
      Bytes news;
      if (core::append_push({machine.frame(p.value), size}, base, 0, news) == 0) continue;
      if (bug_ != core::Bug::byte_sent_twice)
        std::copy(base.begin(), base.end(), machine.twin(p.value));
      done.changed.push_back({p, 1});
      for (const NodeId to : part.to) {
        Letter& letter = letters[to];
        core::set_push_index(news, letter.runs.size());
        letter.body.insert(letter.body.end(), news.begin(), news.end());
        letter.runs.push_back({p, 1});
        if (letter.runs.size() == pages_max) flush(to, letter);
      }
    }
  }
  for (auto& [to, letter] : letters) {
    flush(to, letter);
    done.to.push_back({to, letter.sent});
  }
  pushed_[node] = std::move(done);
  schedule(ActionKind::pushed, node, 0, local_delay());
}

void Simulator::pushed(std::uint32_t node) {
  step(node, std::exchange(pushed_[node], {}));
}

void Simulator::apply_push(std::uint32_t node, const core::ApplyPush& push) {
  Machine& machine = machines_.change(node);
  for (const core::ApplyPush::Page& page : push.pages) {
    if (page.taken == core::Taken::nothing) continue;
    writes(Part::frame, node, page.page.value);
    writes(Part::twin, node, page.page.value);
  }
  const auto target = [&](std::size_t index) -> core::PushTarget {
    const core::ApplyPush::Page& page = push.pages[index];
    const bool both = machine.has_twin(page.page.value) && bug_ != core::Bug::pushed_not_in_twin;
    return {page.taken, machine.frame(page.page.value),
            both ? machine.twin(page.page.value) : nullptr};
  };
  const ByteView body = push.kept.empty() ? push.body : ByteView(push.kept);
  if (!core::apply_push(body, machine.page_bytes(), push.pages.size(), target))
    fail("the body of a push is malformed");
}

// ---- the one-sided channel ----

void Simulator::post(std::uint32_t node, NodeId home, PageRun run,
                     std::optional<std::uint64_t> slot) {
  Channel& channel = channel_of(node, home.value);
  for (const std::uint32_t index : channel.queue) {
    Transfer& t = transfers_[index];
    if (t.posted || t.slot != slot || t.run != run) continue;
    t.posted = true;
    ++statistics_.one_sided;
    if (slot) statistics_.one_sided_bytes += 8;
    if (t.fetch) {
      statistics_.one_sided_bytes += t.run.count * program_->page_bytes;
      for (PageId p = t.run.first; p < t.run.end(); ++p)
        ++reading_[node * program_->config.space_pages + p.value];
      reads(Part::twin, node, t.run);
    }
    break;
  }
  if (!channel.busy && transfers_[channel.queue.front()].posted) {
    channel.busy = true;
    schedule(ActionKind::channel, node, home.value, trip_delay());
  }
}

// A wire without an order: any posted transfer may be the next.
void Simulator::overtake(Channel& channel) {
  std::vector<std::size_t> posted;
  for (std::size_t i = 0; i < channel.queue.size(); ++i)
    if (transfers_[channel.queue[i]].posted) posted.push_back(i);
  std::swap(channel.queue.front(),
            channel.queue[posted[random_.below(static_cast<std::uint32_t>(posted.size()))]]);
}

// The next thing of the channel's first transfer takes effect at the home: its mark, then piece
// after piece of its READ.
void Simulator::channel(std::uint32_t node, std::uint32_t home) {
  Channel& channel = channel_of(node, home);
  if (program_->config.marks_by_message && !exploring_) overtake(channel);
  const std::uint32_t index = channel.queue.front();
  Transfer& t = transfers_[index];
  const std::uint32_t bytes =
      t.fetch ? static_cast<std::uint32_t>(t.run.count) * program_->page_bytes : 0;
  t.data.resize(bytes);
  if (!t.marked) {
    t.marked = true;
    const core::MarkEntry entry{t.run, t.epoch, t.fetch};
    const std::uint64_t word = core::encode_mark(entry, *t.slot, program_->config.mark_ring_slots);
    machines_.change(home).write_mark(NodeId(node), *t.slot, word);
    writes(Part::ring, home, node);
  } else {
    const std::uint32_t count =
        std::min(bytes - t.read, piece_bytes * (exploring_ ? 1 : random_.between(1, 4)));
    for (std::uint32_t at = t.read; at < t.read + count; at += piece_bytes)
      reads(Part::frame, home, t.run.first.value + at / program_->page_bytes);
    std::memcpy(t.data.data() + t.read, machines_[home].frame(t.run.first.value) + t.read, count);
    t.read += count;
  }
  if (t.read < bytes) return schedule(ActionKind::channel, node, home, local_delay());
  channel.queue.pop_front();
  if (t.fetch) {
    schedule(ActionKind::place, node, index, trip_delay());
  } else {
    t.used = false;
    free_transfers_.push_back(index);
  }
  channel.busy = !channel.queue.empty() && transfers_[channel.queue.front()].posted;
  if (channel.busy) schedule(ActionKind::channel, node, home, local_delay());
}

void Simulator::place(std::uint32_t node, std::uint32_t index) {
  const Transfer& t = transfers_[index];
  Machine& machine = machines_.change(node);
  reads(Part::view, node, t.run);
  writes(Part::frame, node, t.run);
  for (PageId p = t.run.first; p < t.run.end(); ++p)
    if (machine.view(p.value) != Access::none)
      fail("bytes of a READ are placed into page " + std::to_string(p.value) + " of node " +
           std::to_string(node) + " while the program sees it");
  std::memcpy(machine.frame(t.run.first.value), t.data.data(), t.data.size());
  schedule(ActionKind::complete, node, index, local_delay());
}

void Simulator::complete(std::uint32_t node, std::uint32_t index) {
  Transfer& t = transfers_[index];
  const PageRun run = t.run;
  reads(Part::twin, node, run);
  for (PageId p = run.first; p < run.end(); ++p)
    --reading_[node * program_->config.space_pages + p.value];
  t.used = false;
  free_transfers_.push_back(index);
  step(node, core::Fetched{run});
}

}  // namespace dsm::sim
