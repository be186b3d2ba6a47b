// Every order that matters: depth first, each state once, with dynamic partial-order reduction
// (Flanagan and Godefroid, 2005) over states that are remembered (after Yang, Chen, Gopalakrishnan
// and Kirby, 2008).
//
// What depends on what. Each action leaves its footprint (support/footprint.hpp): a step of node
// A's engine uses A's engine, an access uses its page's view and frame, a mark or a READ the ring
// or the frame at the home. Actions whose footprints do not conflict commute, so of executions that
// differ only in their order one is enough. Actions wait until they are performed (none disables
// another), and what an action makes comes after it.
//
// How. At each state one action is tried first. When a step turns out to conflict with an earlier
// one that did not have to come first (a race), the state before the earlier one must also begin
// with something that leads to the later step: an action that waited there, and that the later step
// comes of or comes after. What is chosen at a state is, when it is left, a persistent set. A state
// that is met again is not entered; instead it is remembered what its future uses first
// (model/future.hpp), by the waiting action from which that comes and by what must have come
// before, and races of this path with it are sought as if it were performed. Too many entries of
// one action are joined: they then use what any of them uses and come after what all of them come
// after, so that more is tried. What a future uses behind a write of the same part races with that
// write and no earlier step, so it is not kept. A state of the path that is met again closes a
// cycle: there everything is tried.
//
// A step's parts. Most steps write all of their engine. A message of a barrier writes where it is
// kept until its turn comes; a step that gets on in a barrier looks for such messages round by
// round, up to one that is missing. So messages of different rounds commute while nobody waits for
// them, as do those of the next barrier with everything before this node arrives there. A diff that
// comes home leaves the engine as it is. DrainMarks that finds no mark only reads the rings.
//
// What is kept. All final states, all values that programs observe and all failures of one action
// by itself: the order within a node, and of whatever uses one part, is that of some execution that
// was tried. Not kept are the states in between in which the nodes' pasts are combined otherwise;
// so what is checked between nodes after a step (a copy and its mark, the two holders of a page) is
// checked in fewer combinations. What such a check is for, a wrong value or a lost write in the
// end, is kept.
//
// Effects that send, post and note a time are carried out with what comes before them: nothing that
// waits can tell. Two states with the same 64-bit number count as one: with n states the chance
// that any two share one by accident is below n^2 / 2^65, 3 in a million for ten million.
//
// model_test holds this against the exploration without reduction: the same final states, and every
// planted bug found by one is found by the other. laws_test tries the commuting itself.
#pragma once

#include "model/explorer.hpp"

namespace dsm::sim {

Exploration explore_reduced(const Program& program, std::uint64_t states_max,
                            core::Bug bug = core::Bug::none);

}  // namespace dsm::sim
