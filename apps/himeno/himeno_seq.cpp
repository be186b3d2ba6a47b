// Himeno, sequential: the speed that every other version is measured against.
#include <exception>

#include "run.hpp"

int main(int argc, char** argv) try {
  const himeno::Parsed parsed = himeno::parse(
      argc, argv,
      {.name = "himeno-seq", .summary = "The Himeno benchmark, sequential.", .has_verify = false});
  if (!parsed.options) return parsed.print(true);
  himeno::Sequential version(parsed.options->size);
  himeno::Result result;
  result.version = "sequential";
  result.setting = "sequential";
  return himeno::run(version, *parsed.options, result, true);
} catch (const std::exception& error) {
  std::fprintf(stderr, "himeno-seq: %s\n", error.what());
  return 1;
}
