#include "dsmrun_agent.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "dsmrun_binding.hpp"
#include "dsmrun_descendants.hpp"
#include "dsmrun_keeper.hpp"
#include "dsmrun_output.hpp"
#include "dsmrun_spawn.hpp"
#include "dsmrun_wire.hpp"

namespace dsm::run {
namespace {

class Agent {
 public:
  int run() {
    take_signals();
    if (!write_all(STDOUT_FILENO, agent_greeting)) return 1;
    while (!gone_ && !(ordered_ && ranks_.empty())) {
      wait();
      reap();
    }
    kill_descendants();
    return gone_ ? exit_signal_base + SIGHUP : 0;
  }

 private:
  struct Rank {
    std::uint32_t rank;
    pid_t pid;
    Fd out, err;
  };

  void take_signals() {
    become_subreaper();
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGCHLD, SIG_DFL);
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGCHLD, SIGTERM, SIGHUP, SIGINT}) ::sigaddset(&set, signal);
    ::sigprocmask(SIG_BLOCK, &set, &launch_.signal_mask);
    signals_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    ::getrlimit(RLIMIT_NOFILE, &launch_.descriptors);
  }

  void tell(const AgentMessage& message) {
    const Bytes frame = encode(message);
    if (!write_all(STDOUT_FILENO, {reinterpret_cast<const char*>(frame.data()), frame.size()}))
      gone_ = true;
  }
  void give_up(int exit_code, const std::string& why) {
    tell(AgentFailed{exit_code, why});
    gone_ = true;
  }

  void wait() {
    std::vector<pollfd> entries = {{signals_.get(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    for (const Rank& rank : ranks_)
      for (const Fd* fd : {&rank.out, &rank.err}) entries.push_back({fd->get(), POLLIN, 0});
    if (::poll(entries.data(), entries.size(), -1) <= 0) return;
    for (std::size_t i = 0; i < ranks_.size(); ++i) {
      if (entries[2 + 2 * i].revents != 0) (void)pass(ranks_[i], false);
      if (entries[3 + 2 * i].revents != 0) (void)pass(ranks_[i], true);
    }
    if (entries[0].revents != 0) heed_signals();
    if (entries[1].revents != 0) listen();
  }

  // False: there is nothing more for now.
  bool pass(Rank& rank, bool is_error) {
    Fd& from = is_error ? rank.err : rank.out;
    std::array<char, 16 * 1024> buffer;
    const ssize_t n = from ? ::read(from.get(), buffer.data(), buffer.size()) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) {
      from.reset();
      return false;
    }
    tell(Output{rank.rank, is_error, {buffer.data(), static_cast<std::size_t>(n)}});
    return !gone_;
  }

  void heed_signals() {
    signalfd_siginfo got{};
    while (::read(signals_.get(), &got, sizeof got) == sizeof got)
      gone_ = gone_ || got.ssi_signo != SIGCHLD;
  }

  void listen() {
    std::array<std::byte, 16 * 1024> buffer;
    const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) return;
    if (n <= 0) {
      gone_ = true;
      return;
    }
    stream_.add(ByteView(buffer).first(static_cast<std::size_t>(n)));
    while (const auto message = stream_.next()) {
      if (const auto* order = std::get_if<Order>(&*message)) start(*order);
      if (const auto* signal = std::get_if<SignalRanks>(&*message)) forward(signal->signal);
    }
    if (stream_.broken()) give_up(1, "what dsmrun sent cannot be read: another version of it?");
  }

  void forward(int signal) {
    for (const Rank& rank : ranks_) ::kill(rank.pid, signal);
  }

  void start(const Order& order) {
    if (ordered_) return give_up(1, "it was given a second order");
    ordered_ = true;
    if (::chdir(order.directory.c_str()) != 0)
      return give_up(exit_not_found,
                     "no directory " + order.directory + " there: " + std::strerror(errno));
    options_.nodes = order.nodes;
    options_.command = order.command;
    options_.program = order.program;
    options_.environment = order.environment;
    auto key = launch::JobKey::from_hex(order.key);
    auto rendezvous = launch::parse_endpoint(order.rendezvous);
    if (!key || !rendezvous) return give_up(1, "its order is damaged");
    auto key_fd = key_descriptor(*key);
    if (!key_fd) return give_up(1, key_fd.status().message());
    key_ = std::move(*key_fd);
    launch_.options = &options_;
    launch_.rendezvous = *rendezvous;
    launch_.key_fd = key_.get();
    launch_.first = order.first;
    launch_.captured = true;
    auto cores = cores_of_ranks(order.bind, order.count);
    if (!cores) return give_up(1, cores.status().message());
    launch_.cores = std::move(*cores);
    for (std::uint32_t i = 0; i < order.count && !gone_; ++i) {
      auto child = spawn_rank(launch_, order.first + i);
      if (!child) return give_up(exit_not_found, child.status().message());
      ranks_.push_back({order.first + i, child->pid, std::move(child->out), std::move(child->err)});
    }
  }

  // A rank's end is told behind all that it wrote.
  void reap() {
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      const auto found = std::find_if(ranks_.begin(), ranks_.end(),
                                      [pid](const Rank& rank) { return rank.pid == pid; });
      if (found == ranks_.end()) continue;
      const End end = end_of_process(found->rank, status);
      for (const bool is_error : {false, true})
        while (pass(*found, is_error)) {
        }
      ranks_.erase(found);
      tell(RankEnded{end});
    }
  }

  Options options_;
  Launch launch_;
  Fd key_, signals_;
  AgentStream stream_{true};
  std::vector<Rank> ranks_;  // those that run
  bool ordered_ = false;
  bool gone_ = false;  // there is nobody to work for
};

}  // namespace

int run_agent() {
  return Agent().run();
}

}  // namespace dsm::run
