#include "dsmrun_remote.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "dsmrun_options.hpp"
#include "dsmrun_output.hpp"

namespace dsm::run {
namespace {

constexpr int exit_ssh = 255;  // its own failures

// One word of a shell, which ssh hands the command to; unquoted where quoting changes nothing, for
// launchers without a shell.
std::string quoted(const std::string& word) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+=:@%,-";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// In the child; comes back only with errno.
int become_launcher(const std::vector<std::string>& command, int in, int out) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::setpgid(0, 0);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGPIPE, SIGCHLD}) ::signal(signal, SIG_DFL);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  return errno;
}

}  // namespace

RemoteHost::RemoteHost(Share share, std::string launcher_name, std::string agent, pid_t launcher,
                       Fd to, Fd from, Bytes order)
    : share_(std::move(share)),
      launcher_name_(std::move(launcher_name)),
      agent_(std::move(agent)),
      launcher_(launcher),
      to_(std::move(to)),
      from_(std::move(from)),
      order_(std::move(order)) {
  for (std::uint32_t i = 0; i < share_.count; ++i) running_.insert(share_.first + i);
}

Result<RemoteHost> RemoteHost::start(const Share& share, const std::vector<std::string>& launcher,
                                     const Order& order) {
  std::error_code error;
  const std::string agent = std::filesystem::read_symlink("/proc/self/exe", error).string();
  std::vector<std::string> command = launcher;
  command.insert(command.end(), {share.host, quoted(agent), "--agent"});

  int in[2], out[2], failed[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0 ||
      ::pipe2(failed, O_CLOEXEC) != 0)
    return Status(Code::exhausted,
                  std::string("no pipe for a host: ") + std::strerror(errno) + ": raise ulimit -n");
  Fd in_read(in[0]), in_write(in[1]), out_read(out[0]), out_write(out[1]);
  const Fd failed_read(failed[0]);
  Fd failed_write(failed[1]);
  const pid_t pid = ::fork();
  if (pid < 0)
    return Status(Code::exhausted, "cannot start " + launcher.front() + ": " +
                                       std::strerror(errno) + ": raise ulimit -u");
  if (pid == 0) {
    const int why = become_launcher(command, in_read.get(), out_write.get());
    (void)!::write(failed_write.get(), &why, sizeof why);
    ::_exit(exit_not_found);
  }
  failed_write.reset();
  int why = 0;
  if (::read(failed_read.get(), &why, sizeof why) > 0)
    return Status(Code::unavailable, "cannot start the launcher " + launcher.front() + ": " +
                                         std::strerror(why) + " (--launcher)");
  ::fcntl(out_read.get(), F_SETFL, O_NONBLOCK);
  return RemoteHost(share, launcher.front(), agent, pid, std::move(in_write), std::move(out_read),
                    encode(order));
}

