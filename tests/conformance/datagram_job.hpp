// Nodes of ReliableChannel over UDP on the loopback interface, each behind a port that records what
// leaves, that can be cut, that says what limits a test wants, and that may play multicast.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "job.hpp"
#include "transport/reliable_channel.hpp"
#include "transport/udp_port.hpp"

namespace dsm::transport {

class TestPort final : public DatagramPort {
 public:
  TestPort(std::unique_ptr<DatagramPort> inner, std::size_t slots, std::size_t multicast = 0,
           std::uint32_t nodes = 0)
      : inner_(std::move(inner)), slots_(slots), multicast_(multicast), nodes_(nodes) {}

  Bytes address() const override { return inner_->address(); }
  Status connect(std::span<const Bytes> addresses) override { return inner_->connect(addresses); }
  std::size_t payload_max(NodeId peer) const override { return inner_->payload_max(peer); }
  std::size_t receive_slots() const override {
    return slots_ != 0 ? slots_ : inner_->receive_slots();
  }
  std::string how_to_enlarge() const override { return inner_->how_to_enlarge(); }
  Status send(NodeId peer, ByteView header, ByteView body,
              Urgency urgency = Urgency::prompt) override {
    record(header, body);
    if (sends_left.load() <= 0 || silent_to.load() == peer.value) return {};
    sends_left.fetch_sub(1);
    return inner_->send(peer, header, body, urgency);
  }
  std::size_t multicast_max() const override { return multicast_works ? multicast_ : 0; }
  // To each alone, this node included.
  Status send_to_all(ByteView datagram) override {
    record(datagram, {});
    for (NodeId to{0}; to.value < nodes_; ++to)
      if (silent_to.load() != to.value && !inner_->send(to, datagram, {}).ok())
        return Status::would_block();
    return {};
  }
  std::uint32_t fan_out() const override { return fan_out_branches; }
  std::size_t poll(std::span<Datagram> out) override { return inner_->poll(out); }
  void recycle(std::span<const Datagram> datagrams) override { inner_->recycle(datagrams); }
  int wait_fd() const override { return inner_->wait_fd(); }
  bool arm(Urgency least) override { return inner_->arm(least); }
  std::string failure() const override { return failure_text; }
  std::string trouble() const override { return trouble_text; }
  Bytes take_news() override { return std::exchange(news, {}); }
  void hear(NodeId peer, ByteView bytes) override {
    heard[peer.value].assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  UdpPort& udp() { return static_cast<UdpPort&>(*inner_); }

  std::atomic<long> sends_left{1L << 40};               // then nothing leaves any more
  std::atomic<std::uint32_t> silent_to{no_node.value};  // nothing leaves for this node
  std::atomic<bool> multicast_works{true};
  std::uint32_t fan_out_branches = 0;  // before it is connected
  bool recording = false;
  std::vector<Bytes> recorded;
  std::string failure_text;
  std::string trouble_text;
  Bytes news;                                  // to be told
  std::map<std::uint32_t, std::string> heard;  // the last, by peer

 private:
  void record(ByteView header, ByteView body) {
    if (!recording) return;
    Bytes copy(header.begin(), header.end());
    copy.insert(copy.end(), body.begin(), body.end());
    const std::lock_guard hold(lock_);
    recorded.push_back(std::move(copy));
  }

  const std::unique_ptr<DatagramPort> inner_;
  const std::size_t slots_;
  const std::size_t multicast_;
  const std::uint32_t nodes_;
  std::mutex lock_;
};

struct ChannelOptions {
  std::string_view key = job_key;
  int timeout_ms = 5000;
  std::size_t slots = 0;      // 0: the port's own
  std::size_t multicast = 0;  // bytes of a datagram to all; 0: there is none
  std::uint32_t fan_out = 0;  // of a tree; 0: there is none
  Time dead_after = dead_after_default;
  Time linger = std::chrono::milliseconds(20);
};

// One node, not yet connected.
struct ChannelNode {
  ChannelNode(std::uint32_t self, std::uint32_t nodes, const ChannelOptions& options = {});

  // Polls once; queues what came.
  std::size_t poll();
  std::size_t count(ReliableChannel::Arrival::Kind kind) const;
  Status send(std::uint32_t peer, std::string_view text, Lane lane = Lane::any_order) {
    return channel->send(NodeId(peer), lane, std::as_bytes(std::span(text)));
  }
  // A datagram from nowhere.
  void inject(ByteView bytes);

  struct Got {
    ReliableChannel::Arrival::Kind kind;
    Lane lane;
    NodeId peer;
    std::string bytes;
  };
  TestPort* port = nullptr;  // the channel's
  std::unique_ptr<ReliableChannel> channel;
  std::vector<Got> got;
};

using ChannelNodes = std::vector<std::unique_ptr<ChannelNode>>;
ChannelNodes channel_nodes(std::uint32_t count, const ChannelOptions& options = {});
std::vector<Status> connect_channels(const ChannelNodes& nodes);
// Polls all until done() or so many seconds have passed; returns done().
bool pump_channels(const ChannelNodes& nodes, const std::function<bool()>& done,
                   double seconds = 20);

}  // namespace dsm::transport
