// Bytes on a wire, little-endian. The Reader is total: any bytes give values or !ok(), never a read
// past the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/types.hpp"

namespace dsm {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

// Appends to a vector owned by the caller. Thread-compatible.
class Writer {
 public:
  explicit Writer(Bytes& out) : out_(out) {}

  template <typename T>
  requires std::is_integral_v<T> || std::is_enum_v<T>
  void put(T value) {
    const std::size_t at = out_.size();
    out_.resize(at + sizeof value);
    std::memcpy(out_.data() + at, &value, sizeof value);
  }
  template <typename Tag, typename Rep>
  void put(Id<Tag, Rep> id) {
    put(id.value);
  }
  void put_bytes(ByteView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  // A 32-bit length, then the bytes.
  void put_sized(ByteView bytes) {
    put(static_cast<std::uint32_t>(bytes.size()));
    put_bytes(bytes);
  }
  void put_string(std::string_view s) { put_sized(std::as_bytes(std::span(s.data(), s.size()))); }

 private:
  Bytes& out_;
};

// Reads from bytes that outlive it. After the first failed get() every later one fails too and
// yields zero.
class Reader {
 public:
  explicit Reader(ByteView bytes) : rest_(bytes) {}

  template <typename T>
  requires std::is_integral_v<T> || std::is_enum_v<T> T get() {
    T value{};
    if (!take(sizeof value)) return value;
    std::memcpy(&value, taken_.data(), sizeof value);
    return value;
  }
  template <typename IdType>
  requires requires(IdType id) { id.value; }
  IdType get() { return IdType(get<decltype(IdType::value)>()); }
  ByteView get_bytes(std::size_t size) { return take(size) ? taken_ : ByteView{}; }
  ByteView get_sized() { return get_bytes(get<std::uint32_t>()); }
  std::string get_string() {
    const ByteView b = get_sized();
    return std::string(reinterpret_cast<const char*>(b.data()), b.size());
  }

  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }
  std::size_t left() const { return rest_.size(); }
  void fail() {
    ok_ = false;
    rest_ = {};
  }

 private:
  bool take(std::size_t size) {
    if (!ok_ || rest_.size() < size) {
      fail();
      return false;
    }
    taken_ = rest_.first(size);
    rest_ = rest_.subspan(size);
    return true;
  }

  ByteView rest_;
  ByteView taken_;
  bool ok_ = true;
};

}  // namespace dsm
