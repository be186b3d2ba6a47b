// What shared memory asks of its wire, by the counters: a read miss is one chain and no work for
// the home's processor where the wire has RDMA, invalidations are the same messages on every wire,
// and a crowd overruns nobody. A node that computes answers the others, also just after it answered
// them while it waited.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

constexpr std::size_t page_words = 4096 / sizeof(std::uint64_t);

bool wire_is(std::string_view name) {
  return name == dsm::transport_name();
}

// What every node counts from here until `work` has ended everywhere; barriers included.
template <typename Work>
dsm::Statistics counted(Work work) {
  dsm::barrier();
  const dsm::Statistics before = dsm::statistics();
  dsm::barrier();
  work();
  dsm::barrier();
  dsm::Statistics after = dsm::statistics();
  dsm::barrier();
  after.messages_sent -= before.messages_sent;
  after.chains_posted -= before.chains_posted;
  after.operations_served -= before.operations_served;
  after.pages_fetched -= before.pages_fetched;
  after.read_faults -= before.read_faults;
  after.datagrams_multicast -= before.datagrams_multicast;
  after.datagrams_relayed -= before.datagrams_relayed;
  return after;
}

std::uint64_t load(const std::uint64_t& word) {
  return *static_cast<const volatile std::uint64_t*>(&word);
}

// All read what node 0 wrote, a page at a time.
void misses() {
  constexpr std::uint64_t pages = 40;
  const auto memory = dsm::allocate<std::uint64_t>(2 * pages * page_words, dsm::Placement::on(0));
  load(memory.back());  // whatever is made at first use is there
  const dsm::Statistics idle = counted([] {});
  for (std::uint64_t round = 1; round <= 3; ++round) {
    // Every second page, so that none comes along with another.
    if (me() == 0)
      for (std::uint64_t page = 0; page < pages; ++page)
        memory[(2 * page + 1) * page_words] = mix(round, page);
    dsm::barrier();
    const dsm::Statistics s = counted([&] {
      for (std::uint64_t page = 0; me() != 0 && page < pages; ++page)
        same_at(load(memory[(2 * page + 1) * page_words]), mix(round, page), "page", page);
    });
    same(s.messages_sent, idle.messages_sent, "messages, of a node that only reads");
    same(s.pages_fetched, me() == 0 ? 0 : pages, "pages fetched");
    const bool has_device = wire_is("verbs");
    same(s.chains_posted, has_device && me() != 0 ? pages : 0, "chains posted");
    const bool is_emulated = !has_device && !wire_is("shm");
    const auto readers = static_cast<std::uint64_t>(nodes() - 1);
    // Of each: a mark and a READ.
    same(s.operations_served, is_emulated && me() == 0 ? 2 * pages * readers : 0,
         "operations that the processor carried out");
  }
}

bool was_asked_for(std::string_view part) {
  const char* const text = std::getenv("DSM_VERBS");
  return std::string_view(text != nullptr ? text : "").find(part) != std::string_view::npos;
}

// A sequential page that all others read is written by its home: everyone else is told, and
// answers. Where there is multicast all are told by one datagram; where there is a tree of one
// branch, by one that each passes on to the next.
void invalidations() {
  const auto memory =
      dsm::allocate<std::uint64_t>(page_words, dsm::Placement::on(0), dsm::Policy::sequential);
  const auto sent_by_all = [](const dsm::Statistics& s) {
    return dsm::all_reduce(s.messages_sent);
  };
  load(memory[0]);
  const std::uint64_t idle = sent_by_all(counted([] {}));
  std::uint64_t all_relayed = 0;
  for (std::uint64_t round = 1; round <= 5; ++round) {
    load(memory[0]);
    const dsm::Statistics s = counted([&] {
      if (me() == 0) memory[0] = round;
    });
    const std::uint64_t sent = sent_by_all(s);
    const bool has_groups = was_asked_for("multicast=on") && !was_asked_for("groups=0");
    same(s.datagrams_multicast, me() == 0 && has_groups ? 1u : 0u, "datagrams for all");
    // Fewer where some node has not answered in time: it is told by node 0 itself.
    const std::uint64_t relayed = dsm::all_reduce(s.datagrams_relayed);
    check(relayed <= static_cast<std::uint64_t>(nodes() - 1),
          std::to_string(relayed) + " datagrams to be passed on");
    all_relayed += relayed;
    same(sent - idle, 2 * static_cast<std::uint64_t>(nodes() - 1), "messages of an invalidation");
    same(load(memory[0]), round, "the word");
    dsm::barrier();
  }
  check((all_relayed != 0) == was_asked_for("multicast=tree,fanout=1"),
        "who asks for a tree has one");
}

