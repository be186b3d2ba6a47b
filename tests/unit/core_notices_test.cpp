// Sets of pages, the written log and the log of a token, against naive models.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "dsm/core/notices.hpp"

namespace dsm::core {
namespace {

PageSet run(std::uint64_t first, std::uint64_t count) {
  return {{{PageId(first), count}}, false};
}

std::set<std::uint64_t> pages_of(const PageSet& set, std::uint64_t below) {
  std::set<std::uint64_t> all;
  for (std::uint64_t p = 0; p < below; ++p)
    if (set.contains(PageId(p))) all.insert(p);
  return all;
}

TEST(PageSet, MergesWhatTouches) {
  const PageSet set = PageSet::of({PageId(5), PageId(3), PageId(4), PageId(3), PageId(9)});
  const std::vector<PageRun> runs{{PageId(3), 3}, {PageId(9), 1}};
  EXPECT_EQ(set.runs, runs);
  EXPECT_TRUE(set.contains(PageId(4)));
  EXPECT_FALSE(set.contains(PageId(6)));
  EXPECT_TRUE(PageSet::of({}).empty());
}

TEST(PageSet, OverTheLimitItIsEverything) {
  std::vector<PageId> pages;
  for (std::uint64_t i = 0; i < notice_runs_max; ++i) pages.push_back(PageId(2 * i));
  EXPECT_FALSE(PageSet::of(pages).everything);
  pages.push_back(PageId(2 * notice_runs_max));
  EXPECT_TRUE(PageSet::of(pages).everything);
  EXPECT_TRUE(PageSet::of(pages).contains(PageId(1)));
}

TEST(PageSet, SurvivesTheWire) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<PageId> pages;
    for (std::uint32_t i = static_cast<std::uint32_t>(random()) % 50; i > 0; --i)
      pages.push_back(PageId(random() % 100));
    const PageSet set = PageSet::of(pages);
    Bytes bytes;
    Writer writer(bytes);
    encode(set, writer);
    Reader reader(bytes);
    PageSet back;
    ASSERT_TRUE(decode(reader, back));
    EXPECT_TRUE(reader.done());
    EXPECT_EQ(back, set);
  }
}

TEST(WriteLog, YieldsWhatWasWrittenBetweenTwoPositions) {
  WriteLog log;
  log.append(PageId(1));
  const Seq stamp = log.now();
  log.append(PageId(1));  // again, for a scope that opened in between
  log.append(PageId(2));
  EXPECT_EQ(log.between(stamp, log.now()), run(1, 2));
  EXPECT_EQ(log.between(Seq(0), stamp), run(1, 1));
  EXPECT_TRUE(log.between(log.now(), log.now()).empty());
}

TEST(WriteLog, ForgetsWhatABarrierHasTold) {
  WriteLog log;
  for (std::uint64_t i = 0; i < 10; ++i) log.append(PageId(2 * i));
  const Seq arrived = Seq(6);
  log.forget_before(arrived);
  EXPECT_EQ(log.size(), 4u);
  EXPECT_EQ(log.now(), Seq(10));
  EXPECT_EQ(log.between(Seq(0), log.now()), log.between(arrived, log.now()))
      << "a stamp from before the barrier";
  EXPECT_FALSE(log.between(Seq(0), log.now()).everything);
}

TEST(WriteLog, OverItsBoundItSaysEverythingUntilTheNextBarrier) {
  WriteLog log;
  const Seq stamp = log.now();
  for (std::uint64_t i = 0; i < (1u << 20) + 5; ++i) log.append(PageId(i % 7));
  EXPECT_LE(log.size(), std::size_t{1} << 20);
  EXPECT_TRUE(log.between(stamp, log.now()).everything);
  const Seq late = log.now();
  log.append(PageId(3));
  EXPECT_EQ(log.between(late, log.now()), run(3, 1));
  log.forget_before(log.now());
  log.append(PageId(4));
  EXPECT_EQ(log.between(Seq(0), log.now()), run(4, 1));
}

TEST(NoticeLog, IsAMapFromPageToItsLastTurn) {
  constexpr std::uint64_t pages = 40;
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    NoticeLog log;
    std::map<std::uint64_t, std::uint64_t> model;
    for (std::uint64_t turn = 1; turn <= 30; ++turn) {
      std::vector<PageId> written;
      for (std::uint32_t i = static_cast<std::uint32_t>(random()) % 12; i > 0; --i) {
        written.push_back(PageId(random() % pages));
        model[written.back().value] = turn;
      }
      log.note(PageSet::of(written), Seq(turn));
      Bytes bytes;
      Writer writer(bytes);
      encode(log, writer);
      Reader reader(bytes);
      NoticeLog copy;
      ASSERT_TRUE(decode(reader, copy) && reader.done());
      ASSERT_EQ(copy, log);
      for (std::uint64_t since = 0; since <= turn; ++since) {
        std::set<std::uint64_t> expected;
        for (const auto& [page, last] : model)
          if (last > since) expected.insert(page);
        ASSERT_EQ(pages_of(log.since(Seq(since)), pages), expected)
            << "seed " << seed << " turn " << turn;
      }
    }
  }
}

