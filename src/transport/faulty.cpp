#include "transport/faulty.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

namespace dsm::transport {
namespace {

constexpr std::size_t held_max = 256;  // events held back; the inner transport is not polled beyond
constexpr std::uint64_t stall_ticks_max = 16;
constexpr std::uint64_t overtake_ticks_max = 8;
constexpr std::uint64_t burst_max = 8;
constexpr double chance_max = 0.9;  // so that every call succeeds in the end

template <typename T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_chance(std::string_view text, double& value) {
  return parse_number(text, value) && value >= 0 && value <= chance_max;
}

bool parse_choice(std::string_view text, bool& value) {
  value = text == "yes";
  return value || text == "no";
}

bool parse_cut(std::string_view text, Faults& faults) {
  const std::size_t at = text.find('@');
  return at != std::string_view::npos && parse_number(text.substr(0, at), faults.cut.value) &&
         parse_number(text.substr(at + 1), faults.cut_at);
}

}  // namespace

Result<Faults> Faults::parse(std::string_view text) {
  Faults faults;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const std::size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    const bool good = (name == "seed" && parse_number(value, faults.seed)) ||
                      (name == "delay" && parse_chance(value, faults.delay)) ||
                      (name == "reorder" && parse_chance(value, faults.reorder)) ||
                      (name == "would_block" && parse_chance(value, faults.would_block)) ||
                      (name == "ordered" && parse_choice(value, faults.ordered)) ||
                      (name == "cut" && parse_cut(value, faults));
    if (!good)
      return Status(
          Code::invalid,
          "DSM_FAULTY: '" + std::string(part) +
              "' is none of seed=INTEGER, delay=, reorder= or would_block= a chance from 0 to 0.9, "
              "ordered=yes or no, cut=RANK@EVENT; an example: seed=1,delay=0.2,cut=2@1000");
  }
  return faults;
}

Faulty::Faulty(std::unique_ptr<Transport> inner, const Faults& faults, NodeId self,
               std::uint32_t nodes)
    : inner_(std::move(inner)),
      faults_(faults),
      self_(self),
      caps_(inner_->caps()),
      random_(faults.seed * 0x9e3779b97f4a7c15u + self.value),
      peers_(nodes) {
  held_.reserve(held_max + 2);
  caps_.ordered = caps_.ordered && faults.ordered;
}

