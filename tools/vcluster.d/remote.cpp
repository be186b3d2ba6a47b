// remote: starts commands on other virtual nodes, as ssh would.
//
//   remote serve PORT               on every node: runs what it is asked to, until it is killed
//   remote run PORT HOST COMMAND... on the node that asks: COMMAND runs on HOST in this directory
//   and
//                                   environment; input, output, errors and signals travel; the exit
//                                   code is the command's (128 + number for a signal), or 255 with
//                                   one line when HOST does not answer or is lost
//
// When the asking end goes, in whatever way, the command is killed with everything in its session.
// There is no authentication: this is for the private network of one user's virtual machines.
//
// The wire: messages of a kind (1 byte), a size (4 bytes, of this machine's order) and a body.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"

namespace {

using dsm::Fd;

constexpr int exit_lost = 255;
constexpr int exit_signal_base = 128;
constexpr std::size_t chunk_max = 64 * 1024;
constexpr std::uint32_t body_max = 16 << 20;
constexpr int connect_timeout_ms = 20'000;
// A node that was switched off is noticed after about idle + probes * interval.
constexpr int keepalive_idle_s = 2;
constexpr int keepalive_interval_s = 1;
constexpr int keepalive_probes = 6;

enum class Kind : std::uint8_t {
  start,   // directory, arguments, an empty text, environment: texts that each end in 0
  input,   // for the command's standard input; empty: there is no more
  signal,  // 1 byte
  output,  // of the command
  errors,
  ended,  // exit code, 1 byte
};

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n >= 0)
      bytes.remove_prefix(static_cast<std::size_t>(n));
    else if (errno != EINTR)
      return false;
  }
  return true;
}

