#include "dsm/outbox.hpp"

#include "base/check.hpp"

namespace dsm {

bool Outbox::try_send(NodeId to, ByteView message, transport::Urgency urgency) {
  return has_gone(to, message, wire_.send(to, message, {}, urgency).code());
}

bool Outbox::has_gone(NodeId to, ByteView message, Code code) {
  if (code == Code::would_block) return false;
  DSM_CHECK_WITH(code == Code::ok || code == Code::peer_lost, "a message fits the wire",
                 {"bytes", message.size()}, {"to", to.value});
  messages_.fetch_add(1, std::memory_order_relaxed);
  bytes_.fetch_add(message.size(), std::memory_order_relaxed);
  return true;
}

void Outbox::send(NodeId to, ByteView message, transport::Urgency urgency) {
  if (!try_send(to, message, urgency)) keep(to, message, urgency);
}

void Outbox::send_each(std::span<transport::Letter> letters) {
  wire_.send_each(letters);
  for (const transport::Letter& each : letters)
    if (!has_gone(each.to, each.message, each.code))
      keep(each.to, each.message, transport::Urgency::prompt);
}

void Outbox::keep(NodeId to, ByteView message, transport::Urgency urgency) {
  MutexLock hold(mutex_);
  kept_.push_back({to, Bytes(message.begin(), message.end()), urgency});
  waiting_.store(true, std::memory_order_release);
}

bool Outbox::retry() {
  if (!waiting_.load(std::memory_order_acquire)) return false;
  MutexLock hold(mutex_);
  bool sent = false;
  for (std::size_t left = kept_.size(); left > 0; --left) {
    Kept kept = std::move(kept_.front());
    kept_.pop_front();
    if (try_send(kept.to, kept.message, kept.urgency)) {
      sent = true;
    } else {
      kept_.push_back(std::move(kept));
    }
  }
  if (kept_.empty()) waiting_.store(false, std::memory_order_release);
  return sent;
}

}  // namespace dsm