// splitmix64.
std::uint64_t Faulty::random() {
  random_ += 0x9e3779b97f4a7c15u;
  std::uint64_t z = random_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

bool Faulty::chance(double probability) {
  return static_cast<double>(random() >> 11) * 0x1.0p-53 < probability;
}

bool Faulty::refuses() {
  if (burst_ == 0 && chance(faults_.would_block)) burst_ = 1 + random() % burst_max;
  if (burst_ == 0) return false;
  --burst_;
  refused_ = true;
  return true;
}

Status Faulty::send(NodeId peer, ByteView header, ByteView body, Urgency urgency) {
  {
    MutexLock hold(lock_);
    if (cut_ != Cut::not_yet && peer == faults_.cut)
      return Status(Code::peer_lost,
                    "node " + std::to_string(peer.value) + " was cut off by DSM_FAULTY");
    if (refuses()) return Status::would_block();
  }
  return inner_->send(peer, header, body, urgency);
}

std::size_t Faulty::post(NodeId peer, std::span<const Operation> operations) {
  std::size_t offered = operations.size();
  const auto owed = [](std::span<const Operation> some) {
    return static_cast<std::uint64_t>(
        std::count_if(some.begin(), some.end(), [](const Operation& o) { return o.cookie != 0; }));
  };
  {
    MutexLock hold(lock_);
    if (offered != 0 && refuses()) offered = random() % operations.size();
    if (peer == faults_.cut) cut_outstanding_ += owed(operations.first(offered));
    if (!faults_.ordered) {
      post_in_any_order(peer, operations.first(offered));
      return offered;
    }
  }
  const std::size_t accepted = inner_->post(peer, operations.first(offered));
  if (accepted < offered && peer == faults_.cut) {
    MutexLock hold(lock_);
    cut_outstanding_ -= owed(operations.subspan(accepted, offered - accepted));
  }
  return accepted;
}

// While somebody polls, so that what is kept back is posted soon.
void Faulty::post_in_any_order(NodeId peer, std::span<const Operation> operations) {
  for (const Operation& operation : operations) {
    const bool kept = !armed_ && chance(faults_.reorder);
    if (kept || inner_->post(peer, {&operation, 1}) == 0) overtaken_.push_back({peer, operation});
  }
}

void Faulty::post_overtaken() {
  std::erase_if(overtaken_, [&](const Overtaken& o) {
    return !chance(faults_.delay) && inner_->post(o.peer, {&o.operation, 1}) == 1;
  });
}

std::size_t Faulty::poll(std::span<Event> out) {
  std::array<Event, 64> fresh;
  std::size_t room;
  {
    MutexLock hold(lock_);
    armed_ = false;
    post_overtaken();
    room = std::min(fresh.size(), held_max - std::min(held_max, held_.size()));
  }
  const std::size_t count = inner_->poll(std::span(fresh).first(room));
  MutexLock lock(lock_);
  ++tick_;
  for (const Event& event : std::span(fresh).first(count)) hold(event);
  advance_cut();
  return emit(out);
}

void Faulty::hold(const Event& event) {
  ++events_;
  Peer& peer = peers_[event.peer.value];
  const bool is_cut = cut_ != Cut::not_yet && event.peer == faults_.cut;
  Event kept = event;
  switch (event.kind) {
    case Event::Kind::message:
      if (is_cut) return inner_->recycle(event);
      break;
    case Event::Kind::completion:
      if (event.peer == faults_.cut && event.cookie != 0) --cut_outstanding_;
      if (is_cut) kept.code = Code::peer_lost;
      break;
    case Event::Kind::peer_down:
      if (peer.down || is_cut) return;
      peer.down = true;
      break;
  }
  if (chance(faults_.delay))
    peer.stalled_until = std::max(peer.stalled_until, tick_ + 1 + random() % stall_ticks_max);
  std::uint64_t due = std::max(tick_, peer.stalled_until);
  if (event.kind == Event::Kind::message && chance(faults_.reorder))
    due += 1 + random() % overtake_ticks_max;
  if (event.kind == Event::Kind::peer_down) due = std::max(due, peer.last_due);
  peer.last_due = std::max(peer.last_due, due);
  held_.push_back({kept, due});
}

// The cut node's outstanding operations complete first, as the contract says.
void Faulty::advance_cut() {
  if (faults_.cut == no_node || faults_.cut == self_ || cut_ == Cut::done) return;
  Peer& peer = peers_[faults_.cut.value];
  if (cut_ == Cut::not_yet) {
    if (events_ < faults_.cut_at) return;
    cut_ = Cut::announced_late;
  }
  if (cut_outstanding_ != 0) return;
  cut_ = Cut::done;
  if (peer.down) return;
  peer.down = true;
  held_.push_back(
      {{.kind = Event::Kind::peer_down, .peer = faults_.cut}, std::max(tick_, peer.last_due)});
}

std::size_t Faulty::emit(std::span<Event> out) {
  std::size_t count = 0;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < held_.size(); ++i) {
    if (count < out.size() && held_[i].due <= tick_)
      out[count++] = held_[i].event;
    else
      held_[kept++] = held_[i];
  }
  held_.resize(kept);
  return count;
}

bool Faulty::arm(Urgency least) {
  {
    MutexLock hold(lock_);
    if (!held_.empty() || !overtaken_.empty() || refused_ || cut_ == Cut::announced_late) {
      refused_ = false;
      return false;
    }
    armed_ = true;
  }
  return inner_->arm(least);
}

Result<std::unique_ptr<Transport>> wrap_faulty(std::unique_ptr<Transport> inner,
                                               const Options& options) {
  const char* text = std::getenv("DSM_FAULTY");
  const Result<Faults> faults = Faults::parse(text ? text : "");
  if (!faults.ok()) return faults.status();
  if (faults.value().cut != no_node && faults.value().cut.value >= options.nodes)
    return Status(Code::invalid, "DSM_FAULTY: cut=" + std::to_string(faults.value().cut.value) +
                                     " names no node: the job has " +
                                     std::to_string(options.nodes) + ", numbered from 0");
  return std::unique_ptr<Transport>(
      std::make_unique<Faulty>(std::move(inner), faults.value(), options.self, options.nodes));
}

}  // namespace dsm::transport
