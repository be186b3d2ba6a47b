// The round trip's estimate, as RFC 6298 has it. Pure. Its bounds are lower than the RFC's: a probe
// is what follows a silence here, not a resent piece, and a cluster's round trip is microseconds.
#pragma once

#include <algorithm>
#include <chrono>

namespace dsm::transport {

using Time = std::chrono::nanoseconds;  // since some moment that stays

inline constexpr Time rto_first = std::chrono::milliseconds(50);  // before anything was measured
inline constexpr Time rto_min = std::chrono::milliseconds(5);
inline constexpr Time rto_max = std::chrono::seconds(1);

class RoundTrip {
 public:
  void sample(Time trip) {
    trip = std::max(trip, Time(1));
    if (smoothed_ == Time(0)) {
      smoothed_ = trip;
      variation_ = trip / 2;
      return;
    }
    const Time off = smoothed_ > trip ? smoothed_ - trip : trip - smoothed_;
    variation_ = (3 * variation_ + off) / 4;
    smoothed_ = (7 * smoothed_ + trip) / 8;
  }

  Time smoothed() const { return smoothed_; }

  // How long a silence must last before it is asked about; `held` is what the other side may take.
  Time timeout(Time held) const {
    if (smoothed_ == Time(0)) return rto_first;
    return std::clamp(smoothed_ + 4 * variation_ + held, rto_min, rto_max);
  }

 private:
  Time smoothed_{0};
  Time variation_{0};
};

}  // namespace dsm::transport
