// switch: one private Ethernet for N commands, each a virtual machine, and the life of all of them.
//
//   switch PORTS LOSS_PPM DELAY_US SEED UNTIL -- COMMAND [ARGUMENT...]
//
// Starts "COMMAND ARGUMENT... I" once for each port I, with the port as descriptor 3: a datagram
// socket on which each datagram is one frame. Ends when the command of port 0 has ended (UNTIL is
// "first"), when all have ("all"), or on SIGTERM, and kills what still runs of its commands.
//
// The wire is like InfiniBand's: a frame for a machine that does not take frames quickly enough
// waits, and its sender waits behind it, so none is lost but for LOSS_PPM (of a million). A machine
// that takes none at all for `stall_limit` is passed over until it takes one again. Which frames
// are lost depends on nothing but SEED: the k-th frame from port a to port b is lost in every run,
// or in none. Each frame is delivered DELAY_US after it was sent.
//
// One thread. Exit codes: 0; 2 for a wrong command line; 1 when the machine refuses something.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"

namespace {

using dsm::Fd;
using Clock = std::chrono::steady_clock;
using Address = std::array<unsigned char, 6>;

constexpr int machine_port_fd = 3;
constexpr std::size_t ports_max = 64;
constexpr std::size_t frame_max = 65'536;
constexpr std::size_t frame_min = 14;     // an Ethernet header
constexpr std::size_t queue_max = 1'024;  // frames that wait for one machine
constexpr std::size_t addresses_max = 1'024;
constexpr int burst = 32;  // frames taken from one port before the next gets its turn
constexpr int socket_buffer = 4 << 20;
constexpr std::uint32_t million = 1'000'000;
constexpr auto stall_limit = std::chrono::seconds(1);

struct Options {
  std::size_t ports = 0;
  std::uint32_t loss_ppm = 0;
  std::chrono::microseconds delay{};
  std::uint64_t seed = 0;
  bool until_first = true;
  std::vector<std::string> command;
};

using Frame = std::shared_ptr<const std::vector<unsigned char>>;

struct Queued {
  Frame frame;
  Clock::time_point due;
};

struct Port {
  Fd fd;
  pid_t machine = -1;
  bool gone = false;                // its machine has ended
  bool stalled = false;             // it took nothing for stall_limit
  bool blocked = false;             // its socket is full
  Clock::time_point took_at;        // when it last took a frame, or had none to take
  std::deque<Queued> queue;         // on the way to it
  Frame held;                       // came from it, and waits for room in a queue
  std::vector<std::uint64_t> sent;  // frames from it, by destination
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "vcluster: the virtual network: %s: %s\n", what.c_str(),
               std::strerror(errno));
  std::exit(1);
}

// splitmix64: equal arguments, equal result, and no pattern between neighbours.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

class Switch {
 public:
  explicit Switch(Options options) : options_(std::move(options)), ports_(options_.ports) {}

  void start();
  void run();

 private:
  void start_machine(std::size_t i);
  bool over() const;
  void reap();
  void wait();
  void receive(std::size_t i);
  bool forward(std::size_t from, const Frame& frame);
  bool is_lost(std::size_t from, std::size_t to);
  void deliver(Port& port);
  bool has_room(Port& port);
  std::vector<std::size_t> destinations(std::size_t from, const Frame& frame);

  const Options options_;
  std::vector<Port> ports_;
  std::map<Address, std::size_t> where_;  // learnt from source addresses
  Fd signals_;
  bool terminated_ = false;
  std::vector<unsigned char> buffer_ = std::vector<unsigned char>(frame_max);
};

void Switch::start() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM}) ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) fail("signalfd");
  (void)::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);  // delays are to the microsecond
  for (std::size_t i = 0; i < ports_.size(); ++i) start_machine(i);
}

void Switch::start_machine(std::size_t i) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
  for (const int end : ends)
    for (const int option : {SO_SNDBUF, SO_RCVBUF})
      (void)::setsockopt(end, SOL_SOCKET, option, &socket_buffer, sizeof socket_buffer);
  Fd machine_end(ends[1]);
  Port& port = ports_[i];
  port.fd = Fd(ends[0]);
  port.took_at = Clock::now();
  port.sent.resize(ports_.size());

  const pid_t parent = ::getpid();
  port.machine = ::fork();
  if (port.machine < 0) fail("fork");
  if (port.machine > 0) return;

  (void)::setpgid(0, 0);
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(1);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (machine_end.get() == machine_port_fd)
    ::fcntl(machine_port_fd, F_SETFD, 0);
  else
    ::dup2(machine_end.get(), machine_port_fd);
  std::vector<std::string> words = options_.command;
  words.push_back(std::to_string(i));
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  std::perror(arguments[0]);
  ::_exit(127);
}

void Switch::run() {
  while (!over()) {
    wait();
    reap();
    for (std::size_t i = 0; i < ports_.size(); ++i) receive(i);
    for (Port& port : ports_) deliver(port);
    // Room that this made; a frame that is held now waits behind one that wakes wait().
    for (std::size_t i = 0; i < ports_.size(); ++i)
      if (ports_[i].held) receive(i);
  }
  for (const Port& port : ports_) ::kill(-port.machine, SIGKILL);  // and what they left behind
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
}

bool Switch::over() const {
  if (terminated_) return true;
  if (options_.until_first) return ports_.front().gone;
  for (const Port& port : ports_)
    if (!port.gone) return false;
  return true;
}

void Switch::reap() {
  signalfd_siginfo got{};
  while (::read(signals_.get(), &got, sizeof got) == sizeof got)
    if (got.ssi_signo == SIGTERM) terminated_ = true;
  for (pid_t pid = 0; (pid = ::waitpid(-1, nullptr, WNOHANG)) > 0;)
    for (Port& port : ports_)
      if (port.machine == pid) port.gone = true;
}

