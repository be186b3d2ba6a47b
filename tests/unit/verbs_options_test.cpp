// Which verbs port and GID are taken, among ports that are only described.
#include "transport/verbs_options.hpp"

#include <gtest/gtest.h>

namespace dsm::transport {
namespace {

GidDescription gid(std::uint32_t index, GidKind kind, std::uint8_t first, bool ipv4 = false) {
  GidDescription made{.index = index, .kind = kind, .bytes = {}};
  if (ipv4) {
    made.bytes[10] = made.bytes[11] = 0xff;
    made.bytes[12] = first;
    made.bytes[15] = 1;
  } else {
    made.bytes[0] = first;
    made.bytes[1] = 0x80;
  }
  return made;
}

PortDescription roce(const char* device, std::uint32_t port, bool active, int numa = -1) {
  return {.device = device,
          .port = port,
          .active = active,
          .state = active ? "active" : "PORT_DOWN",
          .ethernet = true,
          .numa = numa,
          .gids = {gid(0, GidKind::roce_v1, 0xfe), gid(1, GidKind::roce_v2, 0xfe),
                   gid(2, GidKind::roce_v1, 10, true), gid(3, GidKind::roce_v2, 10, true)}};
}

VerbsOptions options(std::string_view text) {
  const auto parsed = VerbsOptions::parse(text);
  EXPECT_TRUE(parsed.ok()) << parsed.status().message();
  return parsed.ok() ? parsed.value() : VerbsOptions();
}

std::string refusal(std::span<const PortDescription> ports, std::string_view text) {
  const auto choice = choose_port(ports, options(text), 0);
  EXPECT_FALSE(choice.ok());
  EXPECT_EQ(choice.status().message().find('\n'), std::string::npos);
  return choice.status().message();
}

TEST(VerbsOptions, EveryPartIsRead) {
  const VerbsOptions all = options(
      "device=mlx5_1,port=2,gid=3,mtu=2048,pkey=0x8001,sl=4,tclass=106,hops=3,depth=16,inline=0,"
      "rd_atomic=1,pairs=4,break=100,odp=off,cached=64,multicast=on,fanout=7,groups=3,atomics=off");
  EXPECT_EQ(all.device, "mlx5_1");
  EXPECT_EQ(all.port, 2u);
  EXPECT_EQ(all.gid, 3u);
  EXPECT_EQ(all.mtu, 2048u);
  EXPECT_EQ(all.pkey, 0x8001);
  EXPECT_EQ(all.service_level, 4);
  EXPECT_EQ(all.traffic_class, 106);
  EXPECT_EQ(all.hop_limit, 3);
  EXPECT_EQ(all.queue_depth, 16u);
  EXPECT_EQ(all.inline_bytes, 0u);
  EXPECT_EQ(all.rd_atomic, 1u);
  EXPECT_EQ(all.pairs_at_start, 4u);
  EXPECT_EQ(all.break_after, 100u);
  EXPECT_EQ(all.on_demand, std::optional<bool>(false));
  EXPECT_EQ(all.lent_mb_max, 64u);
  EXPECT_EQ(all.multicast, Multicast::on);
  EXPECT_EQ(all.fan_out, 7u);
  EXPECT_EQ(all.groups, 3u);
  EXPECT_FALSE(all.atomics);
  EXPECT_TRUE(options("").atomics);
  EXPECT_EQ(options("").multicast, Multicast::off);
  EXPECT_EQ(options("").fan_out, fan_out_default);
  EXPECT_EQ(options("multicast=off").multicast, Multicast::off);
  EXPECT_EQ(options("multicast=tree").multicast, Multicast::tree);
  EXPECT_TRUE(options("").device.empty());
}

TEST(VerbsOptions, WhatIsWrongIsNamed) {
  for (const char* wrong : {"mtu=1500",    "mtu=",         "port=0",    "port=x",
                            "sl=16",       "pkey=0x10000", "hops=0",    "depth=3",
                            "rd_atomic=0", "device=",      "gid=-1",    "tclass=1.5",
                            "odp=yes",     "atomics=none", "cached=1",  "multicast=yes",
                            "multicast",   "fanout=0",     "fanout=65", "groups=-1"}) {
    const auto parsed = VerbsOptions::parse(wrong);
    ASSERT_FALSE(parsed.ok()) << wrong;
    EXPECT_NE(parsed.status().message().find(wrong), std::string::npos)
        << parsed.status().message();
    EXPECT_NE(parsed.status().message().find("give "), std::string::npos);
  }
  const auto unknown = VerbsOptions::parse("port=1,speed=9");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.status().message().find("'speed'"), std::string::npos);
  EXPECT_NE(unknown.status().message().find("rd_atomic"), std::string::npos);
}

// By what the device pages on demand, whether it has atomics, and what was asked for.
TEST(VerbsPaging, IsUsedWhereTheDevicePagesAllThatIsReached) {
  const OnDemandPaging all{.reads = true, .writes = true, .atomics = true};
  const OnDemandPaging no_atomics{.reads = true, .writes = true};
  const OnDemandPaging no_writes{.reads = true, .atomics = true};
  EXPECT_TRUE(choose_paging(all, true, {}, "hca").value());
  EXPECT_TRUE(choose_paging(no_atomics, false, {}, "hca").value());
  EXPECT_FALSE(choose_paging(no_atomics, true, {}, "hca").value());
  EXPECT_FALSE(choose_paging(no_writes, true, {}, "hca").value());
  EXPECT_FALSE(choose_paging({}, false, {}, "hca").value());
  EXPECT_FALSE(choose_paging(all, true, options("odp=off"), "hca").value());
  EXPECT_TRUE(choose_paging(all, true, options("odp=on"), "hca").value());
  const auto refused = choose_paging(no_atomics, true, options("odp=on"), "hca port 1");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("hca port 1"), std::string::npos);
  EXPECT_NE(refused.status().message().find("leave odp out"), std::string::npos);
}

