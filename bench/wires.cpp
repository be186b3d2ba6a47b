// The floors of talking (patterns.hpp): two processes of this machine over bare shared memory,
// where they spin and copy, and over a TCP socket of the loopback interface, which they poll. No
// libdsm.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "patterns.hpp"

namespace {

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

// Spins, but yields now and then, since the other process may need this core.
template <typename Done>
void spin_until(const Done& done) {
  for (unsigned spins = 1; !done(); ++spins) {
    if (spins % 1024 == 0) sched_yield();
  }
}

// Of messages one way, each of which is answered before the next one: so nothing need say that it
// was taken. A short one shares its cache line with the count.
struct Slot {
  alignas(64) std::atomic<std::uint32_t> sent{0};
  std::array<std::byte, bench::piece_bytes> data{};
};

// Who has come how often.
struct alignas(64) Place {
  std::atomic<std::uint32_t> arrived{0};
};

// What both processes see; arrays by rank.
struct Shared {
  std::array<Slot, 2> to{};
  std::array<Place, 2> places{};
  std::array<Place, 2> command_places{};
  alignas(64) int command = 0;
  alignas(64) std::array<std::array<std::byte, bench::piece_bytes>, 2> own{};
};

class Meeting {
 public:
  explicit Meeting(std::array<Place, 2>& places) : places_(places) {}
  void meet(std::size_t self) {
    places_[self].arrived.store(++turn_, std::memory_order_release);
    spin_until([&] {  // the other one may be a turn ahead
      const std::uint32_t there = places_[1 - self].arrived.load(std::memory_order_acquire);
      return static_cast<std::int32_t>(there - turn_) >= 0;
    });
  }

 private:
  std::array<Place, 2>& places_;
  std::uint32_t turn_ = 0;
};

struct Processes {
  static inline int self = 0;
  static inline Shared* shared = nullptr;

  static int rank() { return self; }
  static void broadcast(int& value) {
    static Meeting meeting(shared->command_places);
    if (self == 0) shared->command = value;
    meeting.meet(static_cast<std::size_t>(self));
    value = shared->command;
    meeting.meet(static_cast<std::size_t>(self));
  }
  static bench::Counts counts() { return {}; }
};

class SharedMemory {
 public:
  explicit SharedMemory(Shared& shared)
      : shared_(shared),
        self_(static_cast<std::size_t>(Processes::self)),
        meeting_(shared.places) {}

  void send(const void* data, std::size_t bytes) {
    Slot& slot = shared_.to[1 - self_];
    std::memcpy(slot.data.data(), data, bytes);
    slot.sent.store(++sent_, std::memory_order_release);
  }
  void receive(void* data, std::size_t bytes) {
    Slot& slot = shared_.to[self_];
    ++received_;
    spin_until([&] { return slot.sent.load(std::memory_order_acquire) == received_; });
    std::memcpy(data, slot.data.data(), bytes);
  }
  void barrier() { meeting_.meet(self_); }
  std::byte* own() { return shared_.own[self_].data(); }
  void get(void* into, std::size_t bytes) {
    std::memcpy(into, shared_.own[1 - self_].data(), bytes);
  }

 private:
  Shared& shared_;
  std::size_t self_;
  Meeting meeting_;
  std::uint32_t sent_ = 0;
  std::uint32_t received_ = 0;
};

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}

  void send(const void* data, std::size_t bytes) {
    move(bytes, [&](std::size_t done) {
      return ::send(fd_, static_cast<const std::byte*>(data) + done, bytes - done,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    });
  }
  void receive(void* data, std::size_t bytes) {
    move(bytes, [&](std::size_t done) {
      return recv(fd_, static_cast<std::byte*>(data) + done, bytes - done, MSG_DONTWAIT);
    });
  }
  void swap(const void* mine, void* theirs, std::size_t bytes) {
    send(mine, bytes);
    receive(theirs, bytes);
  }
  void barrier() {
    std::byte mine{}, theirs{};
    swap(&mine, &theirs, 1);
  }

 private:
  // Until all is moved; asks again and again where nothing could be, and yields now and then.
  template <typename Some>
  void move(std::size_t bytes, const Some& some) {
    unsigned tries = 0;
    for (std::size_t done = 0; done < bytes;) {
      if (++tries % 64 == 0) sched_yield();
      const ssize_t moved = some(done);
      if (moved > 0) {
        done += static_cast<std::size_t>(moved);
      } else if (moved == 0) {
        std::_Exit(1);  // the other process has gone
      } else if (errno != EAGAIN && errno != EINTR) {
        give_up("socket");
      }
    }
  }

  int fd_;
};

int listen_on_loopback(sockaddr_in& address) {
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd, 1) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    give_up("listening on loopback");
  return fd;
}

int joined(int listening, const sockaddr_in& address) {
  int fd = -1;
  if (Processes::self == 0) {
    fd = accept4(listening, nullptr, nullptr, SOCK_CLOEXEC);
  } else {
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      give_up("connecting over loopback");
  }
  const int yes = 1;
  if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0)
    give_up("a connection over loopback");
  close(listening);
  return fd;
}

int run(int argc, char** argv, int connection) {
  bench::Rounds<Processes> rounds(argc, argv);
  SharedMemory memory(*Processes::shared);
  bench::add_questions(rounds, "shm", memory);
  bench::add_barrier(rounds, "shm", memory);
  bench::add_memory_exchange(rounds, "shm", memory);
  bench::add_reads(rounds, "shm_read", memory);
  Socket socket(connection);
  bench::add_messages(rounds, "tcp", socket);
  bench::add_barrier(rounds, "tcp", socket);
  return rounds.run();
}

}  // namespace

int main(int argc, char** argv) {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) give_up("shared memory");
  Processes::shared = new (memory) Shared;
  sockaddr_in address{};
  const int listening = listen_on_loopback(address);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) give_up("a second process");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) std::_Exit(1);
    Processes::self = 1;
  }
  const int status = run(argc, argv, joined(listening, address));
  if (child == 0) std::_Exit(status);
  waitpid(child, nullptr, 0);
  return status;
}
