#include "dsmrun_verdict.hpp"

#include <cstring>

#include "dsm/launch/rendezvous.hpp"
#include "dsmrun_options.hpp"

namespace dsm::run {

void Verdict::ended(const End& end, Time now) {
  ends_.push_back(end);
  if (failed(end) && !first_failure_) first_failure_ = now;
}

void Verdict::rendezvous_ended(std::optional<std::uint32_t> rank, const std::string& why) {
  rendezvous_ended_ = true;
  accused_ = rank;
  why_ = why;
}

const End* Verdict::end_of(std::uint32_t rank) const {
  for (const End& end : ends_)
    if (end.rank == rank) return &end;
  return nullptr;
}

std::optional<Verdict::Time> Verdict::deadline() const {
  if (!first_failure_) return std::nullopt;
  return *first_failure_ + culprit_timeout;
}

std::optional<Blame> Verdict::blame(Time now) const {
  const End* const accused = accused_ ? end_of(*accused_) : nullptr;
  // The rendezvous sees a bystander vanish first when the one that it lost is only silent.
  const bool fled = accused != nullptr && accused->code == launch::exit_code_of_bystander;
  if (accused != nullptr && !fled) return blame_for(*accused);
  if (!first_failure_) return std::nullopt;
  if (rendezvous_ended_ && !accused_) return Blame{1, why_};

  const bool late = now >= *deadline();
  const End* first = nullptr;
  for (const End& end : ends_) {
    if (!failed(end) || (end.code == launch::exit_code_of_bystander && !late)) continue;
    // Ends that were noticed together have no order: one by a signal is a cause more often than a
    // consequence.
    if (first == nullptr || (first->signal == 0 && end.signal != 0)) first = &end;
  }
  if (first == nullptr || (accused_ && !fled && !late)) return std::nullopt;
  // The accused goes on, outside of the job: what the rendezvous saw is the reason.
  if (accused_ && !fled) return Blame{1, why_};
  return blame_for(*first);
}

Blame Verdict::blame_for(const End& end) const {
  std::string line =
      "rank " + std::to_string(end.rank) + " of " + std::to_string(nodes_) + " (" + program_;
  if (end.rank < hosts_.size()) line += ", on " + hosts_[end.rank];
  line += ") ";
  if (end.signal != 0) {
    const char* name = ::sigabbrev_np(end.signal);
    line += "was killed by " +
            (name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(end.signal));
    if (end.core) line += " (core dumped)";
    return {exit_signal_base + end.signal, line};
  }
  line += "exited with code " + std::to_string(end.code);
  if (end.code == 0) line += " although it had not left the job";
  if (end.code == launch::exit_code_of_bystander)
    line += ": it lost another node, which its own line names";
  else if (accused_ == end.rank && end.code != 0 && why_.find(" was lost") == std::string::npos)
    line += ": " + why_;
  return {end.code != 0 ? end.code : 1, line};
}

}  // namespace dsm::run
