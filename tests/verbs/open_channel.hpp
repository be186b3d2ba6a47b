// A member whose channel lies open: over a UD queue pair of its own, behind a port that records
// what leaves, with all counters at hand.
#pragma once

#include <thread>

#include "datagram_job.hpp"
#include "member.hpp"
#include "must.hpp"
#include "stamped.hpp"
#include "transport/verbs_ud.hpp"

namespace dsm::transport {

class OpenChannel {
 public:
  // In a job of the first `nodes` members.
  explicit OpenChannel(std::uint32_t nodes, const VerbsOptions& options = {})
      : nodes_(nodes), device_(must(VerbsDevice::open(options))), book(member().self()) {
    auto made =
        std::make_unique<TestPort>(must(VerbsUd::open(device_, nodes, member().job_key())), 0);
    port = made.get();
    channel = must(ReliableChannel::make(
        std::move(made),
        {.wire = "verbs", .self = member().self(), .nodes = nodes, .job_key = member().job_key()}));
  }

  std::uint32_t nodes() const { return nodes_; }
  const VerbsDevice& device() const { return *device_; }

  // Who has met for the last time goes, while others still poll: that is no failure. One that is
  // missed refuses what is sent to it, and its messages are missing.
  void poll() {
    ReliableChannel::Arrival arrivals[16];
    for (const auto& each : std::span(arrivals).first(channel->poll(arrivals))) {
      if (each.kind == ReliableChannel::Arrival::Kind::peer_down) continue;
      book.enter(each.peer, {reinterpret_cast<const char*>(each.bytes.data()), each.bytes.size()});
      channel->recycle(each);
    }
  }

  // Waits for room.
  void send(NodeId to, std::uint32_t number, std::size_t body) {
    const Stamp stamp{member().self().value, to.value, number, static_cast<std::uint32_t>(body)};
    const std::string text = body_of(stamp);
    for (;;) {
      const Status sent = channel->send(to, Lane::any_order, view(head_of(stamp)), view(text));
      if (sent.code() != Code::would_block) {
        ASSERT_TRUE(sent.ok()) << sent.message();
        return;
      }
      poll();
      std::this_thread::yield();
    }
  }

  bool poll_until(const std::function<bool()>& done, double seconds = 60) {
    for (const double end = now_seconds() + seconds; !done();) {
      poll();
      if (now_seconds() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

  static ByteView view(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  }

 private:
  const std::uint32_t nodes_;
  const std::shared_ptr<const VerbsDevice> device_;

 public:
  Book book;
  TestPort* port = nullptr;  // the channel's
  std::unique_ptr<ReliableChannel> channel;
};

}  // namespace dsm::transport