bool read_all(int fd, char* to, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::read(fd, to, size);
    if (n > 0) {
      to += n;
      size -= static_cast<std::size_t>(n);
    } else if (n == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

struct Message {
  Kind kind{};
  std::string body;
};

bool send(int socket, Kind kind, std::string_view body) {
  std::string bytes(1, static_cast<char>(kind));
  const auto size = static_cast<std::uint32_t>(body.size());
  bytes.append(reinterpret_cast<const char*>(&size), sizeof size).append(body);
  return write_all(socket, bytes);
}

bool receive(int socket, Message& out) {
  char kind = 0;
  std::uint32_t size = 0;
  if (!read_all(socket, &kind, 1)) return false;
  if (!read_all(socket, reinterpret_cast<char*>(&size), sizeof size) || size > body_max)
    return false;
  out.kind = static_cast<Kind>(kind);
  out.body.resize(size);
  return read_all(socket, out.body.data(), size);
}

void set_stream_options(int socket) {
  const auto set = [socket](int level, int name, int value) {
    (void)::setsockopt(socket, level, name, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, keepalive_idle_s);
  set(IPPROTO_TCP, TCP_KEEPINTVL, keepalive_interval_s);
  set(IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes);
}

Fd take_signals(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

// --- serve ------------------------------------------------------------------------------------

struct Order {
  std::string directory;
  std::vector<std::string> arguments, environment;
};

bool decode(const std::string& body, Order& out) {
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = body.find('\0', at);
    if (end == std::string::npos) return false;
    texts.push_back(body.substr(at, end - at));
    at = end + 1;
  }
  if (texts.empty()) return false;
  out.directory = texts[0];
  std::size_t i = 1;
  for (; i < texts.size() && !texts[i].empty(); ++i) out.arguments.push_back(texts[i]);
  for (++i; i < texts.size(); ++i) out.environment.push_back(texts[i]);
  return !out.arguments.empty();
}

// One command and the stream to whom asked for it. A process of its own.
class Service {
 public:
  explicit Service(Fd socket) : socket_(std::move(socket)) {}

  void run() {
    Message first;
    Order order;
    if (!receive(socket_.get(), first) || first.kind != Kind::start || !decode(first.body, order))
      return;
    signals_ = take_signals({SIGCHLD});
    if (!start(order)) return;
    while (!ended_ && serve()) {
    }
    if (!ended_) return kill_command();
    for (const bool is_error : {false, true}) drain(is_error);
    const char code = static_cast<char>(code_);
    send(socket_.get(), Kind::ended, {&code, 1});
    kill_command();
  }

 private:
  bool start(const Order& order) {
    int in[2], out[2], err[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0)
      return false;
    command_ = ::fork();
    if (command_ == 0) become_command(order, in[0], out[1], err[1]);
    for (const int end : {in[0], out[1], err[1]}) ::close(end);
    input_ = Fd(in[1]);
    output_ = Fd(out[0]);
    errors_ = Fd(err[0]);
    for (const Fd* fd : {&input_, &output_, &errors_}) ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
    return command_ > 0;
  }

  [[noreturn]] static void become_command(const Order& order, int in, int out, int err) {
    ::setsid();
    ::dup2(in, STDIN_FILENO);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int signal : {SIGPIPE, SIGCHLD}) ::signal(signal, SIG_DFL);
    if (::chdir(order.directory.c_str()) != 0) {
      std::fprintf(stderr, "%s: %s\n", order.directory.c_str(), std::strerror(errno));
      ::_exit(1);
    }
    ::clearenv();
    for (const std::string& entry : order.environment) ::putenv(::strdup(entry.c_str()));
    std::vector<char*> arguments;
    for (const std::string& word : order.arguments) arguments.push_back(::strdup(word.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    const int error = errno;
    std::fprintf(stderr, "%s: %s\n", arguments[0], std::strerror(error));
    ::_exit(error == ENOENT ? 127 : 126);
  }

  // False: whoever asked has gone.
  bool serve() {
    // Input that the command has not taken yet is all that is held: no more is read before.
    pollfd entries[] = {{signals_.get(), POLLIN, 0},
                        {output_.get(), POLLIN, 0},
                        {errors_.get(), POLLIN, 0},
                        {socket_.get(), static_cast<short>(pending_.empty() ? POLLIN : 0), 0},
                        {pending_.empty() ? -1 : input_.get(), POLLOUT, 0}};
    if (::poll(entries, std::size(entries), -1) < 0) return errno == EINTR;
    if (entries[1].revents != 0 && !pass(output_, Kind::output)) return false;
    if (entries[2].revents != 0 && !pass(errors_, Kind::errors)) return false;
    if ((entries[3].revents & (POLLERR | POLLHUP)) != 0) return false;
    if (entries[3].revents != 0 && !take_message()) return false;
    if (entries[4].revents != 0) give_input();
    if (entries[0].revents != 0) reap();
    return true;
  }

  bool pass(Fd& from, Kind kind) {
    char bytes[chunk_max];
    const ssize_t n = ::read(from.get(), bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) {
      from.reset();
      return true;
    }
    return send(socket_.get(), kind, {bytes, static_cast<std::size_t>(n)});
  }

  // What the command had written when it ended; others may hold the other end open for long.
  void drain(bool is_error) {
    Fd& from = is_error ? errors_ : output_;
    pollfd entry{from.get(), POLLIN, 0};
    while (from && ::poll(&entry, 1, 0) > 0)
      if (!pass(from, is_error ? Kind::errors : Kind::output)) return;
  }

  bool take_message() {
    Message message;
    if (!receive(socket_.get(), message)) return false;
    if (message.kind == Kind::signal && message.body.size() == 1)
      ::kill(-command_, message.body[0]);
    if (message.kind == Kind::input) {
      pending_ = std::move(message.body);
      if (pending_.empty()) input_.reset();
    }
    return true;
  }

  void give_input() {
    const ssize_t n = ::write(input_.get(), pending_.data(), pending_.size());
    if (n > 0)
      pending_.erase(0, static_cast<std::size_t>(n));
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
      pending_.clear();  // nobody reads
  }

  void reap() {
    signalfd_siginfo got{};
    while (::read(signals_.get(), &got, sizeof got) == sizeof got) {
    }
    int status = 0;
    if (::waitpid(command_, &status, WNOHANG) != command_) return;
    ended_ = true;
    code_ = WIFSIGNALED(status) ? exit_signal_base + WTERMSIG(status) : WEXITSTATUS(status);
  }

  void kill_command() const { ::kill(-command_, SIGKILL); }

  Fd socket_, signals_, input_, output_, errors_;
  pid_t command_ = -1;
  std::string pending_;
  bool ended_ = false;
  int code_ = 0;
};

int serve(const char* port) {
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(listener.get(), SOMAXCONN) != 0) {
    std::perror("remote serve");
    return 1;
  }
  ::signal(SIGCHLD, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  if (::daemon(1, 1) != 0) return 1;  // it listens: whoever started it may go on
  for (;;) {
    Fd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket || ::fork() != 0) continue;
    ::signal(SIGCHLD, SIG_DFL);
    set_stream_options(socket.get());
    Service(std::move(socket)).run();
    ::_exit(0);
  }
}

// --- run --------------------------------------------------------------------------------------

int lost(const char* host, const std::string& why) {
  std::fprintf(stderr, "vcluster: %s %s\n", host, why.c_str());
  return exit_lost;
}

Fd dial(const char* port, const char* host, std::string& why) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host, port, &hints, &found); error != 0) {
    why = std::string("is no virtual node: ") + ::gai_strerror(error);
    return Fd();
  }
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int error = ::connect(socket.get(), found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
  ::freeaddrinfo(found);
  if (error == EINPROGRESS) {
    pollfd entry{socket.get(), POLLOUT, 0};
    socklen_t size = sizeof error;
    if (::poll(&entry, 1, connect_timeout_ms) <= 0)
      error = ETIMEDOUT;
    else
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) {
    why = std::string("does not answer: ") + std::strerror(error);
    return Fd();
  }
  ::fcntl(socket.get(), F_SETFL, 0);
  set_stream_options(socket.get());
  return socket;
}

std::string encode_order(char** words) {
  std::string body;
  const auto put = [&body](const char* text) { body.append(text, std::strlen(text) + 1); };
  char* const directory = ::getcwd(nullptr, 0);
  put(directory != nullptr ? directory : "/");
  std::free(directory);
  for (; *words != nullptr; ++words) put(*words);
  put("");
  for (char** entry = environ; *entry != nullptr; ++entry) put(*entry);
  return body;
}

int run(const char* port, const char* host, char** command) {
  ::signal(SIGPIPE, SIG_IGN);
  const Fd signals =
      take_signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT});
  std::string why;
  const Fd socket = dial(port, host, why);
  if (!socket) return lost(host, why);
  if (!send(socket.get(), Kind::start, encode_order(command)))
    return lost(host, std::string("was lost: ") + std::strerror(errno));

  int input = STDIN_FILENO;
  for (;;) {
    pollfd entries[] = {{socket.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}, {input, POLLIN, 0}};
    if (::poll(entries, std::size(entries), -1) < 0) continue;
    if (entries[1].revents != 0) {
      signalfd_siginfo got{};
      const char number = ::read(signals.get(), &got, sizeof got) == sizeof got
                              ? static_cast<char>(got.ssi_signo)
                              : '\0';
      if (number != 0) send(socket.get(), Kind::signal, {&number, 1});
    }
    if (entries[2].revents != 0) {
      char bytes[chunk_max];
      const ssize_t n = ::read(input, bytes, sizeof bytes);
      send(socket.get(), Kind::input, {bytes, static_cast<std::size_t>(n > 0 ? n : 0)});
      if (n <= 0) input = -1;
    }
    if (entries[0].revents == 0) continue;
    Message message;
    if (!receive(socket.get(), message)) return lost(host, "was lost: it went silent, or off");
    if (message.kind == Kind::output || message.kind == Kind::errors) {
      const int to = message.kind == Kind::output ? STDOUT_FILENO : STDERR_FILENO;
      if (!write_all(to, message.body)) return exit_signal_base + SIGPIPE;
    } else if (message.kind == Kind::ended && message.body.size() == 1) {
      return static_cast<unsigned char>(message.body[0]);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "serve") == 0) return serve(argv[2]);
  if (argc >= 5 && std::strcmp(argv[1], "run") == 0) return run(argv[2], argv[3], argv + 4);
  std::fputs("usage: remote serve PORT | remote run PORT HOST COMMAND...\n", stderr);
  return 2;
}