TEST(VerbsPorts, TheNearestActiveOneIsTaken) {
  const PortDescription ports[] = {roce("a", 1, false, 0), roce("b", 1, true, 1),
                                   roce("c", 1, true, 0), roce("d", 1, true, 0)};
  EXPECT_EQ(choose_port(ports, {}, 0).value().port, 2u);
  EXPECT_EQ(choose_port(ports, {}, 1).value().port, 1u);
  EXPECT_EQ(choose_port(ports, {}, -1).value().port, 1u);
  EXPECT_EQ(choose_port(ports, options("device=d"), 1).value().port, 3u);
}

TEST(VerbsPorts, RoutableRoceIsPreferred) {
  PortDescription port = roce("a", 1, true);
  EXPECT_EQ(choose_port({&port, 1}, {}, 0).value().gid, 3u);
  port.gids.pop_back();
  EXPECT_EQ(choose_port({&port, 1}, {}, 0).value().gid, 1u) << "v2 before v1";
  EXPECT_EQ(choose_port({&port, 1}, options("gid=2"), 0).value().gid, 2u);
}

TEST(VerbsPorts, AnInfiniBandPortNeedsNoGid) {
  const PortDescription port{
      .device = "hca", .port = 1, .active = true, .state = "active", .ethernet = false, .gids = {}};
  EXPECT_EQ(choose_port({&port, 1}, {}, 0).value().gid, 0u);
}

TEST(VerbsPorts, RefusalsSayWhatIsThereAndWhatHelps) {
  EXPECT_NE(refusal({}, "").find("choose tcp"), std::string::npos);
  const PortDescription ports[] = {roce("rxe0", 1, true), roce("rxe1", 1, false)};
  const std::string no_device = refusal(ports, "device=mlx5_0");
  EXPECT_NE(no_device.find("rxe0 port 1 (RoCE, active)"), std::string::npos) << no_device;
  const std::string down = refusal(ports, "device=rxe1");
  EXPECT_NE(down.find("PORT_DOWN"), std::string::npos) << down;
  EXPECT_NE(down.find("ip link set"), std::string::npos) << down;
  const std::string no_gid = refusal(ports, "gid=77");
  EXPECT_NE(no_gid.find("77"), std::string::npos) << no_gid;
  EXPECT_NE(no_gid.find("3 (RoCE v2, 10.0.0.1)"), std::string::npos) << no_gid;
  PortDescription bare = roce("rxe0", 1, true);
  bare.gids.clear();
  EXPECT_NE(refusal({&bare, 1}, "").find("ip addr add"), std::string::npos);
}

}  // namespace
}  // namespace dsm::transport
