// The table of backends and the table of adapters. A new one is one row here and its own files.
#include <algorithm>

#include "transport/faulty.hpp"
#include "transport/ipoib.hpp"
#include "transport/loopback.hpp"
#include "transport/shm.hpp"
#include "transport/tcp.hpp"
#include "transport/traced.hpp"
#include "transport/transport.hpp"
#include "transport/verbs.hpp"

namespace dsm::transport {
namespace {

// In order of preference.
constexpr const Backend* rows[] = {
    &shm_backend,
    &tcp_backend,
    &ipoib_backend,
    &verbs_backend,
    &verbs_ud_backend,
    &loopback_backend,
};

struct Adapter {
  const char* name;
  Result<std::unique_ptr<Transport>> (*wrap)(std::unique_ptr<Transport>, const Options&);
};

constexpr Adapter adapters[] = {
    {"faulty", wrap_faulty},
    {"traced", wrap_traced},
};

// "Available: shm, tcp. Not available: verbs (why)."
std::string availability() {
  std::string can;
  std::string cannot;
  for (const Backend* row : rows) {
    const Status usable = row->usable();
    std::string& list = usable.ok() ? can : cannot;
    if (!list.empty()) list += ", ";
    list += row->name;
    if (!usable.ok()) list += " (" + usable.message() + ")";
  }
  std::string text = "available: " + (can.empty() ? std::string("none") : can);
  if (!cannot.empty()) text += "; not available: " + cannot;
  return text;
}

std::string adapter_names() {
  std::string names;
  for (const Adapter& adapter : adapters)
    names += std::string(names.empty() ? "" : ", ") + adapter.name;
  return names;
}

}  // namespace

std::span<const Backend* const> backends() {
  return rows;
}

Result<const Backend*> choose(std::string_view name) {
  for (const Backend* row : rows) {
    if (name == "best" ? !row->joins_nodes || !row->usable().ok() : name != row->name) continue;
    const Status usable = row->usable();
    if (usable.ok()) return row;
    return Status(Code::unavailable, "transport " + std::string(name) + " cannot be used here: " +
                                         usable.message() + "; " + availability());
  }
  const std::string wrong = name == "best" ? "no transport can be used here"
                                           : "no transport is called '" + std::string(name) + "'";
  return Status(name == "best" ? Code::unavailable : Code::invalid, wrong + "; " + availability());
}

Result<std::unique_ptr<Transport>> wrap(std::unique_ptr<Transport> transport,
                                        std::string_view names, const Options& options) {
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find('+'));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    const Adapter* chosen = nullptr;
    for (const Adapter& adapter : adapters)
      if (name == adapter.name) chosen = &adapter;
    if (!chosen)
      return Status(Code::invalid, "no adapter is called '" + std::string(name) +
                                       "'; after '+' may stand: " + adapter_names());
    auto wrapped = chosen->wrap(std::move(transport), options);
    if (!wrapped.ok()) return wrapped.status();
    transport = std::move(wrapped).value();
  }
  return transport;
}

Result<std::unique_ptr<Transport>> open(std::string_view name, const Options& options) {
  const std::size_t plus = name.find('+');
  const Result<const Backend*> backend = choose(name.substr(0, plus));
  if (!backend.ok()) return backend.status();
  if (options.nodes == 0 || options.nodes > nodes_max || options.self.value >= options.nodes)
    return Status(Code::invalid, "node " + std::to_string(options.self.value) + " of " +
                                     std::to_string(options.nodes) + ": a job has 1 to " +
                                     std::to_string(nodes_max) + " nodes, numbered from 0");
  auto transport = backend.value()->open(options);
  if (!transport.ok() || plus == std::string_view::npos) return transport;
  return wrap(std::move(transport).value(), name.substr(plus + 1), options);
}

}  // namespace dsm::transport
