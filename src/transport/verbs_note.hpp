// VerbsNote: what the lanes of two nodes say to one another by message (verbs_lane.hpp): how their
// queue pairs come to be (verbs_link.hpp), and the keys of registered memory. Decoding is total.
#pragma once

#include <optional>
#include <string>

#include "base/types.hpp"
#include "base/wire.hpp"
#include "transport/verbs_device.hpp"
#include "transport/verbs_memory.hpp"

namespace dsm::transport {

struct VerbsNote {
  enum class Kind : std::uint8_t { call = 1, answer, ready, ask, told, refused, revoke, released };
  Kind kind = Kind::call;
  // call, answer, ready
  std::uint32_t generation = 0;
  // call, answer
  std::uint32_t pair = 0;
  VerbsPort port;
  // the others
  VerbsChunk chunk;

  static VerbsNote of(const VerbsMemory::Word& word);

  Bytes encode() const;
  // Nothing: these bytes are no note.
  static std::optional<VerbsNote> decode(ByteView bytes);
};

// What a lane wants of its transport. Any thread; must not call back into a lane.
class VerbsNotes {
 public:
  virtual void note(NodeId peer, const VerbsNote& note) = 0;
  // The lane has given its peer up; `why` is one clause for the user.
  virtual void lost(NodeId peer, const std::string& why) = 0;

 protected:
  ~VerbsNotes() = default;
};

}  // namespace dsm::transport
