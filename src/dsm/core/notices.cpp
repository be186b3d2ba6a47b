#include "dsm/core/notices.hpp"

#include <algorithm>
#include <iterator>

namespace dsm::core {

PageSet PageSet::of(std::vector<PageId> pages) {
  std::sort(pages.begin(), pages.end());
  PageSet set;
  for (const PageId page : pages) {
    if (!set.runs.empty() && page < set.runs.back().end()) continue;
    if (!set.runs.empty() && page == set.runs.back().end()) {
      ++set.runs.back().count;
    } else {
      set.runs.push_back({page, 1});
    }
  }
  if (set.runs.size() > notice_runs_max) {
    set.runs.clear();
    set.everything = true;
  }
  return set;
}

bool PageSet::contains(PageId page) const {
  if (everything) return true;
  const auto after = std::upper_bound(runs.begin(), runs.end(), page,
                                      [](PageId p, const PageRun& r) { return p < r.first; });
  return after != runs.begin() && std::prev(after)->contains(page);
}

void PageSet::add(const PageSet& other) {
  if (everything || other.empty()) return;
  std::vector<PageRun> all;
  all.reserve(runs.size() + other.runs.size());
  std::merge(runs.begin(), runs.end(), other.runs.begin(), other.runs.end(),
             std::back_inserter(all),
             [](const PageRun& a, const PageRun& b) { return a.first < b.first; });
  runs.clear();
  everything = other.everything;
  for (const PageRun& run : all) {
    if (!runs.empty() && run.first <= runs.back().end()) {
      runs.back().count = std::max(runs.back().end(), run.end()) - runs.back().first;
    } else {
      runs.push_back(run);
    }
  }
  everything = everything || runs.size() > notice_runs_max;
  if (everything) runs.clear();
}

void encode(const PageSet& set, Writer& out) {
  out.put(static_cast<std::uint8_t>(set.everything));
  out.put(static_cast<std::uint32_t>(set.runs.size()));
  for (const PageRun& run : set.runs) {
    out.put(run.first);
    out.put(run.count);
  }
}

bool decode(Reader& in, PageSet& set) {
  set.everything = in.get<std::uint8_t>() != 0;
  const auto count = in.get<std::uint32_t>();
  if (count > notice_runs_max) return false;
  set.runs.clear();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    PageRun run;
    run.first = in.get<PageId>();
    run.count = in.get<std::uint64_t>();
    const bool sorted = set.runs.empty() || set.runs.back().end() < run.first;
    if (!in.ok() || run.count == 0 || run.end() < run.first || !sorted) return false;
    set.runs.push_back(run);
  }
  return in.ok();
}

void WriteLog::append(PageId page) {
  if (pages_.size() == pages_max) {
    dropped_ = now();
    base_ = dropped_;
    pages_.clear();
  }
  pages_.push_back(page);
}

PageSet WriteLog::between(Seq from, Seq to) const {
  PageSet all;
  all.everything = true;
  if (from < dropped_) return all;
  const Seq first = std::max(from, base_);
  if (to <= first) return {};
  const auto begin = pages_.begin() + static_cast<std::ptrdiff_t>(first - base_);
  return PageSet::of(std::vector<PageId>(begin, begin + static_cast<std::ptrdiff_t>(to - first)));
}

void WriteLog::forget_before(Seq position) {
  dropped_ = dropped_ <= position ? Seq() : dropped_;
  if (position <= base_) return;
  const std::uint64_t count = std::min<std::uint64_t>(position - base_, pages_.size());
  pages_.erase(pages_.begin(), pages_.begin() + static_cast<std::ptrdiff_t>(count));
  base_ = base_ + count;
}

// The new runs replace what they overlap; the rest of an overlapped entry keeps its turn.
void NoticeLog::note(const PageSet& pages, Seq turn) {
  if (pages.everything) {
    entries_.clear();
    everything_ = turn;
    return;
  }
  if (pages.runs.empty()) return;
  std::vector<Entry> merged;
  merged.reserve(entries_.size() + pages.runs.size() + 1);
  auto old = entries_.begin();
  Entry rest;  // what is left of the entry at `old`
  bool cut = false;
  const auto next_old = [&]() -> Entry { return cut ? rest : *old; };
  for (const PageRun& run : pages.runs) {
    while (old != entries_.end() && next_old().run.end() <= run.first) {
      merged.push_back(next_old());
      ++old, cut = false;
    }
    while (old != entries_.end() && next_old().run.first < run.end()) {
      const Entry e = next_old();
      if (e.run.first < run.first)
        merged.push_back({{e.run.first, run.first - e.run.first}, e.turn});
      if (e.run.end() <= run.end()) {
        ++old, cut = false;
        continue;
      }
      rest = {{run.end(), e.run.end() - run.end()}, e.turn};
      cut = true;
      break;
    }
    merged.push_back({run, turn});
  }
  while (old != entries_.end()) {
    merged.push_back(next_old());
    ++old, cut = false;
  }
  entries_ = std::move(merged);
  if (entries_.size() > notice_runs_max) {
    entries_.clear();
    everything_ = turn;
  }
}

