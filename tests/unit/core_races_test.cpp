// Who has heard of whom, and which writes that nothing orders a home finds.
#include <gtest/gtest.h>

#include <vector>

#include "dsm/core/diff.hpp"
#include "dsm/core/races.hpp"

namespace dsm::core {
namespace {

constexpr std::uint32_t page_bytes = 64;
constexpr std::uint32_t nodes = 4;

// A diff of one page whose bytes [offset, offset + count) changed.
Bytes diff_of(std::size_t offset, std::size_t count) {
  const Bytes twin(page_bytes);
  Bytes page = twin, body;
  for (std::size_t i = offset; i < offset + count; ++i) page[i] = std::byte{1};
  append_diff(page, twin, 0, body);
  return body;
}

// A node that writes, tells and hears; and the home of what it writes.
struct Writer {
  explicit Writer(std::uint32_t rank) : node(rank), clock(node, nodes) {}

  std::vector<Race> write(RaceFinder& home, std::size_t offset, std::size_t count,
                          PageId page = PageId(7)) const {
    std::vector<Race> found;
    const Bytes body = diff_of(offset, count);
    home.wrote(node, Stamp{epoch, clock, {}}, {page, 1}, body, found);
    return found;
  }
  std::vector<Race> change(RaceFinder& home, std::uint32_t offset) const {
    std::vector<Race> found;
    home.changed_atomically(node, epoch, PageId(7), offset, found);
    return found;
  }
  void tell(Writer& other) {
    other.clock.merge(clock);
    clock.tick(node);
  }

  NodeId node;
  Clock clock;
  Epoch epoch{};
};

TEST(Races, TwoWhoHaveNotHeardOfOneAnotherAreFoundOnceAPage) {
  RaceFinder home(page_bytes);
  Writer one(1), two(2);
  EXPECT_TRUE(one.write(home, 8, 8).empty());
  EXPECT_TRUE(two.write(home, 16, 8).empty()) << "other bytes";
  EXPECT_TRUE(two.write(home, 8, 8, PageId(6)).empty()) << "another page";
  const std::vector<Race> found = two.write(home, 12, 8);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].page, PageId(7));
  EXPECT_EQ(found[0].offset, 12u);
  EXPECT_EQ(found[0].bytes, 4u);
  EXPECT_EQ(found[0].first.node, NodeId(1));
  EXPECT_EQ(found[0].second.node, NodeId(2));
  EXPECT_TRUE(one.write(home, 8, 8).empty()) << "told before";
  EXPECT_EQ(one.write(home, 8, 8, PageId(6)).size(), 1u);
}

TEST(Races, WhoHasHeardOfAWriteMayWriteToo) {
  RaceFinder home(page_bytes);
  Writer one(1), two(2), three(3);
  EXPECT_TRUE(one.write(home, 0, 8).empty());
  one.tell(two);
  EXPECT_TRUE(two.write(home, 0, 8).empty());
  two.tell(three);
  EXPECT_TRUE(three.write(home, 0, 8).empty()) << "heard of the first by the second";
  EXPECT_TRUE(one.write(home, 8, 1).empty());
  EXPECT_EQ(three.write(home, 8, 1).size(), 1u) << "written in a scope not told of";
}

TEST(Races, TheNewestWriterOfEachByteCounts) {
  RaceFinder home(page_bytes);
  Writer one(1), two(2), three(3);
  EXPECT_TRUE(one.write(home, 0, 16).empty());
  one.tell(two);
  EXPECT_TRUE(two.write(home, 4, 4).empty());
  one.tell(three);
  EXPECT_TRUE(three.write(home, 0, 4).empty());
  EXPECT_TRUE(three.write(home, 8, 8).empty());
  const std::vector<Race> found = three.write(home, 0, 16);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].first.node, NodeId(2));
  EXPECT_EQ(found[0].offset, 4u);
  EXPECT_EQ(found[0].bytes, 4u);
}

TEST(Races, ABarrierOrdersWhatBelongsBeforeIt) {
  RaceFinder home(page_bytes);
  Writer one(1), two(2), three(3);
  EXPECT_TRUE(one.write(home, 0, 8).empty());
  two.epoch = Epoch(1);  // has left the barrier that the home is still in
  two.clock.merge(one.clock);
  EXPECT_TRUE(two.write(home, 8, 8).empty());
  home.passed(Epoch(1));
  three.epoch = Epoch(1);
  EXPECT_TRUE(three.write(home, 0, 8).empty()) << "forgotten";
  EXPECT_EQ(three.write(home, 8, 8).size(), 1u) << "of the interval that is not over";
  home.passed(Epoch(2));
  const Writer four(0);
  EXPECT_TRUE(four.write(home, 8, 8).empty()) << "nothing is left";
}

TEST(Races, AtomicAndPlainUseOfAWordBetweenTwoBarriers) {
  RaceFinder home(page_bytes);
  Writer one(1), two(2);
  EXPECT_TRUE(one.change(home, 16).empty());
  EXPECT_TRUE(two.change(home, 16).empty()) << "that is what they are for";
  EXPECT_TRUE(two.write(home, 24, 8).empty()) << "the next word";
  one.tell(two);
  const std::vector<Race> plainly = two.write(home, 20, 1);
  ASSERT_EQ(plainly.size(), 1u) << "hearing of one another does not help";
  EXPECT_TRUE(plainly[0].first.atomic);
  EXPECT_FALSE(plainly[0].second.atomic);
  const Writer three(3);
  EXPECT_EQ(three.change(home, 24).size(), 1u) << "plain first";
  home.passed(Epoch(1));
  one.epoch = two.epoch = Epoch(1);
  EXPECT_TRUE(one.write(home, 16, 8).empty());
  EXPECT_TRUE(one.change(home, 60).empty()) << "a word that does not end in its page is no word";
}

TEST(Races, ClocksKnowTheMostOfEach) {
  Clock none, a(NodeId(0), 3), b(NodeId(2), 3);
  none.merge(Clock());
  EXPECT_TRUE(none.empty());
  a.tick(NodeId(0));
  b.merge(a);
  EXPECT_EQ(b.of(NodeId(0)), 2u);
  EXPECT_EQ(b.of(NodeId(1)), 0u);
  EXPECT_EQ(b.of(NodeId(2)), 1u);
  EXPECT_EQ(b.of(NodeId(9)), 0u);
  none.merge(b);
  EXPECT_EQ(none, b);
}

TEST(Races, ChangedBytesAreThoseThatADiffStores) {
  for (const std::size_t step : {1u, 2u, 3u, 9u, 40u}) {
    Bytes twin(page_bytes), page = twin, body;
    for (std::size_t i = 0; i < page_bytes; i += step) page[i] = std::byte{5};
    append_diff(page, twin, 3, body);
    Bytes stored(page_bytes);
    EXPECT_TRUE(for_each_changed(body, page_bytes,
                                 [&](std::uint16_t index, std::size_t at, std::size_t count) {
                                   EXPECT_EQ(index, 3);
                                   for (std::size_t i = at; i < at + count; ++i)
                                     stored[i] = std::byte{5};
                                 }));
    EXPECT_EQ(stored, page) << step;
    for (std::size_t size = 1; size < body.size(); ++size)
      EXPECT_FALSE(for_each_changed(ByteView(body).first(size), page_bytes,
                                    [](std::uint16_t, std::size_t, std::size_t) {}))
          << size << " of " << body.size() << " bytes";
  }
}

}  // namespace
}  // namespace dsm::core
