// Doorbell: wakes the thread that sleeps on an eventfd, and costs one fence while nobody sleeps
// (PROTOCOL rule 26).
//
// The sleeper arms, looks once more for work, and sleeps only if there was none. Whoever brings
// work publishes it first and rings after. The two fences make one of them see the other. The flag
// may be in memory shared by processes; a Doorbell is a view of it and of the descriptor, and owns
// neither. ring(): any thread. arm(), disarm(): the thread that polls.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "transport/fence.hpp"
#include "transport/transport.hpp"

namespace dsm::transport {

class Doorbell {
 public:
  Doorbell() = default;
  Doorbell(std::atomic<std::uint32_t>* armed, int event_fd) : armed_(armed), event_fd_(event_fd) {}

  void ring(Urgency urgency = Urgency::prompt) const {
    full_fence();
    const std::uint32_t armed = armed_->load(std::memory_order_relaxed);
    if (armed == 0 || (armed == for_prompt && urgency == Urgency::patient)) return;
    if (armed_->exchange(0, std::memory_order_acq_rel) == 0) return;  // someone else rings
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written =
        ::write(event_fd_, &one, sizeof one);  // full = already readable
  }

  void arm(Urgency least = Urgency::patient) const {
    armed_->store(least == Urgency::prompt ? for_prompt : for_all, std::memory_order_relaxed);
    full_fence();
  }

  void disarm() const {
    armed_->store(0, std::memory_order_relaxed);
    drain();
  }

  // Disarms without a system call. True: it was rung, and the descriptor is or will be readable.
  bool lower() const { return armed_->exchange(0, std::memory_order_acq_rel) == 0; }

  // False: the descriptor was not readable.
  bool drain() const {
    std::uint64_t count;
    return ::read(event_fd_, &count, sizeof count) == sizeof count;  // non-blocking
  }

 private:
  static constexpr std::uint32_t for_all = 1, for_prompt = 2;
  std::atomic<std::uint32_t>* armed_ = nullptr;
  int event_fd_ = -1;
};

}  // namespace dsm::transport
