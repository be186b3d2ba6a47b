// The contract between libdsm and a wire. A transport moves bytes between nodes; it knows no page
// and no lock.
//
// Two channels lead to every peer:
//   messages    send(): delivered exactly once and whole, in ANY order, or the peer is reported
//               down.
//   one-sided   post(): READ, WRITE, fetch-add and compare-swap on memory that the peer exposed.
//               With caps().one_sided no code of the peer runs (it may be stopped); otherwise the
//               peer's polling does the work. With caps().ordered, operations to one peer TAKE
//               EFFECT in posted order: a WRITE posted before a READ is visible at the peer before
//               the READ copies its first byte (full fence between them where that is shared
//               memory; also when emulated, also under `faulty`), and their completions come in
//               that order.
// Nothing is ordered between the two channels, except that a completed operation has happened
// before any message sent later.
//
// Threads: connect() and import_memory() belong to set-up, one thread. send() and post() may be
// called by any thread at any time, also from inside a trap handler: they take only locks of their
// own, never wait for a peer, and allocate nothing in the steady state. poll(), recycle() and arm()
// belong to one thread at a time (the caller's polling lock).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "base/types.hpp"
#include "base/wire.hpp"
#include "transport/urgency.hpp"

namespace dsm::transport {

struct Caps {
  const char* name = "";
  bool one_sided = false;  // operations run no code at the peer
  bool ordered = false;    // operations to one peer take effect in posted order
  bool atomics = false;    // fetch_add and compare_swap exist
  // and are indivisible also for the peer's processor. (Those of some devices are so only among
  // themselves.)
  bool atomic_with_processor = false;
  // wait_fd() becomes readable by what arrives also while the transport is not armed
  bool wakes_unarmed = false;
  std::size_t message_max = 0;    // bytes of header + body of one send()
  std::size_t operation_max = 0;  // bytes of one READ or WRITE
};

// Memory of a peer, from import_memory(). Small, copyable, valid for the life of the transport.
using RemoteMemory = Id<struct RemoteMemoryTag, std::uint32_t>;

// Chosen by the caller, returned with the completion. Zero asks for none: such an operation is
// known to have taken effect when a later one to the same peer completes. One that failed is
// reported all the same, with a zero cookie, unless its peer is down.
using Cookie = std::uint64_t;

// Takes back frames of exposed memory that no device holds.
using GiveBack = std::function<void(std::span<std::byte>)>;

struct Operation {
  enum class Kind : std::uint8_t { read, write, fetch_add, compare_swap };
  Kind kind = Kind::read;
  RemoteMemory memory{};
  // into the exposed memory; of an aligned 64-bit word for the atomics
  std::uint64_t offset = 0;
  // READ and atomics store here (atomics: the previous value, or null); WRITE loads from here
  void* local = nullptr;
  std::uint64_t size = 0;     // bytes of a READ or WRITE, at most caps().operation_max
  std::uint64_t operand = 0;  // added, or stored when equal
  std::uint64_t compare = 0;  // compare_swap only
  Cookie cookie = 0;
};

// A peer_down that names this node itself: its own wire is gone, and all peers with it.
struct Event {
  enum class Kind : std::uint8_t { message, completion, peer_down };
  Kind kind = Kind::message;
  NodeId peer{};
  // message: valid until recycle() of this event. peer_down: why, a clause for a user, or empty;
  // valid for the life of the transport
  ByteView bytes;
  Cookie cookie = 0;  // completion
  // completion: ok, or why the operation did not happen (peer_lost, invalid: outside exposed
  // memory)
  Code code = Code::ok;
  std::uint64_t buffer = 0;  // the transport's own name of the message's buffer
};

// One of several messages that are sent together.
struct Letter {
  NodeId to{};  // another node
  ByteView message;
  Code code = Code::ok;  // what send() would have returned; set by send_each()
};

// What a wire has done, for reports and tests. What it has not stays zero.
struct Tally {
  std::uint64_t chains = 0;  // of one-sided operations, handed to a device: a doorbell each
  std::uint64_t served = 0;  // one-sided operations of peers that this node's processor carried out
  std::uint64_t datagrams = 0;  // sent, of any kind
  std::uint64_t resent = 0;     // of those: pieces of messages that were sent before
  std::uint64_t multicast = 0;  // of those: for every node at once
  std::uint64_t relayed =
      0;  // of those: with what is for nodes behind their receiver, or passed on
  // Sent by peers and never seen here: the wire lost them, or this node's ring was full.
  std::uint64_t missed = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  virtual const Caps& caps() const = 0;

  // What peers need in order to reach this node; opaque, any length. Constant after construction.
  virtual Bytes address() const = 0;

  // Connects to every other node; addresses[i] is node i's address(), this node's own included.
  // Returns when every pair is connected in both directions, or after Options::connect_timeout_ms
  // with a message that names the peer that is missing. REQUIRES: called once, by all nodes.
  virtual Status connect(std::span<const Bytes> addresses) = 0;

  // Lets peers operate on [memory, memory + size) of this process until the transport is destroyed;
  // `fd` is the memfd that backs it from `fd_offset` (every exposed memory is a shared mapping of a
  // memfd). Returns the key that a peer imports. Pages that nobody has touched cost nothing.
  virtual Result<Bytes> expose(std::span<std::byte> memory, int fd, std::uint64_t fd_offset) = 0;

