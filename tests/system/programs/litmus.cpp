// Litmus tests on real nodes: what each policy forbids is never seen, round after round. The
// scenario's name is the policy. (docs/memory-model.md draws the tests.)
#include <array>
#include <atomic>
#include <mutex>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

constexpr int rounds = 100;
constexpr std::size_t registers = 4;
using Registers = std::array<int, registers>;

// A word on a page of its own, at home on node `home`, as far as there are so many nodes.
class Word {
 public:
  Word(int home, dsm::Policy policy)
      : memory_(dsm::allocate<std::uint64_t>(1, dsm::Placement::on(home % nodes()), policy)) {}
  ~Word() { dsm::free(memory_); }
  Word(const Word&) = delete;
  Word& operator=(const Word&) = delete;
  void set(std::uint64_t value) { word().store(value, std::memory_order_relaxed); }
  std::uint64_t get() const { return word().load(std::memory_order_relaxed); }

 private:
  std::atomic_ref<std::uint64_t> word() const { return std::atomic_ref<std::uint64_t>(memory_[0]); }
  std::span<std::uint64_t> memory_;
};

// Runs `race(round, registers)` on every node, again and again, with barriers between; a register
// is what any node left in it. Yields how many rounds were weak.
template <typename Race, typename Weak>
int count(Race race, Weak weak) {
  int seen = 0;
  for (int round = 1; round <= rounds; ++round) {
    Registers mine{};
    dsm::barrier();
    race(static_cast<std::uint64_t>(round), mine);
    const Registers all = dsm::all_reduce(mine, [](Registers a, const Registers& b) {
      for (std::size_t i = 0; i < registers; ++i) a[i] |= b[i];
      return a;
    });
    seen += weak(all) ? 1 : 0;
  }
  return seen;
}

// What is forbidden must not be seen; what is allowed may be.
void judge(const char* test, bool forbidden, int weak) {
  check(!forbidden || weak == 0, std::string(test) + ": the outcome that is forbidden was seen " +
                                     std::to_string(weak) + " times of " + std::to_string(rounds));
  if (me() == 0)
    std::printf("%s: %s, seen %d times of %d\n", test, forbidden ? "forbidden" : "allowed", weak,
                rounds);
}

// The writer is the first node, the reader the last one; somebody else is between if there is.
bool writes() {
  return me() == 0;
}
bool reads() {
  return me() == nodes() - 1;
}

void all(dsm::Policy policy) {
  const bool scope = policy == dsm::Policy::scope;
  const bool sequential = policy == dsm::Policy::sequential;
  Word x(0, policy), y(1, policy), z(2, policy);
  dsm::Lock first, second;

  judge("message in a scope", true,
        count(
            [&](std::uint64_t round, Registers& r) {
              if (reads()) (void)x.get();
              if (writes()) {
                const std::scoped_lock hold(first);
                x.set(round);
                y.set(round);
              }
              if (reads()) {
                const std::scoped_lock hold(first);
                r[0] = y.get() == round;
                r[1] = x.get() == round;
              }
            },
            [](const Registers& r) { return r[0] == 1 && r[1] == 0; }));

  judge("message through two locks", true,
        count(
            [&](std::uint64_t round, Registers& r) {
              if (reads()) (void)x.get();
              if (writes()) {
                {
                  const std::scoped_lock hold(first);
                  x.set(round);
                }
                {
                  const std::scoped_lock hold(second);
                  y.set(round);
                }
              }
              if (reads()) {
                {
                  const std::scoped_lock hold(second);
                  r[0] = y.get() == round;
                }
                {
                  const std::scoped_lock hold(first);
                  r[1] = x.get() == round;
                }
              }
            },
            [](const Registers& r) { return r[0] == 1 && r[1] == 0; }));

  judge("message by a flag", !scope,
        count(
            [&](std::uint64_t round, Registers& r) {
              if (reads()) (void)x.get();
              if (writes()) {
                {
                  const std::scoped_lock hold(first);
                  x.set(round);
                }
                {
                  const std::scoped_lock hold(second);
                  y.set(round);
                }
              }
              if (me() == 1) {
                const std::scoped_lock hold(first);
              }
              if (reads()) {
                {
                  const std::scoped_lock hold(second);
                  r[0] = y.get() == round;
                }
                r[1] = x.get() == round;
              }
            },
            [](const Registers& r) { return r[0] == 1 && r[1] == 0; }));

  judge("told by a third", !scope,
        count(
            [&](std::uint64_t round, Registers& r) {
              if (reads()) (void)x.get();
              if (writes()) {
                const std::scoped_lock hold(first);
                x.set(round);
                y.set(round);
              }
              if (me() == 1 % nodes()) {
                {
                  const std::scoped_lock hold(first);
                  r[0] = y.get() == round;
                }
                {
                  const std::scoped_lock hold(second);
                  z.set(r[0] != 0 ? round : 0);
                }
              }
              if (reads()) {
                {
                  const std::scoped_lock hold(second);
                  r[1] = z.get() == round;
                }
                r[2] = x.get() == round;
              }
            },
            [](const Registers& r) { return r[1] == 1 && r[2] == 0; }));

  judge("store buffering", sequential,
        count(
            [&](std::uint64_t round, Registers& r) {
              if (writes()) {
                x.set(round);
                r[0] = y.get() == round;
              }
              if (reads()) {
                y.set(round);
                r[1] = x.get() == round;
              }
            },
            [](const Registers& r) { return r[0] == 0 && r[1] == 0; }));

  judge("independent reads", sequential,
        count(
            [&](std::uint64_t round, Registers& r) {
              switch (me()) {
                case 0:
                  x.set(round);
                  break;
                case 1:
                  y.set(round);
                  break;
                case 2:
                  r[0] = x.get() == round;
                  r[1] = y.get() == round;
                  break;
                case 3:
                  r[2] = y.get() == round;
                  r[3] = x.get() == round;
                  break;
                default:
                  break;
              }
            },
            [](const Registers& r) { return r[0] == 1 && r[1] == 0 && r[2] == 1 && r[3] == 0; }));

  // Neighbouring bytes of one word, each written by another node under a lock of its own.
  auto bytes = dsm::allocate<std::uint8_t>(64, dsm::Placement::on(0), policy);
  std::vector<dsm::Lock> own(static_cast<std::size_t>(nodes()));
  judge("false sharing", true,
        count(
            [&](std::uint64_t round, Registers& r) {
              const auto value = static_cast<std::uint8_t>(round);
              {
                const std::scoped_lock hold(own[static_cast<std::size_t>(me())]);
                bytes[static_cast<std::size_t>(me())] = value;
              }
              dsm::barrier();
              for (int node = 0; node < nodes(); ++node)
                r[0] |= bytes[static_cast<std::size_t>(node)] != value ? 1 : 0;
            },
            [](const Registers& r) { return r[0] != 0; }));

  judge("barrier reuse", true,
        count(
            [&](std::uint64_t round, Registers& r) {
              for (int writer = 0; writer < nodes(); ++writer) {
                const std::uint64_t value = round * 16 + static_cast<std::uint64_t>(writer);
                if (me() == writer) x.set(value);
                dsm::barrier();
                r[0] |= x.get() != value ? 1 : 0;
                dsm::barrier();
              }
            },
            [](const Registers& r) { return r[0] != 0; }));
  dsm::free(bytes);
}

void scope() {
  all(dsm::Policy::scope);
}
void release() {
  all(dsm::Policy::release);
}
void sequential() {
  all(dsm::Policy::sequential);
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, {{"scope", scope}, {"release", release}, {"sequential", sequential}});
}
