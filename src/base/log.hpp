// Lines for the user on descriptor 2, safe in a signal handler: no allocation, one write(2) a line.
#pragma once

#include <cstdarg>
#include <cstddef>

namespace dsm {

// Names this process in every line: "dsm[2]: ...". Call once the rank is known.
void log_set_rank(unsigned rank);

// Writes "dsm[rank]: TEXT\n". The conversions are %s %d %u %ld %lu %lld %llu %zu %x %lx %llx %p %c
// %%, without widths; anything else is a bug. Lines end at 1,000 bytes. Async-signal-safe and
// thread-safe.
void log_line(const char* format, ...) __attribute__((format(printf, 1, 2)));

// The same into a buffer; returns the length written (at most size - 1; always terminated).
// Async-signal-safe.
std::size_t format_line(char* out, std::size_t size, const char* format, std::va_list args);

// True when DSM_LOG is set to "debug" (read once, at the first call).
bool log_debug();

}  // namespace dsm
