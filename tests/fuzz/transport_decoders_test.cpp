// What a transport reads from others is decoded totally: random bytes and damaged frames give
// events or an end, and never a store outside exposed memory. A failing seed is printed.
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstring>
#include <random>

#include "transport/handshake.hpp"
#include "transport/memory_key.hpp"
#include "transport/shm_ring.hpp"
#include "transport/tcp_peer.hpp"

namespace dsm::transport {
namespace {

constexpr std::uint64_t seeds = 400;
using Random = std::mt19937_64;

std::string random_bytes(Random& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

template <typename T>
void append(std::string& text, const T& value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string frame_of(FrameKind kind, std::string_view payload) {
  std::string text;
  append(text, Frame{kind, static_cast<std::uint32_t>(payload.size())}.encode());
  return text + std::string(payload);
}

// One end of a stream that this test writes to as a peer would.
struct Stream {
  Stream() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    far = Fd(ends[1]);
    peer = std::make_unique<TcpPeer>(NodeId(1), Fd(ends[0]),
                                     TcpShared{local, target, chunks, imported, epoll_fd.get()});
    epoll_event event{.events = EPOLLIN, .data = {.u32 = 1}};
    EXPECT_EQ(::epoll_ctl(epoll_fd.get(), EPOLL_CTL_ADD, peer->socket(), &event), 0);
    // Exposed memory with a margin that nobody may touch.
    memory.assign(margin + exposed + margin, std::byte{0x5a});
    target.expose(std::span(memory).subspan(margin, exposed));
    imported.append({NodeId(1), 0});
  }
  bool margins_intact() const {
    for (std::size_t i = 0; i < margin; ++i)
      if (memory[i] != std::byte{0x5a} || memory[margin + exposed + i] != std::byte{0x5a})
        return false;
    return true;
  }
  // Polls until nothing comes; recycles.
  std::size_t drain() {
    Event events[8];
    std::size_t total = 0;
    for (int quiet = 0; quiet < 2 && !peer->ended();) {
      const std::size_t count = peer->poll(events);
      total += count;
      quiet = count == 0 ? quiet + 1 : 0;
      for (const Event& e : std::span(events).first(count))
        if (e.kind == Event::Kind::message)
          chunks.drop(reinterpret_cast<Chunk*>(static_cast<std::uintptr_t>(e.buffer)));
      char sink[65536];  // replies
      while (::recv(far.get(), sink, sizeof sink, MSG_DONTWAIT) > 0) continue;
    }
    return total;
  }
  void write(std::string_view bytes) {
    while (!bytes.empty() && !peer->ended()) {
      const ssize_t sent =
          ::send(far.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
      drain();
    }
  }

  static constexpr std::size_t margin = 4096;
  static constexpr std::size_t exposed = 65536;
  std::vector<std::byte> memory;
  std::atomic<std::uint32_t> armed{0};
  Fd event_fd{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  Fd epoll_fd{::epoll_create1(EPOLL_CLOEXEC)};
  LocalEvents local{Doorbell(&armed, event_fd.get())};
  RmaTarget target;
  ChunkPool chunks;
  StableTable<TcpMemory> imported;
  Fd far;
  std::unique_ptr<TcpPeer> peer;
};

TEST(StreamFuzz, WellFormedFramesArriveHoweverTheyAreCut) {
  Random random(1);
  for (int round = 0; round < 20; ++round) {
    Stream stream;
    std::string text;
    const std::size_t frames = 40;
    for (std::size_t i = 0; i < frames; ++i)
      text += frame_of(FrameKind::message,
                       random_bytes(random, random() % (i % 9 == 0 ? 200'000 : 3000)));
    std::size_t arrived = 0;
    for (std::string_view rest = text; !rest.empty();) {
      const std::size_t piece =
          std::min<std::size_t>(rest.size(), 1 + random() % (round % 2 ? 50'000 : 700));
      const ssize_t sent = ::send(stream.far.get(), rest.data(), piece, MSG_DONTWAIT);
      if (sent > 0) rest.remove_prefix(static_cast<std::size_t>(sent));
      arrived += stream.drain();
    }
    EXPECT_EQ(arrived, frames) << "round " << round;
    EXPECT_FALSE(stream.peer->ended());
  }
}

TEST(StreamFuzz, RandomBytesEndTheStream) {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Stream stream;
    stream.write(random_bytes(random, 20'000));
    ASSERT_TRUE(stream.peer->ended());
    ASSERT_TRUE(stream.margins_intact());
  }
}

TEST(StreamFuzz, OversizedAndUnknownFramesEndTheStream) {
  const std::string too_small_request = frame_of(FrameKind::request, "x");
  std::string sound_request;
  append(sound_request, RmaRequest{.kind = static_cast<Operation::Kind>(9)});
  std::vector<std::string> bad{too_small_request, frame_of(FrameKind::reply, "short"),
                               frame_of(static_cast<FrameKind>(0), ""),
                               frame_of(static_cast<FrameKind>(4), ""),
                               frame_of(FrameKind::request, sound_request)};
  for (const auto& [kind, size] : std::vector<std::pair<FrameKind, std::uint32_t>>{
           {FrameKind::message, frame_message_max + 1},
           {FrameKind::message, ~0u},
           {FrameKind::request, ~0u},
           {FrameKind::reply, frame_operation_max + 17}}) {
    std::string header;
    append(header, Frame{kind, size}.encode());
    bad.push_back(header);
  }
  std::string unasked;
  append(unasked, RmaReply{});
  bad.push_back(frame_of(FrameKind::reply, unasked));
  for (std::size_t i = 0; i < bad.size(); ++i) {
    Stream stream;
    stream.write(bad[i]);
    stream.drain();
    EXPECT_TRUE(stream.peer->ended()) << "frame " << i;
  }
}

TEST(StreamFuzz, DamagedRequestsAndRepliesStayWithinExposedMemory) {
  std::size_t survived = 0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Stream stream;
    std::vector<std::byte> local(Stream::exposed + 2 * Stream::margin, std::byte{0x77});
    // Something outstanding, so that replies have a place to land.
    for (std::size_t i = 0; i < 8; ++i) {
      const Operation read{.kind = Operation::Kind::read,
                           .memory = RemoteMemory(0),
                           .local = local.data() + Stream::margin,
                           .size = 100 * i,
                           .cookie = i};
      ASSERT_EQ(stream.peer->post(std::span(&read, 1)), 1u);
    }
    std::string text;
    for (int i = 0; i < 60; ++i) {
      std::string payload;
      if (random() % 2 == 0) {
        RmaRequest request{.kind = static_cast<Operation::Kind>(random() % 4),
                           .replied = static_cast<std::uint8_t>(random() % 2)};
        request.memory = random() % 8 == 0 ? static_cast<std::uint32_t>(random()) : 0;
        request.offset = random() % 8 == 0 ? random() : random() % (Stream::exposed + 100);
        request.size = random() % 50 == 0 ? random() : random() % 9000;
        request.operand = random();
        request.sequence = static_cast<std::uint64_t>(i);
        append(payload, request);
        if (request.kind == Operation::Kind::write && request.size < 10'000)
          payload += random_bytes(random, request.size);
        text += frame_of(FrameKind::request, payload);
      } else {
        append(payload, RmaReply{.sequence = random() % 12,
                                 .failed = static_cast<std::uint8_t>(random() % 2)});
        payload += random_bytes(random, random() % 2 ? 0 : 100 * (random() % 9));
        if (random() % 8 == 0) text += frame_of(FrameKind::reply, payload);
      }
    }
    if (random() % 2 == 0) text[random() % text.size()] ^= static_cast<char>(1u << (random() % 8));
    stream.write(text);
    survived += !stream.peer->ended();
    ASSERT_TRUE(stream.margins_intact());
    for (std::size_t i = 0; i < Stream::margin; ++i) {
      ASSERT_EQ(local[i], std::byte{0x77});
      ASSERT_EQ(local[Stream::margin + 700 + i], std::byte{0x77})
          << "a reply was stored beyond what was asked";
    }
  }
  EXPECT_GT(survived, 0u) << "no seed got through: the test feeds nothing but garbage";
}

TEST(HandshakeFuzz, NoBytesButTheRightOnesAreLetIn) {
  const LinkKey key = link_key("the key", "tcp");
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Handshake acceptor(Handshake::Role::acceptor, key, NodeId(0), 4, no_node, fresh_nonce());
    Handshake dialer(Handshake::Role::dialer, key, NodeId(2), 4, NodeId(0), fresh_nonce());
    // One bit of the four messages is changed, or in every eighth seed none.
    const bool damage = seed % 8 != 0;
    const std::size_t damaged = random() % 4;
    Handshake* from = &dialer;
    Handshake* to = &acceptor;
    for (std::size_t i = 0; i < 4 && to->state() != Handshake::State::refused;
         ++i, std::swap(from, to)) {
      Bytes bytes(from->output().begin(), from->output().end());
      from->sent(bytes.size());
      ASSERT_EQ(bytes.size(), to->wanted());
      if (damage && i == damaged)
        bytes[random() % bytes.size()] ^= static_cast<std::byte>(1u << (random() % 8));
      to->feed(bytes);
      if (to->state() == Handshake::State::refused) break;
    }
    const bool in =
        acceptor.state() == Handshake::State::done && dialer.state() == Handshake::State::done;
    ASSERT_EQ(in, !damage);
    if (in) {
      EXPECT_EQ(acceptor.peer(), NodeId(2));
    }
  }
}

TEST(HandshakeFuzz, AProofReflectedIsNone) {
  const LinkKey key = link_key("the key", "tcp");
  // A stranger answers a dialer with its own hello and, given the chance, its own proof.
  Handshake dialer(Handshake::Role::dialer, key, NodeId(1), 2, NodeId(0), fresh_nonce());
  Bytes hello(dialer.output().begin(), dialer.output().end());
  dialer.sent(hello.size());
  Bytes renamed = hello;
  renamed[8] = std::byte{2};   // role
  renamed[12] = std::byte{0};  // rank
  dialer.feed(renamed);
  ASSERT_EQ(dialer.state(), Handshake::State::going);
  const Bytes proof(dialer.output().begin(), dialer.output().end());
  dialer.sent(proof.size());
  dialer.feed(proof);
  EXPECT_EQ(dialer.state(), Handshake::State::refused);
  EXPECT_NE(link_key("the key", "shm"), key) << "one wire's proof would serve another";
}

TEST(RingFuzz, AScribbledRingIsNoticedAndNeverLeft) {
  constexpr std::size_t capacity = 4096;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    RingControl control{};
    alignas(8) std::byte data[capacity]{};
    RingWriter writer(&control, data, capacity);
    RingReader reader(&control, data, capacity);
    const std::string text = random_bytes(random, capacity / 4);
    std::vector<std::uint64_t> held;
    for (int i = 0; i < 300 && !reader.corrupt(); ++i) {
      if (random() % 2 == 0)
        writer.push(EntryKind::message,
                    std::as_bytes(std::span(text)).first(random() % (capacity / 4)), {});
      if (seed % 4 != 0 && random() % 16 == 0) {
        const std::uint64_t word = random();
        std::memcpy(data + random() % (capacity / 8) * 8, &word, sizeof word);
      }
      if (const auto entry = reader.next()) {
        ASSERT_GE(entry->bytes.data(), data);
        ASSERT_LE(entry->bytes.data() + entry->bytes.size(), data + capacity);
        held.push_back(entry->position);
      }
      if (!held.empty() && random() % 2 == 0) {
        const std::size_t which = random() % held.size();
        reader.release(held[which]);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    if (seed % 4 == 0) {
      ASSERT_FALSE(reader.corrupt());
    }
  }
}

TEST(KeyFuzz, AKeyOfMemoryIsExactlyItsBytes) {
  const Bytes key = MemoryKey{.id = 3, .size = 99}.encode();
  EXPECT_EQ(MemoryKey::decode(key).value().size, 99u);
  for (std::size_t size = 0; size < key.size(); ++size)
    EXPECT_FALSE(MemoryKey::decode(ByteView(key).first(size)).ok());
  Bytes longer = key;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(MemoryKey::decode(longer).ok());
}

}  // namespace
}  // namespace dsm::transport