  // Exposed memory whose frames exist now, and which peers will soon reach: a wire whose device
  // must know frames learns them here, rather than when a peer first asks. Any thread.
  virtual Status cover(std::span<std::byte> memory) {
    static_cast<void>(memory);
    return {};
  }

  // Exposed memory whose contents are wanted no more. Calls give_back for the parts whose frames no
  // device holds, and clears those that a device keeps. True: it is done. False: peers must say
  // first that they have forgotten its keys; then poll() calls give_back for the rest, and a
  // completion comes, of this node itself, with the cookie `done`. A zero cookie: nothing is waited
  // for, what a device holds is cleared. Any thread.
  // REQUIRES: no peer operates on it any more; nobody uses it until this is done, but for cover(),
  // behind which it may be used.
  virtual bool discard(std::span<std::byte> memory, const GiveBack& give_back, Cookie done) {
    static_cast<void>(done);
    give_back(memory);
    return true;
  }

  // Bytes that a device holds, and which are therefore always in memory.
  virtual std::uint64_t registered_bytes() const { return 0; }

  // Makes a peer's exposed memory addressable. REQUIRES: connected. The key came from that peer's
  // expose().
  virtual Result<RemoteMemory> import_memory(NodeId peer, ByteView key) = 0;

  // Sends header + body as one message; both are copied before it returns. would_block: the wire is
  // full, poll and try again. too_large: above caps().message_max. peer_lost: peer_down was or will
  // be reported. To oneself is allowed.
  virtual Status send(NodeId peer, ByteView header, ByteView body = {},
                      Urgency urgency = Urgency::prompt) = 0;

  // Sends each letter as send() would, prompt, and says of each how that went. Where the wire has
  // multicast, letters to all or nearly all nodes leave as one datagram, or many by way of each
  // other.
  virtual void send_each(std::span<Letter> letters) {
    for (Letter& letter : letters) letter.code = send(letter.to, letter.message).code();
  }

  // Posts operations to one peer, in order, as one batch. Returns how many were accepted: fewer
  // than given when the wire is full (poll and post the rest). `local` stays the transport's until
  // the completion. To oneself is allowed. To a peer that is down: accepted, and each completes
  // with peer_lost.
  virtual std::size_t post(NodeId peer, std::span<const Operation> operations) = 0;

  // Takes up to out.size() events off the wire; returns how many. Never blocks. A peer's messages
  // that arrived whole and the completions of what was posted to it come before its peer_down,
  // which comes once; nothing comes after it.
  virtual std::size_t poll(std::span<Event> out) = 0;

  // Gives a message's buffer back. Every message must be recycled, in any order.
  virtual void recycle(const Event& message) = 0;

  // A descriptor that becomes readable when an armed transport has something to poll.
  virtual int wait_fd() const = 0;

  // The last one who polls calls this before it sleeps on wait_fd(). False: there is something to
  // poll, do not sleep. After true, anything that arrives makes wait_fd() readable (messages below
  // `least` need not), and so does new room after a would_block or a short post(). poll() disarms.
  // wait_fd() may become readable for nothing.
  virtual bool arm(Urgency least = Urgency::patient) = 0;

  // Any thread.
  virtual Tally tally() const { return {}; }

  // Of the tally, what poll() may have done when it returns nothing. Any thread.
  virtual std::uint64_t served() const { return 0; }
};

struct Options {
  NodeId self{};
  std::uint32_t nodes = 1;
  std::string_view job_key;  // authenticates every connection; never printed
  int connect_timeout_ms = 5000;
  // tcp: the address to listen on, empty: loopback (127.0.0.1, or ::1 where there is no IPv4)
  std::string bind_host;
  // Bytes of exposed memory that were not covered (Transport::cover) and which a device may hold at
  // once because peers reach them; at least a piece of the transport's own choice.
  std::uint64_t lent_bytes_max = ~std::uint64_t{0};
};

// One row a backend (registry.cpp).
struct Backend {
  const char* name;
  const char* summary;  // one line for --help
  bool joins_nodes;     // false: for a job of one node
  // ok, or why not here and what would help
  Status (*usable)();
  Result<std::unique_ptr<Transport>> (*open)(const Options&);
  bool one_host = false;  // reaches no other machine
};

std::span<const Backend* const> backends();

// The named backend, or "best" (the first usable row that reaches every node of one host). An
// unknown or unusable name is an error that lists what is available, and why the others are not.
Result<const Backend*> choose(std::string_view name);

// Adapters (see faulty.hpp, traced.hpp): a transport that wraps another. Named in DSM_TRANSPORT by
// suffix, in order of wrapping: "tcp+faulty+traced".
Result<std::unique_ptr<Transport>> open(std::string_view name, const Options&);

// Wraps a transport in the adapters of a suffix: "faulty+traced"; empty: in none.
Result<std::unique_ptr<Transport>> wrap(std::unique_ptr<Transport>, std::string_view adapters,
                                        const Options&);

}  // namespace dsm::transport
