// The job: joining it, and who is who in it. Included by <dsm/dsm.hpp>.
#pragma once

#include <cstddef>
#include <stdexcept>

#define DSM_API __attribute__((visibility("default")))

namespace dsm {

class DSM_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Membership in the job. Collective: constructed once by every node before anything else of the
// library, destroyed last. The destructor waits for all nodes, so that nobody's memory goes while
// others still read it; but when an exception destroys the Session, this node leaves at once and
// the job ends for the others, with a line that says so.
class DSM_API Session {
 public:
  Session();
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  int exceptions_;
};

// Where the program makes a call: for the line that an error leaves. Never given by hand.
struct CallSite {
  const char* file;
  int line;
  static constexpr CallSite here(const char* file = __builtin_FILE(),
                                 int line = __builtin_LINE()) noexcept {
    return {file, line};
  }
};

DSM_API int rank() noexcept;               // this node, 0..size()-1
DSM_API int size() noexcept;               // nodes of the job
DSM_API std::size_t page_size() noexcept;  // bytes of a page, the unit of coherence

}  // namespace dsm
