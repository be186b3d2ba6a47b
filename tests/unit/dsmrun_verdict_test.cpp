// Whom dsmrun blames, and how its output stays whole lines.
#include "dsmrun_verdict.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "dsm/launch/rendezvous.hpp"
#include "dsmrun_output.hpp"

namespace dsm::run {
namespace {

using Time = Verdict::Time;
constexpr int bystander = launch::exit_code_of_bystander;

TEST(Verdict, NobodyIsToBlameWhileAllIsWell) {
  Verdict verdict(3, "p");
  EXPECT_FALSE(verdict.blame(Time(0)));
  verdict.ended({0, 0, 0}, Time(1));
  EXPECT_FALSE(verdict.blame(Time::max()));
  EXPECT_FALSE(verdict.deadline());
}

TEST(Verdict, TheFirstFailureIs) {
  Verdict verdict(3, "p");
  verdict.ended({2, 7, 0}, Time(1));
  verdict.ended({1, 8, 0}, Time(2));
  const auto blame = verdict.blame(Time(2));
  ASSERT_TRUE(blame);
  EXPECT_EQ(blame->exit_code, 7);
  EXPECT_EQ(blame->line, "rank 2 of 3 (p) exited with code 7");
}

TEST(Verdict, ASignalIsMoreLikelyTheCauseOfWhatWasNoticedWithIt) {
  Verdict verdict(3, "p");
  verdict.ended({0, 1, 0}, Time(1));
  verdict.ended({2, 0, SIGSEGV, true}, Time(1));
  const auto blame = verdict.blame(Time(1));
  ASSERT_TRUE(blame);
  EXPECT_EQ(blame->exit_code, 128 + SIGSEGV);
  EXPECT_EQ(blame->line, "rank 2 of 3 (p) was killed by SIGSEGV (core dumped)");
}

TEST(Verdict, ABystanderWaitsForTheCulpritButNotForEver) {
  Verdict verdict(3, "p");
  verdict.ended({0, bystander, 0}, Time(10));
  EXPECT_FALSE(verdict.blame(Time(10)));
  EXPECT_EQ(verdict.deadline(), Time(10) + Verdict::culprit_timeout);
  ASSERT_TRUE(verdict.blame(Time(10) + Verdict::culprit_timeout));
  verdict.ended({1, 5, 0}, Time(20));
  ASSERT_TRUE(verdict.blame(Time(20)));
  EXPECT_EQ(verdict.blame(Time(20))->exit_code, 5);
}

// A node whose machine was switched off is silent; the one that noticed is what the rendezvous
// sees.
TEST(Verdict, ABystanderThatVanishedFirstIsNone) {
  Verdict verdict(2, "p");
  verdict.rendezvous_ended(0, "lost node 0 (h, process 9)");
  verdict.ended({0, bystander, 0}, Time(10));
  EXPECT_FALSE(verdict.blame(Time(10)));
  const auto late = verdict.blame(Time(10) + Verdict::culprit_timeout);
  ASSERT_TRUE(late);
  EXPECT_EQ(late->line,
            "rank 0 of 2 (p) exited with code 117: it lost another node, which its own line names");
  verdict.ended({1, 0, SIGKILL}, Time(20));
  const auto blame = verdict.blame(Time(20));
  ASSERT_TRUE(blame);
  EXPECT_EQ(blame->line, "rank 1 of 2 (p) was killed by SIGKILL");
}

TEST(Verdict, WhomTheRendezvousSawVanishIsTheCulprit) {
  Verdict verdict(3, "p");
  verdict.ended({0, 1, 0}, Time(1));
  verdict.rendezvous_ended(2, "lost node 2 (h, process 9)");
  EXPECT_FALSE(verdict.blame(Time(1))) << "its end is on the way";
  verdict.ended({2, 0, SIGKILL}, Time(2));
  ASSERT_TRUE(verdict.blame(Time(2)));
  EXPECT_EQ(verdict.blame(Time(2))->line, "rank 2 of 3 (p) was killed by SIGKILL");
}

TEST(Verdict, TheAccusedIsNotWaitedForForEver) {
  Verdict verdict(2, "p");
  verdict.rendezvous_ended(1, "lost node 1 (h, process 9)");
  verdict.ended({0, bystander, 0}, Time(1));
  EXPECT_FALSE(verdict.blame(Time(1)));
  ASSERT_TRUE(verdict.blame(*verdict.deadline()));
  EXPECT_EQ(verdict.blame(*verdict.deadline())->line, "lost node 1 (h, process 9)");
}

TEST(Verdict, AnEndWithoutAWordIsAFailureWhateverItsCode) {
  Verdict verdict(2, "p");
  verdict.ended({1, 0, 0}, Time(1));
  verdict.rendezvous_ended(1, "lost node 1 (h, process 9)");
  ASSERT_TRUE(verdict.blame(Time(1)));
  EXPECT_EQ(verdict.blame(Time(1))->exit_code, 1);
}

TEST(Verdict, WhatTheRendezvousItselfDecidedIsTheReason) {
  Verdict verdict(2, "p");
  verdict.rendezvous_ended(std::nullopt, "rank 1 of 2 did not join");
  EXPECT_FALSE(verdict.blame(Time(1))) << "the nodes end first";
  verdict.ended({0, 1, 0}, Time(2));
  ASSERT_TRUE(verdict.blame(Time(2)));
  EXPECT_EQ(verdict.blame(Time(2))->line, "rank 1 of 2 did not join");
}

TEST(Verdict, ANodesOwnWordsAreAdded) {
  Verdict verdict(2, "p");
  verdict.rendezvous_ended(1, "too little memory");
  verdict.ended({1, 1, 0}, Time(1));
  ASSERT_TRUE(verdict.blame(Time(1)));
  EXPECT_EQ(verdict.blame(Time(1))->line, "rank 1 of 2 (p) exited with code 1: too little memory");
}

// Pipes around one stream: the rank's end, the stream, and what came out.
class Prefixed : public testing::Test {
 protected:
  void SetUp() override {
    int in[2], out[2];
    ASSERT_EQ(::pipe2(in, O_NONBLOCK), 0);
    ASSERT_EQ(::pipe2(out, O_NONBLOCK), 0);
    ASSERT_GT(::fcntl(out[1], F_SETPIPE_SZ, 1 << 20), 0);
    ASSERT_GT(::fcntl(in[1], F_SETPIPE_SZ, 1 << 20), 0);
    rank_ = Fd(in[1]);
    result_ = Fd(out[0]);
    sink_ = Fd(out[1]);
    stream_ = std::make_unique<PrefixedStream>(7, Fd(in[0]), sink_.get());
  }
  void write(const std::string& text) {
    ASSERT_EQ(::write(rank_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  std::string result() {
    std::string text(1 << 20, '\0');
    const ssize_t n = ::read(result_.get(), text.data(), text.size());
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
  }

  Fd rank_, result_, sink_;
  std::unique_ptr<PrefixedStream> stream_;
};

TEST_F(Prefixed, HoldsALineUntilItIsWhole) {
  write("one\ntw");
  EXPECT_TRUE(stream_->pump());
  EXPECT_EQ(result(), "[7] one\n");
  write("o\n\nthree");
  EXPECT_TRUE(stream_->pump());
  EXPECT_EQ(result(), "[7] two\n[7] \n");
  rank_.reset();
  EXPECT_TRUE(stream_->pump());
  EXPECT_EQ(result(), "[7] three\n");
  EXPECT_FALSE(stream_->open());
}

TEST_F(Prefixed, CutsEndlessLines) {
  const std::string endless(2 * line_max + 10, 'x');
  write(endless);
  for (std::size_t i = 0; i < endless.size() / 1024; ++i) EXPECT_TRUE(stream_->pump());
  EXPECT_EQ(result(),
            "[7] " + endless.substr(0, line_max) + "\n[7] " + endless.substr(0, line_max) + "\n");
  EXPECT_TRUE(stream_->close());
  EXPECT_EQ(result(), "[7] xxxxxxxxxx\n");
}

TEST_F(Prefixed, TakesWhatIsLeftAlthoughSomeoneHoldsTheOtherEnd) {
  write("last words");
  EXPECT_TRUE(stream_->close());
  EXPECT_EQ(result(), "[7] last words\n");
  EXPECT_FALSE(stream_->open());
}

TEST_F(Prefixed, NoticesThatNobodyListens) {
  ::signal(SIGPIPE, SIG_IGN);
  result_.reset();
  write("hello\n");
  EXPECT_FALSE(stream_->pump());
}

}  // namespace
}  // namespace dsm::run
