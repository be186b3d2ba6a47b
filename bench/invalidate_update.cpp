// What it costs to change a datum that other nodes hold, and what it costs them to see the change:
// the measurement of Fagus' papers, against the number of nodes. Start it by dsmrun; node 0 is the
// writer and the home, all others are readers, and they start together.
//
//   invalidate  Every reader holds the datum. sequential: from the writer's store to its being done,
//               when all copies are gone. scope, release: from the writer's release to the moment
//               at which it has the lock again, behind all readers, each of which has waited for
//               it, has taken it and so has heard. bound: from the writer's asking for the lock to
//               its having it, with the datum, from the reader that held it last.
//               pushed: from the writer's arrival at a barrier to its end, the datum being under
//               way to all readers.
//   update      The writer has written. pull: from a reader's first load to the whole datum's being
//               here. bound: from a reader's asking for the lock to the same; it comes with the
//               lock, so readers wait for each other. bound-pull: the same, but the lock comes with
//               a note of where the datum is, and the reader reads it from there when it is large.
//               pushed: from a reader's arrival at the barrier, at which the writer arrives with
//               news, to all of them being here.
//
// Every time is taken by one node's clock. Of the readers' times the least, the middle and the
// greatest of a round are kept, and of the rounds the median. The counts are those of all nodes,
// less those of the same round without a change and without looking:
//   messages    of the engines, for the invalidation and for all readers' updates
//   served      for one reader's update: operations of its that another node's processor carried out.
//               A wire with RDMA has none.
//   chains      for one reader's update: what was handed to a device with one doorbell
//   to_all      datagrams of all rounds that went to all nodes at once (in the record only)
//   again, missed   datagrams of all rounds: those sent a second time, and those that never came. On
//               a wire that loses nothing one that never came met a full receive ring.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <dsm/dsm.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

struct Options {
  int rounds = 200;
  std::vector<std::size_t> bytes = {8, 1024, 4096, 65536};
  std::vector<std::string> policies = {"scope", "pushed",     "release",
                                       "bound", "bound-pull", "sequential"};
  std::string json;
  bool quiet = false;
};

bool writer() {
  return dsm::rank() == 0;
}

// The datum, and what a node does with it in one round. Its time is taken where a node has one.
struct Subject {
  std::function<void()> prepare;     // every node: the readers get copies
  std::function<double()> change;    // every node; microseconds at the writer
  std::function<double()> see;       // every node; microseconds at a reader
  std::function<void()> take_apart;  // collective
};

// A word of each cache line, so that all of it is there.
void store(std::span<std::uint64_t> datum, std::uint64_t value) {
  for (std::uint64_t& word : datum) *static_cast<volatile std::uint64_t*>(&word) = value;
}
void load(std::span<std::uint64_t> datum) {
  for (const std::uint64_t& word : datum) (void)*static_cast<const volatile std::uint64_t*>(&word);
}

// Long enough for every reader to have asked for a lock that the writer holds.
void let_readers_ask() {
  std::this_thread::sleep_for(std::chrono::microseconds(300 * dsm::size()));
}

Subject by_locks(std::size_t bytes, dsm::Policy policy) {
  const auto datum = dsm::allocate<std::uint64_t>(bytes / 8, dsm::Placement::on(0), policy);
  dsm::Lock lock;
  return {[=] { load(datum); },
          [=]() mutable {
            if (!writer()) {
              lock.lock();
              lock.unlock();
              return 0.0;
            }
            const std::unique_lock first(lock);
            store(datum, static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()));
            let_readers_ask();
            const Clock::time_point start = Clock::now();
            lock.unlock();
            lock.lock();
            return us_since(start);
          },
          [=] {
            const Clock::time_point start = Clock::now();
            if (!writer()) load(datum);
            return us_since(start);
          },
          [=] { dsm::free(datum); }};
}

// Every node loads it between any two changes, so that barriers bring it after a while.
Subject by_barriers(std::size_t bytes) {
  const auto datum = dsm::allocate<std::uint64_t>(bytes / 8, dsm::Placement::on(0));
  const auto meet = [=] {
    if (writer()) store(datum, static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()));
    const Clock::time_point start = Clock::now();
    dsm::barrier();
    if (!writer()) load(datum);
    return us_since(start);
  };
  return {[=] { load(datum); }, meet, meet, [=] { dsm::free(datum); }};
}

// A lock is only its number: copies are the same lock.
void load_under(dsm::Lock lock, std::span<std::uint64_t> datum) {
  const std::scoped_lock hold(lock);
  load(datum);
}

