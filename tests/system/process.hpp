// A process that a test started, with pipes to its standard streams. Killed, if it still runs, when
// the object goes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "dsm/launch/socket.hpp"

namespace dsm::test {

// Never reached when all is well; far more than what is promised, since the machine may be loaded.
inline constexpr std::chrono::seconds patience{30};

using Variables = std::vector<std::pair<std::string, std::string>>;

class Process {
 public:
  // The environment is the test's own without DSM_*, and the given variables. `descriptors` stay
  // open in the process.
  explicit Process(const std::vector<std::string>& command, const Variables& variables = {},
                   const std::vector<int>& descriptors = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int signal) const;

  void write(std::string_view text);
  void close_input() { in_.reset(); }

  // Reads on until what came on standard output is enough (then true), or ends, or patience does.
  bool wait_until(const std::function<bool(const std::string& out)>& enough);
  bool wait_for_output(std::string_view text);
  // Everything until the end of both streams and of the process; the exit code, or 1000 + signal,
  // or -1 out of patience.
  int wait();

  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }

 private:
  bool read_more(std::chrono::steady_clock::time_point deadline);

  pid_t pid_ = -1;
  Fd in_, out_fd_, err_fd_;
  std::string out_, err_;
};

// Ended, or a zombie that nobody collects; waits for it.
bool is_gone(pid_t pid);

// Lines, sorted.
std::vector<std::string> lines_of(const std::string& text);

// From the environment that the build gives the test: the path of a program.
std::string program(const char* variable);

}  // namespace dsm::test
