// The contract between `reliable` and a wire of datagrams: a UDP socket, or the UD queue pair of a
// verbs device. A datagram arrives whole or not at all, in any order, perhaps twice, perhaps
// altered or from a stranger; who needs more puts `reliable` over it.
//
// Threads: connect() belongs to set-up. send() may be called by any thread at any time, also from
// inside a trap handler: it takes only locks of its own, never waits for a peer, and allocates
// nothing in the steady state. poll(), recycle() and arm() belong to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.hpp"
#include "base/types.hpp"
#include "base/wire.hpp"
#include "transport/urgency.hpp"

namespace dsm::transport {

inline constexpr std::size_t news_max = 64;

struct Datagram {
  ByteView bytes;            // valid until recycle() of this datagram
  std::uint64_t buffer = 0;  // the port's own name of its buffer
};

class DatagramPort {
 public:
  virtual ~DatagramPort() = default;
  DatagramPort() = default;
  DatagramPort(const DatagramPort&) = delete;
  DatagramPort& operator=(const DatagramPort&) = delete;

  // What peers need in order to reach this port; opaque, any length. Constant after construction.
  virtual Bytes address() const = 0;

  // Makes every node reachable; addresses[i] is node i's address(). No datagram is exchanged: that
  // a peer is there, and is of the job, is for the caller to find out. REQUIRES: called once.
  virtual Status connect(std::span<const Bytes> addresses) = 0;

  // Bytes of one datagram to this peer, the smaller of both ends' limits. REQUIRES: connected.
  virtual std::size_t payload_max(NodeId peer) const = 0;

  // Datagrams that can lie here before one must be dropped, if nobody polls. The credits that all
  // peers hold together stay below it. REQUIRES: connected.
  virtual std::size_t receive_slots() const = 0;

  // What a user would do for more of them, to be put behind a sentence: " (sysctl -w ...)".
  virtual std::string how_to_enlarge() const { return {}; }

  // Sends header + body as one datagram; both are copied before it returns. would_block: poll and
  // try again. Ok says nothing of its arrival. Other codes: the port is broken, the message says
  // how, and what would help.
  virtual Status send(NodeId peer, ByteView header, ByteView body,
                      Urgency urgency = Urgency::prompt) = 0;

  // Bytes of a datagram that reaches all nodes at once; 0: this wire has no multicast, or has none
  // any more. Any thread. REQUIRES: connected.
  virtual std::size_t multicast_max() const { return 0; }
  // Sends a datagram to every node of the job, perhaps this one included. As send().
  virtual Status send_to_all(ByteView datagram) {
    static_cast<void>(datagram);
    return Status(Code::unavailable, "this wire has no multicast");
  }

  // While there is no multicast: to how many nodes a node sends what is for more, and these pass on
  // (tree.hpp); 0: all get it from its sender. Constant.
  virtual std::uint32_t fan_out() const { return 0; }

  // Takes up to out.size() datagrams off the wire; returns how many. Never blocks. Nothing is known
  // of where they come from.
  virtual std::size_t poll(std::span<Datagram> out) = 0;

  // Gives the buffers of datagrams back, in any order.
  virtual void recycle(std::span<const Datagram> datagrams) = 0;

  // Why this port reaches nobody, as a clause for a user: for good (failure), or for now (trouble).
  // Empty: it works, as far as it knows. As poll().
  virtual std::string failure() const { return {}; }
  virtual std::string trouble() const { return {}; }

  // Ports whose address changes under a job: what peers have to hear now, at most news_max bytes;
  // empty: nothing that they have not been told. As poll().
  virtual Bytes take_news() { return {}; }
  // A peer's news, which may come several times, and late. As poll(). REQUIRES: connected.
  virtual void hear(NodeId peer, ByteView news) {
    static_cast<void>(peer);
    static_cast<void>(news);
  }

  // As those of Transport: a descriptor that becomes readable when an armed port has something to
  // poll, or room after a would_block; false: there is something, do not sleep.
  virtual int wait_fd() const = 0;
  virtual bool arm(Urgency least = Urgency::patient) = 0;
};

}  // namespace dsm::transport