PageSet NoticeLog::since(Seq turn) const {
  PageSet set;
  if (everything_ > turn) {
    set.everything = true;
    return set;
  }
  for (const Entry& e : entries_) {
    if (e.turn <= turn) continue;
    if (!set.runs.empty() && set.runs.back().end() == e.run.first) {
      set.runs.back().count += e.run.count;
    } else {
      set.runs.push_back(e.run);
    }
  }
  return set;
}

void NoticeLog::forget_older_half() {
  if (entries_.empty()) return;
  std::vector<Seq> turns;
  for (const Entry& e : entries_) turns.push_back(e.turn);
  const auto middle = turns.begin() + static_cast<std::ptrdiff_t>(turns.size() / 2);
  std::nth_element(turns.begin(), middle, turns.end());
  everything_ = std::max(everything_, *middle);
  std::erase_if(entries_, [&](const Entry& e) { return e.turn <= everything_; });
}

void NoticeLog::clear() {
  entries_.clear();
  everything_ = Seq();
}

void encode(const NoticeLog& log, Writer& out) {
  out.put(log.everything_);
  out.put(static_cast<std::uint32_t>(log.entries_.size()));
  for (const NoticeLog::Entry& e : log.entries_) {
    out.put(e.run.first);
    out.put(e.run.count);
    out.put(e.turn);
  }
}

bool decode(Reader& in, NoticeLog& log) {
  log.clear();
  log.everything_ = in.get<Seq>();
  const auto count = in.get<std::uint32_t>();
  if (count > notice_runs_max) return false;
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    NoticeLog::Entry e;
    e.run.first = in.get<PageId>();
    e.run.count = in.get<std::uint64_t>();
    e.turn = in.get<Seq>();
    const bool sorted = log.entries_.empty() || log.entries_.back().run.end() <= e.run.first;
    if (!in.ok() || e.run.count == 0 || e.run.end() < e.run.first || !sorted) return false;
    log.entries_.push_back(e);
  }
  return in.ok();
}

History::Heard& History::of(NodeId writer) {
  const auto at = std::lower_bound(writers_.begin(), writers_.end(), writer,
                                   [](const Heard& h, NodeId w) { return h.writer < w; });
  if (at != writers_.end() && at->writer == writer) return *at;
  return *writers_.insert(at, Heard{writer, {}, {}});
}

void History::note(NodeId writer, const PageSet& pages, Seq upto) {
  if (pages.empty()) return;
  Heard& heard = of(writer);
  heard.pages.note(pages, upto);
  heard.upto = upto;
  bound();
}

PageSet History::learn(const History& told, NodeId self) {
  PageSet news;
  for (const Heard& theirs : told.writers_) {
    if (theirs.writer == self) continue;
    Heard& mine = of(theirs.writer);
    if (theirs.upto <= mine.upto) continue;
    const PageSet written = theirs.pages.since(mine.upto);
    mine.pages.note(written, theirs.upto);
    mine.upto = theirs.upto;
    news.add(written);
  }
  bound();
  return news;
}

// The limit is for all writers together: all of it travels with each token.
void History::bound() {
  const auto entries = [this] {
    std::size_t sum = 0;
    for (const Heard& heard : writers_) sum += heard.pages.size();
    return sum;
  };
  while (entries() > notice_runs_max)
    for (Heard& heard : writers_) heard.pages.forget_older_half();
}

void encode(const History& history, Writer& out) {
  out.put(static_cast<std::uint32_t>(history.writers_.size()));
  for (const History::Heard& heard : history.writers_) {
    out.put(heard.writer);
    out.put(heard.upto);
    encode(heard.pages, out);
  }
}

bool decode(Reader& in, History& history) {
  history.clear();
  const auto count = in.get<std::uint32_t>();
  if (count > nodes_max) return false;
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    History::Heard heard;
    heard.writer = in.get<NodeId>();
    heard.upto = in.get<Seq>();
    if (!decode(in, heard.pages)) return false;
    const bool sorted = history.writers_.empty() || history.writers_.back().writer < heard.writer;
    if (!sorted || heard.writer.value >= nodes_max) return false;
    history.writers_.push_back(std::move(heard));
  }
  return in.ok();
}

void encode(const Notices& notices, Writer& out) {
  encode(notices.scope, out);
  encode(notices.before, out);
}

bool decode(Reader& in, Notices& notices) {
  return decode(in, notices.scope) && decode(in, notices.before);
}

}  // namespace dsm::core
