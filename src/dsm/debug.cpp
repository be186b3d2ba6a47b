// For the debugger's script (tools/dsm.gdb): the engine's pages and locks, printed by a stopped
// process. The engine's lock is not taken, for its holder may be stopped; a state in the middle of
// a step may read oddly.
#include "dsm/debug.hpp"

#include <unistd.h>

#include <string>

#include "dsm/driver.hpp"

namespace dsm {
namespace {

const core::Engine* watched = nullptr;

void print(const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (n <= 0) return;
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace

void debug_watch(const core::Engine* engine) {
  watched = engine;
}

}  // namespace dsm

extern "C" {
__attribute__((visibility("default"), used)) void dsm_debug_pages() {
  dsm::print(dsm::watched != nullptr ? dsm::watched->describe_pages() : "no session\n");
}
__attribute__((visibility("default"), used)) void dsm_debug_locks() {
  dsm::print(dsm::watched != nullptr ? dsm::watched->describe_locks() : "no session\n");
}
}
