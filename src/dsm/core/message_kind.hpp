// The first byte of a message. Known to its encoder and its decoder alone.
#pragma once

#include <cstdint>

namespace dsm::core {

enum class Kind : std::uint8_t {
  lock_request,
  lock_forward,
  lock_grant,
  diff,
  stamped_diff,
  diff_ack,
  barrier_round,
  mark_flush,
  mark_credit,
  page_request,
  page_recall,
  page_return,
  page_grant,
  team_round,
  atomic_request,
  atomic_reply,
  condition_call,
  condition_answer,
  shared_request,
  shared_grant,
  shared_revoke,
  shared_return,
  mark_note,
  mark_taken,
  semaphore_call,
  semaphore_release,
  semaphore_answer,
  shared_withdraw,
  shared_withdrawn,
  team_left,
  bound_diff,
  bound_taken,
  holding,
  push,
  hurry,
  move_ready,
  move_content,
  move_done
};

}  // namespace dsm::core
