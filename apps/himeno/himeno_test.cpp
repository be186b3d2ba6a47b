// That a divided run equals a whole one, and that every check of a result can fail.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <vector>

#include "run.hpp"

namespace himeno {
namespace {

const Size& xs() {
  return sizes()[0];
}

// Runs XS in `parts` on one array each, one part after the other; `stale` leaves out one copy-back
// of the last part.
std::vector<float> divided(int parts, long iterations, bool stale, double* gosa) {
  PrivateArrays memory;
  const Fields fields = memory.add_all(xs(), {0, xs().planes});
  for (int part = 0; part < parts; ++part)
    initialise_all(xs(), fields, share_of(xs(), part, parts).owned);
  for (long n = 0; n < iterations; ++n) {
    *gosa = 0;
    for (int part = 0; part < parts; ++part)
      *gosa += sweep(xs(), fields, share_of(xs(), part, parts).interior);
    for (int part = 0; part < parts; ++part) {
      if (stale && n == 1 && part == parts - 1) continue;
      copy_back(xs(), fields, share_of(xs(), part, parts).interior);
    }
  }
  return {fields[p].data, fields[p].data + xs().points()};
}

Result result_of(const Monitor& monitor) {
  Result result;
  result.monitor = &monitor;
  return result;
}

Options options_for_xs() {
  Options options;
  options.size = xs();
  options.quiet = true;
  return options;
}

TEST(Share, CoversEveryPlaneOnce) {
  for (const Size& size : sizes()) {
    for (const int parts : {1, 2, 3, 7, size.interior_planes()}) {
      int interior = 1;
      int owned = 0;
      for (int part = 0; part < parts; ++part) {
        const Share share = share_of(size, part, parts);
        EXPECT_EQ(share.interior.first, interior);
        EXPECT_EQ(share.owned.first, owned);
        EXPECT_GT(share.interior.count(), 0);
        interior = share.interior.last;
        owned = share.owned.last;
      }
      EXPECT_EQ(interior, size.planes - 2);
      EXPECT_EQ(owned, size.planes);
    }
  }
}

TEST(Kernel, GivesTheSamePressureHoweverDivided) {
  for (const int parts : {1, 2, 5, 30}) {
    double gosa = 0;
    const std::vector<float> mine = divided(parts, 10, false, &gosa);
    EXPECT_NEAR(gosa, 5.358330530e-03, 5.4e-03 * reference_tolerance) << parts;
    const Comparison comparison = compare_with_sequential(xs(), 10, mine.data());
    EXPECT_EQ(comparison.points, xs().points());
    EXPECT_EQ(comparison.different, 0U) << parts;
  }
}

TEST(Comparison, FindsAPartThatMissedOneCopy) {
  double gosa = 0;
  const std::vector<float> mine = divided(4, 10, true, &gosa);
  EXPECT_GT(compare_with_sequential(xs(), 10, mine.data()).different, 0U);
}

TEST(Comparison, FindsOneBitAndSaysWhere) {
  double gosa = 0;
  std::vector<float> mine = divided(1, 3, false, &gosa);
  mine[777] = std::nextafter(mine[777], 2.0F);
  const Comparison comparison = compare_with_sequential(xs(), 3, mine.data());
  EXPECT_EQ(comparison.different, 1U);
  EXPECT_EQ(comparison.first, 777U);
  Monitor monitor(options_for_xs());
  Result result = result_of(monitor);
  result.comparison = comparison;
  EXPECT_TRUE(result.failed());
}

TEST(Residual, IsHeldAgainstTheTable) {
  for (const double factor :
       {1.0, 1.0 + 0.9 * reference_tolerance, 1.0 + 1.1 * reference_tolerance, 0.5}) {
    Monitor monitor(options_for_xs());
    monitor.begin(3);
    for (int i = 0; i < 3; ++i) monitor.iteration(6.229786927e-03 * factor);
    EXPECT_TRUE(result_of(monitor).verified());
    EXPECT_EQ(result_of(monitor).failed(), std::abs(factor - 1) > reference_tolerance) << factor;
  }
}

TEST(Residual, ThatIsNotANumberFails) {
  Monitor monitor(options_for_xs());
  for (int i = 0; i < 3; ++i) monitor.iteration(std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(result_of(monitor).failed());
}

TEST(Residual, OfAShortRunIsNotVerified) {
  Monitor monitor(options_for_xs());
  for (int i = 0; i < 2; ++i) monitor.iteration(6.7e-03);
  EXPECT_FALSE(result_of(monitor).verified());
  EXPECT_FALSE(result_of(monitor).failed());
}

TEST(Json, HasTheResultOfAWholeRun) {
  Options options = options_for_xs();
  options.iterations = 10;
  options.verify = true;
  options.json = testing::TempDir() + "himeno-test-" + std::to_string(getpid()) + ".json";
  Sequential version(xs());
  Result result;
  result.version = "sequential";
  EXPECT_EQ(run(version, options, result, true), 0);
  std::ifstream file(options.json);
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, false);
  std::remove(options.json.c_str());
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["iterations"], 10);
  EXPECT_TRUE(json["passed"]);
  EXPECT_GT(json["mflops"], 0);
  EXPECT_EQ(json["residuals"].size(), 2U);
  EXPECT_EQ(json["comparison"]["different"], 0);
}

TEST(Json, ThatCannotBeWrittenIsAFailure) {
  Options options = options_for_xs();
  options.iterations = 3;
  options.json = "/no/such/directory/himeno.json";
  Sequential version(xs());
  EXPECT_EQ(run(version, options, Result{}, true), 1);
}

TEST(Options, RefuseWhatMakesNoSense) {
  const Program program{.name = "himeno", .summary = "", .has_threads = true, .has_share = true};
  const auto status = [&](std::vector<const char*> words) {
    words.insert(words.begin(), "himeno");
    return parse(static_cast<int>(words.size()), const_cast<char**>(words.data()), program).status;
  };
  EXPECT_EQ(status({"S", "--iterations", "3", "--threads", "2", "--share", "all"}), 0);
  EXPECT_EQ(status({"--help"}), 0);
  EXPECT_EQ(status({}), 2);
  EXPECT_EQ(status({"XXL"}), 2);
  EXPECT_EQ(status({"S", "--iterations", "0"}), 2);
  EXPECT_EQ(status({"S", "--iterations", "-1"}), 2);
  EXPECT_EQ(status({"S", "--iterations", "many"}), 2);
  EXPECT_EQ(status({"S", "--seconds", "0"}), 2);
  EXPECT_EQ(status({"S", "--threads", "0"}), 2);
  EXPECT_EQ(status({"S", "--share", "some"}), 2);
  EXPECT_EQ(status({"S", "--no-such-option"}), 2);
}

TEST(Options, NameTheSizesAndThePlanes) {
  const char* words[] = {"himeno", "XXL"};
  const Parsed parsed = parse(2, const_cast<char**>(words), {.name = "himeno", .summary = ""});
  EXPECT_NE(parsed.text.find("XS, S, M, L or XL"), std::string::npos) << parsed.text;
  EXPECT_EQ(parsed.text.find('\n'), parsed.text.size() - 1) << "one line";
  EXPECT_TRUE(too_many_parts(xs(), 15, 2).empty());
  EXPECT_NE(too_many_parts(xs(), 31, 1).find("30 planes of size XS"), std::string::npos);
}

}  // namespace
}  // namespace himeno
