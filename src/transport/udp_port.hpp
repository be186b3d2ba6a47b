// UdpPort: a wire of datagrams over one UDP socket, IPv4 or IPv6 (datagram.hpp).
//
// The length of a datagram is what the interface's MTU carries in one piece, or less where the
// socket's receive buffer would hold too few of them. The buffer is as large as the system allows.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <vector>

#include "base/fd.hpp"
#include "base/mutex.hpp"
#include "transport/datagram.hpp"

namespace dsm::transport {

class UdpPort final : public DatagramPort {
 public:
  struct Setup {
    const char* wire = "udp";  // names the backend in messages
    NodeId self{};
    std::uint32_t nodes = 1;
    sockaddr_storage local{};  // an address of the interface, any port
    socklen_t local_size = 0;
    std::size_t mtu = 1500;  // of the interface
    std::string interface;   // its name
  };

  static Result<std::unique_ptr<DatagramPort>> open(const Setup& setup);

  Bytes address() const override { return address_; }
  Status connect(std::span<const Bytes> addresses) override;
  std::size_t payload_max(NodeId peer) const override { return peers_[peer.value].payload; }
  std::size_t receive_slots() const override { return slots_; }
  std::string how_to_enlarge() const override;
  Status send(NodeId peer, ByteView header, ByteView body,
              Urgency urgency = Urgency::prompt) override;
  std::size_t poll(std::span<Datagram> out) override;
  void recycle(std::span<const Datagram> datagrams) override;
  int wait_fd() const override { return epoll_fd_.get(); }
  bool arm(Urgency least = Urgency::patient) override;

  // Datagrams that the kernel dropped because the socket's buffer was full, or because they were
  // damaged on their way.
  std::uint64_t overruns() const;

  int socket() const { return socket_.get(); }

 private:
  struct Peer {
    sockaddr_storage address{};
    socklen_t size = 0;
    std::size_t payload = 0;
  };

  explicit UdpPort(const Setup& setup);
  Status make();
  Result<Peer> decode(ByteView bytes, NodeId node) const;

  const Setup setup_;
  Fd socket_;
  Fd epoll_fd_;
  Bytes address_;
  std::size_t payload_ = 0;  // of this end
  std::size_t buffer_bytes_ = 0;
  std::size_t slots_ = 0;
  std::vector<Peer> peers_;
  std::atomic<bool> blocked_{false};  // some send() found no room

  // The polling thread's.
  std::vector<std::unique_ptr<std::byte[]>> buffers_;
  std::vector<std::uint32_t> free_;
  std::vector<mmsghdr> headers_;
  std::vector<iovec> places_;
  bool watching_ = false;  // epoll tells of room
};

}  // namespace dsm::transport
