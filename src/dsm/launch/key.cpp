#include "dsm/launch/key.hpp"

#include <sodium.h>

#include "base/check.hpp"

namespace dsm::launch {
namespace {

static_assert(key_bytes >= crypto_generichash_KEYBYTES_MIN &&
              key_bytes <= crypto_generichash_KEYBYTES_MAX);
static_assert(mac_bytes >= crypto_generichash_BYTES_MIN &&
              mac_bytes <= crypto_generichash_BYTES_MAX);

void start_sodium() {
  static const bool started = ::sodium_init() >= 0;
  DSM_CHECK(started, "libsodium finds a source of random bytes");
}

const unsigned char* octets(ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace

JobKey JobKey::random() {
  start_sodium();
  JobKey key;
  ::randombytes_buf(key.bytes.data(), key.bytes.size());
  return key;
}

Result<JobKey> JobKey::from_hex(std::string_view hex) {
  constexpr std::string_view blank = " \t\r\n";
  const std::size_t first = hex.find_first_not_of(blank);
  if (first != std::string_view::npos)
    hex = hex.substr(first, hex.find_last_not_of(blank) - first + 1);
  JobKey key;
  std::size_t size = 0;
  const int code =
      ::sodium_hex2bin(reinterpret_cast<unsigned char*>(key.bytes.data()), key.bytes.size(),
                       hex.data(), hex.size(), nullptr, &size, nullptr);
  if (code != 0 || size != key_bytes || hex.size() != 2 * key_bytes)
    return Status(Code::invalid,
                  "a job's key is 64 hexadecimal digits, as \"openssl rand -hex 32\" prints them");
  return key;
}

std::string JobKey::hex() const {
  std::string text(2 * key_bytes + 1, '\0');
  ::sodium_bin2hex(text.data(), text.size(), octets(bytes), bytes.size());
  text.pop_back();
  return text;
}

Nonce random_nonce() {
  start_sodium();
  Nonce nonce;
  ::randombytes_buf(nonce.data(), nonce.size());
  return nonce;
}

Digest hash(ByteView bytes) {
  Digest out;
  ::crypto_generichash(reinterpret_cast<unsigned char*>(out.data()), out.size(), octets(bytes),
                       bytes.size(), nullptr, 0);
  return out;
}

Digest keyed_hash(ByteView key, std::initializer_list<ByteView> parts) {
  crypto_generichash_state state;
  Digest out;
  ::crypto_generichash_init(&state, octets(key), key.size(), out.size());
  for (const ByteView part : parts) ::crypto_generichash_update(&state, octets(part), part.size());
  ::crypto_generichash_final(&state, reinterpret_cast<unsigned char*>(out.data()), out.size());
  return out;
}

bool equal(ByteView a, ByteView b) {
  return a.size() == b.size() && ::sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace dsm::launch
