// A host of the job other than this one, as the keeper sees it: the launcher's process with the
// agent behind it (dsmrun_agent.hpp). Owns the process's streams, not the process: the keeper reaps
// it and says so. One thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/status.hpp"
#include "dsmrun_hosts.hpp"
#include "dsmrun_wire.hpp"

namespace dsm::run {

class RemoteHost {
 public:
  // Starts "LAUNCHER HOST DSMRUN --agent", and gives it the order when it answers. The launcher is
  // the leader of a process group, so that the terminal's signals pass it by.
  static Result<RemoteHost> start(const Share& share, const std::vector<std::string>& launcher,
                                  const Order& order);

  const std::string& name() const { return share_.host; }
  const Share& share() const { return share_; }
  pid_t launcher() const { return launcher_; }

  // To poll; -1 when everything has been read.
  int fd() const { return from_.get(); }

  // Reads what is there. Messages that the keeper is to act on, in order.
  std::vector<AgentMessage> listen();
  // What a login shell and others printed before the agent; for the user, once.
  std::string take_chatter() { return stream_.take_chatter(); }

  void forward(int signal);
  // The agent kills everything there and goes.
  void let_go() { to_.reset(); }

  // The agent has answered.
  bool answered() const { return stream_.greeted(); }
  // Ranks whose end has not been told.
  const std::set<std::uint32_t>& running() const { return running_; }
  // Nothing comes any more.
  bool silent() const { return !from_; }
  bool broken() const { return stream_.broken(); }

  // Why it is silent too early, in words: `status` as from waitpid.
  std::string reason(int status) const;

 private:
  RemoteHost(Share share, std::string launcher_name, std::string agent, pid_t launcher, Fd to,
             Fd from, Bytes order);

  void send(const AgentMessage& message);

  Share share_;
  std::string launcher_name_;
  std::string agent_;  // the path of dsmrun there
  pid_t launcher_;
  Fd to_, from_;
  Bytes order_;  // until the agent has answered
  AgentStream stream_{false};
  std::set<std::uint32_t> running_;
};

// All of them.
class RemoteHosts {
 public:
  using Time = Verdict::Time;

  // One order serves all but for its share of the ranks.
  Status start(const std::vector<Share>& shares, const std::vector<std::string>& launcher,
               Order order);

  // Descriptors to poll, and the host behind one of them.
  std::vector<int> descriptors() const;
  RemoteHost* behind(int fd);

  // True when the process was a launcher.
  bool reaped(pid_t pid, int status, Time now);
  void forward(int signal);
  void let_go();

  // No rank runs on any of them, as far as they have told.
  bool idle() const;
  // Nothing comes from any of them any more.
  bool silent() const;

  // What is wrong with one of them, once it is certain. REQUIRES: called again by deadline().
  std::optional<Blame> trouble(Time now, Time answer_timeout);
  std::optional<Time> deadline(Time answer_timeout) const;

 private:
  // How long the rest of what is to be known about a lost host is waited for.
  static constexpr Time certainty{1'000};

  struct Entry {
    RemoteHost host;
    std::optional<int> status;    // of its launcher, which has ended
    std::optional<Time> noticed;  // when the launcher, or its stream, was seen to have ended
  };
  std::vector<Entry> entries_;
};

}  // namespace dsm::run
