// For programs that hear what libdsm says to the user.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "scenario.hpp"

namespace scenario {

// What this process writes to descriptor 2 while it lives.
class Heard {
 public:
  Heard() : file_(::memfd_create("heard", 0)), before_(::dup(2)) { ::dup2(file_, 2); }
  ~Heard() {
    ::dup2(before_, 2);
    ::close(before_);
    ::close(file_);
  }
  Heard(const Heard&) = delete;
  Heard& operator=(const Heard&) = delete;

  std::string text() const {
    std::string text(1 << 16, '\0');
    const ssize_t size = ::pread(file_, text.data(), text.size(), 0);
    check(size >= 0, "what was written to descriptor 2 can be read");
    text.resize(static_cast<std::size_t>(size));
    return text;
  }

 private:
  int file_, before_;
};

}  // namespace scenario
