#include "transport/verbs_note.hpp"

namespace dsm::transport {

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
  }
  return bytes;
}

std::optional<VerbsNote> VerbsNote::decode(ByteView bytes) {
  Reader reader(bytes);
  VerbsNote note;
  note.kind = reader.get<Kind>();
  if (note.kind < Kind::call || note.kind > Kind::refused) return std::nullopt;
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
  }
  if (!reader.done()) return std::nullopt;
  return note;
}

}  // namespace dsm::transport