// Until a frame comes, one can go, one is due, or a machine ends.
void Switch::wait() {
  std::vector<pollfd> entries = {{signals_.get(), POLLIN, 0}};
  auto until = Clock::time_point::max();
  const auto now = Clock::now();
  for (const Port& port : ports_) {
    short events = 0;
    if (!port.gone && !port.held) events |= POLLIN;
    if (!port.gone && !port.queue.empty()) {
      if (port.blocked)
        events |= POLLOUT;
      else
        until = std::min(until, port.queue.front().due);
    }
    if (port.held) until = std::min(until, now + stall_limit / 4);  // has_room() looks at the time
    entries.push_back({port.gone ? -1 : port.fd.get(), events, 0});
  }
  timespec left{};
  if (until > now && until != Clock::time_point::max()) {
    const auto ns = std::chrono::nanoseconds(until - now).count();
    left = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  }
  (void)::ppoll(entries.data(), entries.size(), until == Clock::time_point::max() ? nullptr : &left,
                nullptr);
  for (std::size_t i = 0; i < ports_.size(); ++i)
    if ((entries[i + 1].revents & POLLOUT) != 0) ports_[i].blocked = false;
}

// Takes frames from machine i for as long as they can go on.
void Switch::receive(std::size_t i) {
  Port& port = ports_[i];
  if (port.held) {
    if (!forward(i, port.held)) return;
    port.held = nullptr;
  }
  for (int taken = 0; taken < burst && !port.gone; ++taken) {
    const ssize_t n = ::recv(port.fd.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n < 0) return;
    if (n < static_cast<ssize_t>(frame_min)) continue;
    auto frame =
        std::make_shared<const std::vector<unsigned char>>(buffer_.begin(), buffer_.begin() + n);
    if (forward(i, frame)) continue;
    port.held = std::move(frame);
    return;
  }
}

std::vector<std::size_t> Switch::destinations(std::size_t from, const Frame& frame) {
  Address to, source;
  std::memcpy(to.data(), frame->data(), to.size());
  std::memcpy(source.data(), frame->data() + to.size(), source.size());
  if (where_.size() < addresses_max || where_.count(source) > 0) where_[source] = from;
  const bool to_many = (to[0] & 1) != 0;
  if (!to_many)
    if (const auto known = where_.find(to); known != where_.end())
      return known->second == from ? std::vector<std::size_t>{}
                                   : std::vector<std::size_t>{known->second};
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < ports_.size(); ++i)
    if (i != from) all.push_back(i);
  return all;
}

// False: a destination has no room for it yet.
bool Switch::forward(std::size_t from, const Frame& frame) {
  const auto to = destinations(from, frame);
  for (const std::size_t i : to)
    if (!has_room(ports_[i])) return false;
  for (const std::size_t i : to) {
    Port& port = ports_[i];
    if (is_lost(from, i) || port.gone || (port.stalled && port.queue.size() >= queue_max)) continue;
    if (port.queue.empty()) port.took_at = Clock::now();
    port.queue.push_back({frame, Clock::now() + options_.delay});
    if (options_.delay.count() == 0) deliver(port);
  }
  return true;
}

bool Switch::is_lost(std::size_t from, std::size_t to) {
  const std::uint64_t number = ports_[from].sent[to]++;
  if (options_.loss_ppm == 0) return false;
  return mix(mix(options_.seed ^ mix(from * ports_max + to)) + number) % million <
         options_.loss_ppm;
}

// A machine that has ended, or stands still, loses what it is sent rather than hold others up.
bool Switch::has_room(Port& port) {
  if (port.gone || port.queue.size() < queue_max) return true;
  if (port.blocked && Clock::now() - port.took_at > stall_limit) port.stalled = true;
  return port.stalled;
}

void Switch::deliver(Port& port) {
  while (!port.queue.empty() && !port.blocked) {
    if (port.gone) return port.queue.clear();
    const Queued& next = port.queue.front();
    const auto now = Clock::now();
    if (next.due > now) return;
    if (::send(port.fd.get(), next.frame->data(), next.frame->size(), MSG_DONTWAIT) >= 0) {
      port.took_at = now;
      port.stalled = false;
    } else if (errno == EAGAIN || errno == ENOBUFS) {
      port.blocked = true;
      return;
    }
    port.queue.pop_front();  // sent, or the machine is on its way out
  }
}

std::uint64_t number(const char* text, std::uint64_t max) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = std::strtoull(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value > max) {
    std::fprintf(stderr, "switch: '%s' is no number from 0 to %llu\n", text,
                 static_cast<unsigned long long>(max));
    std::exit(2);
  }
  return value;
}

Options parse(int argc, char** argv) {
  if (argc < 8 || std::strcmp(argv[6], "--") != 0) {
    std::fputs("usage: switch PORTS LOSS_PPM DELAY_US SEED first|all -- COMMAND...\n", stderr);
    std::exit(2);
  }
  Options options;
  options.ports = number(argv[1], ports_max);
  options.loss_ppm = static_cast<std::uint32_t>(number(argv[2], million));
  options.delay = std::chrono::microseconds(number(argv[3], 3'600 * std::uint64_t{million}));
  options.seed = number(argv[4], UINT64_MAX);
  options.until_first = std::strcmp(argv[5], "all") != 0;
  options.command.assign(argv + 7, argv + argc);
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse(argc, argv);
  if (options.ports == 0) return 2;
  Switch network(std::move(options));
  network.start();
  network.run();
  return 0;
}