// Everyone writes and reads memory of node 0 at once.
void crowd() {
  constexpr std::uint64_t pages_each = 48, rounds = 8;
  const auto each = pages_each * page_words;
  const auto memory = dsm::allocate<std::uint64_t>(each * static_cast<std::uint64_t>(nodes()),
                                                   dsm::Placement::on(0));
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    const std::uint64_t first = each * static_cast<std::uint64_t>(me());
    for (std::uint64_t i = first; i < first + each; ++i) memory[i] = mix(round, i);
    dsm::barrier();
    const std::uint64_t other = each * static_cast<std::uint64_t>((me() + 1) % nodes());
    for (std::uint64_t i = other; i < other + each; ++i)
      same_at(memory[i], mix(round, i), "word", i);
    dsm::barrier();
  }
  const dsm::Statistics s = dsm::statistics();
  const bool is_of_datagrams = wire_is("verbs") || wire_is("verbs-ud") || wire_is("ipoib");
  check(is_of_datagrams == (s.datagrams_sent != 0), "datagrams are counted where there are any");
  same(s.datagrams_missed, 0u, "datagrams that a clean wire or a full ring lost");
  const std::uint64_t again = dsm::all_reduce(s.datagrams_resent);
  const std::uint64_t sent = dsm::all_reduce(s.datagrams_sent);
  check(1000 * again <= sent,
        std::to_string(again) + " of " + std::to_string(sent) + " datagrams were sent again");
}

// A file that all nodes write to, and see how long it is.
class Signs {
 public:
  Signs() {
    if (me() == 0) {
      std::strcpy(name_.data(), "/tmp/dsm-signs-XXXXXX");
      fd_ = ::mkstemp(name_.data());
    }
    dsm::broadcast(name_);
    if (me() != 0) fd_ = ::open(name_.data(), O_WRONLY | O_APPEND | O_CLOEXEC);
    check(fd_ >= 0, "a file in /tmp can be made and opened");
    dsm::barrier();
    if (me() == 0) ::unlink(name_.data());
  }
  ~Signs() { ::close(fd_); }
  Signs(const Signs&) = delete;
  Signs& operator=(const Signs&) = delete;

  void give() const { check(::write(fd_, "+", 1) == 1, "the file takes a byte"); }
  int given() const {
    struct stat status {};
    check(::fstat(fd_, &status) == 0, "the file can be looked at");
    return static_cast<int>(status.st_size);
  }

 private:
  std::array<char, 32> name_{};
  int fd_ = -1;
};

// Node 0 waits often and shortly, so that nobody need stand in for it; then it computes until all
// others have read what is at home there.
void computing() {
  constexpr std::uint64_t pages = 64;
  constexpr auto limit = std::chrono::seconds(40);
  const int last = nodes() - 1;
  const auto far = dsm::allocate<std::uint64_t>(2 * pages * page_words, dsm::Placement::on(last));
  const auto near = dsm::allocate<std::uint64_t>(page_words, dsm::Placement::on(0));
  const Signs signs;
  for (std::uint64_t round = 1; round <= 12; ++round) {
    if (me() == 0) near[0] = round;
    if (me() == last)
      for (std::uint64_t page = 0; page < pages; ++page)
        far[2 * page * page_words] = mix(round, page);
    dsm::barrier();
    for (std::uint64_t page = 0; me() == 0 && page < pages; ++page)
      same_at(load(far[2 * page * page_words]), mix(round, page), "page", page);
    if (me() != 0) {
      same(load(near[0]), round, "the word");
      signs.give();
    }
    const auto end = std::chrono::steady_clock::now() + limit;
    while (me() == 0 && signs.given() < static_cast<int>(round) * last)
      check(std::chrono::steady_clock::now() < end, "a node that computes answers nobody");
    dsm::barrier();
  }
}

}  // namespace

int main(int argc, char** argv) {
  // Counted is what is asked for: nothing is to come unasked, and nothing is left out.
  ::setenv("DSM_PUSH", "0", 1);
  ::unsetenv("DSM_WITHOUT");
  return run(argc, argv,
             {{"misses", misses},
              {"invalidations", invalidations},
              {"crowd", crowd},
              {"computing", computing}});
}