Subject by_binding(std::size_t bytes, dsm::Refresh refresh) {
  const auto datum =
      dsm::allocate<std::uint64_t>(bytes / 8, dsm::Placement::on(0), dsm::Policy::bound);
  dsm::Lock lock;
  lock.bind(datum, refresh);
  return {[=] {
            if (!writer()) load_under(lock, datum);
          },
          [=]() mutable {
            if (!writer()) return 0.0;
            const Clock::time_point start = Clock::now();
            const std::scoped_lock hold(lock);
            const double took = us_since(start);
            store(datum, static_cast<std::uint64_t>(start.time_since_epoch().count()));
            return took;
          },
          [=] {
            const Clock::time_point start = Clock::now();
            if (!writer()) load_under(lock, datum);
            return us_since(start);
          },
          [=] { dsm::free(datum); }};
}

Subject by_page(std::size_t bytes) {
  const auto datum =
      dsm::allocate<std::uint64_t>(bytes / 8, dsm::Placement::on(0), dsm::Policy::sequential);
  return {[=] { load(datum); },
          [=] {
            const Clock::time_point start = Clock::now();
            if (writer())
              store(datum, static_cast<std::uint64_t>(start.time_since_epoch().count()));
            return us_since(start);
          },
          [=] {
            const Clock::time_point start = Clock::now();
            if (!writer()) load(datum);
            return us_since(start);
          },
          [=] { dsm::free(datum); }};
}

