#include "transport/lossy_port.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "transport/direct.hpp"

namespace dsm::transport {
namespace {

constexpr double chance_max = 0.5;
constexpr std::uint64_t kept_calls_max = 6;  // sends and polls

template <typename T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_chance(std::string_view text, double& value) {
  return parse_number(text, value) && value >= 0 && value <= chance_max;
}

}  // namespace

Result<Losses> Losses::parse(std::string_view text) {
  Losses losses;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const std::size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    const bool good = (name == "seed" && parse_number(value, losses.seed)) ||
                      (name == "loss" && parse_chance(value, losses.loss)) ||
                      (name == "duplicate" && parse_chance(value, losses.duplicate)) ||
                      (name == "reorder" && parse_chance(value, losses.reorder)) ||
                      (name == "corrupt" && parse_chance(value, losses.corrupt));
    if (!good)
      return Status(Code::invalid,
                    "DSM_LOSSY: '" + std::string(part) +
                        "' is none of seed=INTEGER, loss=, duplicate=, reorder= or corrupt= a "
                        "chance from 0 to 0.5; an example: seed=1,loss=0.01");
  }
  return losses;
}

LossyPort::LossyPort(std::unique_ptr<DatagramPort> inner, const Losses& losses, NodeId self)
    : inner_(std::move(inner)),
      losses_(losses),
      random_(losses.seed * 0x9e3779b97f4a7c15u + self.value) {}

// splitmix64.
std::uint64_t LossyPort::random() {
  random_ += 0x9e3779b97f4a7c15u;
  std::uint64_t z = random_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

bool LossyPort::chance(double probability) {
  return static_cast<double>(random() >> 11) * 0x1.0p-53 < probability;
}

// What is in scratch_.
void LossyPort::damage() {
  if (scratch_.empty() || !chance(losses_.corrupt)) return;
  if (random() % 4 == 0)
    scratch_.resize(random() % scratch_.size());
  else
    scratch_[random() % scratch_.size()] ^= static_cast<std::byte>(1u << (random() % 8));
}

Status LossyPort::send(NodeId peer, ByteView header, ByteView body, Urgency urgency) {
  MutexLock hold(lock_);
  ++calls_;
  release_kept(false);
  if (chance(losses_.loss)) return {};
  scratch_.resize(header.size() + body.size());
  copy_shared(scratch_.data(), header.data(), header.size());
  copy_shared(scratch_.data() + header.size(), body.data(), body.size());
  damage();
  if (chance(losses_.duplicate)) (void)inner_->send(peer, scratch_, {}, urgency);
  if (chance(losses_.reorder)) {
    for (Kept& place : kept_) {
      if (place.used) continue;
      place.peer = peer;
      place.bytes.assign(scratch_.begin(), scratch_.end());
      place.due = calls_ + 1 + random() % kept_calls_max;
      place.used = true;
      return {};
    }
  }
  return inner_->send(peer, scratch_, {}, urgency);
}

Status LossyPort::send_to_all(ByteView datagram) {
  MutexLock hold(lock_);
  ++calls_;
  release_kept(false);
  if (chance(losses_.loss)) return {};
  scratch_.assign(datagram.begin(), datagram.end());
  damage();
  if (chance(losses_.duplicate)) (void)inner_->send_to_all(scratch_);
  return inner_->send_to_all(scratch_);
}

void LossyPort::release_kept(bool all) {
  for (Kept& place : kept_) {
    if (!place.used || (!all && place.due > calls_)) continue;
    place.used = false;
    (void)inner_->send(place.peer, place.bytes, {});  // not taken: lost
  }
}

std::size_t LossyPort::poll(std::span<Datagram> out) {
  {
    MutexLock hold(lock_);
    ++calls_;
    release_kept(false);
  }
  return inner_->poll(out);
}

// While somebody polls something is kept back; not while all sleep.
bool LossyPort::arm(Urgency least) {
  {
    MutexLock hold(lock_);
    release_kept(true);
  }
  return inner_->arm(least);
}

Result<std::unique_ptr<DatagramPort>> wrap_lossy(std::unique_ptr<DatagramPort> port,
                                                 const Options& options) {
  const char* const text = std::getenv("DSM_LOSSY");
  if (!text || *text == '\0') return port;
  const Result<Losses> losses = Losses::parse(text);
  if (!losses.ok()) return losses.status();
  return std::unique_ptr<DatagramPort>(
      std::make_unique<LossyPort>(std::move(port), losses.value(), options.self));
}

}  // namespace dsm::transport