std::vector<AgentMessage> RemoteHost::listen() {
  std::array<std::byte, 16 * 1024> buffer;
  const ssize_t n = ::read(from_.get(), buffer.data(), buffer.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (n > 0)
    stream_.add(ByteView(buffer).first(static_cast<std::size_t>(n)));
  else
    from_.reset();
  std::vector<AgentMessage> messages;
  while (auto message = stream_.next()) {
    if (const auto* ended = std::get_if<RankEnded>(&*message)) running_.erase(ended->end.rank);
    messages.push_back(std::move(*message));
  }
  if (stream_.greeted() && !order_.empty()) {
    if (to_)
      (void)write_all(to_.get(), {reinterpret_cast<const char*>(order_.data()), order_.size()});
    order_.clear();
  }
  return messages;
}

void RemoteHost::forward(int signal) {
  if (to_ && answered()) send(SignalRanks{signal});
}

void RemoteHost::send(const AgentMessage& message) {
  const Bytes frame = encode(message);
  if (!write_all(to_.get(), {reinterpret_cast<const char*>(frame.data()), frame.size()}))
    to_.reset();
}

std::string RemoteHost::reason(int status) const {
  const std::string host = "host " + share_.host;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  if (broken())
    return host + ": what came from it cannot be read: is dsmrun there another version?";
  if (!answered() && (code == exit_not_found || code == exit_not_executable))
    return host + ": dsmrun is not there, or cannot be started: " + agent_ +
           " must be the same program on every host";
  std::string how = launcher_name_;
  if (code != 0)
    how += " ended with code " + std::to_string(code);
  else if (WIFSIGNALED(status))
    how += std::string(" was killed by SIG") + ::sigabbrev_np(WTERMSIG(status));
  else
    how += " ended";
  if (answered()) return host + " was lost: " + how;
  return host + " does not answer: " + how +
         (code == exit_ssh ? " (can you reach it without a password?)" : "");
}

Status RemoteHosts::start(const std::vector<Share>& shares,
                          const std::vector<std::string>& launcher, Order order) {
  for (const Share& share : shares) {
    order.first = share.first;
    order.count = share.count;
    auto host = RemoteHost::start(share, launcher, order);
    if (!host) return host.status();
    entries_.push_back({std::move(*host), std::nullopt, std::nullopt});
  }
  return {};
}

std::vector<int> RemoteHosts::descriptors() const {
  std::vector<int> found;
  for (const Entry& entry : entries_)
    if (!entry.host.silent()) found.push_back(entry.host.fd());
  return found;
}

RemoteHost* RemoteHosts::behind(int fd) {
  for (Entry& entry : entries_)
    if (entry.host.fd() == fd) return &entry.host;
  return nullptr;
}

bool RemoteHosts::reaped(pid_t pid, int status, Time now) {
  for (Entry& entry : entries_) {
    if (entry.host.launcher() != pid) continue;
    entry.status = status;
    if (!entry.noticed) entry.noticed = now;
    return true;
  }
  return false;
}

void RemoteHosts::forward(int signal) {
  for (Entry& entry : entries_) entry.host.forward(signal);
}

void RemoteHosts::let_go() {
  for (Entry& entry : entries_) entry.host.let_go();
}

bool RemoteHosts::idle() const {
  for (const Entry& entry : entries_)
    if (!entry.host.running().empty()) return false;
  return true;
}

bool RemoteHosts::silent() const {
  for (const Entry& entry : entries_)
    if (!entry.host.silent()) return false;
  return true;
}

std::optional<Blame> RemoteHosts::trouble(Time now, Time answer_timeout) {
  for (Entry& entry : entries_) {
    const RemoteHost& host = entry.host;
    if (host.running().empty()) continue;
    if (!host.answered() && !entry.noticed && now >= answer_timeout)
      return Blame{1, "host " + host.name() +
                          " does not answer: the launcher has said nothing for " +
                          std::to_string(answer_timeout.count() / 1'000) + " s (DSM_JOIN_TIMEOUT)"};
    const bool lost = host.silent() || host.broken();
    if (lost && !entry.noticed) entry.noticed = now;
    if (host.broken()) return Blame{1, host.reason(0)};
    if (!entry.noticed) continue;
    if ((!lost || !entry.status) && now < *entry.noticed + certainty) continue;
    const int status = entry.status.value_or(0);
    const bool missing =
        !host.answered() && WIFEXITED(status) &&
        (WEXITSTATUS(status) == exit_not_found || WEXITSTATUS(status) == exit_not_executable);
    return Blame{missing ? WEXITSTATUS(status) : 1, host.reason(status)};
  }
  return std::nullopt;
}

std::optional<RemoteHosts::Time> RemoteHosts::deadline(Time answer_timeout) const {
  std::optional<Time> first;
  for (const Entry& entry : entries_) {
    if (entry.host.running().empty()) continue;
    std::optional<Time> at;
    if (entry.noticed)
      at = *entry.noticed + certainty;
    else if (!entry.host.answered())
      at = answer_timeout;
    if (at && (!first || *at < *first)) first = at;
  }
  return first;
}

}  // namespace dsm::run
