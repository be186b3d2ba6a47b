// What stands for the transports over verbs in a build without libibverbs.
#include "transport/verbs.hpp"

namespace dsm::transport {
namespace {

Status usable() {
  return Status(Code::unavailable,
                "this build has no libibverbs: install libibverbs-dev and build again");
}

Result<std::unique_ptr<Transport>> open_none(const Options&) {
  return usable();
}

}  // namespace

constinit const Backend verbs_backend{.name = "verbs",
                                      .summary = "InfiniBand and RoCE (not in this build)",
                                      .joins_nodes = true,
                                      .usable = usable,
                                      .open = open_none};

constinit const Backend verbs_ud_backend{.name = "verbs-ud",
                                         .summary = "InfiniBand and RoCE (not in this build)",
                                         .joins_nodes = true,
                                         .usable = usable,
                                         .open = open_none};

}  // namespace dsm::transport
