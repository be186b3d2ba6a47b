// The cores that nodes of one host may run on, and what each of them has of these.
#pragma once

#include <sched.h>

#include <cstdint>
#include <span>

#include "base/types.hpp"
#include "base/wire.hpp"

namespace dsm {

class Cores {
 public:
  static Cores allowed_here();  // those of this process
  explicit Cores(std::span<const std::uint32_t> numbers);
  void encode(Writer& out) const;
  static Cores decode(Reader& in);

  // How many of its cores a node has for itself when each is shared out evenly among those that may
  // run on it. `all`: of every node of the host, this one's included.
  std::uint32_t share_among(std::span<const Cores> all) const;

 private:
  Cores() { CPU_ZERO(&set_); }
  cpu_set_t set_;
};

}  // namespace dsm
