// Everything that this process started, and what that started, and so on. For a process that is a
// child subreaper, so that those whose parents ended, or who moved into sessions of their own, are
// still below it.
#pragma once

#include <sys/types.h>

#include <vector>

namespace dsm::run {

// From now on, orphans below this process become its children.
void become_subreaper();

// Living ones; processes that have ended but were not waited for do not count.
std::vector<pid_t> living_descendants();

// Sends SIGKILL until none is left, and waits for those that are this process's children. Gives up
// after some seconds, when a process cannot die (a broken device holds it).
void kill_descendants();

}  // namespace dsm::run
