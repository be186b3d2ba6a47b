// Handshake: two nodes prove to each other over a byte stream that they hold the job's key. Pure:
// bytes in, bytes out.
//
//   dialer   -> hello              who I am, a fresh nonce
//   acceptor -> hello
//   dialer   -> proof              HMAC(key, "dialer", dialer's hello, acceptor's hello)
//   acceptor -> proof              only after the dialer's proof was right: a stranger learns
//   nothing
//
// Any bytes are accepted or refused, never obeyed. The role in the proof keeps one side's proof
// from serving as the other's. The streams behind it are not encrypted: the key keeps strangers
// out, not someone who owns the network between the nodes.
#pragma once

#include <array>
#include <string_view>

#include "base/status.hpp"
#include "base/wire.hpp"

namespace dsm::transport {

// The job's key, bound to one wire's name, so that a proof for one is none for another. REQUIRES:
// sodium_ready().
using LinkKey = std::array<unsigned char, 32>;
LinkKey link_key(std::string_view job_key, std::string_view wire);

using Nonce = std::array<unsigned char, 32>;
Nonce fresh_nonce();

// Initialises libsodium; unavailable when it finds no source of randomness.
Status sodium_ready();

class Handshake {
 public:
  enum class Role : std::uint32_t { dialer = 1, acceptor = 2 };
  enum class State { going, done, refused };

  static constexpr std::size_t hello_bytes = 8 + 4 + 4 + 4 + 32;
  static constexpr std::size_t proof_bytes = 32;

  // `expected`: the dialer's peer; no_node for an acceptor, who learns it.
  Handshake(Role role, const LinkKey& key, NodeId self, std::uint32_t nodes, NodeId expected,
            const Nonce& nonce);

  Role role() const { return role_; }
  State state() const { return state_; }
  NodeId peer() const { return peer_; }         // an acceptor knows it once done
  const char* refusal() const { return why_; }  // REQUIRES: refused

  // Bytes to be sent now; the caller sends them and calls sent().
  ByteView output() const { return output_; }
  void sent(std::size_t count) {
    output_.erase(output_.begin(), output_.begin() + static_cast<std::ptrdiff_t>(count));
  }

  // How many bytes the next feed() takes: read no more off the stream. 0: it is the caller's turn
  // to send, or it is over.
  std::size_t wanted() const;
  void feed(ByteView bytes);

  // The hello has been answered: from here on a closed stream means that the other side refused.
  bool proving() const { return step_ == Step::proof; }

 private:
  enum class Step { hello, proof, over };

  void refuse(const char* why);
  void take_hello(ByteView bytes);
  Bytes prove(Role role) const;

  Role role_;
  LinkKey key_;
  NodeId self_;
  std::uint32_t nodes_;
  NodeId peer_;
  Bytes my_hello_;
  Bytes peer_hello_;
  Bytes output_;
  Step step_ = Step::hello;
  State state_ = State::going;
  const char* why_ = "";
};

}  // namespace dsm::transport
