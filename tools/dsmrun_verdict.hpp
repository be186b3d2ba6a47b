// Which rank is to blame, when several end at nearly the same time because one did. Pure: ends of
// processes and time in, a verdict out.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dsm::run {

// How a process ended.
struct End {
  std::uint32_t rank = 0;
  int code = 0;    // when signal == 0
  int signal = 0;  // that killed it
  bool core = false;
};

struct Blame {
  int exit_code = 0;
  std::string line;
};

// The first failure counts, with two exceptions: a rank that ends with
// launch::exit_code_of_bystander did so because of another, and a rank whom the rendezvous saw
// vanish first is behind the failures that its end causes. Both kinds of other are waited for, but
// not longer than `culprit_timeout`.
class Verdict {
 public:
  using Time = std::chrono::milliseconds;
  static constexpr Time culprit_timeout{1'000};

  // `hosts`: by rank, for jobs on several; empty otherwise.
  Verdict(std::uint32_t nodes, std::string program, std::vector<std::string> hosts = {})
      : nodes_(nodes), program_(std::move(program)), hosts_(std::move(hosts)) {}

  void ended(const End& end, Time now);

  // What the rendezvous says: who ended the job (absent: the rendezvous itself, as when ranks are
  // missing), and why.
  void rendezvous_ended(std::optional<std::uint32_t> rank, const std::string& why);

  // Once somebody is to blame. REQUIRES: called after all that is known to have ended was reported.
  std::optional<Blame> blame(Time now) const;

  // When blame() would stop waiting for a culprit.
  std::optional<Time> deadline() const;

 private:
  static bool failed(const End& end) { return end.code != 0 || end.signal != 0; }
  const End* end_of(std::uint32_t rank) const;
  Blame blame_for(const End& end) const;

  std::uint32_t nodes_;
  std::string program_;
  std::vector<std::string> hosts_;
  std::vector<End> ends_;  // in order
  std::optional<Time> first_failure_;
  bool rendezvous_ended_ = false;
  std::optional<std::uint32_t> accused_;
  std::string why_;
};

}  // namespace dsm::run
