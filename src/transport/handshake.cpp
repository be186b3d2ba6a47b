#include "transport/handshake.hpp"

#include <sodium.h>

#include <cstring>

namespace dsm::transport {
namespace {

constexpr std::uint64_t magic = 0x316b6e696c6d7364;  // "dsmlink1"
static_assert(sizeof(LinkKey) == crypto_auth_KEYBYTES);
static_assert(Handshake::proof_bytes == crypto_auth_BYTES);

}  // namespace

Status sodium_ready() {
  if (::sodium_init() < 0)
    return Status(Code::unavailable,
                  "libsodium finds no source of randomness: is /dev/urandom missing?");
  return {};
}

LinkKey link_key(std::string_view job_key, std::string_view wire) {
  LinkKey key;
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, key.size());
  const std::uint64_t wire_size = wire.size();
  crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(&wire_size),
                            sizeof wire_size);
  crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(wire.data()),
                            wire.size());
  crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(job_key.data()),
                            job_key.size());
  crypto_generichash_final(&state, key.data(), key.size());
  return key;
}

Nonce fresh_nonce() {
  Nonce nonce;
  ::randombytes_buf(nonce.data(), nonce.size());
  return nonce;
}

Handshake::Handshake(Role role, const LinkKey& key, NodeId self, std::uint32_t nodes,
                     NodeId expected, const Nonce& nonce)
    : role_(role), key_(key), self_(self), nodes_(nodes), peer_(expected) {
  Writer writer(my_hello_);
  writer.put(magic);
  writer.put(role);
  writer.put(self);
  writer.put(nodes);
  writer.put_bytes(std::as_bytes(std::span(nonce)));
  DSM_CHECK(my_hello_.size() == hello_bytes, "a hello is as long as it says");
  if (role == Role::dialer) output_ = my_hello_;
}

std::size_t Handshake::wanted() const {
  if (state_ != State::going) return 0;
  switch (step_) {
    case Step::hello:
      return hello_bytes;
    case Step::proof:
      return proof_bytes;
    case Step::over:
      return 0;
  }
  return 0;
}

void Handshake::refuse(const char* why) {
  state_ = State::refused;
  why_ = why;
  output_.clear();
}

Bytes Handshake::prove(Role role) const {
  Bytes text;
  Writer writer(text);
  writer.put(role);
  writer.put_bytes(role == role_ ? my_hello_ : peer_hello_);
  writer.put_bytes(role == role_ ? peer_hello_ : my_hello_);
  Bytes proof(proof_bytes);
  crypto_auth(reinterpret_cast<unsigned char*>(proof.data()),
              reinterpret_cast<const unsigned char*>(text.data()), text.size(), key_.data());
  return proof;
}

void Handshake::take_hello(ByteView bytes) {
  Reader reader(bytes);
  const auto its_magic = reader.get<std::uint64_t>();
  const auto its_role = reader.get<Role>();
  const auto its_rank = reader.get<NodeId>();
  const auto its_nodes = reader.get<std::uint32_t>();
  if (its_magic != magic) return refuse("it does not speak this protocol");
  if (its_role == role_ || (its_role != Role::dialer && its_role != Role::acceptor))
    return refuse("both sides have one role");
  if (its_nodes != nodes_) return refuse("its job has another number of nodes");
  if (its_rank.value >= nodes_ || its_rank == self_)
    return refuse("its rank is none of the others'");
  if (peer_ != no_node && its_rank != peer_) return refuse("another node answers at its address");
  peer_ = its_rank;
  peer_hello_.assign(bytes.begin(), bytes.end());
}

void Handshake::feed(ByteView bytes) {
  DSM_CHECK(bytes.size() == wanted() && !bytes.empty(), "a handshake is fed what it wants");
  if (step_ == Step::hello) {
    take_hello(bytes);
    if (state_ == State::refused) return;
    step_ = Step::proof;
    output_ = role_ == Role::dialer ? prove(role_) : my_hello_;
    return;
  }
  const Role other = role_ == Role::dialer ? Role::acceptor : Role::dialer;
  const Bytes expected = prove(other);
  if (::sodium_memcmp(bytes.data(), expected.data(), expected.size()) != 0)
    return refuse("it has another job's key");
  if (role_ == Role::acceptor) output_ = prove(role_);
  step_ = Step::over;
  state_ = State::done;
}

}  // namespace dsm::transport
