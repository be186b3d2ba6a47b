// Where the nodes of a job meet before they can talk: values are published and looked up, fences
// wait for everyone, and one node's end is everyone's. A door: dsmrun's own TCP server stands
// behind it today, a resource manager may tomorrow.
//
// Errors: a time-out is timed_out; the end of the job is the Code and the line that whoever ended
// it gave. After the first such end every call returns it again. Threads: all calls may be made by
// any thread; those that wait exclude each other, and neither check() nor abort() waits for them.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "base/types.hpp"
#include "base/wire.hpp"
#include "dsm/launch/job.hpp"
#include "dsm/launch/settings.hpp"

namespace dsm::launch {

// A node that ends only because another one did exits with this code, and dsmrun looks for the
// culprit elsewhere.
inline constexpr int exit_code_of_bystander = 117;

class Rendezvous {
 public:
  // Without finish() before it, the others see this node vanish, and the job ends.
  virtual ~Rendezvous() = default;
  Rendezvous() = default;
  Rendezvous(const Rendezvous&) = delete;
  Rendezvous& operator=(const Rendezvous&) = delete;

  // Lets every node look the value up under this node's rank. too_large: above value_bytes_max (256
  // KiB) or a key above name_bytes_max (256). Publishing a key again replaces its value.
  virtual Status publish(std::string_view key, ByteView value) = 0;

  // Waits until `rank` has published the key.
  virtual Result<Bytes> lookup(NodeId rank, std::string_view key,
                               std::chrono::milliseconds timeout) = 0;

  // Returns after every node has called it as often as this one. After timed_out the job cannot go
  // on.
  virtual Status fence(std::chrono::milliseconds timeout) = 0;

  // Ends the job for all others: what they wait for returns this code and text (one line; longer
  // ones are cut). Best effort; the caller ends by itself. REQUIRES: code is not ok.
  virtual void abort(Code code, std::string_view text) = 0;

  // This node leaves in good order and waits for nobody. No call but the destructor may follow.
  virtual void finish() = 0;

  // Readable when check() has something to say; -1: never.
  virtual int wait_fd() const = 0;

  // The address of this host by which it reached the rendezvous, where the others of the job can
  // reach it, too. Empty: there is none.
  virtual std::string near_host() const = 0;

  // Ok while the job goes on; otherwise why it ended: another node aborted or vanished, or the
  // rendezvous is lost.
  virtual Status check() = 0;
};

// Joins the job, and returns when all its nodes have joined and agree, or says in one line who is
// missing or differs. Node 0 of a job that dsmrun did not launch serves the rendezvous, at
// job.rendezvous, from a thread of its own.
Result<std::unique_ptr<Rendezvous>> make_rendezvous(const Job& job, const Agreement& agreement);

// Every rank's value of a key, by rank.
Result<std::vector<Bytes>> gather(Rendezvous& rendezvous, std::uint32_t nodes, std::string_view key,
                                  std::chrono::milliseconds timeout);

}  // namespace dsm::launch
