#include "options.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>

namespace himeno {
namespace {

constexpr long iterations_max = 1'000'000'000;
constexpr double seconds_max = 1e6;
constexpr int threads_max = 1024;

std::string size_names() {
  std::string names;
  for (const Size& size : sizes()) {
    if (!names.empty()) names += &size == &sizes().back() ? " or " : ", ";
    names += size.name;
  }
  return names;
}

const Size* find_size(const std::string& name) {
  for (const Size& size : sizes()) {
    if (name == size.name) return &size;
  }
  return nullptr;
}

}  // namespace

int Parsed::print(bool speaks) const {
  if (speaks) std::fputs(text.c_str(), status == 0 ? stdout : stderr);
  return status;
}

Parsed parse(int argc, char** argv, const Program& program) {
  Options options;
  std::string size;
  std::string share = "p";

  CLI::App app(program.summary, program.name);
  app.add_option("SIZE", size, size_names() + ": points of the grid")
      ->required()
      ->check([](const std::string& name) {
        return find_size(name) != nullptr ? std::string()
                                          : "unknown size '" + name + "': choose " + size_names();
      });
  auto* iterations =
      app.add_option("--iterations", options.iterations, "run exactly so many iterations")
          ->type_name("K")
          ->check(CLI::Range(1L, iterations_max));
  app.add_option(
         "--seconds", options.seconds,
         "measure three iterations, then run as many as take so long (default: about a minute)")
      ->type_name("S")
      ->check(CLI::Range(0.001, seconds_max))
      ->excludes(iterations);
  if (program.has_threads) {
    app.add_option("--threads", options.threads, "threads of each process (default: 1)")
        ->type_name("K")
        ->check(CLI::Range(1, threads_max));
  }
  if (program.has_share) {
    app.add_option(
           "--share", share,
           "arrays in shared memory: only p, which nodes must exchange (default), or all 14")
        ->type_name("p|all")
        ->check(CLI::IsMember({"p", "all"}));
  }
  if (program.has_verify) {
    app.add_flag("--verify", options.verify,
                 "afterwards compare p with a sequential run, bit for bit");
  }
  app.add_option("--json", options.json, "write the result to a file; -: to the output")
      ->type_name("FILE");
  app.add_flag("--quiet", options.quiet, "print nothing but errors");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return {std::nullopt, app.help(), 0};
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, std::string(program.name) + ": " + error.what() + " (see --help)\n", 2};
  }
  options.size = *find_size(size);
  options.share_all = share == "all";
  return {options, {}, 0};
}

std::string too_many_parts(const Size& size, int nodes, int threads) {
  const int planes = size.interior_planes();
  if (static_cast<long>(nodes) * threads <= planes) return {};
  const auto counted = [](int n, const char* word) {
    return std::to_string(n) + " " + word + (n == 1 ? "" : "s");
  };
  return counted(nodes, "node") + " x " + counted(threads, "thread") + " are more than the " +
         std::to_string(planes) + " planes of size " + size.name + ": use fewer, or a larger size";
}

}  // namespace himeno
