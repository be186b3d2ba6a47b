// Which cores each rank keeps to. The only file that knows hwloc.
#pragma once

#include <sched.h>

#include <cstdint>
#include <vector>

#include "base/status.hpp"
#include "dsmrun_options.hpp"

namespace dsm::run {

// One set a rank: the cores that this process may use, spread as far apart as the machine allows
// and shared out evenly; ranks beyond the number of cores share. Empty: ranks are not bound.
Result<std::vector<cpu_set_t>> cores_of_ranks(Binding binding, std::uint32_t ranks);

}  // namespace dsm::run
