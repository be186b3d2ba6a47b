// The table of DSM_* variables: fallbacks, legal and illegal values, unknown names, what nodes must
// agree on.
#include "dsm/launch/settings.hpp"

#include <gtest/gtest.h>

#include <set>

namespace dsm::launch {
namespace {

Settings read(const Environment& environment) {
  auto settings = read_settings(environment);
  EXPECT_TRUE(settings.ok()) << settings.status().message();
  return settings.ok() ? *settings : Settings{};
}

TEST(Settings, AreTheFallbacksWhenNothingIsSet) {
  const Settings s = read({});
  EXPECT_EQ(s.transport, "best");
  EXPECT_EQ(s.trap, TrapChoice::automatic);
  EXPECT_EQ(s.watch, WatchChoice::automatic);
  EXPECT_EQ(s.cache_bytes, gibibyte);
  EXPECT_EQ(s.space_bytes, 64 * gibibyte);
  EXPECT_FALSE(s.base);
  EXPECT_FALSE(s.log_debug);
  EXPECT_FALSE(s.spin);
  EXPECT_EQ(s.join_timeout, std::chrono::seconds(30));
  EXPECT_FALSE(s.launch.rank);
  EXPECT_FALSE(s.launch.launched);
  EXPECT_TRUE(s.warnings.empty());
}

TEST(Settings, TakeWhatIsGiven) {
  const Settings s = read({{"DSM_TRANSPORT", "tcp+faulty"},
                           {"DSM_TRAP", "mprotect"},
                           {"DSM_WATCH", "trap"},
                           {"DSM_CONSISTENCY", "release"},
                           {"DSM_CACHE", "512m"},
                           {"DSM_SPACE", "1T"},
                           {"DSM_BASE", "0x550000000000"},
                           {"DSM_LOG", "debug"},
                           {"DSM_SPIN", "250"},
                           {"DSM_RANK", "3"},
                           {"DSM_SIZE", "4"},
                           {"DSM_RENDEZVOUS", "[::1]:7000"},
                           {"DSM_LAUNCHED", "1"},
                           {"DSM_JOB_KEY_FD", "9"}});
  EXPECT_EQ(s.transport, "tcp+faulty");
  EXPECT_EQ(s.trap, TrapChoice::mprotect);
  EXPECT_EQ(s.watch, WatchChoice::trap);
  EXPECT_EQ(s.consistency, ConsistencyChoice::release);
  EXPECT_EQ(s.cache_bytes, 512 * mebibyte);
  EXPECT_EQ(s.space_bytes, 1024 * gibibyte);
  EXPECT_EQ(s.base, 0x5500'0000'0000u);
  EXPECT_TRUE(s.log_debug);
  EXPECT_EQ(s.spin, std::chrono::microseconds(250));
  EXPECT_EQ(s.launch.rank, 3u);
  EXPECT_EQ(s.launch.size, 4u);
  EXPECT_EQ(s.launch.rendezvous, (Endpoint{"::1", 7000}));
  EXPECT_TRUE(s.launch.launched);
  EXPECT_EQ(s.launch.key_fd, 9);
}

TEST(Settings, EveryConsistencyHasItsName) {
  EXPECT_EQ(read({{"DSM_CONSISTENCY", "scope"}}).consistency, ConsistencyChoice::scope);
  EXPECT_EQ(read({{"DSM_CONSISTENCY", "release"}}).consistency, ConsistencyChoice::release);
  EXPECT_EQ(read({{"DSM_CONSISTENCY", "sequential"}}).consistency, ConsistencyChoice::sequential);
}

TEST(Settings, WhatAJobDoesWithoutIsAList) {
  EXPECT_EQ(read({}).without, Without{});
  EXPECT_EQ(read({{"DSM_WITHOUT", "private"}}).without, Without{.private_pages = true});
  EXPECT_EQ(read({{"DSM_WITHOUT", "marks,lending,runs"}}).without,
            (Without{.lending = true, .runs = true, .ordered_marks = true}));
  EXPECT_EQ(read({{"DSM_WITHOUT", "dissemination"}}).without, Without{.dissemination = true});
}

TEST(Settings, AVariableSetToNothingIsNotSet) {
  EXPECT_EQ(read({{"DSM_CACHE", ""}}).cache_bytes, gibibyte);
  EXPECT_FALSE(read({{"DSM_RANK", ""}}).launch.rank);
}

TEST(Settings, AMalformedValueIsNamedWithTheLegalOnes) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"DSM_TRAP", "segv"},
      {"DSM_CONSISTENCY", "nonsense"},
      {"DSM_CONSISTENCY", "sequentially"},
      {"DSM_TRAP", "UFFD"},
      {"DSM_WATCH", "traps"},
      {"DSM_CACHE", "12Q"},
      {"DSM_CACHE", "0"},
      {"DSM_CACHE", "-1"},
      {"DSM_CACHE", "G"},
      {"DSM_CACHE", "1.5G"},
      {"DSM_CACHE", "1 G"},
      {"DSM_CACHE", "99999999999T"},
      {"DSM_CACHE", "18446744073709551616"},
      {"DSM_SPACE", "4096"},
      {"DSM_SPACE", "1025K"},
      {"DSM_SPACE", "65T"},
      {"DSM_BASE", "550000000000"},
      {"DSM_BASE", "0x"},
      {"DSM_BASE", "0x550000000001"},
      {"DSM_BASE", "0x0"},
      {"DSM_BASE", "0xffffffffffe00000"},
      {"DSM_LOG", "verbose"},
      {"DSM_WITHOUT", "everything"},
      {"DSM_WITHOUT", "runs,"},
      {"DSM_WITHOUT", "runs,,marks"},
      {"DSM_WITHOUT", ",runs"},
      {"DSM_SPIN", "forever"},
      {"DSM_SPIN", "1000001"},
      {"DSM_RANK", "4096"},
      {"DSM_RANK", "-1"},
      {"DSM_SIZE", "0"},
      {"DSM_SIZE", "5000"},
      {"DSM_RENDEZVOUS", "localhost"},
      {"DSM_RENDEZVOUS", "::1:7000"},
      {"DSM_RENDEZVOUS", "host:0"},
      {"DSM_RENDEZVOUS", "host:"},
      {"DSM_RENDEZVOUS", ":7000"},
      {"DSM_RENDEZVOUS", "[::1"},
      {"DSM_RENDEZVOUS", "[]:1"},
      {"DSM_LAUNCHED", "yes"},
      {"DSM_JOB_KEY_FD", "stdin"},
      {"DSM_JOIN_TIMEOUT", "never"}};
  for (const auto& [name, value] : bad) {
    const auto settings = read_settings({{name, value}});
    ASSERT_FALSE(settings.ok()) << name << "=" << value;
    const std::string message = settings.status().message();
    EXPECT_EQ(message.find(name + "=\"" + value + "\""), 0u) << message;
    EXPECT_NE(message.find("is not legal: give "), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(Settings, AnUnknownVariableNamesTheNearest) {
  const Settings s = read({{"DSM_TRANSPROT", "tcp"}, {"DSM_CASH", "1G"}});
  ASSERT_EQ(s.warnings.size(), 2u);
  EXPECT_NE(s.warnings[0].find("DSM_CASH"), std::string::npos);
  EXPECT_NE(s.warnings[0].find("the nearest is DSM_CACHE"), std::string::npos);
  EXPECT_NE(s.warnings[1].find("the nearest is DSM_TRANSPORT"), std::string::npos);
}

TEST(Settings, TheTableIsCompleteAndItsFallbacksAreLegal) {
  std::set<std::string> names;
  for (const Setting& row : settings_table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(std::string(row.name).substr(0, 4), "DSM_");
    for (const char* text : {row.type, row.legal, row.help}) EXPECT_STRNE(text, "") << row.name;
    Settings scratch;
    if (*row.fallback != '\0') {
      EXPECT_TRUE(row.apply(row.fallback, scratch)) << row.name;
    }
  }
  EXPECT_GE(names.size(), 16u);
}

TEST(Settings, TheFingerprintChangesWithWhatNodesMustAgreeOnAndWithNothingElse) {
  const std::uint64_t plain = settings_fingerprint(read({}));
  EXPECT_EQ(plain, settings_fingerprint(
                       read({{"DSM_SPACE", "65536M"}, {"DSM_CACHE", "2G"}, {"DSM_LOG", "debug"}})));
  EXPECT_NE(plain, settings_fingerprint(read({{"DSM_SPACE", "32G"}})));
  EXPECT_NE(plain, settings_fingerprint(read({{"DSM_DEBUG", "1"}})));
  EXPECT_NE(plain, settings_fingerprint(read({{"DSM_WITHOUT", "private"}})));
  EXPECT_NE(plain, settings_fingerprint(read({{"DSM_MIGRATE", "2"}})));
  EXPECT_NE(plain, settings_fingerprint(read({{"DSM_BASE", "0x550000000000"}})));
}

TEST(Settings, TheBuildIdIsStable) {
  EXPECT_FALSE(build_id().empty());
  EXPECT_EQ(build_id(), build_id());
}

TEST(Endpoint, ReadsWhatItWrites) {
  for (const char* text :
       {"127.0.0.1:7000", "node-3.example:65535", "[::1]:1", "[fe80::1%eth0]:7000"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status().message();
    EXPECT_EQ(endpoint.value().text(), text);
  }
}

}  // namespace
}  // namespace dsm::launch
