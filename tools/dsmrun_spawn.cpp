#include "dsmrun_spawn.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace dsm::run {
namespace {

constexpr const char* gdb_script_name = "dsm.gdb.py";
constexpr std::array signals_with_default_action = {SIGPIPE, SIGCHLD};

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return Status(Code::exhausted,
                  std::string("no pipe for a rank: ") + std::strerror(errno) + ": raise ulimit -n");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// Beside dsmrun in the build directory, in share/libdsm when installed.
std::string gdb_script() {
  std::error_code error;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& path : {here / gdb_script_name, here / "../share/libdsm" / gdb_script_name})
    if (std::filesystem::exists(path, error)) return path.string();
  return {};
}

std::vector<std::string> command_of(const Options& options, std::uint32_t rank) {
  if (options.gdb_rank != rank) return options.command;
  std::vector<std::string> command = {"gdb", "-q"};
  if (const std::string script = gdb_script(); !script.empty())
    command.insert(command.end(), {"-x", script});
  if (!options.gdb_batch.empty()) command.insert(command.end(), {"-batch", "-return-child-result"});
  for (const std::string& line : options.gdb_batch) command.insert(command.end(), {"-ex", line});
  command.insert(command.end(), {"--args", options.program});
  command.insert(command.end(), options.command.begin() + 1, options.command.end());
  return command;
}

void set_environment(const Launch& launch, std::uint32_t rank) {
  for (const char* other : {"DSM_JOB_KEY", "DSM_JOB_KEY_FILE"}) ::unsetenv(other);
  for (const auto& [name, value] : launch.options->environment)
    ::setenv(name.c_str(), value.c_str(), 1);
  const auto set = [](const char* name, const std::string& value) {
    ::setenv(name, value.c_str(), 1);
  };
  set("DSM_RANK", std::to_string(rank));
  set("DSM_SIZE", std::to_string(launch.options->nodes));
  set("DSM_RENDEZVOUS", launch.rendezvous.text());
  set("DSM_LAUNCHED", "1");
  set("DSM_JOB_KEY_FD", std::to_string(launch.key_fd));
}

void set_descriptors(const Launch& launch, std::uint32_t rank, int out, int err) {
  if (launch.reader != rank) {
    const Fd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ::dup2(nothing.get(), STDIN_FILENO);
  }
  if (out >= 0) ::dup2(out, STDOUT_FILENO);
  if (err >= 0) ::dup2(err, STDERR_FILENO);
  ::fcntl(launch.key_fd, F_SETFD, 0);
}

// In the child; comes back only with the errno of why the program did not start.
int become_rank(const Launch& launch, std::uint32_t rank, pid_t parent, int out, int err) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent)
    ::_exit(exit_signal_base + SIGKILL);  // it ended before it could be tied to us
  set_environment(launch, rank);
  set_descriptors(launch, rank, out, err);
  ::setrlimit(RLIMIT_NOFILE, &launch.descriptors);
  if (!launch.cores.empty())
    ::sched_setaffinity(0, sizeof(cpu_set_t), &launch.cores[rank - launch.first]);
  for (const int signal : signals_with_default_action) ::signal(signal, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &launch.signal_mask, nullptr);

  const auto command = command_of(*launch.options, rank);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  if (launch.options->gdb_rank == rank)
    ::execvp("gdb", arguments.data());
  else
    ::execv(launch.options->program.c_str(), arguments.data());
  return errno;
}

}  // namespace

Result<Fd> key_descriptor(const launch::JobKey& key) {
  Fd fd(::memfd_create("dsm-job-key", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const std::string hex = key.hex();
  if (!fd || ::write(fd.get(), hex.data(), hex.size()) != static_cast<ssize_t>(hex.size()))
    return Status(Code::exhausted,
                  std::string("no memfd for the job's key: ") + std::strerror(errno));
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  return fd;
}

End end_of_process(std::uint32_t rank, int status) {
  End end{rank};
  if (WIFSIGNALED(status)) {
    end.signal = WTERMSIG(status);
    end.core = WCOREDUMP(status);
  } else {
    end.code = WEXITSTATUS(status);
  }
  return end;
}

Result<Child> spawn_rank(const Launch& launch, std::uint32_t rank) {
  auto failed = make_pipe();  // carries errno, and closes when the program starts
  if (!failed) return failed.status();
  Pipe out, err;
  if (launch.captured) {
    for (Pipe* pipe : {&out, &err}) {
      auto made = make_pipe();
      if (!made) return made.status();
      *pipe = std::move(*made);
      ::fcntl(pipe->read.get(), F_SETFL, O_NONBLOCK);
    }
  }
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0)
    return Status(Code::exhausted, "cannot start rank " + std::to_string(rank) + ": " +
                                       std::strerror(errno) +
                                       ": raise ulimit -u, or start fewer nodes");
  if (pid == 0) {
    const int error = become_rank(launch, rank, parent, out.write.get(), err.write.get());
    (void)!::write(failed->write.get(), &error, sizeof error);
    ::_exit(exit_not_executable);
  }
  failed->write.reset();
  int error = 0;
  ssize_t n = 0;
  do n = ::read(failed->read.get(), &error, sizeof error);
  while (n < 0 && errno == EINTR);
  if (n > 0) {
    const bool gdb = launch.options->gdb_rank == rank;
    return Status(Code::unavailable,
                  "cannot start " + (gdb ? std::string("gdb") : launch.options->command.front()) +
                      ": " + std::strerror(error) + (gdb ? ": install gdb" : ""));
  }
  return Child{pid, std::move(out.read), std::move(err.read)};
}

}  // namespace dsm::run
