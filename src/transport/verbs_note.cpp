#include "transport/verbs_note.hpp"

namespace dsm::transport {

VerbsNote VerbsNote::of(const VerbsMemory::Word& word) {
  switch (word.kind) {
    case VerbsMemory::Word::Kind::told:
      return {.kind = Kind::told, .chunk = word.chunk};
    case VerbsMemory::Word::Kind::revoke:
      return {.kind = Kind::revoke, .chunk = word.chunk};
    case VerbsMemory::Word::Kind::refused:
      break;
  }
  return {.kind = Kind::refused, .chunk = word.chunk};
}

Bytes VerbsNote::encode() const {
  Bytes bytes;
  Writer writer(bytes);
  writer.put(kind);
  if (kind <= Kind::ready) {
    writer.put(generation);
    if (kind == Kind::ready) return bytes;
    writer.put(pair);
    port.encode(writer);
  } else {
    writer.put(chunk.memory);
    writer.put(chunk.chunk);
    writer.put(chunk.key);
    writer.put(chunk.generation);
  }
  return bytes;
}

std::optional<VerbsNote> VerbsNote::decode(ByteView bytes) {
  Reader reader(bytes);
  VerbsNote note;
  note.kind = reader.get<Kind>();
  if (note.kind < Kind::call || note.kind > Kind::released) return std::nullopt;
  if (note.kind <= Kind::ready) {
    note.generation = reader.get<std::uint32_t>();
    if (note.kind != Kind::ready) {
      note.pair = reader.get<std::uint32_t>();
      note.port = VerbsPort::decode(reader);
    }
  } else {
    note.chunk.memory = reader.get<std::uint32_t>();
    note.chunk.chunk = reader.get<std::uint64_t>();
    note.chunk.key = reader.get<std::uint32_t>();
    note.chunk.generation = reader.get<std::uint32_t>();
  }
  if (!reader.done()) return std::nullopt;
  return note;
}

}  // namespace dsm::transport
