#include "transport/traced.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace dsm::transport {
namespace {

struct Name {
  const char* what;
  const char* value;
};
constexpr Name names[Traced::kinds] = {
    {"send", "bytes"},
    {"send refused", "bytes"},
    {"read", "bytes"},
    {"write", "bytes"},
    {"fetch_add", "cookie"},
    {"compare_swap", "cookie"},
    {"post refused", "operations"},
    {"message", "bytes"},
    {"completion", "cookie"},
    {"failed completion", "cookie"},
    {"peer down", "cookie"},
};
static_assert(static_cast<std::size_t>(Traced::What::peer_down) + 1 == Traced::kinds);

Traced::What what_of(Operation::Kind kind) {
  switch (kind) {
    case Operation::Kind::read:
      return Traced::What::read;
    case Operation::Kind::write:
      return Traced::What::write;
    case Operation::Kind::fetch_add:
      return Traced::What::fetch_add;
    case Operation::Kind::compare_swap:
      return Traced::What::compare_swap;
  }
  return Traced::What::read;
}

bool is_copy(Operation::Kind kind) {
  return kind == Operation::Kind::read || kind == Operation::Kind::write;
}

}  // namespace

Traced::Count Traced::count(What what) const {
  const Counter& counter = counters_[static_cast<std::size_t>(what)];
  return {counter.times.load(std::memory_order_relaxed),
          counter.bytes.load(std::memory_order_relaxed)};
}

void Traced::note(What what, NodeId peer, std::uint64_t bytes, std::uint64_t value) {
  Counter& counter = counters_[static_cast<std::size_t>(what)];
  counter.times.fetch_add(1, std::memory_order_relaxed);
  counter.bytes.fetch_add(bytes, std::memory_order_relaxed);
  // Whoever is refused tries again at once: that would push everything else out of the record.
  if (what == What::send_refused || what == What::post_refused) return;
  Line& line = record_[noted_.fetch_add(1, std::memory_order_relaxed) % record_max];
  line.what_and_peer.store(std::uint64_t{static_cast<std::uint8_t>(what)} << 32 | peer.value,
                           std::memory_order_relaxed);
  line.value.store(value, std::memory_order_relaxed);
}

void Traced::report() const {
  log_line("transport %s of node %u:", inner_->caps().name, self_.value);
  for (std::size_t i = 0; i < kinds; ++i) {
    const Count c = count(static_cast<What>(i));
    if (c.times != 0)
      log_line("  %s: %llu, %llu bytes", names[i].what, static_cast<unsigned long long>(c.times),
               static_cast<unsigned long long>(c.bytes));
  }
  const std::uint64_t end = noted_.load(std::memory_order_relaxed);
  for (std::uint64_t i = end - std::min<std::uint64_t>(end, record_max); i < end; ++i) {
    const Line& line = record_[i % record_max];
    const std::uint64_t packed = line.what_and_peer.load(std::memory_order_relaxed);
    const Name& name = names[(packed >> 32) % kinds];
    log_line("  event %llu: %s, node %u, %s %llu", static_cast<unsigned long long>(i), name.what,
             static_cast<unsigned>(packed), name.value,
             static_cast<unsigned long long>(line.value.load(std::memory_order_relaxed)));
  }
}

Status Traced::send(NodeId peer, ByteView header, ByteView body, Urgency urgency) {
  const std::size_t size = header.size() + body.size();
  Status sent = inner_->send(peer, header, body, urgency);
  note(sent.ok() ? What::send : What::send_refused, peer, size, size);
  return sent;
}

void Traced::send_each(std::span<Letter> letters) {
  inner_->send_each(letters);
  for (const Letter& letter : letters) {
    const std::size_t size = letter.message.size();
    note(letter.code == Code::ok ? What::send : What::send_refused, letter.to, size, size);
  }
}

std::size_t Traced::post(NodeId peer, std::span<const Operation> operations) {
  // Noted first: a completion may be polled by another thread before post() returns.
  for (const Operation& o : operations)
    note(what_of(o.kind), peer, is_copy(o.kind) ? o.size : sizeof(std::uint64_t),
         is_copy(o.kind) ? o.size : o.cookie);
  const std::size_t accepted = inner_->post(peer, operations);
  for (const Operation& o : operations.subspan(accepted)) {
    Counter& counter = counters_[static_cast<std::size_t>(what_of(o.kind))];
    counter.times.fetch_sub(1, std::memory_order_relaxed);
    counter.bytes.fetch_sub(is_copy(o.kind) ? o.size : sizeof(std::uint64_t),
                            std::memory_order_relaxed);
  }
  if (accepted < operations.size()) note(What::post_refused, peer, 0, operations.size() - accepted);
  return accepted;
}

std::size_t Traced::poll(std::span<Event> out) {
  const std::size_t count = inner_->poll(out);
  for (const Event& event : out.first(count)) {
    switch (event.kind) {
      case Event::Kind::message:
        note(What::message, event.peer, event.bytes.size(), event.bytes.size());
        break;
      case Event::Kind::completion:
        note(event.code == Code::ok ? What::completion : What::failed_completion, event.peer, 0,
             event.cookie);
        break;
      case Event::Kind::peer_down:
        note(What::peer_down, event.peer, 0, 0);
        report();
        break;
    }
  }
  return count;
}

Result<std::unique_ptr<Transport>> wrap_traced(std::unique_ptr<Transport> inner,
                                               const Options& options) {
  return std::unique_ptr<Transport>(std::make_unique<Traced>(std::move(inner), options.self));
}

}  // namespace dsm::transport
