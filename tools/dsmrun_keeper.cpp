#include "dsmrun_keeper.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

#include "dsm/launch/interface.hpp"
#include "dsm/launch/rendezvous_server.hpp"
#include "dsmrun_binding.hpp"
#include "dsmrun_descendants.hpp"
#include "dsmrun_output.hpp"
#include "dsmrun_remote.hpp"
#include "dsmrun_spawn.hpp"
#include "dsmrun_verdict.hpp"

namespace dsm::run {
namespace {

using Clock = std::chrono::steady_clock;
using Time = Verdict::Time;

// A node that hears of the failure says which node it lost and what it was doing, and ends by
// itself.
constexpr Time failure_to_term{1'000};
constexpr Time term_to_let_go{1'000};
constexpr Time term_to_kill{2'000};
constexpr rlim_t spare_descriptors = 64;
static_assert(Verdict::culprit_timeout + failure_to_term + term_to_kill < Time(5'000),
              "the first failure ends the job within 5 s");

class Keeper {
 public:
  Keeper(const Options& options, Fd front_alive, const sigset_t& mask)
      : options_(options),
        front_alive_(std::move(front_alive)),
        verdict_(options.nodes, options.command.front(), hosts_of_ranks(options)) {
    launch_.options = &options;
    launch_.signal_mask = mask;
    launch_.captured = options.prefix;
    launch_.reader = options.gdb_rank.value_or(0);
    if (options.here) launch_.first = options.here->first;
  }

  int run() {
    if (Status started = start(); !started) {
      kill_descendants();
      return say(1, started.message());
    }
    while (!over()) {
      wait();
      if (front_died_) return leave_at_once();
      take_signals();
      reap();
      judge();
    }
    finish();
    return exit_code_;
  }

 private:
  struct Rank {
    std::uint32_t rank;
    pid_t pid;
  };

  static std::vector<std::string> hosts_of_ranks(const Options& options);
  Status start();
  Status open_rendezvous(const launch::JobKey& key);
  void raise_descriptor_limit();
  Status start_ranks();
  Status start_elsewhere(const launch::JobKey& key);
  bool over() const;
  bool all_ended() const { return ranks_.empty() && remotes_.idle(); }
  void wait();
  void take_signals();
  void forward(int signal);
  void reap();
  void rank_ended(const End& end);
  void listen(RemoteHost& host);
  void print(const Output& output);
  void judge();
  void end_job(int exit_code, const std::string& line);
  void pump_output(const pollfd& entry);
  void finish();
  int leave_at_once();

  Time now() const { return std::chrono::duration_cast<Time>(Clock::now() - started_); }
  static int say(int exit_code, const std::string& line) {
    ::dprintf(STDERR_FILENO, "dsmrun: %s\n", line.c_str());
    return exit_code;
  }

  const Options& options_;
  Fd front_alive_;
  bool front_died_ = false;
  const Clock::time_point started_ = Clock::now();
  Launch launch_;
  Fd key_;
  Fd signals_;
  std::unique_ptr<launch::RendezvousServer> server_;
  std::vector<Rank> ranks_;  // those that run
  std::vector<PrefixedStream> streams_;
  RemoteHosts remotes_;
  std::map<std::pair<std::uint32_t, bool>, PrefixedLines> remote_lines_;  // by rank and "is error"
  Verdict verdict_;
  bool ending_ = false;
  int exit_code_ = 0;
  std::optional<Time> term_at_;    // while the job is ending
  std::optional<Time> let_go_at_;  // when agents are to kill what is left
  std::optional<Time> kill_at_;    // when SIGTERM was not enough
  std::optional<Time> leave_at_;   // when all ranks have ended, whatever launchers still do
};

Status Keeper::start() {
  raise_descriptor_limit();
  const sigset_t signals = [] {
    sigset_t set = forwarded_signals();
    ::sigaddset(&set, SIGCHLD);
    return set;
  }();
  signals_ = Fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return Status(Code::exhausted, "no signalfd: raise ulimit -n");

  const launch::JobKey key = launch::JobKey::random();
  auto key_fd = key_descriptor(key);
  if (!key_fd) return key_fd.status();
  key_ = std::move(*key_fd);

  if (Status opened = open_rendezvous(key); !opened) return opened;
  auto cores = cores_of_ranks(options_.bind, options_.here ? options_.here->count : 1);
  if (!cores) return cores.status();
  launch_.cores = std::move(*cores);
  launch_.rendezvous = server_->endpoint();
  launch_.key_fd = key_.get();
  if (Status started = start_ranks(); !started) return started;
  if (Status started = start_elsewhere(key); !started) return started;
  server_->start();
  return Status();
}

std::vector<std::string> Keeper::hosts_of_ranks(const Options& options) {
  std::vector<std::string> hosts;
  if (options.elsewhere.empty()) return hosts;
  hosts.resize(options.nodes);
  const auto fill = [&hosts](const Share& share) {
    std::fill_n(hosts.begin() + share.first, share.count, share.host);
  };
  if (options.here) fill(*options.here);
  for (const Share& share : options.elsewhere) fill(share);
  return hosts;
}

// On loopback when all ranks are here, since nobody elsewhere needs to try; else where the other
// hosts reach this one.
Status Keeper::open_rendezvous(const launch::JobKey& key) {
  std::vector<std::string> hosts = {"127.0.0.1", "::1"};
  if (!options_.elsewhere.empty()) {
    auto address = options_.interface.empty()
                       ? launch::address_towards(options_.elsewhere.front().host)
                       : launch::address_of_interface(options_.interface);
    if (!address)
      return Status(address.status().code(),
                    "where do other hosts reach this one? " + address.status().message() +
                        (options_.interface.empty() ? " (give --interface)" : ""));
    hosts = {*address};
  }
  Status last;
  for (const std::string& host : hosts) {
    auto server =
        launch::RendezvousServer::open({{host, 0}, options_.nodes, key, options_.join_timeout});
    if (server) {
      server_ = std::move(*server);
      return {};
    }
    last = server.status();
  }
  return last;
}

// A connection a rank, and two pipes with --prefix. The ranks keep the limit that dsmrun was
// started with.
void Keeper::raise_descriptor_limit() {
  ::getrlimit(RLIMIT_NOFILE, &launch_.descriptors);
  rlimit more = launch_.descriptors;
  more.rlim_cur =
      std::min(more.rlim_max,
               std::max<rlim_t>(more.rlim_cur, options_.nodes * rlim_t{3} + spare_descriptors));
  ::setrlimit(RLIMIT_NOFILE, &more);
}

Status Keeper::start_ranks() {
  if (!options_.here) return {};
  const Share& here = *options_.here;
  for (std::uint32_t rank = here.first; rank < here.first + here.count; ++rank) {
    auto child = spawn_rank(launch_, rank);
    if (!child) return child.status();
    ranks_.push_back({rank, child->pid});
    if (child->out) streams_.emplace_back(rank, std::move(child->out), STDOUT_FILENO);
    if (child->err) streams_.emplace_back(rank, std::move(child->err), STDERR_FILENO);
  }
  return Status();
}

Status Keeper::start_elsewhere(const launch::JobKey& key) {
  if (options_.elsewhere.empty()) return {};
  Order order;
  order.nodes = options_.nodes;
  order.bind = options_.bind;
  order.rendezvous = server_->endpoint().text();
  order.key = key.hex();
  order.directory = std::filesystem::current_path().string();
  order.program = options_.program;
  order.command = options_.command;
  auto environment = launch::process_environment();
  for (const char* own : own_variables) environment.erase(own);
  order.environment.assign(environment.begin(), environment.end());
  order.environment.insert(order.environment.end(), options_.environment.begin(),
                           options_.environment.end());
  return remotes_.start(options_.elsewhere, options_.launcher, std::move(order));
}

bool Keeper::over() const {
  if (!ranks_.empty()) return false;
  return remotes_.silent() || (leave_at_ && now() >= *leave_at_);
}

void Keeper::wait() {
  std::vector<pollfd> entries = {{front_alive_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
  for (const PrefixedStream& stream : streams_)
    if (stream.open()) entries.push_back({stream.fd(), POLLIN, 0});
  for (const int fd : remotes_.descriptors()) entries.push_back({fd, POLLIN, 0});

  std::optional<Time> until = kill_at_;
  const auto earlier = [&until](std::optional<Time> at) {
    if (at && (!until || *at < *until)) until = at;
  };
  earlier(term_at_);
  earlier(let_go_at_);
  earlier(leave_at_);
  if (!ending_) earlier(remotes_.deadline(options_.join_timeout));
  if (!ending_) earlier(verdict_.deadline());
  if (!ending_ && options_.timeout) earlier(std::chrono::duration_cast<Time>(*options_.timeout));
  const auto left = until ? std::clamp<long long>((*until - now()).count() + 1, 0, INT_MAX) : -1;
  if (::poll(entries.data(), entries.size(), static_cast<int>(left)) <= 0) return;
  front_died_ = entries[0].revents != 0;
  for (std::size_t i = 2; i < entries.size(); ++i)
    if (entries[i].revents != 0) {
      if (RemoteHost* host = remotes_.behind(entries[i].fd))
        listen(*host);
      else
        pump_output(entries[i]);
    }
}

void Keeper::pump_output(const pollfd& entry) {
  for (PrefixedStream& stream : streams_) {
    if (!stream.open() || stream.fd() != entry.fd) continue;
    if (!stream.pump() && !ending_)
      end_job(exit_signal_base + SIGPIPE, "");  // as a program whose reader has gone
    return;
  }
}

void Keeper::take_signals() {
  signalfd_siginfo got{};
  while (::read(signals_.get(), &got, sizeof got) == sizeof got) {
    // The terminal signals its whole foreground group, which the ranks belong to.
    const bool from_terminal = got.ssi_code == SI_KERNEL;
    const int signal = static_cast<int>(got.ssi_signo);
    if (signal == SIGCHLD) continue;
    if (!from_terminal) forward(signal);
    remotes_.forward(signal);
  }
}

void Keeper::forward(int signal) {
  for (const Rank& rank : ranks_) ::kill(rank.pid, signal);
}

// Also takes the orphans that the subreaper was given.
void Keeper::reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto found = std::find_if(ranks_.begin(), ranks_.end(),
                                    [pid](const Rank& rank) { return rank.pid == pid; });
    if (found == ranks_.end()) {
      (void)remotes_.reaped(pid, status, now());
      continue;
    }
    const End end = end_of_process(found->rank, status);
    ranks_.erase(found);
    rank_ended(end);
  }
}

void Keeper::rank_ended(const End& end) {
  server_->process_ended(NodeId(end.rank));
  if (!ending_) verdict_.ended(end, now());
}

void Keeper::listen(RemoteHost& host) {
  const auto messages = host.listen();
  if (const std::string chatter = host.take_chatter(); !chatter.empty())
    (void)write_all(STDERR_FILENO, chatter);
  for (const AgentMessage& message : messages) {
    if (const auto* output = std::get_if<Output>(&message)) print(*output);
    if (const auto* ended = std::get_if<RankEnded>(&message)) rank_ended(ended->end);
    if (const auto* failed = std::get_if<AgentFailed>(&message))
      if (!ending_) end_job(failed->exit_code, "host " + host.name() + ": " + failed->why);
  }
}

void Keeper::print(const Output& output) {
  const int to = output.is_error ? STDERR_FILENO : STDOUT_FILENO;
  bool heard = true;
  if (options_.prefix)
    heard = remote_lines_.try_emplace({output.rank, output.is_error}, output.rank, to)
                .first->second.add(output.bytes);
  else
    heard = write_all(to, output.bytes);
  if (!heard && !ending_) end_job(exit_signal_base + SIGPIPE, "");
}

void Keeper::judge() {
  if (term_at_ && now() >= *term_at_) {
    for (const int signal : {SIGTERM, SIGCONT}) {  // a stopped rank takes its SIGTERM, too
      forward(signal);
      remotes_.forward(signal);
    }
    term_at_.reset();
  }
  if (let_go_at_ && now() >= *let_go_at_) {
    remotes_.let_go();
    let_go_at_.reset();
  }
  if (all_ended() && !leave_at_) {
    remotes_.let_go();
    leave_at_ = now() + term_to_kill;
  }
  if (kill_at_ && now() >= *kill_at_) {
    for (const pid_t pid : living_descendants()) ::kill(pid, SIGKILL);
    kill_at_.reset();
  }
  if (ending_) return;
  if (const auto ended = server_->ended()) {
    const bool by_rank = ended->rank != no_node;
    verdict_.rendezvous_ended(by_rank ? std::optional(ended->rank.value) : std::nullopt,
                              ended->text);
  }
  // Nobody is left to wait for: what is known now decides.
  const Time at = all_ended() ? Time::max() : now();
  if (const auto blame = verdict_.blame(at)) return end_job(blame->exit_code, blame->line);
  if (const auto blame = remotes_.trouble(now(), options_.join_timeout))
    return end_job(blame->exit_code, blame->line);
  if (options_.timeout && now() >= std::chrono::duration_cast<Time>(*options_.timeout))
    end_job(exit_timeout, "the job was ended after " + std::to_string(options_.timeout->count()) +
                              " s (--timeout)");
}

void Keeper::end_job(int exit_code, const std::string& line) {
  ending_ = true;
  exit_code_ = exit_code;
  term_at_ = now() + failure_to_term;
  let_go_at_ = *term_at_ + term_to_let_go;
  kill_at_ = *term_at_ + term_to_kill;
  if (!line.empty()) say(exit_code, line);
}

void Keeper::finish() {
  kill_descendants();
  for (PrefixedStream& stream : streams_)
    if (!stream.close() && exit_code_ == 0) exit_code_ = exit_signal_base + SIGPIPE;
  for (auto& [of, lines] : remote_lines_)
    if (!lines.finish() && exit_code_ == 0) exit_code_ = exit_signal_base + SIGPIPE;
}

int Keeper::leave_at_once() {
  kill_descendants();
  return exit_signal_base + SIGKILL;
}

}  // namespace

sigset_t forwarded_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT})
    ::sigaddset(&set, signal);
  return set;
}

int keep_job(const Options& options, Fd front_alive, const sigset_t& mask) {
  become_subreaper();
  ::signal(SIGPIPE, SIG_IGN);
  return Keeper(options, std::move(front_alive), mask).run();
}

}  // namespace dsm::run
