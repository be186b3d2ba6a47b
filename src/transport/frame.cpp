#include "transport/frame.hpp"

#include <cstring>
#include <limits>

#include "transport/emulated_rma.hpp"

namespace dsm::transport {

static_assert(frame_message_max <= std::numeric_limits<std::uint32_t>::max());
static_assert(frame_operation_max + sizeof(RmaRequest) <=
              std::numeric_limits<std::uint32_t>::max());

std::array<std::byte, frame_header_bytes> Frame::encode() const {
  std::array<std::byte, frame_header_bytes> bytes{};
  std::memcpy(bytes.data(), &size, sizeof size);
  bytes[4] = static_cast<std::byte>(kind);
  return bytes;
}

std::optional<Frame> Frame::decode(ByteView bytes) {
  Reader reader(bytes.first(frame_header_bytes));
  Frame frame;
  frame.size = reader.get<std::uint32_t>();
  frame.kind = reader.get<FrameKind>();
  const bool padded = reader.get<std::uint8_t>() == 0 && reader.get<std::uint16_t>() == 0;
  if (!padded) return std::nullopt;
  switch (frame.kind) {
    case FrameKind::message:
      if (frame.size <= frame_message_max) return frame;
      break;
    case FrameKind::request:
      if (frame.size >= sizeof(RmaRequest) &&
          frame.size - sizeof(RmaRequest) <= frame_operation_max)
        return frame;
      break;
    case FrameKind::reply:
      if (frame.size >= sizeof(RmaReply) && frame.size - sizeof(RmaReply) <= frame_operation_max)
        return frame;
      break;
  }
  return std::nullopt;
}

}  // namespace dsm::transport
