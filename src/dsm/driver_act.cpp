// What each of the engine's effects means here.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "base/check.hpp"
#include "dsm/core/diff.hpp"
#include "dsm/core/push.hpp"
#include "dsm/driver.hpp"
#include "dsm/frames.hpp"

namespace dsm {
namespace {

void extend(std::vector<PageRun>& runs, PageId page) {
  if (!runs.empty() && runs.back().end() == page) {
    ++runs.back().count;
  } else {
    runs.push_back({page, 1});
  }
}

}  // namespace

void Driver::carry_out(core::Send& e, Work& work) {
  if (e.to == parts_.self) {
    work.events.push_back(core::Received{e.to, std::move(e.message)});
    return;
  }
  work.message.clear();
  core::encode(e.message, work.message);
  outbox_.send(
      e.to, work.message,
      core::is_for_waiters(e.message) ? transport::Urgency::patient : transport::Urgency::prompt);
}

// Those of one step that are next to one another, as recalls of one page are. Not those that wake
// nobody: together they might.
void Driver::send_together(std::span<core::Effect> sends, Work& work) {
  work.message.clear();
  work.letters.clear();
  work.ends.clear();
  for (const core::Effect& effect : sends) {
    const auto& sent = std::get<core::Send>(effect);
    core::encode(sent.message, work.message);
    work.letters.push_back({.to = sent.to, .message = {}});
    work.ends.push_back(work.message.size());
  }
  std::size_t begin = 0;
  for (std::size_t i = 0; i < work.letters.size(); ++i) {
    work.letters[i].message = ByteView(work.message).subspan(begin, work.ends[i] - begin);
    begin = work.ends[i];
  }
  outbox_.send_each(work.letters);
}

void Driver::carry_out(core::Fetch& e, Work&) {
  // A page whose frame is made when the first byte comes costs a fault of its own.
  constexpr std::uint64_t worth_a_call = 4;
  if (e.cold && e.run.count >= worth_a_call) parts_.space.make_frames(e.run);
  parts_.lanes.fetch(e);
}

void Driver::carry_out(core::Unmark& e, Work&) {
  parts_.lanes.unmark(e);
}

// The full fence stands between this node's last store to its own pages and its reading of the
// rings (PROTOCOL.md B6). The entries are told under the drain lock: those of one reader in their
// order, and all of them before their MarksDrained. So is what a scan has found: another thread's,
// which finds it no more, comes later.
void Driver::carry_out(core::DrainMarks& e, Work&) {
  Work* inner = nullptr;
  {
    MutexLock drain(drain_mutex_);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    core::Written written{e.id, {}};
    for (const PageRun& run : e.scan) parts_.space.take_written(run, written.runs);
    MutexLock hold(engine_mutex_);
    inner = take_work();
    if (!written.runs.empty()) step(written, inner->effects);
    const core::Config& config = engine_.config();
    for (std::uint32_t n = 0; n < config.nodes; ++n) {
      if (NodeId(n) == config.self) continue;
      while (const auto entry = parts_.rings.next(NodeId(n), engine_.epoch()))
        step(core::Marked{NodeId(n), entry->run, entry->epoch, entry->added}, inner->effects);
    }
    step(core::MarksDrained{e.id}, inner->effects);
  }
  act(*inner);
  give_work(inner);
}

void Driver::carry_out(core::Change& e, Work& work) {
  if (e.from == Access::none) {
    parts_.space.open(e.run, e.to);  // also where the kernel only lost a mapping
  } else {
    parts_.space.change(e.run, e.from, e.to);
  }
  work.events.push_back(core::Changed{e.run});
}

void Driver::carry_out(core::Watch& e, Work& work) {
  bool scanned = false;
  if (e.scanned) {
    scanned = parts_.space.watch_by_scans(e.run);
  } else {
    parts_.space.watch_by_traps(e.run);
  }
  if (e.reports) work.events.push_back(core::WatchChanged{e.run, scanned});
}

void Driver::carry_out(core::Twin& e, Work&) {
  for (PageId page = e.run.first; page < e.run.end(); ++page)
    parts_.twins.take(page, parts_.space.runtime(page));
}

void Driver::carry_out(core::SendDiff& e, Work& work) {
  const std::size_t page_bytes = memory::AddressSpace::page_size();
  for (PageId first = e.run.first; first < e.run.end();) {
    const PageRun part{first, std::min(core::diff_run_max, e.run.end() - first)};
    work.message.clear();
    core::encode(core::Diff{part, {}, e.stamp}, work.message);
    const std::size_t empty = work.message.size();
    for (std::uint64_t i = 0; i < part.count; ++i) {
      const PageId page = part.first + i;
      const std::byte* const frame = parts_.space.runtime(page);
      const auto index = static_cast<std::uint16_t>(i);
      MutexLock hold(twin_mutex_);
      const std::span<std::byte> twin = parts_.twins.of(page);
      if (e.stay) {
        work.snapshot.assign(frame, frame + page_bytes);
        if (core::append_diff(work.snapshot, twin, index, work.message) > 0)
          std::memcpy(twin.data(), work.snapshot.data(), page_bytes);
      } else {
        core::append_diff({frame, page_bytes}, twin, index, work.message);
        parts_.twins.give(page);
      }
    }
    if (work.message.size() == empty) {
      work.events.push_back(core::DiffHome{part});
    } else {
      outbox_.send(e.home, work.message,
                   e.stay ? transport::Urgency::patient : transport::Urgency::prompt);
    }
    first = part.end();
  }
}

void Driver::carry_out(core::ApplyDiff& e, Work&) {
  const std::size_t page_bytes = memory::AddressSpace::page_size();
  MutexLock hold(twin_mutex_);
  const auto frame = [&](std::uint64_t index) { return parts_.space.runtime(e.run.first + index); };
  bool good = core::apply_diff(e.body, page_bytes, e.run.count, frame);
  if (parts_.twins.any_of(e.run)) {
    Bytes nowhere(page_bytes);
    good = good && core::apply_diff(e.body, page_bytes, e.run.count, [&](std::uint64_t index) {
             const PageId page = e.run.first + index;
             return parts_.twins.has(page) ? parts_.twins.of(page).data() : nowhere.data();
           });
  }
  DSM_CHECK_WITH(good, "a diff names bytes of its pages", {"page", e.run.first.value});
}

// ---- pushes ----

void Driver::carry_out(core::TakeBase&, Work&) {
  // done in step()
}

void Driver::carry_out(core::DropBase&, Work&) {
  // done in step()
}

void Driver::carry_out(core::ApplyPush&, Work&) {
  // done in step()
}

// A page is compared once, whoever reads it.
void Driver::carry_out(core::PushPages& e, Work& work) {
  const std::size_t page_bytes = memory::AddressSpace::page_size();
  work.pushes.resize(nodes_);
  core::Pushed done;
  for (const core::PushPart& part : e.parts) {
    for (PageId page = part.run.first; page < part.run.end(); ++page) {
      work.message.clear();
      {
        MutexLock hold(twin_mutex_);
        if (core::append_push({parts_.space.runtime(page), page_bytes}, parts_.twins.of(page), 0,
                              work.message) == 0)
          continue;
      }
      extend(done.changed, page);
      for (const NodeId to : part.to) {
        PushBeingMade& push = work.pushes[to.value];
        core::set_push_index(work.message, push.pages++);
        extend(push.runs, page);
        push.body.insert(push.body.end(), work.message.begin(), work.message.end());
        if (push.body.size() >= core::push_bytes_usual) send_push(to, e.epoch, push);
      }
    }
  }
  for (std::uint32_t n = 0; n < nodes_; ++n) {
    PushBeingMade& push = work.pushes[n];
    if (push.pages > 0) send_push(NodeId(n), e.epoch, push);
    if (push.sent > 0) done.to.push_back({NodeId(n), push.sent});
    push.sent = 0;
  }
  work.events.push_back(std::move(done));
}

void Driver::send_push(NodeId to, Epoch epoch, PushBeingMade& push) {
  push.head.clear();
  core::encode(core::Push{epoch, std::exchange(push.runs, {}), {}}, push.head);
  push.head.insert(push.head.end(), push.body.begin(), push.body.end());
  outbox_.send(to, push.head, transport::Urgency::patient);
  push.body.clear();
  push.pages = 0;
  ++push.sent;
}

void Driver::apply(const core::ApplyPush& push) {
  MutexLock hold(twin_mutex_);
  const auto target = [&](std::size_t index) -> core::PushTarget {
    const core::ApplyPush::Page& page = push.pages[index];
    if (page.taken == core::Taken::nothing) return {};
    return {page.taken, parts_.space.runtime(page.page),
            parts_.twins.has(page.page) ? parts_.twins.of(page.page).data() : nullptr};
  };
  const bool good = core::apply_push(push.kept.empty() ? push.body : ByteView(push.kept),
                                     memory::AddressSpace::page_size(), push.pages.size(), target);
  DSM_CHECK_WITH(good, "a push names bytes of its pages", {"pages", push.pages.size()});
}

void Driver::carry_out(core::Punch& e, Work& work) {
  parts_.space.close(e.run);
  const std::uint64_t number = departures_.begin(e.run);
  if (give_back_frames(parts_.space, parts_.wire, e.run, DepartureCookie::of(number)))
    work.events.push_back(core::Punched{departures_.end(number)});
}

void Driver::carry_out(core::Wake& e, Work&) {
  waiters_.wake(e.who, e.granted);
}

void Driver::carry_out(core::SendPage& e, Work& work) {
  const std::byte* const page = parts_.space.runtime(e.page);
  work.message.clear();
  core::encode(e.message, work.message);
  work.message.insert(work.message.end(), page, page + memory::AddressSpace::page_size());
  outbox_.send(e.to, work.message);
  if (e.reports) work.events.push_back(core::PageSent{e.page});
}

void Driver::carry_out(core::FillPage& e, Work& work) {
  DSM_CHECK_WITH(e.body.size() == memory::AddressSpace::page_size(),
                 "a page's content is a page long", {"page", e.page.value},
                 {"bytes", e.body.size()});
  std::memcpy(parts_.space.runtime(e.page), e.body.data(), e.body.size());
  if (e.reports) work.events.push_back(core::Filled{e.page});
}

void Driver::carry_out(core::SendPages& e, Work& work) {
  const std::byte* const pages = parts_.space.runtime(e.run.first);
  work.message.clear();
  core::encode(e.message, work.message);
  work.message.insert(work.message.end(), pages,
                      pages + e.run.count * memory::AddressSpace::page_size());
  outbox_.send(e.to, work.message);
}

void Driver::carry_out(core::FillPages& e, Work& work) {
  DSM_CHECK_WITH(e.body.size() == e.run.count * memory::AddressSpace::page_size(),
                 "a page's content is a page long", {"page", e.run.first.value},
                 {"bytes", e.body.size()});
  std::memcpy(parts_.space.runtime(e.run.first), e.body.data(), e.body.size());
  work.events.push_back(core::PagesFilled{e.run});
}

void Driver::carry_out(core::Hold&, Work&) {
  // begun in retry()
}

void Driver::carry_out(core::Hasten&, Work& work) {
  while (const auto held = tenures_.take_ended()) work.events.push_back(*held);
  tenures_.hasten();
}

// Under the engine's lock.
void Driver::do_at_once(core::Effect& effect) {
  if (auto* sent = std::get_if<core::SendBound>(&effect)) {
    for (const core::Aboard& aboard : sent->grant.aboard) {
      if (aboard.where != core::Where::aboard) continue;
      const std::byte* const from = frame_of(aboard.span);
      sent->grant.bytes.insert(sent->grant.bytes.end(), from, from + aboard.span.length);
    }
    for (const core::Span& span : sent->leaves)
      std::memcpy(parts_.twins.of(span.page).data() + span.offset, frame_of(span), span.length);
  } else if (const auto* fill = std::get_if<core::FillBound>(&effect)) {
    std::memcpy(frame_of(fill->span), fill->bytes.data(), fill->bytes.size());
  } else if (const auto* push = std::get_if<core::ApplyPush>(&effect)) {
    apply(*push);
  } else if (const auto* take = std::get_if<core::TakeBase>(&effect)) {
    MutexLock hold(twin_mutex_);
    for (PageId page = take->run.first; page < take->run.end(); ++page) {
      if (parts_.twins.has(page)) parts_.twins.give(page);
      parts_.twins.take(page, parts_.space.runtime(page));
    }
  } else if (const auto* drop = std::get_if<core::DropBase>(&effect)) {
    MutexLock hold(twin_mutex_);
    for (PageId page = drop->run.first; page < drop->run.end(); ++page) parts_.twins.give(page);
  }
}

void Driver::carry_out(core::SendBound& e, Work& work) {
  work.message.clear();
  core::encode(core::Message(std::move(e.grant)), work.message);
  outbox_.send(e.to, work.message);
}

void Driver::carry_out(core::FillBound&, Work&) {
  // done in step()
}

void Driver::carry_out(core::ReadBound& e, Work&) {
  parts_.lanes.read_bound(std::move(e.source));
}

// What is bound is made no part of the diff by making its twin equal.
void Driver::carry_out(core::SendBoundDiff& e, Work& work) {
  const std::span<std::byte> twin = parts_.twins.of(e.page);
  const std::byte* const page = parts_.space.runtime(e.page);
  for (const core::Forbidden& forbidden : e.forbidden) report_unlocked(forbidden, e.origin, twin);
  for (const core::Span& span : e.bound)
    std::memcpy(twin.data() + span.offset, page + span.offset, span.length);
  work.message.clear();
  core::encode(core::BoundDiff{e.page, e.parts, {}}, work.message);
  const std::size_t empty = work.message.size();
  for (const core::Versioned& part : e.parts) {
    const std::byte* const from = frame_of(part.span);
    work.message.insert(work.message.end(), from, from + part.span.length);
  }
  core::append_diff({page, memory::AddressSpace::page_size()}, twin, 0, work.message);
  parts_.twins.give(e.page);
  if (work.message.size() == empty) {
    work.events.push_back(core::DiffHome{{e.page, 1}});
  } else {
    outbox_.send(e.home, work.message);
  }
}

std::byte* Driver::frame_of(const core::Span& span) const {
  return parts_.space.runtime(span.page) + span.offset;
}

void Driver::carry_out(core::Lend& e, Work& work) {
  if (const auto held = lock_words_.lend(e.lock))
    work.events.push_back(core::LockBack{e.lock, *held});
}

void Driver::carry_out(core::Recall& e, Work& work) {
  if (const auto held = lock_words_.recall(e.lock))
    work.events.push_back(core::LockBack{e.lock, *held});
}

// The home's processor, in the runtime view: the program view may be closed, or watched.
void Driver::carry_out(core::PerformAtomic& e, Work& work) {
  if (e.home != parts_.self) return parts_.lanes.atomic(e);
  const core::WordOperation& o = e.operation;
  DSM_CHECK_WITH(
      o.offset % sizeof(std::uint64_t) == 0 && o.offset < memory::AddressSpace::page_size(),
      "an atomic operation is on an aligned word", {"page", o.page.value}, {"offset", o.offset});
  auto* const word = reinterpret_cast<std::uint64_t*>(parts_.space.runtime(o.page) + o.offset);
  const std::atomic_ref<std::uint64_t> shared(*word);
  std::uint64_t previous = o.compare;
  if (o.kind == core::WordOperation::Kind::fetch_add) {
    previous = shared.fetch_add(o.operand);
  } else {
    shared.compare_exchange_strong(previous, o.operand);
  }
  work.events.push_back(core::AtomicDone{e.asker, e.who, previous});
}

void Driver::carry_out(core::Found& e, Work&) {
  found_[e.who.value] = e.previous;
}

void Driver::carry_out(core::Passed& e, Work&) {
  passed_[e.who.value] = std::move(e.payloads);
}

}  // namespace dsm
