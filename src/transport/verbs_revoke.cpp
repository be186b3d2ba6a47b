// Lent chunks: who is told their keys, and how they go.
#include <algorithm>
#include <cstring>

#include "base/log.hpp"
#include "transport/verbs_memory.hpp"

namespace dsm::transport {

void VerbsMemory::ask(NodeId peer, std::uint32_t memory, std::uint64_t number, Out& out) {
  MutexLock hold(lock_);
  if (memory >= exposed_.size() ||
      number >= (exposed_[memory].memory.size() + verbs_chunk_bytes - 1) / verbs_chunk_bytes) {
    log_line("verbs: node %u asks for memory that this node never exposed", peer.value);
    out.words.push_back({Word::Kind::refused, peer, {memory, number, 0, 0}});
    return;
  }
  // Who asks again has forgotten what it asked for before.
  std::erase_if(asks_, [peer](const Ask& ask) { return ask.peer == peer; });
  asks_.push_back({peer, memory, number});
  serve(out);
}

// First come, first served: otherwise a peer whose chunk must wait could wait for ever.
void VerbsMemory::serve(Out& out) {
  while (!asks_.empty() && answer(asks_.front(), out)) asks_.pop_front();
}

// False: a chunk must go first.
bool VerbsMemory::answer(const Ask& ask, Out& out) {
  Exposed& exposed = exposed_[ask.memory];
  const auto found = exposed.chunks.find(ask.number);
  Chunk* chunk = found == exposed.chunks.end() ? nullptr : &found->second;
  if (chunk && chunk->going) return false;
  const std::uint64_t size = exposed.part(ask.number).size();
  while (!chunk) {
    const bool over = lent_ != 0 && lent_ + size > lent_max_;
    const auto entered =
        over ? Result<Chunk*>(Status(Code::exhausted, {})) : enter(exposed, ask.number, true);
    if (entered.ok()) {
      chunk = entered.value();
    } else if (lent_ == 0) {
      log_line("%s", entered.status().message().c_str());
      out.words.push_back({Word::Kind::refused, ask.peer, {ask.memory, ask.number, 0, 0}});
      return true;
    } else if (!revoke_oldest(out)) {
      return false;
    }
  }
  chunk->last_ask = ++clock_;
  if (chunk->lent &&
      std::find(chunk->holders.begin(), chunk->holders.end(), ask.peer) == chunk->holders.end())
    chunk->holders.push_back(ask.peer);
  out.words.push_back({Word::Kind::told, ask.peer, name_of(exposed, ask.number, *chunk)});
  return true;
}

// Sees to it that lent memory gets less. True: it is less now.
bool VerbsMemory::revoke_oldest(Out& out) {
  if (going_ != 0) return false;  // one at a time for all who wait
  Exposed* of = nullptr;
  Chunks::iterator oldest;
  for (Exposed& exposed : exposed_)
    for (auto at = exposed.chunks.begin(); at != exposed.chunks.end(); ++at) {
      if (!at->second.lent || (of && oldest->second.last_ask <= at->second.last_ask)) continue;
      of = &exposed;
      oldest = at;
    }
  if (of) revoke(*of, oldest, out);
  return going_ == 0;
}

void VerbsMemory::revoke(Exposed& exposed, Chunks::iterator at, Out& out) {
  Chunk& chunk = at->second;
  chunk.going = true;
  ++going_;
  for (const NodeId holder : chunk.holders)
    out.words.push_back({Word::Kind::revoke, holder, name_of(exposed, at->first, chunk)});
  if (chunk.holders.empty()) finish(exposed, at, out);
}

// Nobody uses the chunk any more.
void VerbsMemory::finish(Exposed& exposed, Chunks::iterator at, Out& out) {
  Chunk& chunk = at->second;
  --going_;
  const std::uint64_t size = exposed.part(at->first).size();
  lent_ -= size;
  registered_ -= size;
  chunk.region.reset();
  for (auto& [part, parting] : chunk.parts) {
    parting->give_back(part);
    settle(*parting, out);
  }
  exposed.chunks.erase(at);
}

void VerbsMemory::settle(Parting& parting, Out& out) {
  if (--parting.open == 0) out.gone.push_back(parting.done);
}

void VerbsMemory::released(NodeId peer, const VerbsChunk& chunk, Out& out) {
  MutexLock hold(lock_);
  if (chunk.memory >= exposed_.size()) return;
  Exposed& exposed = exposed_[chunk.memory];
  const auto found = exposed.chunks.find(chunk.chunk);
  if (found == exposed.chunks.end() || !found->second.going ||
      found->second.generation != chunk.generation)
    return;
  std::vector<NodeId>& holders = found->second.holders;
  if (std::erase(holders, peer) == 0 || !holders.empty()) return;
  finish(exposed, found, out);
  serve(out);
}

void VerbsMemory::forget(NodeId peer, Out& out) {
  MutexLock hold(lock_);
  std::erase_if(asks_, [peer](const Ask& ask) { return ask.peer == peer; });
  for (Exposed& exposed : exposed_)
    for (auto at = exposed.chunks.begin(); at != exposed.chunks.end();) {
      const auto each = at++;  // it may go
      std::vector<NodeId>& holders = each->second.holders;
      if (std::erase(holders, peer) != 0 && holders.empty() && each->second.going)
        finish(exposed, each, out);
    }
  serve(out);
}

}  // namespace dsm::transport
