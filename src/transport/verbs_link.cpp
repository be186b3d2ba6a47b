#include "transport/verbs_link.hpp"

#include <algorithm>
#include <bit>

namespace dsm::transport {
namespace {

// 134 ms until a request is repeated, six times: a peer's host may be busy, when its device is
// software. (Seven is without end to some devices, soft-RoCE among them.)
constexpr std::uint8_t answer_timeout = 15;
constexpr std::uint8_t answer_tries = 6;
constexpr std::uint8_t receiver_tries = 7;  // without end: nothing of ours needs a receive
constexpr std::uint8_t receiver_timer = 12;

// Both sides know them without telling.
std::uint32_t first_number(std::uint32_t pair, std::uint32_t generation) {
  return (pair * 0x9e3779b1u + generation * 0x85ebca6bu) & 0xffffff;
}

ibv_mtu mtu_of(std::uint32_t bytes) {
  return static_cast<ibv_mtu>(std::bit_width(bytes) - std::bit_width(128u));
}

}  // namespace

VerbsLink::VerbsLink(const VerbsDevice& device, ibv_cq* queue, NodeId self, NodeId peer,
                     VerbsNotes& notes, std::uint32_t depth)
    : device_(device), queue_(queue), self_(self), peer_(peer), notes_(notes), depth_(depth) {}

Status VerbsLink::begin() {
  return state_ == State::none ? call(generation_ + 1) : Status();
}

Status VerbsLink::renew() {
  return call(generation_ + 1);
}

Status VerbsLink::call(std::uint32_t generation) {
  if (Status opened = open(generation); !opened.ok()) return opened;
  state_ = State::calling;
  tell(VerbsNote::Kind::call);
  return {};
}

Status VerbsLink::heed(const VerbsNote& note) {
  switch (note.kind) {
    case VerbsNote::Kind::call: {
      const bool crossed = note.generation == generation_ && state_ == State::calling;
      if (!is_newer(note) && !(crossed && peer_ < self_)) return {};
      if (is_newer(note))
        if (Status opened = open(note.generation); !opened.ok()) return opened;
      if (Status joined = join(note); !joined.ok()) return joined;
      state_ = State::answered;
      tell(VerbsNote::Kind::answer);
      return {};
    }
    case VerbsNote::Kind::answer:
      if (note.generation != generation_ || state_ != State::calling) return {};
      if (Status joined = join(note); !joined.ok()) return joined;
      state_ = State::ready;
      tell(VerbsNote::Kind::ready);
      return {};
    default:
      if (note.generation == generation_ && state_ == State::answered) state_ = State::ready;
      return {};
  }
}

void VerbsLink::tell(VerbsNote::Kind kind) {
  VerbsNote note{.kind = kind, .generation = generation_};
  if (kind != VerbsNote::Kind::ready) {
    note.pair = pair_->qp_num;
    note.port = device_.port();
  }
  notes_.note(peer_, note);
}

// A pair that waits to be joined.
Status VerbsLink::open(std::uint32_t generation) {
  close();
  ibv_qp_init_attr attributes{};
  attributes.send_cq = queue_;
  attributes.recv_cq = queue_;
  attributes.cap = {.max_send_wr = depth_,
                    .max_recv_wr = 1,
                    .max_send_sge = 1,
                    .max_recv_sge = 1,
                    .max_inline_data = 0};
  attributes.qp_type = IBV_QPT_RC;
  auto pair = device_.make_pair(attributes);
  if (!pair.ok()) return pair.status();
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_INIT;
  attr.pkey_index = device_.pkey_index();
  attr.port_num = device_.port_number();
  attr.qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
  if (device_.limits().atomics) attr.qp_access_flags |= IBV_ACCESS_REMOTE_ATOMIC;
  if (const int failed =
          ::ibv_modify_qp(pair.value().get(), &attr,
                          IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
    return device_.error("an RC queue pair cannot be initialised", failed);
  pair_ = std::move(pair).value();
  inline_max_ = attributes.cap.max_inline_data;
  generation_ = generation;
  return {};
}

Status VerbsLink::join(const VerbsNote& peers) {
  const VerbsPort own = device_.port();
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_RTR;
  attr.path_mtu = mtu_of(std::min(peers.port.mtu, own.mtu));
  attr.dest_qp_num = peers.pair;
  attr.rq_psn = first_number(peers.pair, generation_);
  attr.max_dest_rd_atomic = own.rd_atomic;
  attr.min_rnr_timer = receiver_timer;
  attr.ah_attr = device_.route(peers.port);
  const std::string to = "an RC queue pair to node " + std::to_string(peer_.value);
  if (const int failed =
          ::ibv_modify_qp(pair_.get(), &attr,
                          IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                              IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER))
    return device_.error((to + " cannot receive").c_str(), failed);
  attr = {};
  attr.qp_state = IBV_QPS_RTS;
  attr.timeout = answer_timeout;
  attr.retry_cnt = answer_tries;
  attr.rnr_retry = receiver_tries;
  attr.sq_psn = first_number(pair_->qp_num, generation_);
  attr.max_rd_atomic = std::min(own.rd_atomic, peers.port.rd_atomic);
  if (const int failed =
          ::ibv_modify_qp(pair_.get(), &attr,
                          IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                              IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC))
    return device_.error((to + " cannot send").c_str(), failed);
  return {};
}

void VerbsLink::fail() {
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_ERR;
  if (pair_) ::ibv_modify_qp(pair_.get(), &attr, IBV_QP_STATE);
}

}  // namespace dsm::transport
