// dsmrun: starts a program as several nodes of one job. See dsmrun --help.
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "dsmrun_agent.hpp"
#include "dsmrun_doctor.hpp"
#include "dsmrun_front.hpp"
#include "dsmrun_options.hpp"

int main(int argc, char** argv) {
  // How it starts itself on other hosts; of no use by hand.
  if (argc == 2 && std::strcmp(argv[1], "--agent") == 0) return dsm::run::run_agent();
  using dsm::run::Options;
  Options options;
  if (const auto wrong = dsm::run::parse_options(argc, argv, options)) {
    ::dprintf(STDERR_FILENO, "dsmrun: %s\n", wrong->line.c_str());
    return wrong->exit_code;
  }
  switch (options.verb) {
    case Options::Verb::run:
      return dsm::run::run_job(options);
    case Options::Verb::doctor:
      return dsm::run::examine_machine();
    case Options::Verb::text:
      std::fputs(options.text.c_str(), stdout);
      return 0;
  }
  return 0;
}
