#include "dsm/core/clock.hpp"

#include <algorithm>

namespace dsm::core {

void Clock::merge(const Clock& other) {
  heard_.resize(std::max(heard_.size(), other.heard_.size()));
  for (std::size_t n = 0; n < other.heard_.size(); ++n)
    heard_[n] = std::max(heard_[n], other.heard_[n]);
}

void encode(const Clock& clock, Writer& out) {
  out.put(static_cast<std::uint16_t>(clock.heard_.size()));
  for (const std::uint32_t heard : clock.heard_) out.put(heard);
}

bool decode(Reader& in, Clock& clock) {
  const auto count = in.get<std::uint16_t>();
  if (count > nodes_max) return false;
  clock.heard_.clear();
  for (std::uint16_t i = 0; i < count && in.ok(); ++i)
    clock.heard_.push_back(in.get<std::uint32_t>());
  return in.ok();
}

void encode(const Stamp& stamp, Writer& out) {
  out.put(stamp.epoch);
  encode(stamp.clock, out);
  out.put(stamp.origin.kind);
  out.put(stamp.origin.number);
  out.put_string(stamp.origin.site);
}

bool decode(Reader& in, Stamp& stamp) {
  stamp.epoch = in.get<Epoch>();
  if (!decode(in, stamp.clock) || stamp.clock.empty()) return false;
  stamp.origin.kind = in.get<Origin::Kind>();
  if (stamp.origin.kind > Origin::Kind::team) return false;
  stamp.origin.number = in.get<std::uint64_t>();
  stamp.origin.site = in.get_string();
  return in.ok();
}

}  // namespace dsm::core
