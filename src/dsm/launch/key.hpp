// The job's key and what is made of it. The only file here that knows libsodium (keyed BLAKE2b,
// random bytes). Values; any thread. Keys enter no message and no log.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "base/status.hpp"
#include "base/wire.hpp"

namespace dsm::launch {

inline constexpr std::size_t key_bytes = 32;
inline constexpr std::size_t mac_bytes = 32;

using Digest = std::array<std::byte, mac_bytes>;
using Nonce = std::array<std::byte, 32>;

struct JobKey {
  std::array<std::byte, key_bytes> bytes{};

  static JobKey random();
  // 64 hexadecimal digits, with white space around them allowed.
  static Result<JobKey> from_hex(std::string_view hex);
  std::string hex() const;
  // For transport::Options::job_key. Valid as long as the key.
  std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  bool operator==(const JobKey&) const = default;
};

Nonce random_nonce();
Digest hash(ByteView bytes);
// Hash under a key of the parts, one after the other. REQUIRES: what the parts mean does not depend
// on where they are cut.
Digest keyed_hash(ByteView key, std::initializer_list<ByteView> parts);
// In a time that does not depend on the bytes.
bool equal(ByteView a, ByteView b);

}  // namespace dsm::launch
