// libdsm: one shared memory for the processes of a parallel program.
//
//   #include <dsm/dsm.hpp>
//   int main() {
//     dsm::Session session;                           // joins dsmrun's job, or runs alone
//     auto counter = dsm::allocate<long>(1);          // the same pointer on every node, zero
//     dsm::Lock lock;
//     { std::scoped_lock hold(lock); ++counter[0]; }  // what a holder wrote, the next one sees
//     dsm::barrier();                                 // what anyone wrote before, all see after
//     if (dsm::rank() == 0) std::printf("%ld of %d\n", counter[0], dsm::size());
//   }
//
// A *node* is one process of the job, numbered by its rank; it may have many threads, which share
// its view of the memory. Memory is *scope consistent* (Iftode, Singh, Li 1996): an acquire of a
// lock makes visible what was written under that lock before its last release; a barrier makes
// everything visible to everyone. Writers of different bytes never disturb each other, also within
// one page. A word that is written under one lock and read under another, or under none, without a
// barrier between, is a data race and gets no promise. That is the standard; a region may have
// another policy (Policy), and docs/memory-model.md has all of it.
//
// Errors: what the caller can mend (a wrong argument, too little memory, a machine without some
// ability) throws dsm::Error, whose what() is one line that says what to do. One that nobody
// catches ends the process with that line and exit code 1, not with std::terminate()'s. A node that
// is lost ends every other node with one line that names it.
//
// Threads: every function may be called by any thread of a node unless it says *collective*: then
// it is called once by each node, in the same order everywhere (by whichever thread).
#pragma once

#include <dsm/atomic.hpp>
#include <dsm/bound.hpp>
#include <dsm/condition.hpp>
#include <dsm/files.hpp>
#include <dsm/job.hpp>
#include <dsm/lock.hpp>
#include <dsm/memory.hpp>
#include <dsm/once.hpp>
#include <dsm/semaphore.hpp>
#include <dsm/statistics.hpp>
#include <dsm/team.hpp>
