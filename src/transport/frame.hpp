// Frames: what a stream between two nodes is cut into. Pure; decoding is total.
//
//   size (4 bytes) kind (1) zero (3) | payload of `size` bytes
// A frame that claims more than its kind allows is no frame: its stream has lost its step, or its
// peer its mind, and is closed.
#pragma once

#include <array>
#include <optional>

#include "base/wire.hpp"

namespace dsm::transport {

enum class FrameKind : std::uint8_t { message = 1, request = 2, reply = 3 };

inline constexpr std::size_t frame_header_bytes = 8;
inline constexpr std::size_t frame_message_max = std::size_t{256} << 20;
inline constexpr std::size_t frame_operation_max = std::size_t{64}
                                                   << 20;  // data aboard a request or a reply

struct Frame {
  FrameKind kind{};
  std::uint32_t size = 0;  // of the payload

  std::array<std::byte, frame_header_bytes> encode() const;
  // REQUIRES: frame_header_bytes of input.
  static std::optional<Frame> decode(ByteView bytes);
};

}  // namespace dsm::transport
