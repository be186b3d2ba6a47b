// In the tests of the engine a failed DSM_CHECK is a finding, not the end of the process: the
// linker's --wrap sends check_failed() here, and it throws. (The engine is never used again after
// it threw.)
#pragma once

#include <stdexcept>

namespace dsm::sim {

class CheckFailed : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace dsm::sim
