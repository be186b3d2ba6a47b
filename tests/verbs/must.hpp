// What a test cannot go on without.
#pragma once

#include <stdexcept>
#include <utility>

#include "base/status.hpp"

namespace dsm::transport {

template <typename T>
T must(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().message());
  return std::move(result).value();
}
inline void must(const Status& status) {
  if (!status.ok()) throw std::runtime_error(status.message());
}

}  // namespace dsm::transport
