// A job that variables alone make, without dsmrun.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "base/fd.hpp"
#include "dsm/launch/key.hpp"
#include "dsm/launch/socket.hpp"
#include "process.hpp"

namespace dsm::test {

// A job of three (or so) that is started by hand: one key file, one address.
class ByHand {
 public:
  ByHand() {
    const std::string hex = launch::JobKey::random().hex();
    const Fd fd(::mkstemp(path_.data()));
    EXPECT_EQ(::write(fd.get(), hex.data(), hex.size()), static_cast<ssize_t>(hex.size()));
    auto listener = launch::listen_tcp({"127.0.0.1", 0});
    EXPECT_TRUE(listener.ok());
    rendezvous_ = listener->endpoint.text();
  }
  ~ByHand() { ::unlink(path_.c_str()); }
  ByHand(const ByHand&) = delete;
  ByHand& operator=(const ByHand&) = delete;

  Variables of(int rank, const std::string& size = "3") const {
    return {{"DSM_RANK", std::to_string(rank)},
            {"DSM_SIZE", size},
            {"DSM_RENDEZVOUS", rendezvous_},
            {"DSM_JOB_KEY_FILE", path_}};
  }

 private:
  std::string path_ = "/tmp/dsm-test-key-XXXXXX";
  std::string rendezvous_;
};

}  // namespace dsm::test
