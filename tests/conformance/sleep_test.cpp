// Sleeping on wait_fd(): whatever arrives wakes an armed transport.
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "wires.hpp"

namespace dsm::transport {
namespace {

class Sleep : public Conformance {};
DSM_OVER_ALL_WIRES(Sleep);

constexpr int lost_after_ms = 10'000;

// As a node's service thread does: poll; if there is nothing, arm and sleep. False: it slept and
// nobody woke it.
bool poll_or_sleep(Node& node, std::atomic<std::size_t>* slept = nullptr,
                   Urgency least = Urgency::patient) {
  if (node.poll() != 0 || !node.wire->arm(least)) return true;
  if (slept) slept->fetch_add(1);
  pollfd one{.fd = node.wire->wait_fd(), .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, lost_after_ms) == 1;
}

TEST_P(Sleep, PingPongOfSleepersLosesNoWakeUp) {
  Job job(GetParam(), 2);
  constexpr int rounds = 1500;
  std::atomic<std::size_t> slept{0};
  const auto play = [&](std::uint32_t me) {
    std::uint64_t random = me + 1;
    for (int round = 0; round < rounds; ++round) {
      if (me == 0) job[me].send(NodeId(1), std::to_string(round));
      while (job[me].arrived.empty()) {
        if (!poll_or_sleep(job[me], &slept)) {
          ADD_FAILURE() << "node " << me << " was not woken in round " << round;
          return;
        }
      }
      ASSERT_EQ(job[me].arrived.front().bytes, std::to_string(round));
      job[me].arrived.pop_front();
      // Meet the other side at a different point of its way to sleep each time.
      random = random * 6364136223846793005u + 1442695040888963407u;
      for (std::uint64_t spin = 0; spin < (random >> 54); ++spin)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      if (me == 1) job[me].send(NodeId(0), std::to_string(round));
    }
  };
  // What is lost is sent again by who polls, the last message too.
  std::atomic<int> finished{0};
  const auto play_to_the_end = [&](std::uint32_t me) {
    play(me);
    for (++finished; finished < 2;) {
      job[me].poll();
      std::this_thread::yield();
    }
  };
  std::thread other(play_to_the_end, 1);
  play_to_the_end(0);
  other.join();
  EXPECT_GT(slept.load(), 0u) << "nobody ever slept: the test proves nothing";
}

TEST_P(Sleep, OperationsPostedByAnotherThreadWakeTheSleeper) {
  Job job(GetParam(), 2);
  std::atomic<bool> stop{false};
  // Both nodes sleep when idle; the main thread posts for node 0, to node 1 and to node 0 itself.
  std::atomic<int> completed{0};
  const auto serve = [&](std::uint32_t me) {
    while (!stop) {
      pollfd one{.fd = job[me].wire->wait_fd(), .events = POLLIN, .revents = 0};
      if (job[me].poll() == 0 && job[me].wire->arm()) ::poll(&one, 1, stop ? 0 : lost_after_ms);
      for (; !job[me].arrived.empty(); job[me].arrived.pop_front())
        if (job[me].arrived.front().kind == Event::Kind::completion) ++completed;
    }
  };
  std::thread one(serve, 0);
  std::thread two(serve, 1);
  std::uint64_t sink = 0;
  for (int i = 0; i < 300; ++i) {
    const NodeId peer(static_cast<std::uint32_t>(i % 2));
    Operation o{.kind = Operation::Kind::read,
                .memory = job[0].memory_of[peer.value],
                .local = &sink,
                .size = 8,
                .cookie = 7};
    while (job[0].wire->post(peer, std::span(&o, 1)) == 0) std::this_thread::yield();
    const double end = now_seconds() + lost_after_ms / 2000.0;
    while (completed <= i && now_seconds() < end) std::this_thread::yield();
    ASSERT_GT(completed, i) << "the sleeper was not woken";
  }
  stop = true;
  for (std::uint32_t n = 0; n < 2; ++n)  // wake both
    while (job[n].wire->send(NodeId(1 - n), {}).code() == Code::would_block)
      std::this_thread::yield();
  one.join();
  two.join();
}

TEST_P(Sleep, RoomWakesASenderThatWasRefused) {
  for (const std::size_t size : {std::size_t{2000}, std::size_t{200'000}}) {
    Job job(GetParam(), 2);
    const std::string text = pattern(size, 1);
    // Enough to fill any wire several times.
    const std::size_t total = std::max<std::size_t>(400, (std::size_t{64} << 20) / size);
    std::atomic<std::size_t> refused{0};
    std::atomic<bool> failed{false};
    std::thread sender([&] {
      for (std::size_t sent = 0; sent < total && !failed;) {
        const Status status = job[0].wire->send(NodeId(1), std::as_bytes(std::span(text)));
        if (status.ok()) {
          ++sent;
          continue;
        }
        ++refused;
        if (!poll_or_sleep(job[0])) failed = true;
      }
      while (!failed && job[1].wire && job[0].arrived.empty())
        if (!poll_or_sleep(job[0])) failed = true;
    });
    std::size_t received = 0;
    const double end = now_seconds() + 60;
    while (refused == 0 && now_seconds() < end) std::this_thread::yield();
    while (received < total && !failed && now_seconds() < end) {
      // Let the sender fall asleep now and then.
      if (received % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      Event event;
      if (job[1].wire->poll(std::span(&event, 1)) == 0) {
        std::this_thread::yield();
        continue;
      }
      ++received;
      job[1].wire->recycle(event);
    }
    job[1].send(NodeId(0), "done");
    sender.join();
    EXPECT_FALSE(failed) << "the sender slept on";
    EXPECT_EQ(received, total);
    EXPECT_GT(refused.load(), 0u);
  }
}

// A sleeper that armed for prompt messages only: they wake it, and what patient ones came before is
// there then. One that armed for all is woken by a patient one too.
TEST_P(Sleep, APatientMessageMayLieUntilAPromptOneComes) {
  Job job(GetParam(), 2);
  const auto send = [&](std::string_view text, Urgency urgency) {
    const ByteView bytes = std::as_bytes(std::span(text));
    while (job[0].wire->send(NodeId(1), bytes, {}, urgency).code() == Code::would_block)
      job[0].poll();
  };
  // Some wires resend what was lost, or hear of room, only while their node polls.
  std::atomic<bool> arrived{false};
  const auto poll_until_arrived = [&] {
    while (!arrived) {
      job[0].poll();
      std::this_thread::yield();
    }
  };
  for (int round = 0; round < 100; ++round) {
    std::thread sender([&] {
      if (round % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
      send("patient", Urgency::patient);
      send("prompt", Urgency::prompt);
      poll_until_arrived();
    });
    while (job[1].arrived.size() < 2) {
      if (!poll_or_sleep(job[1], nullptr, Urgency::prompt)) {
        ADD_FAILURE() << "a prompt message woke nobody in round " << round;
        break;
      }
    }
    arrived = true;
    sender.join();
    job[1].arrived.clear();
    arrived = false;
    std::thread patient([&] {
      send("patient", Urgency::patient);
      poll_until_arrived();
    });
    while (job[1].arrived.empty()) {
      if (!poll_or_sleep(job[1])) {
        ADD_FAILURE() << "a patient message woke nobody who waits for it in round " << round;
        break;
      }
    }
    arrived = true;
    patient.join();
    job[1].arrived.clear();
    arrived = false;
  }
}

TEST_P(Sleep, ASleeperHearsThatItsPeerDied) {
  Job job(GetParam(), 2);
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    job.end(1);
  });
  while (job[0].arrived.empty()) {
    if (!poll_or_sleep(job[0])) {
      ADD_FAILURE() << "not woken";
      break;
    }
  }
  killer.join();
  ASSERT_FALSE(job[0].arrived.empty());
  EXPECT_EQ(job[0].arrived.front().kind, Event::Kind::peer_down);
}

}  // namespace
}  // namespace dsm::transport
