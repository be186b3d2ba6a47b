// Seals: who made a datagram, and that nobody has altered it. One key a direction and session, made
// of the job's key and of a fresh nonce of each end, which travel with the addresses.
//
// The key keeps strangers, other jobs and leftovers of earlier sessions out. Datagrams are not
// encrypted.
#pragma once

#include <array>
#include <span>

#include "transport/handshake.hpp"
#include "transport/packet.hpp"

namespace dsm::transport {

using SealKey = std::array<unsigned char, 16>;

// The key of what `from` sends to `to`; `key` is the job's, bound to the wire (link_key()).
// REQUIRES: sodium_ready().
SealKey seal_key(const LinkKey& key, std::uint32_t nodes, NodeId from, const Nonce& from_nonce,
                 NodeId to, const Nonce& to_nonce);

// Writes the first seal_bytes. REQUIRES: at least as many.
void seal(const SealKey& key, std::span<std::byte> datagram);
bool is_sealed(const SealKey& key, ByteView datagram);

}  // namespace dsm::transport
