// Several nodes write different bytes of one word, and different words of one page, at the same
// time: nothing is lost.
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

std::size_t self() {
  return static_cast<std::size_t>(me());
}
std::size_t count() {
  return static_cast<std::size_t>(nodes());
}

// Byte i belongs to another node in each round.
void barriers() {
  auto bytes = dsm::allocate<unsigned char>(40 * dsm::page_size(), dsm::Placement::cyclic(3));
  for (std::uint64_t round = 1; round <= 12; ++round) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
      if ((i + round) % count() == self()) bytes[i] = static_cast<unsigned char>(mix(round, i));
    dsm::barrier();
    for (std::size_t i = 0; i < bytes.size(); ++i)
      same_at(bytes[i], static_cast<unsigned char>(mix(round, i)), "byte", i);
    dsm::barrier();
  }
}

// Each lock guards one byte of every word and, elsewhere in the page, one word of every eight.
void locks() {
  constexpr std::size_t lanes = 4;
  auto words = dsm::allocate<std::uint64_t>(6 * dsm::page_size() / sizeof(std::uint64_t),
                                            dsm::Placement::cyclic(1));
  auto* bytes = reinterpret_cast<unsigned char*>(words.data());
  const std::size_t half = words.size() / 2;
  constexpr std::uint64_t turns = 40;
  for (std::uint64_t i = 0; i < turns; ++i) {
    const std::size_t lane = (i + self()) % lanes;
    dsm::Lock lock(lane);
    std::scoped_lock hold(lock);
    for (std::size_t w = i % 17; w < half; w += 17) {
      unsigned char& mine = bytes[w * 8 + lane];
      std::uint64_t& twin = words[half + w / 8 * 8 + lane];
      if (w % 8 == 0)
        same_at(static_cast<unsigned char>(twin), mine, "word that goes with byte", w);
      ++mine;
      if (w % 8 == 0) ++twin;
    }
  }
  dsm::barrier();
  for (std::size_t w = 0; w < half; ++w) {
    std::uint64_t sum = 0;
    for (std::size_t lane = 0; lane < lanes; ++lane) sum += bytes[w * 8 + lane];
    std::uint64_t expected = 0;
    for (std::uint64_t i = 0; i < turns; ++i) expected += w % 17 == i % 17 ? count() : 0;
    same_at(sum, expected, "sum of the bytes of word", w);
  }
}

// Threads of one node, too: the twin is shared, the bytes are not.
void threads() {
  constexpr std::size_t per_node = 4;
  auto bytes = dsm::allocate<unsigned char>(8 * dsm::page_size(), dsm::Placement::on(0));
  dsm::Barrier together(per_node);
  in_threads(per_node, [&](int t) {
    const std::size_t lane = self() * per_node + static_cast<std::size_t>(t),
                      lanes = count() * per_node;
    for (std::uint64_t round = 1; round <= 8; ++round) {
      for (std::size_t i = lane; i < bytes.size(); i += lanes)
        bytes[i] = static_cast<unsigned char>(mix(round, i));
      together.arrive_and_wait();
      for (std::size_t i = lane / 2; i < bytes.size(); i += 3)
        same_at(bytes[i], static_cast<unsigned char>(mix(round, i)), "byte", i);
      together.arrive_and_wait();
    }
  });
}

// A byte under a lock and its neighbour between barriers.
void mixed() {
  auto bytes = dsm::allocate<unsigned char>(dsm::page_size(), dsm::Placement::on(nodes() - 1));
  dsm::Lock lock;
  for (int round = 1; round <= 10; ++round) {
    for (int i = 0; i < 10; ++i) {
      bytes[8 + self()] = static_cast<unsigned char>(
          mix(static_cast<unsigned>(round), static_cast<unsigned>(i), self()));
      std::scoped_lock hold(lock);
      ++bytes[7];
    }
    dsm::barrier();
    same(bytes[7], static_cast<unsigned char>(round * 10 * nodes()), "the byte under the lock");
    for (std::size_t n = 0; n < count(); ++n)
      same_at(bytes[8 + n], static_cast<unsigned char>(mix(static_cast<unsigned>(round), 9, n)),
              "byte of node", n);
    dsm::barrier();
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"barriers", barriers}, {"locks", locks}, {"threads", threads}, {"mixed", mixed}});
}
