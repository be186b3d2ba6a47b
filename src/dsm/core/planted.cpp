#include "dsm/core/planted.hpp"

namespace dsm::core {

const char* name_of(Bug bug) {
  switch (bug) {
    case Bug::none:
      return "none";
    case Bug::release_before_acks:
      return "release_before_acks";
    case Bug::lost_notice:
      return "lost_notice";
    case Bug::missing_fence:
      return "missing_fence";
    case Bug::mark_cleared_early:
      return "mark_cleared_early";
    case Bug::mark_lost:
      return "mark_lost";
    case Bug::mark_cleared_by_next_epoch:
      return "mark_cleared_by_next_epoch";
    case Bug::shared_not_written:
      return "shared_not_written";
    case Bug::fetch_not_poisoned:
      return "fetch_not_poisoned";
    case Bug::map_and_unmap_swapped:
      return "map_and_unmap_swapped";
    case Bug::dirty_invalidated_unsent:
      return "dirty_invalidated_unsent";
    case Bug::diff_by_blend:
      return "diff_by_blend";
    case Bug::grant_without_log:
      return "grant_without_log";
    case Bug::grant_after_timeout_lost:
      return "grant_after_timeout_lost";
    case Bug::log_collected_early:
      return "log_collected_early";
    case Bug::opening_page_not_flushed:
      return "opening_page_not_flushed";
    case Bug::log_at_flush_start:
      return "log_at_flush_start";
    case Bug::evicted_while_fetching:
      return "evicted_while_fetching";
    case Bug::evicted_dirty_unsent:
      return "evicted_dirty_unsent";
    case Bug::reduction_counted_twice:
      return "reduction_counted_twice";
    case Bug::grant_overtakes_barrier:
      return "grant_overtakes_barrier";
    case Bug::barrier_tells_unsent:
      return "barrier_tells_unsent";
    case Bug::told_before_home:
      return "told_before_home";
    case Bug::history_not_passed_on:
      return "history_not_passed_on";
    case Bug::history_told_once:
      return "history_told_once";
    case Bug::sequential_read_one_sided:
      return "sequential_read_one_sided";
    case Bug::granted_before_last_return:
      return "granted_before_last_return";
    case Bug::returned_before_closed:
      return "returned_before_closed";
    case Bug::late_recall_obeyed:
      return "late_recall_obeyed";
    case Bug::return_overtakes_content:
      return "return_overtakes_content";
    case Bug::early_recall_dropped:
      return "early_recall_dropped";
    case Bug::eviction_loses_content:
      return "eviction_loses_content";
    case Bug::no_tenure:
      return "no_tenure";
    case Bug::lent_lock_leaves_its_holder:
      return "lent_lock_leaves_its_holder";
    case Bug::tenure_never_ends:
      return "tenure_never_ends";
    case Bug::team_clears_marks:
      return "team_clears_marks";
    case Bug::team_forgets_log:
      return "team_forgets_log";
    case Bug::team_overtakes_barrier:
      return "team_overtakes_barrier";
    case Bug::team_tells_unsent:
      return "team_tells_unsent";
    case Bug::condition_unregistered:
      return "condition_unregistered";
    case Bug::notification_lost:
      return "notification_lost";
  }
  return "?";
}

}  // namespace dsm::core
