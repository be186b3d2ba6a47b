#include "transport/verbs_memory.hpp"

#include <algorithm>
#include <cstring>

namespace dsm::transport {
namespace {

constexpr std::uint64_t keys_max = verbs_eager_bytes / verbs_chunk_bytes;

std::uint64_t chunks_of(std::uint64_t size) {
  return (size + verbs_chunk_bytes - 1) / verbs_chunk_bytes;
}

std::span<std::byte> part_of(std::span<std::byte> memory, std::uint64_t number) {
  const std::uint64_t first = number * verbs_chunk_bytes;
  return memory.subspan(first, std::min<std::uint64_t>(verbs_chunk_bytes, memory.size() - first));
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

Result<VerbsMemoryKey> VerbsMemory::expose(std::span<std::byte> memory) {
  MutexLock hold(lock_);
  VerbsMemoryKey key{.memory = static_cast<std::uint32_t>(exposed_.size()),
                     .address = reinterpret_cast<std::uintptr_t>(memory.data()),
                     .size = memory.size(),
                     .keys = {}};
  exposed_.push_back({memory, {}});
  if (memory.size() > verbs_eager_bytes) return key;
  for (std::uint64_t i = 0; i < chunks_of(memory.size()); ++i) {
    const auto registered = key_of(exposed_.back(), i);
    if (!registered.ok()) return registered.status();
    key.keys.push_back(registered.value());
  }
  return key;
}

std::span<std::byte> VerbsMemory::exposed(std::uint32_t memory) const {
  MutexLock hold(lock_);
  return memory < exposed_.size() ? exposed_[memory].memory : std::span<std::byte>();
}

Result<std::uint32_t> VerbsMemory::key_of(Exposed& exposed, std::uint64_t number) {
  VerbsRegion& region = exposed.chunks[number];
  if (!region) {
    const std::span<std::byte> part = part_of(exposed.memory, number);
    auto registered = device_.register_memory(
        part, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE |
                  (device_.limits().atomics ? IBV_ACCESS_REMOTE_ATOMIC : 0));
    if (!registered.ok()) {
      exposed.chunks.erase(number);
      return registered.status();
    }
    region = std::move(registered).value();
    registered_ += part.size();
  }
  return region->rkey;
}

Result<VerbsChunk> VerbsMemory::chunk(std::uint32_t memory, std::uint64_t number) {
  MutexLock hold(lock_);
  if (memory >= exposed_.size() || number >= chunks_of(exposed_[memory].memory.size()))
    return Status(Code::invalid, "verbs: a peer asks for memory that this node never exposed");
  const auto key = key_of(exposed_[memory], number);
  if (!key.ok()) return key.status();
  return VerbsChunk{memory, number, key.value()};
}

// The exposed memory that a byte lies in.
VerbsMemory::Exposed* VerbsMemory::owner_of(const std::byte* at) {
  for (Exposed& exposed : exposed_)
    if (at >= exposed.memory.data() && at < exposed.memory.data() + exposed.memory.size())
      return &exposed;
  return nullptr;
}

Status VerbsMemory::cover(std::span<std::byte> memory, std::vector<VerbsChunk>& fresh) {
  MutexLock hold(lock_);
  Exposed* const exposed = owner_of(memory.data());
  if (!exposed || memory.empty()) return {};
  const auto offset = static_cast<std::uint64_t>(memory.data() - exposed->memory.data());
  const auto id = static_cast<std::uint32_t>(exposed - exposed_.data());
  for (std::uint64_t i = offset / verbs_chunk_bytes;
       i <= (offset + memory.size() - 1) / verbs_chunk_bytes; ++i) {
    if (exposed->chunks.contains(i)) continue;
    const auto key = key_of(*exposed, i);
    if (!key.ok()) return key.status();
    fresh.push_back({id, i, key.value()});
  }
  return {};
}

void VerbsMemory::discard(std::span<std::byte> memory,
                          const std::function<void(std::span<std::byte>)>& give_back) {
  MutexLock hold(lock_);
  Exposed* const exposed = owner_of(memory.data());
  if (!exposed) return give_back(memory);
  while (!memory.empty()) {
    const auto offset = static_cast<std::uint64_t>(memory.data() - exposed->memory.data());
    const std::uint64_t number = offset / verbs_chunk_bytes;
    const std::uint64_t to_border = (number + 1) * verbs_chunk_bytes - offset;
    const auto part = memory.first(std::min<std::uint64_t>(memory.size(), to_border));
    if (exposed->chunks.contains(number))
      std::memset(part.data(), 0, part.size());
    else
      give_back(part);
    memory = memory.subspan(part.size());
  }
}

std::uint64_t VerbsMemory::registered_bytes() const {
  MutexLock hold(lock_);
  return registered_;
}

}  // namespace dsm::transport
