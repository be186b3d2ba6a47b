#include "process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

namespace dsm::test {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  Pipe() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read = Fd(ends[0]);
    write = Fd(ends[1]);
  }
  Fd read, write;
};

bool runs(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return false;
  const std::size_t after = text.rfind(')');
  return after != std::string::npos && text.size() > after + 2 && text[after + 2] != 'Z' &&
         text[after + 2] != 'X';
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const Variables& variables,
                 const std::vector<int>& descriptors) {
  Pipe in, out, err;
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (std::string_view(*entry).substr(0, 4) != "DSM_") environment.emplace_back(*entry);
  for (const auto& variable : variables)
    environment.push_back(variable.first + "=" + variable.second);
  const auto pointers = [](const std::vector<std::string>& texts) {
    std::vector<char*> list;
    for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
    list.push_back(nullptr);
    return list;
  };
  const auto arguments = pointers(command);
  const auto entries = pointers(environment);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(in.read.get(), STDIN_FILENO);
    ::dup2(out.write.get(), STDOUT_FILENO);
    ::dup2(err.write.get(), STDERR_FILENO);
    for (const int fd : descriptors) ::fcntl(fd, F_SETFD, 0);
    ::execve(arguments[0], arguments.data(), entries.data());
    ::_exit(127);
  }
  EXPECT_GT(pid_, 0);
  in_ = std::move(in.write);
  out_fd_ = std::move(out.read);
  err_fd_ = std::move(err.read);
}

Process::~Process() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Process::signal(int signal) const {
  EXPECT_EQ(::kill(pid_, signal), 0);
}

void Process::write(std::string_view text) {
  EXPECT_EQ(::write(in_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

bool Process::read_more(Clock::time_point deadline) {
  pollfd entries[] = {{out_fd_.get(), POLLIN, 0}, {err_fd_.get(), POLLIN, 0}};
  if (!out_fd_ && !err_fd_) return false;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  if (left <= 0 || ::poll(entries, 2, static_cast<int>(std::min<long long>(left, INT_MAX))) <= 0)
    return false;
  const auto take = [](const pollfd& entry, Fd& fd, std::string& text) {
    if (entry.revents == 0) return;
    char buffer[4096];
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n > 0)
      text.append(buffer, static_cast<std::size_t>(n));
    else
      fd.reset();
  };
  take(entries[0], out_fd_, out_);
  take(entries[1], err_fd_, err_);
  return true;
}

bool Process::wait_until(const std::function<bool(const std::string&)>& enough) {
  const auto deadline = Clock::now() + patience;
  while (!enough(out_))
    if (!read_more(deadline)) return false;
  return true;
}

bool Process::wait_for_output(std::string_view text) {
  return wait_until([text](const std::string& out) { return out.find(text) != std::string::npos; });
}

int Process::wait() {
  const auto deadline = Clock::now() + patience;
  while (read_more(deadline)) {
  }
  int status = 0;
  while (::waitpid(pid_, &status, WNOHANG) == 0) {
    if (Clock::now() >= deadline) return -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  pid_ = -1;
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool is_gone(pid_t pid) {
  for (const auto deadline = Clock::now() + patience; Clock::now() < deadline;) {
    if (!runs(pid)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::string program(const char* variable) {
  const char* path = std::getenv(variable);
  EXPECT_NE(path, nullptr) << "run by meson test, which sets " << variable;
  return path != nullptr ? path : "";
}

}  // namespace dsm::test
