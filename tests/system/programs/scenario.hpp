// What the test programs of this folder share. Each is a table of scenarios, run by every node:
// `program NAME`. It ends with 0 and node 0's line "PASS NAME", or with 1 and a line that says what
// differed. They see the public header only.
#pragma once

#include <dsm/dsm.hpp>

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace scenario {

struct Scenario {
  const char* name;
  void (*run)();
  bool joins = true;  // run() is called inside a Session; false: it makes its own, or none
};

struct Difference : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void check(bool holds, const std::string& what) {
  if (!holds) throw Difference(what);
}

template <typename Got, typename Wanted>
void same(const Got& got, const Wanted& wanted, const std::string& what) {
  if (!(got == wanted))
    throw Difference(what + " is " + std::to_string(got) + ", should be " + std::to_string(wanted));
}

// As same(), for loops: the text is made only when it is needed. what: "word", where: 17.
template <typename Got, typename Wanted>
void same_at(const Got& got, const Wanted& wanted, const char* what, std::uint64_t where) {
  if (!(got == wanted)) same(got, wanted, std::string(what) + " " + std::to_string(where));
}

// `call` must throw a dsm::Error, in one line, whose text contains each of the words.
template <typename Call>
void refused(Call call, std::initializer_list<const char*> words) {
  std::string text;
  try {
    call();
  } catch (const dsm::Error& error) {
    text = error.what();
  }
  check(!text.empty(), std::string("nothing was thrown; expected: ") + *words.begin());
  check(text.find('\n') == std::string::npos, "an error is one line: " + text);
  for (const char* word : words)
    check(text.find(word) != std::string::npos, "no '" + std::string(word) + "' in: " + text);
}

// A number that depends on all that is given; equal on every node.
inline std::uint64_t mix(std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0) {
  std::uint64_t x = a * 0x9e3779b97f4a7c15u + b * 0xc2b2ae3d27d4eb4fu + c * 0x165667b19e3779f9u + 1;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Runs body(thread) in so many threads. What the first of them threw is thrown here; a scenario
// that failed ends the process before the others are joined, since they may be waiting for the one
// that is gone.
template <typename Body>
void in_threads(int count, Body body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([i, &body] {
      try {
        body(i);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "node %d, thread %d: %s\n", dsm::rank(), i, error.what());
        ::_exit(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

inline int me() {
  return dsm::rank();
}
inline int nodes() {
  return dsm::size();
}

// A node whose scenario failed ends at once: the others may be waiting for it, and are told that it
// is lost.
inline int run(const Scenario& scenario) {
  int rank = 0;
  try {
    if (scenario.joins) {
      dsm::Session session;
      rank = dsm::rank();
      try {
        scenario.run();
      } catch (const std::exception& error) {
        std::fprintf(stderr, "node %d: %s: %s\n", rank, scenario.name, error.what());
        ::_exit(1);
      }
    } else {
      scenario.run();
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", scenario.name, error.what());
    return 1;
  }
  if (rank == 0) std::printf("PASS %s\n", scenario.name);
  return 0;
}

inline int run(int argc, char** argv, std::initializer_list<Scenario> all) {
  for (const Scenario& scenario : all)
    if (argc > 1 && std::string_view(argv[1]) == scenario.name) return run(scenario);
  std::fprintf(stderr, "%s: name one scenario:", argv[0]);
  for (const Scenario& scenario : all) std::fprintf(stderr, " %s", scenario.name);
  std::fprintf(stderr, "\n");
  return 2;
}

}  // namespace scenario
