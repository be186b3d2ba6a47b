#include "support/check_trap.hpp"

#include <string>

#include "base/check.hpp"

// The mangled name of dsm::detail::check_failed, as `--wrap` spells it (tests/meson.build).
[[noreturn]] void wrapped_check_failed(
    const char* file, int line, const char* condition, const char* invariant,
    const dsm::detail::CheckValue* values,
    int count) asm("__wrap__ZN3dsm6detail12check_failedEPKciS2_S2_PKNS0_10CheckValueEi");

void wrapped_check_failed(const char* file, int line, const char* condition, const char* invariant,
                          const dsm::detail::CheckValue* values, int count) {
  std::string text = std::string("check failed: ") + invariant + " (" + condition + ")";
  for (int i = 0; i < count; ++i)
    text += std::string(" ") + values[i].name + "=" + std::to_string(values[i].value);
  const std::string path = file;
  throw dsm::sim::CheckFailed(text + " at " + path.substr(path.rfind('/') + 1) + ":" +
                              std::to_string(line));
}
