// Messages between processes: whole, exactly once, of any size, all at one time.
#include <poll.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "member.hpp"
#include "stamped.hpp"

namespace dsm::transport {
namespace {

class AcrossMessages : public Across {
 protected:
  void send(NodeId to, std::uint32_t number, std::size_t body) {
    const Stamp stamp{self().value, to.value, number, static_cast<std::uint32_t>(body)};
    node().send(to, head_of(stamp), body_of(stamp));
  }
  bool receive(const std::function<bool()>& done, double seconds = 60) {
    bool good = true;
    return poll_until(
               [&] {
                 good = book.enter_all(node().arrived) && good;
                 return !good || done();
               },
               seconds) &&
           good;
  }
  Book book{member().self()};
};

TEST_F(AcrossMessages, OfEverySizeToEverybodyAndOneself) {
  std::uint32_t number = 0;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{1000}, std::size_t{1024},
        std::size_t{4000}, std::size_t{4096}, std::size_t{9000}, std::size_t{65536},
        std::size_t{262145}, std::size_t{1} << 20}) {
    for (NodeId to{0}; to.value < this->size(); ++to) send(to, number, size);
    ASSERT_TRUE(receive([&] { return book.entered_with(number) == this->size(); }))
        << book.entered_with(number) << " messages of " << size << " bytes came";
    ++number;
  }
}

// Memory is slow to come by in a virtual machine, and a node that does not poll is taken for dead:
// so it is there before the others wait for it.
TEST_F(AcrossMessages, OfManyMebibytes) {
  const Stamp stamp{self().value, after().value, 0, 5u << 20};
  const std::string body = body_of(stamp);
  meet();
  node().send(after(), head_of(stamp), body);
  ASSERT_TRUE(receive([&] { return book.entered() == 1; }, 120));
}

TEST_F(AcrossMessages, ManyFromAnyToAny) {
  constexpr std::uint32_t each = 150;
  for (std::uint32_t number = 0; number < each; ++number)
    for (NodeId to{0}; to.value < size(); ++to)
      send(to, number, (number * 131 + to.value * 1001) % 9000);
  ASSERT_TRUE(receive([&] { return book.entered() == std::size_t{each} * size(); }))
      << book.entered() << " of " << each * size();
}

// To all others together, and to all but one. Where multicast was asked for it is used, and so is a
// tree, if it has something to do.
TEST_F(AcrossMessages, LettersToAll) {
  constexpr std::uint32_t each = 200;
  for (std::uint32_t number = 0; number < each; ++number) {
    const NodeId without(number % (2 * size()));  // of half the rounds nobody
    std::vector<Stamp> stamps;
    for (NodeId to{0}; to.value < size(); ++to)
      if (to != self() && to != without)
        stamps.push_back({self().value, to.value, number, number % 16 == 0 ? 3000 : number % 120});
    std::vector<std::string> texts;
    for (const Stamp& stamp : stamps) texts.push_back(std::string(head_of(stamp)) + body_of(stamp));
    std::vector<Letter> letters;
    for (std::size_t i = 0; i < stamps.size(); ++i)
      letters.push_back(
          {.to = NodeId(stamps[i].to), .message = std::as_bytes(std::span(texts[i]))});
    while (!letters.empty()) {
      node().wire->send_each(letters);
      std::erase_if(letters, [](const Letter& letter) { return letter.code == Code::ok; });
      node().poll();
    }
    node().poll();
  }
  // Who is left out in a round gets that round's letter from nobody.
  std::size_t expected = 0;
  for (std::uint32_t number = 0; number < each; ++number)
    if (number % (2 * size()) != self().value) expected += size() - 1;
  ASSERT_TRUE(receive([&] { return book.entered() == expected; }))
      << book.entered() << " of " << expected;
  const char* const text = std::getenv("DSM_VERBS");
  const std::string_view options(text != nullptr ? text : "");
  const auto asked = [options](std::string_view part) {
    return options.find(part) != std::string_view::npos;
  };
  const Tally sent = node().wire->tally();
  EXPECT_EQ(sent.multicast != 0, asked("multicast=on") && size() > 2);
  EXPECT_EQ(sent.relayed != 0, asked("multicast=tree,fanout=1") && size() > 2);
  meet();
}

// All others to one, which does not look for a while: what its receive ring cannot take must wait
// with the senders.
TEST_F(AcrossMessages, EverybodyFloodsOne) {
  constexpr std::uint32_t each = 1500;
  constexpr auto looks_away = std::chrono::milliseconds(300);
  if (self() == NodeId(0)) {
    std::this_thread::sleep_for(looks_away);
    const std::size_t all = std::size_t{each} * (size() - 1);
    ASSERT_TRUE(receive([&] { return book.entered() == all; }, 120))
        << book.entered() << " of " << all;
  } else {
    for (std::uint32_t number = 0; number < each; ++number)
      send(NodeId(0), number, number % 16 == 0 ? 5000 : number % 300);
  }
  meet();
}

TEST_F(AcrossMessages, ATokenGoesRoundAmongSleepers) {
  constexpr std::uint32_t rounds = 150;
  constexpr int lost_after_ms = 20'000;
  if (self() == NodeId(0)) send(after(), 0, 8);
  std::size_t slept = 0;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    while (node().arrived.empty()) {
      if (node().poll() != 0 || !node().wire->arm()) continue;
      pollfd one{.fd = node().wire->wait_fd(), .events = POLLIN, .revents = 0};
      ++slept;
      ASSERT_EQ(::poll(&one, 1, lost_after_ms), 1) << "not woken in round " << round;
    }
    ASSERT_EQ(node().arrived.size(), 1u);
    ASSERT_EQ(node().arrived.front().peer, before());
    ASSERT_TRUE(book.enter_all(node().arrived));
    // Now and then the others have time to fall asleep.
    if (self() == NodeId(0) && round % 16 == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const std::uint32_t next = self() == NodeId(0) ? round + 1 : round;
    if (next < rounds) send(after(), next, 8);
  }
  if (self() != NodeId(0)) {
    EXPECT_GT(slept, 0u) << "it never slept: the test proves nothing";
  }
}

}  // namespace
}  // namespace dsm::transport
