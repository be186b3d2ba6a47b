// The rendezvous over TCP: sockets, authentication and limits around a Board. dsmrun runs one; so
// does node 0 of a job that was started without it.
//
// Anyone may connect. Until a connection has proved that it knows the job's key it costs a bounded
// buffer and at most `authentication_timeout`, and beyond `strangers_max` such connections the
// oldest one is closed: noise at the port takes nothing from the job. Threads: serves on one thread
// of its own, with all signals blocked; every call by any thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "base/status.hpp"
#include "base/types.hpp"
#include "dsm/launch/endpoint.hpp"
#include "dsm/launch/frame.hpp"
#include "dsm/launch/key.hpp"

namespace dsm::launch {

inline constexpr std::chrono::milliseconds authentication_timeout{5'000};
inline constexpr std::size_t strangers_max = 256;
inline constexpr std::chrono::milliseconds farewell_timeout{1'000};

class RendezvousServer {
 public:
  struct Options {
    Endpoint listen;  // port 0: any
    std::uint32_t size = 1;
    JobKey key;
    std::chrono::milliseconds join_timeout{30'000};
  };

  // Listens; nobody is answered before start().
  static Result<std::unique_ptr<RendezvousServer>> open(const Options& options);

  // Says farewell to the nodes that are still there, waits for the thread, closes everything.
  ~RendezvousServer();
  RendezvousServer(const RendezvousServer&) = delete;
  RendezvousServer& operator=(const RendezvousServer&) = delete;

  // Where it listens in fact.
  const Endpoint& endpoint() const;

  // Starts the thread. Apart from open() so that a launcher can fork its nodes in between, while it
  // has one thread.
  void start();

  // The launcher saw this rank's process end.
  void process_ended(NodeId rank);

  // Why the job ended, if the rendezvous ended it: a node aborted, vanished, disagreed, or did not
  // come in time.
  std::optional<Abort> ended() const;

 private:
  class Impl;
  explicit RendezvousServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsm::launch
