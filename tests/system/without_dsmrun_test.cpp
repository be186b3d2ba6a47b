// Jobs that variables alone make, without dsmrun.
#include <gtest/gtest.h>
#include <signal.h>

#include "by_hand.hpp"
#include "dsm/launch/rendezvous.hpp"
#include "run_dsmrun.hpp"

namespace dsm::test {
namespace {

TEST(WithoutDsmrun, AProgramAloneIsOneNode) {
  Process process({actor(), "job"});
  EXPECT_EQ(process.wait(), 0);
  EXPECT_EQ(process.out(), "rank 0 of 1\n");
}

TEST(WithoutDsmrun, VariablesMakeAJob) {
  const ByHand job;
  Process two({actor(), "job"}, job.of(2));
  Process one({actor(), "job"}, job.of(1));
  Process zero({actor(), "job"}, job.of(0));
  for (Process* process : {&zero, &one, &two}) EXPECT_EQ(process->wait(), 0) << process->err();
  EXPECT_EQ(zero.out() + one.out() + two.out(), "rank 0 of 3\nrank 1 of 3\nrank 2 of 3\n");
}

TEST(WithoutDsmrun, AKilledNodeIsNamedToTheOthers) {
  const ByHand job;
  Process zero({actor(), "wait"}, job.of(0));
  Process one({actor(), "wait"}, job.of(1));
  Process two({actor(), "wait"}, job.of(2));
  for (Process* process : {&zero, &one, &two})
    ASSERT_TRUE(process->wait_for_output("joined")) << process->err();
  one.signal(SIGKILL);
  for (Process* process : {&zero, &two}) {
    EXPECT_EQ(process->wait(), launch::exit_code_of_bystander);
    expect_one_line(process->err(), {"lost node 1 ("});
  }
}

TEST(WithoutDsmrun, TheLossOfNodeZeroIsTheLossOfTheRendezvous) {
  const ByHand job;
  Process zero({actor(), "wait"}, job.of(0, "2"));
  Process one({actor(), "wait"}, job.of(1, "2"));
  for (Process* process : {&zero, &one})
    ASSERT_TRUE(process->wait_for_output("joined")) << process->err();
  zero.signal(SIGKILL);
  EXPECT_EQ(one.wait(), launch::exit_code_of_bystander);
  expect_one_line(one.err(), {"the rendezvous", "was lost"});
}

TEST(WithoutDsmrun, AMissingNodeIsNamed) {
  const ByHand job;
  Variables zeros = job.of(0);
  zeros.emplace_back("DSM_JOIN_TIMEOUT", "1");
  Process zero({actor(), "job"}, zeros);
  EXPECT_EQ(zero.wait(), launch::exit_code_of_bystander);
  expect_one_line(zero.err(), {"ranks 1-2 of 3 did not join within 1 s"});
}

}  // namespace
}  // namespace dsm::test
