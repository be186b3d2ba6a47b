#include "base/log.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/check.hpp"

namespace dsm {
namespace {

constexpr std::size_t line_max = 1000;
std::atomic<int> log_rank{-1};

// Appends into [out, out + size), always leaving room for the terminator.
class Cursor {
 public:
  Cursor(char* out, std::size_t size) : out_(out), size_(size) {}

  void put(char c) {
    if (used_ + 1 < size_) out_[used_++] = c;
  }
  void put(const char* s) {
    for (s = s != nullptr ? s : "(null)"; *s != '\0'; ++s) put(*s);
  }
  void put(std::uint64_t v, unsigned base) {
    char digits[24];
    int n = 0;
    do {
      digits[n++] = "0123456789abcdef"[v % base];
      v /= base;
    } while (v != 0);
    while (n > 0) put(digits[--n]);
  }
  void put_signed(std::int64_t v) {
    if (v < 0) put('-');
    put(v < 0 ? ~static_cast<std::uint64_t>(v) + 1 : static_cast<std::uint64_t>(v), 10);
  }
  std::size_t finish() {
    out_[used_] = '\0';
    return used_;
  }

 private:
  char* out_;
  std::size_t size_;
  std::size_t used_ = 0;
};

void write_all(const char* text, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(STDERR_FILENO, text, size);
    if (n <= 0) return;
    text += n;
    size -= static_cast<std::size_t>(n);
  }
}

std::size_t put_prefix(char* out, std::size_t size) {
  Cursor cursor(out, size);
  cursor.put("dsm");
  if (const int rank = log_rank.load(std::memory_order_relaxed); rank >= 0) {
    cursor.put('[');
    cursor.put(static_cast<std::uint64_t>(rank), 10);
    cursor.put(']');
  }
  cursor.put(": ");
  return cursor.finish();
}

}  // namespace

void log_set_rank(unsigned rank) {
  log_rank.store(static_cast<int>(rank), std::memory_order_relaxed);
}

std::size_t format_line(char* out, std::size_t size, const char* format, std::va_list args) {
  Cursor cursor(out, size);
  for (const char* f = format; *f != '\0'; ++f) {
    if (*f != '%') {
      cursor.put(*f);
      continue;
    }
    ++f;
    int longs = 0;
    if (*f == 'z') longs = 2, ++f;
    while (*f == 'l') ++longs, ++f;
    switch (*f) {
      case 's':
        cursor.put(va_arg(args, const char*));
        break;
      case 'c':
        cursor.put(static_cast<char>(va_arg(args, int)));
        break;
      case 'd':
        cursor.put_signed(longs > 0 ? va_arg(args, long) : va_arg(args, int));
        break;
      case 'u':
        cursor.put(longs > 0 ? va_arg(args, unsigned long) : va_arg(args, unsigned), 10);
        break;
      case 'x':
        cursor.put(longs > 0 ? va_arg(args, unsigned long) : va_arg(args, unsigned), 16);
        break;
      case 'p':
        cursor.put("0x");
        cursor.put(reinterpret_cast<std::uintptr_t>(va_arg(args, void*)), 16);
        break;
      case '%':
        cursor.put('%');
        break;
      default:
        std::abort();
    }
  }
  return cursor.finish();
}

void log_line(const char* format, ...) {
  char line[line_max];
  std::size_t used = put_prefix(line, sizeof line);
  std::va_list args;
  va_start(args, format);
  used += format_line(line + used, sizeof line - used - 1, format, args);
  va_end(args);
  line[used++] = '\n';
  write_all(line, used);
}

bool log_debug() {
  static const bool on = [] {
    const char* v = std::getenv("DSM_LOG");
    return v != nullptr && std::strcmp(v, "debug") == 0;
  }();
  return on;
}

namespace detail {

void check_failed(const char* file, int line, const char* condition, const char* invariant,
                  const CheckValue* values, int count) {
  log_line("bug: %s", invariant);
  log_line("  at %s:%d: %s", file, line, condition);
  for (int i = 0; i < count; ++i)
    log_line("  %s=%lu", values[i].name, static_cast<unsigned long>(values[i].value));
  std::abort();
}

}  // namespace detail
}  // namespace dsm
