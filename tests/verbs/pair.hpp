// Two nodes within one process that know each other through one verbs device, for tests of the
// parts of the verbs backend. Notes between lanes travel when pump() is called.
#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <thread>

#include "base/fd.hpp"
#include "must.hpp"
#include "transport/verbs_lane.hpp"
#include "transport/verbs_ud.hpp"

namespace dsm::transport {

inline double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A shared mapping of a memfd, as every exposed memory is.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t size)
      : size_(size), fd_(::memfd_create("verbs-test", MFD_CLOEXEC)) {
    if (!fd_ || ::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0)
      throw std::runtime_error("memfd");
    void* const at =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_.get(), 0);
    if (at == MAP_FAILED) throw std::runtime_error("mmap");
    data_ = static_cast<std::byte*>(at);
  }
  ~SharedMemory() { ::munmap(data_, size_); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  std::byte* data() const { return data_; }
  std::span<std::byte> span() const { return {data_, size_}; }
  int fd() const { return fd_.get(); }

 private:
  std::size_t size_;
  Fd fd_;
  std::byte* data_ = nullptr;
};

// One node.
class End final : private VerbsNotes {
 public:
  End(const VerbsOptions& options, NodeId self, std::size_t memory_size)
      : memory(memory_size),
        device(must(VerbsDevice::open(options))),
        registered(*device, device->lent_bytes_max()),
        bell_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        out(Doorbell(&armed_, bell_fd_.get())),
        queue_(must(device->make_queue(2 * VerbsLane::slots(*device), nullptr))),
        lane({self, *device, queue_.get(), imports, out, *this}, NodeId(1 - self.value)) {
    key = must(registered.expose(memory.span()));
  }

  void meet(End& other) {
    other_ = &other;
    peer_memory = RemoteMemory(
        imports.append({NodeId(0), other.key.memory, other.key.address, other.key.size}));
    imports[peer_memory.value].peer = other.self_;
    for (std::uint32_t i = 0; i < other.key.keys.size(); ++i)
      lane.know({other.key.memory, i, other.key.keys[i]});
  }
  void set_self(NodeId self) { self_ = self; }

  // Carries notes and takes completions.
  void pump() {
    while (!notes.empty()) {
      const VerbsNote note = notes.front();
      notes.pop_front();
      if (on_note && on_note(note)) continue;
      switch (note.kind) {
        case VerbsNote::Kind::call:
        case VerbsNote::Kind::answer:
        case VerbsNote::Kind::ready:
          lane.heed(note);
          break;
        case VerbsNote::Kind::told:
          lane.know(note.chunk);
          break;
        case VerbsNote::Kind::refused:
          lane.refused(note.chunk);
          break;
        case VerbsNote::Kind::revoke:
          lane.revoke(note.chunk);
          break;
        case VerbsNote::Kind::ask: {
          ++asked;
          VerbsMemory::Out decided;
          registered.ask(other_->self_, note.chunk.memory, note.chunk.chunk, decided);
          act(decided);
          break;
        }
        case VerbsNote::Kind::released: {
          VerbsMemory::Out decided;
          registered.released(other_->self_, note.chunk, decided);
          act(decided);
          break;
        }
      }
    }
    ibv_wc completion{};
    while (ibv_poll_cq(queue_.get(), 1, &completion) == 1) lane.completed(completion);
    std::array<Event, 16> events;
    for (const Event& event : std::span(events).first(out.pop(events))) arrived.push_back(event);
  }

  void act(const VerbsMemory::Out& decided) {
    for (const VerbsMemory::Word& word : decided.words) note(word.peer, VerbsNote::of(word));
    gone.insert(gone.end(), decided.gone.begin(), decided.gone.end());
  }

  // How often this end made its pair anew.
  std::ptrdiff_t renewals() const {
    return std::count(told.begin(), told.end(), VerbsNote::Kind::call) - 1;
  }

  std::size_t post(std::span<const Operation> operations) {
    const std::size_t granted = out.reserve(operations.size());
    const std::size_t accepted = lane.post(operations.first(granted));
    out.release(granted - accepted);
    return accepted;
  }

  SharedMemory memory;
  std::unique_ptr<VerbsDevice> device;
  VerbsMemory registered;
  VerbsMemoryKey key;
  RemoteMemory peer_memory;
  std::deque<Event> arrived;
  std::deque<VerbsNote> notes;                    // for this end
  std::function<bool(const VerbsNote&)> on_note;  // sees each first; true: it goes no further
  std::vector<Cookie> gone;                       // discards that ended
  int asked = 0;                                  // keys that the other end asked this one for
  std::vector<VerbsNote::Kind> told;
  std::string why_lost;  // why this end gave the other one up

 private:
  // As it travels.
  void note(NodeId, const VerbsNote& note) override {
    told.push_back(note.kind);
    other_->notes.push_back(VerbsNote::decode(note.encode()).value());
  }
  void lost(NodeId, const std::string& why) override { why_lost = why; }

  NodeId self_{};
  End* other_ = nullptr;
  std::atomic<std::uint32_t> armed_{0};
  Fd bell_fd_;

 public:
  VerbsImports imports;
  LocalEvents out;

 private:
  VerbsQueue queue_;

 public:
  VerbsLane lane;
};

class Pair {
 public:
  explicit Pair(const VerbsOptions& options = {}, std::size_t memory_size = std::size_t{1} << 20)
      : ends_{std::make_unique<End>(options, NodeId(0), memory_size),
              std::make_unique<End>(options, NodeId(1), memory_size)} {
    for (std::uint32_t i = 0; i < 2; ++i) ends_[i]->set_self(NodeId(i));
    ends_[0]->meet(*ends_[1]);
    ends_[1]->meet(*ends_[0]);
  }
  End& operator[](std::size_t i) { return *ends_[i]; }

  template <typename Done>
  bool pump(Done done, double seconds = 20) {
    for (const double end = now_seconds() + seconds; !done();) {
      for (auto& each : ends_) each->pump();
      if (now_seconds() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

  // Posts at end 0 and waits.
  Code run(Operation operation) {
    operation.memory = ends_[0]->peer_memory;
    operation.cookie = ++cookie_;
    while (ends_[0]->post({&operation, 1}) == 0) ends_[0]->pump();
    if (!pump([&] { return !ends_[0]->arrived.empty(); })) return Code::timed_out;
    const Event event = ends_[0]->arrived.front();
    ends_[0]->arrived.pop_front();
    EXPECT_EQ(event.cookie, cookie_);
    return event.code;
  }

 private:
  std::array<std::unique_ptr<End>, 2> ends_;
  Cookie cookie_ = 0;
};

}  // namespace dsm::transport