Subject subject_of(const std::string& policy, std::size_t bytes) {
  if (policy == "bound") return by_binding(bytes, dsm::Refresh::push);
  if (policy == "bound-pull") return by_binding(bytes, dsm::Refresh::pull);
  if (policy == "sequential") return by_page(bytes);
  if (policy == "pushed") return by_barriers(bytes);
  return by_locks(bytes, policy == "release" ? dsm::Policy::release : dsm::Policy::scope);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// What happens in one part of the rounds: at this node, or at all. Unsigned differences may pass
// zero.
struct Counts {
  std::uint64_t messages = 0, served = 0, chains = 0, again = 0, missed = 0, to_all = 0;

  static Counts now() {
    const dsm::Statistics s = dsm::statistics();
    return {s.messages_sent,    s.operations_served, s.chains_posted,
            s.datagrams_resent, s.datagrams_missed,  s.datagrams_multicast};
  }
  Counts& operator+=(const Counts& o) {
    return combine(o, [](auto a, auto b) { return a + b; });
  }
  Counts& operator-=(const Counts& o) {
    return combine(o, [](auto a, auto b) { return a - b; });
  }

 private:
  template <typename Combine>
  Counts& combine(const Counts& o, Combine f) {
    *this = {f(messages, o.messages), f(served, o.served), f(chains, o.chains),
             f(again, o.again),       f(missed, o.missed), f(to_all, o.to_all)};
    return *this;
  }
};

Counts operator-(Counts a, const Counts& b) {
  return a -= b;
}

// Of all nodes.
Counts sum(const Counts& here) {
  Counts all;
  for (const Counts& each : dsm::all_gather(here)) all += each;
  return all;
}

struct Figures {
  double invalidate = 0;
  double update_min = 0, update = 0, update_max = 0;
  double invalidate_messages = 0, update_messages = 0;
  double served = 0, chains = 0;  // of one reader's update
  std::uint64_t again = 0, missed = 0, to_all = 0;
};

Figures measure(const Subject& subject, int rounds) {
  std::vector<double> invalidate, least, middle, most;
  Counts changes, updates;
  // Each part is counted between barriers: nobody has begun it, and all have ended it.
  const auto round = [&](bool works) {
    if (works) subject.prepare();
    dsm::barrier();
    const Counts first = Counts::now();
    dsm::barrier();
    const double changed = works ? subject.change() : 0;
    dsm::barrier();
    const Counts second = Counts::now();
    dsm::barrier();
    const double saw = works ? subject.see() : 0;
    std::vector<double> times = dsm::all_gather(writer() ? changed : saw);
    changes += second - first;
    updates += Counts::now() - second;
    dsm::barrier();  // before anybody prepares the next round
    if (!works) return;
    invalidate.push_back(times.front());
    times.erase(times.begin());
    std::sort(times.begin(), times.end());
    least.push_back(times.front());
    middle.push_back(times[times.size() / 2]);
    most.push_back(times.back());
  };
  for (int i = 0; i < rounds / 10 + 2; ++i) round(true);  // cold caches
  for (auto* times : {&invalidate, &least, &middle, &most}) times->clear();
  changes = updates = {};
  for (int i = 0; i < rounds; ++i) round(false);
  const Counts idle_changes = std::exchange(changes, {}), idle_updates = std::exchange(updates, {});
  const Counts before = Counts::now();
  for (int i = 0; i < rounds; ++i) round(true);
  const Counts whole = sum(Counts::now() - before);
  changes = sum(changes - idle_changes);
  updates = sum(updates - idle_updates);
  // An idle round may have had more of something: the difference is signed.
  const auto of_round = [rounds](std::uint64_t count) {
    return static_cast<double>(static_cast<std::int64_t>(count)) / rounds;
  };
  const int readers = dsm::size() - 1;
  return {.invalidate = median(invalidate),
          .update_min = median(least),
          .update = median(middle),
          .update_max = median(most),
          .invalidate_messages = of_round(changes.messages),
          .update_messages = of_round(updates.messages),
          .served = of_round(updates.served) / readers,
          .chains = of_round(updates.chains) / readers,
          .again = whole.again,
          .missed = whole.missed,
          .to_all = whole.to_all};
}

int run(const Options& options) {
  if (dsm::size() < 2)
    throw dsm::Error("it takes a writer and a reader: start it by dsmrun -n 2, or more");
  nlohmann::json record = {{"transport", dsm::transport_name()},
                           {"traps", dsm::trap_name()},
                           {"nodes", dsm::size()},
                           {"rounds", options.rounds},
                           {"figures", nlohmann::json::array()}};
  if (writer() && !options.quiet)
    std::printf(
        "%d nodes, %s, traps by %s; median of %d rounds, in us; update: of %d reader(s)\n\n"
        "| policy | bytes | invalidate | update: least | median | greatest | messages: invalidate "
        "| "
        "update | served | chains | again | missed |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        dsm::size(), dsm::transport_name(), dsm::trap_name(), options.rounds, dsm::size() - 1);
  for (const std::string& policy : options.policies) {
    for (const std::size_t bytes : options.bytes) {
      const Subject subject = subject_of(policy, bytes);
      const Figures f = measure(subject, options.rounds);
      subject.take_apart();
      if (!writer()) continue;
      if (!options.quiet) {
        std::printf(
            "| %s | %zu | %.3g | %.3g | %.3g | %.3g | %.1f | %.1f | %.1f | %.1f | %lu | %lu |\n",
            policy.c_str(), bytes, f.invalidate, f.update_min, f.update, f.update_max,
            f.invalidate_messages, f.update_messages, f.served, f.chains, f.again, f.missed);
        std::fflush(stdout);
      }
      record["figures"].push_back({{"policy", policy},
                                   {"bytes", bytes},
                                   {"invalidate_us", f.invalidate},
                                   {"update_min_us", f.update_min},
                                   {"update_us", f.update},
                                   {"update_max_us", f.update_max},
                                   {"invalidate_messages", f.invalidate_messages},
                                   {"update_messages", f.update_messages},
                                   {"served", f.served},
                                   {"chains", f.chains},
                                   {"again", f.again},
                                   {"missed", f.missed},
                                   {"to_all", f.to_all}});
    }
  }
  if (!writer() || options.json.empty()) return 0;
  if (options.json == "-") {
    std::printf("%s\n", record.dump(2).c_str());
    return 0;
  }
  std::ofstream file(options.json);
  file << record.dump(2) << '\n';
  if (!file.flush()) throw dsm::Error("cannot write " + options.json);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Times of invalidation and update against the number of nodes: dsmrun -n N "
      "build/bench/invalidate_update");
  app.add_option("--rounds", options.rounds, "rounds of each figure")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--bytes", options.bytes, "sizes of the datum, multiples of 8")
      ->check(CLI::Range(std::size_t{8}, std::size_t{16} << 20))
      ->check([](const std::string& text) {
        return std::stoull(text) % 8 == 0 ? std::string() : "must be a multiple of 8";
      })
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--policies", options.policies,
                 "which of scope, release, bound, bound-pull, sequential")
      ->check(CLI::IsMember({"scope", "pushed", "release", "bound", "bound-pull", "sequential"}))
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--json", options.json, "write the figures to this file, too; -: to the output");
  app.add_flag("--quiet", options.quiet, "print no table");
  CLI11_PARSE(app, argc, argv);
  try {
    dsm::Session session;
    return run(options);
  } catch (const dsm::Error& error) {
    std::fprintf(stderr, "invalidate_update: %s\n", error.what());
    return 1;
  }
}
