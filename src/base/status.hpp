// Status: an expected failure, as a value. Bugs are DSM_CHECK (check.hpp); what happens far away is
// an event.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/check.hpp"

namespace dsm {

enum class Code {
  ok,
  would_block,  // nothing was done; call again after progress was made
  too_large,    // exceeds a limit that the message names
  // this machine, kernel or build cannot do it; the message says why and what would help
  unavailable,
  refused,    // authentication or agreement failed
  peer_lost,  // the other side is gone
  invalid,    // the caller's argument is wrong
  exhausted,  // out of memory, descriptors, maps; the message names which and the mend
  timed_out,
};

// Thread-compatible. A default Status is success. The message is one line for a user: what is
// wrong, then what to do.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status would_block() { return Status(Code::would_block, {}); }

  bool ok() const { return code_ == Code::ok; }
  explicit operator bool() const { return ok(); }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::ok;
  std::string message_;
};

// A value or the Status that says why there is none. REQUIRES: a Status given to it is not ok().
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Status status) : state_(std::move(status)) {
    DSM_CHECK(!std::get<Status>(state_).ok(), "Result made from success");
  }

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }
  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T& operator*() & { return value(); }
  T* operator->() { return &value(); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace dsm