TEST(NoticeLog, OverItsBoundEverythingIsOld) {
  NoticeLog log;
  std::uint64_t turn = 0;
  // Single pages with gaps, a few thousand at a time, until they are too many for one log.
  for (std::uint64_t block = 0; block < 3; ++block) {
    std::vector<PageId> pages;
    for (std::uint64_t i = 0; i < notice_runs_max / 2; ++i)
      pages.push_back(PageId(2 * (block * notice_runs_max + i)));
    log.note(PageSet::of(pages), Seq(++turn));
  }
  EXPECT_TRUE(log.since(Seq(turn - 1)).everything);
  EXPECT_TRUE(log.since(Seq(turn)).empty());
  log.note(run(5, 1), Seq(++turn));
  EXPECT_EQ(log.since(Seq(turn - 1)), run(5, 1));
  EXPECT_TRUE(log.since(Seq(0)).everything);
  log.clear();
  EXPECT_TRUE(log.empty());
}

TEST(NoticeLog, EverythingOverridesWhatWasNoted) {
  NoticeLog log;
  log.note(run(1, 3), Seq(1));
  log.note({{}, true}, Seq(2));
  EXPECT_TRUE(log.since(Seq(1)).everything);
  EXPECT_TRUE(log.since(Seq(2)).empty());
}

TEST(PageSet, Adds) {
  PageSet set = PageSet::of({PageId(1), PageId(2), PageId(8)});
  set.add(PageSet::of({PageId(2), PageId(3), PageId(5)}));
  const std::vector<PageRun> runs{{PageId(1), 3}, {PageId(5), 1}, {PageId(8), 1}};
  EXPECT_EQ(set.runs, runs);
  set.add({});
  EXPECT_EQ(set.runs, runs);
  set.add({{}, true});
  EXPECT_TRUE(set.everything);
  set.add(run(4, 2));
  EXPECT_TRUE(set.everything);
  EXPECT_TRUE(set.runs.empty());
}

// Nodes that write, and tell one another all they know, against sets of writes.
TEST(History, TellsEverythingThatHappenedBefore) {
  constexpr std::uint32_t nodes = 4;
  constexpr std::uint64_t pages = 24;
  struct Node {
    History history;
    std::uint64_t position = 0;
    std::set<std::pair<std::uint32_t, std::uint64_t>> known;  // writer, position
    std::map<std::uint64_t, std::uint64_t> page_at;           // of its own positions
  };
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<Node> all(nodes);
    for (int i = 0; i < 60; ++i) {
      const std::uint32_t a = static_cast<std::uint32_t>(random()) % nodes;
      const std::uint32_t b = static_cast<std::uint32_t>(random()) % nodes;
      Node& teller = all[a];
      if (random() % 3 != 0) {
        std::vector<PageId> written;
        for (std::uint32_t k = static_cast<std::uint32_t>(random()) % 3; k > 0; --k) {
          written.push_back(PageId(random() % pages));
          teller.page_at[teller.position] = written.back().value;
          teller.known.insert({a, teller.position++});
        }
        teller.history.note(NodeId(a), PageSet::of(written), Seq(teller.position));
      }
      if (a == b) continue;
      Node& learner = all[b];
      const PageSet news = learner.history.learn(teller.history, NodeId(b));
      for (const auto& [writer, position] : teller.known) {
        if (writer == b || !learner.known.insert({writer, position}).second) continue;
        EXPECT_TRUE(news.contains(PageId(all[writer].page_at.at(position))));
      }
      EXPECT_TRUE(learner.history.learn(teller.history, NodeId(b)).empty()) << "no news twice";
    }
  }
}

TEST(History, OverItsBoundTheOldestIsEverything) {
  History teller;
  Seq at{};
  for (std::uint32_t i = 0; i < 2 * notice_runs_max; ++i)
    teller.note(NodeId(i % 3), run(2 * i, 1), at = at + 1);
  History fresh, informed;
  informed.note(NodeId(0), run(1, 1), at);
  informed.note(NodeId(1), run(1, 1), at);
  informed.note(NodeId(2), run(1, 1), Seq(at.value - 1));
  EXPECT_TRUE(fresh.learn(teller, NodeId(3)).everything);
  const PageSet last = informed.learn(teller, NodeId(3));
  EXPECT_LE(last.runs.size(), 1u);
  EXPECT_FALSE(last.everything);
  Bytes bytes;
  Writer writer(bytes);
  encode(teller, writer);
  EXPECT_LT(bytes.size(), 32 * notice_runs_max);
  History copy;
  Reader reader(bytes);
  ASSERT_TRUE(decode(reader, copy));
  EXPECT_EQ(copy, teller);
}

}  // namespace
}  // namespace dsm::core
