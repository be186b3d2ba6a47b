// One member of a job whose every node is a process that runs the same tests in the same order, on
// one host or on several: dsmrun starts them, or the variables DSM_RANK, DSM_SIZE, DSM_RENDEZVOUS
// and DSM_JOB_KEY name each. The transport is DSM_TRANSPORT's.
//
// A member whose test fails ends at once, and the rendezvous tells the others, which end too:
// nobody waits for somebody who has left the test. Threads: one, apart from what a test starts.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dsm/launch/rendezvous.hpp"
#include "job.hpp"

namespace dsm::transport {

class Member {
 public:
  // Joins; returns when all have. Ends the process, with one line, when that fails.
  Member();

  NodeId self() const { return job_.rank; }
  std::uint32_t size() const { return job_.size; }
  // Neighbours in a ring of all members.
  NodeId after() const { return NodeId((self().value + 1) % size()); }
  NodeId before() const { return NodeId((self().value + size() - 1) % size()); }

  const std::string& transport() const { return settings_.transport; }
  std::string_view job_key() const { return job_.key.view(); }
  // Where this member listens for the others.
  std::string host() const { return rendezvous_ ? rendezvous_->near_host() : std::string(); }

  // Everybody's bytes, by rank; meet(): that everybody is here. All members call them in the same
  // order. `poll` is called meanwhile, again and again: peers may need it.
  std::vector<Bytes> exchange(ByteView mine, const std::function<void()>& poll = {});
  void meet(const std::function<void()>& poll = {});

  // Ends this process; the others hear why. Does not return.
  [[noreturn]] void leave(std::string_view why);
  // The tests are over.
  void finish();

 private:
  Status while_polling(const std::function<Status()>& wait, const std::function<void()>& poll);
  void need(const Status& status);

  launch::Settings settings_;
  launch::Job job_;
  std::unique_ptr<launch::Rendezvous> rendezvous_;
  std::uint32_t exchanges_ = 0;
};

// The process's own, made by main().
Member& member();

// A test that all members run. One whose node is another than a Transport begins here.
class Together : public testing::Test {
 protected:
  void TearDown() override;
};

// ... with a transport that connects them, and memory that everybody has imported.
class Across : public Together {
 protected:
  explicit Across(std::size_t memory_size = job_memory) : memory_size_(memory_size) {}
  void SetUp() override;
  void TearDown() override;

  Node& node() { return *node_; }
  NodeId self() const { return member().self(); }
  std::uint32_t size() const { return member().size(); }
  NodeId after() const { return member().after(); }
  NodeId before() const { return member().before(); }
  void meet();
  std::vector<Bytes> exchange(ByteView mine);
  // Polls until done() or `seconds` have passed; returns done().
  bool poll_until(const std::function<bool()>& done, double seconds = 60);

 private:
  const std::size_t memory_size_;
  std::unique_ptr<Node> node_;
};

}  // namespace dsm::transport
