// DSM_CHECK: a bug stops the process, in release builds too, with the invariant's words and the
// values that broke it.
#pragma once

#include <cstdint>

namespace dsm::detail {
// Signal-safe: formats on the stack and writes to descriptor 2, then aborts. Values are printed as
// `name=value`.
struct CheckValue {
  const char* name;
  std::uint64_t value;
};
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const char* invariant, const CheckValue* values, int count);
}  // namespace dsm::detail

#define DSM_CHECK(condition, invariant)                                                   \
  do {                                                                                    \
    if (!(condition)) [[unlikely]]                                                        \
      ::dsm::detail::check_failed(__FILE__, __LINE__, #condition, invariant, nullptr, 0); \
  } while (0)

// DSM_CHECK_WITH(ready, "a grant finds its requester waiting", {"lock", lock.value}, {"from",
// from.value});
#define DSM_CHECK_WITH(condition, invariant, ...)                                    \
  do {                                                                               \
    if (!(condition)) [[unlikely]] {                                                 \
      const ::dsm::detail::CheckValue dsm_check_values[] = {__VA_ARGS__};            \
      ::dsm::detail::check_failed(                                                   \
          __FILE__, __LINE__, #condition, invariant, dsm_check_values,               \
          static_cast<int>(sizeof(dsm_check_values) / sizeof(dsm_check_values[0]))); \
    }                                                                                \
  } while (0)
