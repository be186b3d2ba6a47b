#include "transport/verbs_memory.hpp"

#include <algorithm>
#include <cstring>

namespace dsm::transport {
namespace {

constexpr std::uint64_t keys_max = verbs_eager_bytes / verbs_chunk_bytes;

std::uint64_t chunks_of(std::uint64_t size) {
  return (size + verbs_chunk_bytes - 1) / verbs_chunk_bytes;
}

}  // namespace

Bytes VerbsMemoryKey::encode() const {
  Bytes bytes;
  Writer writer(bytes);
  writer.put(memory);
  writer.put(address);
  writer.put(size);
  writer.put(static_cast<std::uint32_t>(keys.size()));
  for (const std::uint32_t key : keys) writer.put(key);
  return bytes;
}

Result<VerbsMemoryKey> VerbsMemoryKey::decode(ByteView bytes) {
  Reader reader(bytes);
  VerbsMemoryKey key;
  key.memory = reader.get<std::uint32_t>();
  key.address = reader.get<std::uint64_t>();
  key.size = reader.get<std::uint64_t>();
  const auto count = reader.get<std::uint32_t>();
  const bool sound = reader.ok() && key.size <= ~key.address && count <= keys_max &&
                     (count == 0 || count == chunks_of(key.size));
  for (std::uint32_t i = 0; sound && i < count; ++i)
    key.keys.push_back(reader.get<std::uint32_t>());
  if (!sound || !reader.done()) return Status(Code::invalid, "not a key of exposed memory");
  return key;
}

std::span<std::byte> VerbsMemory::Exposed::part(std::uint64_t number) const {
  const std::uint64_t first = number * verbs_chunk_bytes;
  return memory.subspan(first, std::min<std::uint64_t>(verbs_chunk_bytes, memory.size() - first));
}

Result<VerbsMemoryKey> VerbsMemory::expose(std::span<std::byte> memory) {
  MutexLock hold(lock_);
  VerbsMemoryKey key{.memory = static_cast<std::uint32_t>(exposed_.size()),
                     .address = reinterpret_cast<std::uintptr_t>(memory.data()),
                     .size = memory.size(),
                     .keys = {}};
  exposed_.push_back({memory, {}});
  if (memory.size() > verbs_eager_bytes) return key;
  for (std::uint64_t i = 0; i < chunks_of(memory.size()); ++i) {
    const auto entered = enter(exposed_.back(), i, false);
    if (!entered.ok()) return entered.status();
    entered.value()->generation = 0;
    key.keys.push_back(entered.value()->region->rkey);
  }
  return key;
}

std::span<std::byte> VerbsMemory::exposed(std::uint32_t memory) const {
  MutexLock hold(lock_);
  return memory < exposed_.size() ? exposed_[memory].memory : std::span<std::byte>();
}

VerbsChunk VerbsMemory::name_of(const Exposed& exposed, std::uint64_t number,
                                const Chunk& chunk) const {
  return {.memory = static_cast<std::uint32_t>(&exposed - exposed_.data()),
          .chunk = number,
          .key = chunk.region->rkey,
          .generation = chunk.generation};
}

// Registers a chunk that is not.
Result<VerbsMemory::Chunk*> VerbsMemory::enter(Exposed& exposed, std::uint64_t number, bool lent) {
  const std::span<std::byte> part = exposed.part(number);
  const VerbsLimits& limits = device_.limits();
  auto region = device_.register_memory(part, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
                                                  IBV_ACCESS_REMOTE_WRITE |
                                                  (limits.atomics ? IBV_ACCESS_REMOTE_ATOMIC : 0) |
                                                  (limits.on_demand ? IBV_ACCESS_ON_DEMAND : 0));
  if (!region.ok()) return region.status();
  Chunk& chunk = exposed.chunks[number];
  chunk.region = std::move(region).value();
  chunk.generation = ++generations_;
  if (limits.on_demand) return &chunk;  // the device holds no frame
  chunk.lent = lent;
  registered_ += part.size();
  if (lent) lent_ += part.size();
  return &chunk;
}

// A lent chunk stays from now on, also if it was going: what was discarded of it goes on being seen
// and is cleared.
void VerbsMemory::keep(Exposed& exposed, std::uint64_t number, Chunk& chunk, Out& out) {
  chunk.lent = false;
  lent_ -= exposed.part(number).size();
  chunk.holders.clear();
  if (chunk.going) {
    chunk.going = false;
    --going_;
    chunk.generation = ++generations_;  // whoever was told that it goes is told anew
  }
  for (auto& [part, parting] : chunk.parts) {
    std::memset(part.data(), 0, part.size());
    settle(*parting, out);
  }
  chunk.parts.clear();
}

// The exposed memory that a byte lies in.
VerbsMemory::Exposed* VerbsMemory::owner_of(const std::byte* at) {
  for (Exposed& exposed : exposed_)
    if (at >= exposed.memory.data() && at < exposed.memory.data() + exposed.memory.size())
      return &exposed;
  return nullptr;
}

Status VerbsMemory::cover(std::span<std::byte> memory, std::vector<VerbsChunk>& fresh, Out& out) {
  MutexLock hold(lock_);
  Exposed* const exposed = owner_of(memory.data());
  if (!exposed || memory.empty()) return {};
  const auto offset = static_cast<std::uint64_t>(memory.data() - exposed->memory.data());
  for (std::uint64_t i = offset / verbs_chunk_bytes;
       i <= (offset + memory.size() - 1) / verbs_chunk_bytes; ++i) {
    const auto found = exposed->chunks.find(i);
    if (found == exposed->chunks.end()) {
      const auto entered = enter(*exposed, i, false);
      if (!entered.ok()) return entered.status();
      fresh.push_back(name_of(*exposed, i, *entered.value()));
    } else if (found->second.lent) {
      keep(*exposed, i, found->second, out);
      fresh.push_back(name_of(*exposed, i, found->second));
    }
  }
  serve(out);
  return {};
}

bool VerbsMemory::discard(std::span<std::byte> memory, const GiveBack& give_back, Cookie done,
                          Out& out) {
  MutexLock hold(lock_);
  Exposed* const exposed = owner_of(memory.data());
  if (!exposed) {
    give_back(memory);
    return true;
  }
  const auto parting = std::make_shared<Parting>(Parting{give_back, done, 1});
  while (!memory.empty()) {
    const auto offset = static_cast<std::uint64_t>(memory.data() - exposed->memory.data());
    const std::uint64_t number = offset / verbs_chunk_bytes;
    const std::uint64_t to_border = (number + 1) * verbs_chunk_bytes - offset;
    const auto part = memory.first(std::min<std::uint64_t>(memory.size(), to_border));
    memory = memory.subspan(part.size());
    const auto found = exposed->chunks.find(number);
    if (found == exposed->chunks.end() || device_.limits().on_demand) {
      give_back(part);
    } else if (!found->second.lent || done == 0) {
      std::memset(part.data(), 0, part.size());
    } else {
      ++parting->open;
      found->second.parts.emplace_back(part, parting);
      if (!found->second.going) revoke(*exposed, found, out);
    }
  }
  serve(out);
  return --parting->open == 0;
}

std::uint64_t VerbsMemory::registered_bytes() const {
  MutexLock hold(lock_);
  return registered_;
}

std::uint64_t VerbsMemory::lent_bytes() const {
  MutexLock hold(lock_);
  return lent_;
}

}  // namespace dsm::transport
