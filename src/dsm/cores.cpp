#include "dsm/cores.hpp"

#include <algorithm>
#include <cstring>

namespace dsm {

Cores Cores::allowed_here() {
  Cores cores;
  // More cores than a set can name, or none that this may ask for.
  if (::sched_getaffinity(0, sizeof cores.set_, &cores.set_) != 0) CPU_SET(0, &cores.set_);
  return cores;
}

Cores::Cores(std::span<const std::uint32_t> numbers) : Cores() {
  for (const std::uint32_t number : numbers) CPU_SET(number, &set_);
}

void Cores::encode(Writer& out) const {
  out.put_sized(std::as_bytes(std::span(&set_, 1)));
}

Cores Cores::decode(Reader& in) {
  Cores cores;
  const ByteView bytes = in.get_sized();
  std::memcpy(&cores.set_, bytes.data(), std::min(bytes.size(), sizeof cores.set_));
  return cores;
}

std::uint32_t Cores::share_among(std::span<const Cores> all) const {
  double share = 0;
  for (std::uint32_t core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &set_)) continue;
    const auto users = std::count_if(
        all.begin(), all.end(), [core](const Cores& each) { return CPU_ISSET(core, &each.set_); });
    share += 1.0 / static_cast<double>(std::max<std::ptrdiff_t>(users, 1));
  }
  constexpr double rounding = 1e-6;
  return static_cast<std::uint32_t>(share + rounding);
}

}  // namespace dsm
