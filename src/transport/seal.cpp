#include "transport/seal.hpp"

#include <sodium.h>

#include <cstring>

namespace dsm::transport {
namespace {

static_assert(sizeof(SealKey) == crypto_shorthash_KEYBYTES);
static_assert(seal_bytes == crypto_shorthash_BYTES);

using Tag = std::array<unsigned char, seal_bytes>;

Tag tag_of(const SealKey& key, ByteView datagram) {
  const ByteView sealed = datagram.subspan(seal_bytes);
  Tag tag;
  crypto_shorthash(tag.data(), reinterpret_cast<const unsigned char*>(sealed.data()), sealed.size(),
                   key.data());
  return tag;
}

}  // namespace

SealKey seal_key(const LinkKey& key, std::uint32_t nodes, NodeId from, const Nonce& from_nonce,
                 NodeId to, const Nonce& to_nonce) {
  Bytes text;
  Writer writer(text);
  writer.put_string("dsm datagrams 1");
  writer.put(nodes);
  writer.put(from);
  writer.put(to);
  writer.put_bytes(std::as_bytes(std::span(from_nonce)));
  writer.put_bytes(std::as_bytes(std::span(to_nonce)));
  SealKey made;
  crypto_generichash(made.data(), made.size(), reinterpret_cast<const unsigned char*>(text.data()),
                     text.size(), key.data(), key.size());
  return made;
}

void seal(const SealKey& key, std::span<std::byte> datagram) {
  const Tag tag = tag_of(key, datagram);
  std::memcpy(datagram.data(), tag.data(), tag.size());
}

bool is_sealed(const SealKey& key, ByteView datagram) {
  const Tag tag = tag_of(key, datagram);
  return ::sodium_memcmp(tag.data(), datagram.data(), tag.size()) == 0;
}

}  // namespace dsm::transport
