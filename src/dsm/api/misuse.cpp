#include "dsm/api/misuse.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.hpp"
#include "dsm/api/current.hpp"

namespace dsm::api {
namespace {

struct Held {
  const char* kind;
  std::uint64_t number;
};
thread_local std::vector<Held> held;

auto find(const char* kind, std::uint64_t number) {
  return std::find_if(held.begin(), held.end(), [&](const Held& h) {
    return h.number == number && std::string_view(h.kind) == kind;
  });
}

std::string name(const char* kind, std::uint64_t number) {
  return std::string(kind) + " " + std::to_string(number);
}

}  // namespace

void about_to_lock(const Node& node, const char* kind, std::uint64_t number) {
  if (!node.debug() || find(kind, number) == held.end()) return;
  throw Error(std::string(kind) + "::lock(): this thread holds " + name(kind, number) +
              " already and would wait for itself; locks are not recursive");
}

void has_locked(const Node& node, const char* kind, std::uint64_t number) {
  if (node.debug()) held.push_back({kind, number});
}

void about_to_unlock(const Node& node, const char* kind, std::uint64_t number) {
  if (!node.debug()) return;
  const auto found = find(kind, number);
  if (found == held.end())
    throw Error(std::string(kind) + "::unlock(): this thread does not hold " + name(kind, number) +
                "; who takes a lock releases it");
  held.erase(found);
}

void report_held_locks(const Node& node) {
  if (!node.debug()) return;
  for (const Held& h : held)
    log_line("the Session ends while this thread holds %s %lu", h.kind,
             static_cast<unsigned long>(h.number));
}

void has_freed(const Node& node, PageRun run) {
  if (node.debug()) node.freed().add(run);
}

}  // namespace dsm::api
