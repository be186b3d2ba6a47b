// What is done once in the whole job. Included by <dsm/dsm.hpp>.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include <dsm/job.hpp>

namespace dsm {

// Something that is done once in the whole job, in the shape of std::once_flag. A flag is only its
// number, and apart from locks.
class DSM_API OnceFlag {
 public:
  OnceFlag();  // collective: the next number, the same flag on every node
  explicit OnceFlag(std::uint64_t number);  // below 2^60, not collective
  OnceFlag(const OnceFlag&) = delete;
  OnceFlag& operator=(const OnceFlag&) = delete;

 private:
  template <typename Call>
  friend void call_once(OnceFlag& flag, Call&& call);
  bool enter();  // false: it is done
  void leave(bool done);
  std::uint64_t number_;
  std::atomic<bool> known_{false};  // that it is done, on this node
};

// One thread of one node makes the call; whoever comes meanwhile waits for its end, and everyone
// sees afterwards what it wrote. When the call throws, so does call_once() there, and the next
// thread that comes makes it. The call itself may not come to the same flag. Not collective.
template <typename Call>
void call_once(OnceFlag& flag, Call&& call) {
  if (flag.known_.load(std::memory_order_acquire)) return;
  if (flag.enter()) {
    struct Leave {  // whatever the call throws
      OnceFlag& flag;
      bool done = false;
      ~Leave() { flag.leave(done); }
    } leave{flag};
    std::forward<Call>(call)();
    leave.done = true;
  }
  flag.known_.store(true, std::memory_order_release);
}

}  // namespace dsm
