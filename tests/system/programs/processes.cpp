// Children: system(), popen(), fork() and exec() work inside a session; a child has no shared
// memory.
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

void commands() {
  auto word = dsm::allocate<std::uint64_t>(static_cast<std::size_t>(nodes()) * 600);
  for (int i = 0; i < 5; ++i) {
    word[static_cast<std::size_t>(me()) * 600] = static_cast<std::uint64_t>(i);
    same(std::system("exit 3"), 3 << 8, "the status of system()");
    std::FILE* pipe = ::popen("echo hello", "r");
    check(pipe != nullptr, "popen() works");
    char line[32] = {};
    check(std::fgets(line, sizeof line, pipe) != nullptr && std::string(line) == "hello\n",
          "popen() gives the output");
    same(::pclose(pipe), 0, "the status of pclose()");
    pid_t spawned = -1;
    char program[] = "/bin/true";
    char* arguments[] = {program, nullptr};
    same(::posix_spawn(&spawned, program, nullptr, nullptr, arguments, environ), 0,
         "posix_spawn()");
    int status = -1;
    same(::waitpid(spawned, &status, 0), spawned, "the spawned child");
    same(status, 0, "its status");
    dsm::barrier();
    for (std::size_t n = 0; n < static_cast<std::size_t>(nodes()); ++n)
      same_at(word[n * 600], static_cast<std::uint64_t>(i), "word of node", n);
    dsm::barrier();
  }
}

// What the child says on standard error, and how it ended.
template <typename Body>
std::pair<std::string, int> child(Body body) {
  int ends[2];
  same(::pipe(ends), 0, "pipe()");
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  check(pid >= 0, "fork() works");
  if (pid == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    body();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  char buffer[1024];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    said.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = -1;
  same(::waitpid(pid, &status, 0), pid, "the child");
  return {said, status};
}

// A child that leaves by exit() or by the end of main takes nothing with it.
void forks() {
  auto word = dsm::allocate<std::uint64_t>(600 * static_cast<std::size_t>(nodes()));
  for (int i = 0; i < 5; ++i) {
    ++word[static_cast<std::size_t>((me() + i) % nodes()) * 600];
    dsm::barrier();
    const auto [said, status] = child([&] {
      if (i % 2 == 0) std::exit(5);
    });
    // A leak detector may speak in a child.
    check(said.find("dsm[") == std::string::npos,
          "the library has nothing to say in a child that exits, but: " + said);
    same(WEXITSTATUS(status), i % 2 == 0 ? 5 : 0, "the child's status");
    check(WIFEXITED(status), "the child exits");
    dsm::barrier();
  }
  for (std::size_t n = 0; n < static_cast<std::size_t>(nodes()); ++n)
    same_at(word[n * 600], 5u, "word", n);
}

void touching() {
  auto word = dsm::allocate<std::uint64_t>(600);
  word[static_cast<std::size_t>(me())] = 1;
  const auto [said, status] =
      child([&] { std::fprintf(stderr, "%lu\n", static_cast<unsigned long>(word[0])); });
  check(said.find("child process touched the shared space") != std::string::npos,
        "the child is told, not: " + said);
  same(std::count(said.begin(), said.end(), '\n'), 1, "the number of lines");
  check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "the child ends by SIGSEGV");
  dsm::barrier();
}

// Calls of the library in a child.
void calling() {
  auto word = dsm::allocate<std::uint64_t>(600);
  const auto [said, status] = child([&] {
    try {
      dsm::barrier();
    } catch (const dsm::Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(7);
    }
  });
  check(said.find("child process") != std::string::npos &&
            said.find("barrier()") != std::string::npos,
        "the child is told, not: " + said);
  same(WEXITSTATUS(status), 7, "the child's status");
  word[static_cast<std::size_t>(me())] = 1;
  dsm::barrier();
}

}  // namespace

int main(int argc, char** argv) {
  return run(
      argc, argv,
      {{"commands", commands}, {"forks", forks}, {"touching", touching}, {"calling", calling}});
}
