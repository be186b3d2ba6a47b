// Outbox: what a non-blocking socket did not take yet. The caller's lock guards it.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <vector>

namespace dsm::transport {

class Outbox {
 public:
  bool empty() const { return begin_ == bytes_.size(); }
  std::size_t size() const { return bytes_.size() - begin_; }

  // Sends the parts, or what fits; keeps the rest, so that the parts are free again. Changes
  // `parts`. False: the socket is broken.
  bool send(int socket, std::span<iovec> parts);

  // Sends what is kept, or what fits of it. False: the socket is broken.
  bool flush(int socket);

  void clear();

 private:
  void keep(const void* from, std::size_t size);

  std::vector<std::byte> bytes_;
  std::size_t begin_ = 0;
};

// recv() without waiting: bytes, 0 at the end, or -1: errno.
ssize_t receive_some(int socket, void* to, std::size_t size);

}  // namespace dsm::transport
