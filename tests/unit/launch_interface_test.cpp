// Which address of this host others are given.
#include "dsm/launch/interface.hpp"

#include <gtest/gtest.h>

#include "dsm/launch/socket.hpp"

namespace dsm::launch {
namespace {

TEST(Interface, ByNameAddressOrNetwork) {
  for (const char* which : {"lo", "127.0.0.1", "127.0.0.0/8", "127.0.0.0/31"}) {
    auto address = address_of_interface(which);
    ASSERT_TRUE(address.ok()) << address.status().message();
    EXPECT_EQ(*address, "127.0.0.1");
  }
}

TEST(Interface, UnknownOnesAreRefusedWithThoseThatThereAre) {
  for (const char* which : {"", "nonesuch9", "240.0.0.1", "240.0.0.0/4", "127.0.0.0/33",
                            "127.0.0.0/x", "127.1.0.0/16"}) {
    const auto address = address_of_interface(which);
    ASSERT_FALSE(address.ok()) << which;
    EXPECT_NE(address.status().message().find("lo (127.0.0.1)"), std::string::npos)
        << address.status().message();
  }
}

TEST(Interface, TowardsAHost) {
  auto address = address_towards("127.0.0.1");
  ASSERT_TRUE(address.ok()) << address.status().message();
  EXPECT_EQ(*address, "127.0.0.1");
  const auto unknown = address_towards("no-such-host.invalid");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.status().message().find("no-such-host.invalid"), std::string::npos);
}

TEST(Interface, OfASocket) {
  auto listener = listen_tcp({"127.0.0.1", 0});
  ASSERT_TRUE(listener.ok());
  auto socket = connect_tcp(listener->endpoint, std::chrono::seconds(5));
  ASSERT_TRUE(socket.ok());
  EXPECT_EQ(near_address(socket->get()), "127.0.0.1");
  EXPECT_EQ(near_address(-1), "");
}

TEST(Interface, ThisHost) {
  EXPECT_TRUE(is_this_host("localhost"));
  EXPECT_TRUE(is_this_host("127.0.0.1"));
  EXPECT_FALSE(is_this_host("240.0.0.1"));
  EXPECT_FALSE(is_this_host("no-such-host.invalid"));
}

}  // namespace
}  // namespace dsm::launch
