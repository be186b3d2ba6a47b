#include "dsm/api/misuse.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/log.hpp"
#include "base/mutex.hpp"
#include "dsm/api/current.hpp"

namespace dsm::api {
namespace {

struct Held {
  const char* kind;
  std::uint64_t number;
  sync::Mode mode;
  std::thread::id thread;
};

Mutex held_lock;
std::vector<Held> held DSM_GUARDED_BY(held_lock);

// What this thread holds of the lock; held.end(): nothing.
auto find(const char* kind, std::uint64_t number) DSM_REQUIRES(held_lock) {
  return std::find_if(
      held.begin(), held.end(), [&, self = std::this_thread::get_id()](const Held& h) {
        return h.number == number && h.thread == self && std::string_view(h.kind) == kind;
      });
}

std::string name(const char* kind, std::uint64_t number) {
  return std::string(kind) + " " + std::to_string(number);
}

const char* to(sync::Mode mode) {
  return mode == sync::Mode::shared ? " to read" : " to write";
}

}  // namespace

void about_to_lock(const Node& node, const char* kind, std::uint64_t number) {
  if (!node.debug()) return;
  MutexLock hold(held_lock);
  const auto found = find(kind, number);
  if (found == held.end()) return;
  const bool reads = found->mode == sync::Mode::shared;
  throw Error(std::string(kind) + "::lock(): this thread holds " + name(kind, number) + " already" +
              (reads ? " to read" : "") + " and would wait for itself" +
              (reads ? ", or for a writer that waits for it" : "") + "; locks are not recursive");
}

void has_locked(const Node& node, const char* kind, std::uint64_t number, sync::Mode mode) {
  if (!node.debug()) return;
  MutexLock hold(held_lock);
  held.push_back({kind, number, mode, std::this_thread::get_id()});
}

void about_to_unlock(const Node& node, const char* kind, std::uint64_t number, sync::Mode mode) {
  if (!node.debug()) return;
  MutexLock hold(held_lock);
  const auto found = find(kind, number);
  if (found == held.end())
    throw Error(std::string(kind) + "::unlock(): this thread does not hold " + name(kind, number) +
                "; who takes a lock releases it");
  if (found->mode != mode)
    throw Error(std::string(kind) + "::unlock(): this thread holds " + name(kind, number) +
                to(found->mode) + ", not" + to(mode));
  held.erase(found);
}

void report_held_locks(const Node& node) {
  if (!node.debug()) return;
  MutexLock hold(held_lock);
  for (const Held& h : held)
    log_line("the Session ends while %s holds %s %lu%s",
             h.thread == std::this_thread::get_id() ? "this thread" : "another thread", h.kind,
             static_cast<unsigned long>(h.number), h.mode == sync::Mode::shared ? " to read" : "");
  held.clear();
}

void has_freed(const Node& node, PageRun run) {
  if (node.debug()) node.freed().add(run);
}

}  // namespace dsm::api
