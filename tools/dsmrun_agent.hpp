// The agent: `dsmrun --agent`, which dsmrun starts on another host through the launcher. It takes
// an Order from standard input, runs those ranks as the keeper would, tells on standard output what
// they write and how they end (dsmrun_wire.hpp), and kills all that they started when they have
// ended, or when standard input ends: then dsmrun, or the way to it, is gone.
#pragma once

namespace dsm::run {

// Returns the exit code.
int run_agent();

}  // namespace dsm::run
