// Bugs that the simulator's own tests plant, to show that it finds them. In the library planted()
// is false at compile time; the core is compiled a second time, with DSM_PLANTED_BUGS=1, for those
// tests only.
#pragma once

#include <cstdint>

namespace dsm::core {

enum class Bug : std::uint8_t {
  none,
  release_before_acks,         // A3
  lost_notice,                 // A1
  missing_fence,               // B6 (in the simulated machine)
  mark_cleared_early,          // B7: cleared by a lock's notice
  mark_lost,                   // B5
  read_before_mark_taken,      // B6: a mark is a message, and its READ does not wait for it
  mark_cleared_by_next_epoch,  // B7: a barrier clears marks that were left after it
  shared_not_written,          // B8
  fetch_not_poisoned,          // D16
  map_and_unmap_swapped,       // D17
  dirty_invalidated_unsent,    // D18
  diff_by_blend,               // A3 (in the simulated machine)
  grant_without_log,           // A2
  grant_after_timeout_lost,    // A2: a token that comes for nobody is not passed on
  shared_grant_without_log,    // A2: of a shared lock's permission
  shared_permission_kept,      // a revoked permission goes back, and is used on
  // A1: what was written by a node that only read in the scope
  reader_release_not_published,
  shared_grant_overtakes_barrier,  // A2
  shared_withdrawal_unheard,       // a node waits for what it has taken back
  log_collected_early,             // A2
  opening_page_not_flushed,        // A1: a page that is being made writable counts as dirty
  log_at_flush_start,              // A1: the log entry is made when protection holds, not before
  evicted_while_fetching,          // D20
  evicted_dirty_unsent,            // D20
  reduction_counted_twice,         // E28
  grant_overtakes_barrier,         // A2: a token from beyond a barrier is used before it
  barrier_tells_unsent,         // A3: a barrier tells of another thread's diff that is not home yet
  told_before_home,             // A3: a release region's page is told of before it is home
  history_not_passed_on,        // A1: what the releaser had heard of is not told
  history_told_once,            // A2: what has been told to one node is not told to the next
  lent_lock_leaves_its_holder,  // A4: a lock is handed over while a thread has it on loan
  // D21
  sequential_read_one_sided,
  granted_before_last_return,  // a writer is let in while the last reader still reads
  returned_before_closed,      // a copy counts as given back before its protection holds
  late_recall_obeyed,          // a recall of an older copy is taken for one of the newest
  return_overtakes_content,    // what a node gives back counts before its content has come
  early_recall_dropped,        // a recall that overtakes its grant is forgotten
  eviction_loses_content,      // a written page is evicted like a read one
  no_tenure,                   // a page is given back before its thread has used it
  tenure_never_ends,           // nobody asks for the end of a tenure that stands in the way
  // D23
  bound_grant_without_data,
  bound_filled_too_early,        // before the READ that brings the page
  bound_stale_copy_kept,         // what is at its home is not fetched from there
  bound_bytes_in_diff,           // of a node that has not the lock
  bound_older_overwrites_newer,  // at the home
  bound_not_home_before_barrier,
  bound_used_before_read,     // what is read from the owner before has not come
  bound_not_kept_for_reader,  // its owner evicts what its successor reads
  bound_read_from_absent,     // a frame that is not there is offered
  bound_read_while_leaving,   // or one whose chunk is being evicted
  bound_writes_unseen,        // nobody looks for bound memory that is written without its lock
  bound_taken_mistaken,       // an answer of an older turn ends a newer offer
  team_clears_marks,          // B7: a team's barrier clears marks as the job's does
  team_forgets_log,           // A2: a team's barrier settles the log, though not all have heard
  team_overtakes_barrier,     // A2: notices from beyond a barrier of the job are used before it
  team_tells_unsent,          // A3: as barrier_tells_unsent, of a team
  // atomic operations on shared words
  atomic_on_copy,              // on this node's copy of the page
  atomic_in_halves,            // load, then store (in the simulated machine)
  atomic_answer_mistaken,      // an answer is taken for that of another thread's operation
  atomics_not_told,            // a barrier does not name the pages
  atomics_leave_own_copy,      // a node keeps its own copy of what it changed at the home
  atomic_under_way_forgotten,  // one that crosses a barrier is told of there, and not at the next
  // races
  clock_not_told,          // a token does not carry what its sender has heard of: a false alarm
  clock_of_barrier_lost,   // nor does a barrier
  races_unseen,            // nobody compares
  condition_unregistered,  // the lock is let go before the condition's manager knows the waiter
  notification_lost,       // a notification that crosses a time-out is nobody's
  semaphore_release_before_acks,  // A3
  semaphore_grant_without_log,    // A2
  semaphore_told_once,            // A1: a release that overtakes another tells less than it must
  semaphore_tells_unsent,         // A3: as team_tells_unsent, of a release
  semaphore_grant_overtakes_barrier,   // A2
  semaphore_grant_after_timeout_lost,  // a grant that crosses a time-out is nobody's
  semaphore_count_given_twice,         // ... or is given back too
  // D16, of what was fetched ahead
  ahead_not_poisoned,  // a notice passes over what is on its way and nobody has asked for
  unread_kept,         // ... or is here, and nobody has come to it
  ahead_unmarked,      // B5: a home that can be told by message only is not
  ahead_wakes_nobody,  // somebody has come to a page that was on its way, and is forgotten
  // pushes
  push_over_lock_data,  // C12
  base_not_renewed,     // C10: nobody reads a page for a while, and its base stays what it was
  byte_sent_twice,      // C10: the base stays what it was (in the simulated machine)
  pushed_not_in_twin,   // C11 (in the simulated machine)
  diff_not_in_base,     // C10: others' bytes are pushed as the home's (in the simulated machine)
  push_into_fetch,      // C13
  barrier_left_before_push,  // C14
  early_push_taken,          // a push for the next barrier counts for this one
  whole_lines_over_newer,    // a copy that has newer bytes takes whole lines
  pushed_marks_cleared,      // a home forgets readers that it has pushed to
  atomics_not_in_base,       // what they changed before a barrier is pushed at the next
  push_over_atomic,          // what a node stored behind its own atomic operation
  diffs_overlap,             // two diffs of one page are on their way home at once
  // scans
  told_before_scan,  // A1: a publication does not wait for its scan (in the simulated machine)
  scans_overlap,     // A1: what another thread's scan took is not told (in the simulated machine)
  fresh_watch_not_scanned,   // B8: a page is scanned only from the next barrier on
  lost_mapping_protected,    // A1: a page is mapped anew as if nobody had written it
  watch_changed_under_scan,  // A1: a scan under way finds nothing of what traps watch
  // 22, homes that move
  moved_under_diff,        // a node is ready though a diff is on its way to the old home
  moved_under_fetch,       // ... or a READ, which arrives over the content
  moved_under_operation,   // ... or an atomic operation
  home_before_content,     // a new home serves before the content is there
  old_home_keeps_mapping,  // the program at the old home goes on writing
  access_at_old_home,      // an access that waits is sent to the old home
  arriving_frame_punched,  // a new home evicts the chunk of the page that comes
  fetched_while_punched,   // the old home fetches a page while its frame is still being given back
};
inline constexpr int bug_count = static_cast<int>(Bug::fetched_while_punched) + 1;

const char* name_of(Bug bug);

}  // namespace dsm::core
