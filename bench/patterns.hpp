// What two processes do in every program that shares data, over any wire: the floors that a DSM is
// held against. The same names everywhere:
//
//   word      8 bytes of the other process are here, which knows when: it is asked and answers, or,
//             one-sided, they are read
//   page      the same of 4 KiB
//   mib       the same of 1 MiB, in pieces of 64 KiB, without asking for each
//   barrier   both have arrived
//   exchange  each writes 4 KiB and then has the other's
//
// A Wire is a few functions; it outlives the rounds. Of messages:
//   send(data, bytes), receive(data, bytes)   swap(mine, theirs, bytes)   barrier()
// and of memory that the other process can read:
//   own()   get(into, bytes): of the other's own()   barrier()
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "rounds.hpp"

namespace bench {

constexpr std::size_t word_bytes = 8;
constexpr std::size_t page_bytes = 4096;
constexpr std::size_t piece_bytes = std::size_t{64} << 10;
constexpr std::size_t mib_pieces = (std::size_t{1} << 20) / piece_bytes;

// Operations of a round: enough for the clock.
constexpr int asking = 500;
constexpr int streaming = 32;

// What is written to before an exchange: one byte of each line.
inline void write_lines(std::byte* memory, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64)
    *static_cast<volatile std::byte*>(memory + i) = std::byte{1};
}

template <typename World, typename Wire>
void add_barrier(Rounds<World>& rounds, const std::string& name, Wire& wire) {
  rounds.add(name + "/barrier", asking, [&wire](int times) {
    return timed([&] {
      for (int i = 0; i < times; ++i) wire.barrier();
    });
  });
}

// The first process asks.
template <typename World, typename Wire>
void add_questions(Rounds<World>& rounds, const std::string& name, Wire& wire) {
  const auto buffer = std::make_shared<std::vector<std::byte>>(piece_bytes);
  const auto add = [&](const char* what, std::size_t answer) {
    rounds.add(name + what, asking, [&wire, buffer, answer](int times) {
      return timed([&] {
        for (int i = 0; i < times; ++i) {
          if (World::rank() == 0) {
            wire.send(buffer->data(), word_bytes);
            wire.receive(buffer->data(), answer);
          } else {
            wire.receive(buffer->data(), word_bytes);
            wire.send(buffer->data(), answer);
          }
        }
      });
    });
  };
  add("/word", word_bytes);
  add("/page", page_bytes);
}

template <typename World, typename Wire>
void add_messages(Rounds<World>& rounds, const std::string& name, Wire& wire) {
  add_questions(rounds, name, wire);
  const auto buffer = std::make_shared<std::vector<std::byte>>(piece_bytes);
  rounds.add(name + "/mib", streaming, [&wire, buffer](int times) {
    return timed([&] {
      for (std::size_t i = 0; i < static_cast<std::size_t>(times) * mib_pieces; ++i) {
        if (World::rank() == 0) {
          wire.receive(buffer->data(), piece_bytes);
        } else {
          wire.send(buffer->data(), piece_bytes);
        }
      }
    });
  });
  const auto mine = std::make_shared<std::vector<std::byte>>(page_bytes);
  rounds.add(name + "/exchange", asking, [&wire, buffer, mine](int times) {
    return timed([&] {
      for (int i = 0; i < times; ++i) {
        write_lines(mine->data(), page_bytes);
        wire.swap(mine->data(), buffer->data(), page_bytes);
      }
    });
  });
}

// The first process reads, while the other one waits for the next round.
template <typename World, typename Wire>
void add_reads(Rounds<World>& rounds, const std::string& name, Wire& wire) {
  const auto buffer = std::make_shared<std::vector<std::byte>>(piece_bytes);
  const auto add = [&](const char* what, int operations, std::size_t bytes, std::size_t pieces) {
    rounds.add(name + what, operations, [&wire, buffer, bytes, pieces](int times) {
      if (World::rank() != 0) return 0.0;
      return timed([&] {
        for (std::size_t i = 0; i < static_cast<std::size_t>(times) * pieces; ++i) {
          wire.get(buffer->data(), bytes);
          benchmark::ClobberMemory();
        }
      });
    });
  };
  add("/word", asking, word_bytes, 1);
  add("/page", asking, page_bytes, 1);
  add("/mib", streaming, piece_bytes, mib_pieces);
}

template <typename World, typename Wire>
void add_memory_exchange(Rounds<World>& rounds, const std::string& name, Wire& wire) {
  const auto buffer = std::make_shared<std::vector<std::byte>>(page_bytes);
  rounds.add(name + "/exchange", asking, [&wire, buffer](int times) {
    return timed([&] {
      for (int i = 0; i < times; ++i) {
        write_lines(wire.own(), page_bytes);
        wire.barrier();
        wire.get(buffer->data(), page_bytes);
        wire.barrier();
      }
    });
  });
}

}  // namespace bench
