// One node's memory as its processors and its network device see it: frames, the program's view of
// them, twins, mark rings, and a store buffer for each thread. Does what the edge of the library
// does, without deciding anything.
//
// A program's store enters its thread's store buffer, in order, and becomes visible to everyone
// else when it drains: at any time, and at the latest at a fence. The thread itself sees its own
// buffer. (x86-TSO; Sewell et al. 2010.) A value.
//
// A scanned page that may be read becomes one that may be written when a store to it begins.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "base/wire.hpp"
#include "dsm/core/mark.hpp"
#include "support/program.hpp"

namespace dsm::sim {

class Machine {
 public:
  struct Store {
    std::uint32_t page = 0;
    std::uint16_t offset = 0;
    std::uint16_t length = 0;
    std::uint64_t bytes = 0;
  };
  Machine() = default;
  explicit Machine(const Program& program);

  // ---- the program's side ----
  bool allows(std::uint32_t page, bool write) const {
    return view_[page] >= (write && scanned_[page] == 0 ? Access::write : Access::read);
  }
  void store(std::uint32_t thread, std::uint32_t page, std::uint32_t offset, std::uint32_t length,
             std::uint64_t bytes);
  std::uint64_t load(std::uint32_t thread, std::uint32_t page, std::uint32_t offset,
                     std::uint32_t length) const;
  std::size_t buffered(std::uint32_t thread) const {
    return buffers_[thread].size() - drained_[thread];
  }
  // The same of bytes that are somewhere else than in the frame.
  std::uint64_t load_over(const std::byte* page_bytes, std::uint32_t thread, std::uint32_t page,
                          std::uint32_t offset, std::uint32_t length) const;
  const Store& oldest(std::uint32_t thread) const { return buffers_[thread][drained_[thread]]; }
  template <typename Visit>
  void each_buffered(std::uint32_t thread, Visit visit) const {
    for (std::size_t i = drained_[thread]; i < buffers_[thread].size(); ++i)
      visit(buffers_[thread][i]);
  }
  void drain_one(std::uint32_t thread);
  void fence(std::uint32_t thread);
  void fence_all();

  // Stores into these pages are listed when they become visible, for whoever wants to know.
  void watch(PageRun run, bool on);
  const std::vector<Store>& performed() const { return performed_; }
  void forget_performed() { performed_.clear(); }

  // ---- the edge's side. Those that return a string say what the engine may not ask for, or
  // nothing ----
  std::byte* frame(std::uint64_t page) { return frames_.data() + page * page_bytes_; }
  const std::byte* frame(std::uint64_t page) const { return frames_.data() + page * page_bytes_; }
  Access view(std::uint64_t page) const { return view_[page]; }
  bool has_twin(std::uint64_t page) const { return has_twin_[page] != 0; }
  const std::byte* twin(std::uint64_t page) const { return twins_.data() + page * page_bytes_; }
  bool narrows(PageRun run, Access to) const;  // takes rights away, and so fences everyone
  std::string change(PageRun run, Access to);
  // Watched by scans from now on, or by traps; open for writing in any case.
  void set_scanned(PageRun run, bool scanned);
  bool scanned(std::uint64_t page) const { return scanned_[page] != 0; }
  // Whether a scanned page was written; it then may be read again.
  bool take_written(std::uint64_t page);
  std::string make_twins(PageRun run);
  void drop_twin(std::uint64_t page) { has_twin_[page] = 0; }
  std::byte* twin(std::uint64_t page) { return twins_.data() + page * page_bytes_; }
  void take_bases(PageRun run);
  void renew_twin(std::uint64_t page, std::size_t offset, std::size_t length) {
    const std::size_t at = page * page_bytes_ + offset;
    std::copy_n(frames_.begin() + static_cast<std::ptrdiff_t>(at), length,
                twins_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void punch(PageRun run);
  void make_home(PageRun run);  // frames of zeroes, open to the program
  // The kernel takes a mapping away behind the engine's back; the next access traps.
  void reclaim(std::uint32_t page);
  bool reclaimed(std::uint64_t page) const { return reclaimed_[page] != 0; }

  // ---- the rings of marks that others leave here ----
  void write_mark(NodeId reader, std::uint64_t slot, std::uint64_t word) {
    ring(reader)[slot % slots_] = word;
  }
  std::optional<core::MarkEntry> next_mark(NodeId reader, Epoch now) const;
  void consume_mark(NodeId reader) { ++consumed_[reader.value]; }
  // Whether the unread entries of the reader leave it marked on the page; `before` is what the
  // directory says.
  bool marked_in_ring(NodeId reader, PageId page, Epoch now, bool before) const;

  std::uint32_t page_bytes() const { return page_bytes_; }
  std::uint64_t hash() const;

 private:
  std::uint64_t* ring(NodeId reader) { return rings_.data() + reader.value * slots_; }
  const std::uint64_t* ring(NodeId reader) const { return rings_.data() + reader.value * slots_; }
  void perform(const Store& store);

  std::uint32_t page_bytes_ = 0;
  std::uint32_t slots_ = 0;
  std::vector<std::byte> frames_, twins_;
  std::vector<Access> view_;
  std::vector<std::uint8_t> has_twin_, reclaimed_, scanned_;
  std::vector<std::uint8_t> written_;  // by page: a scanned one that was, before it was reclaimed
  std::vector<std::uint64_t> rings_;
  std::vector<std::uint64_t> consumed_;      // by reader: entries read
  std::vector<std::vector<Store>> buffers_;  // by thread, oldest first, from drained_ on
  std::vector<std::size_t> drained_;
  std::vector<std::uint8_t> watched_;  // by page
  std::vector<Store> performed_;
};

}  // namespace dsm::sim
