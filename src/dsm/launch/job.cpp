#include "dsm/launch/job.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "dsm/launch/socket.hpp"

namespace dsm::launch {
namespace {

constexpr std::size_t key_text_max = 2 * key_bytes + 64;  // digits and white space

Status wrong(std::string text) {
  return Status(Code::invalid, std::move(text));
}

// From the start where that is possible, so that a wrapper which has read the descriptor takes
// nothing away.
Result<JobKey> key_of_descriptor(int fd, const std::string& name) {
  char text[key_text_max];
  std::size_t used = 0;
  bool seekable = ::lseek(fd, 0, SEEK_CUR) >= 0;
  while (used < sizeof text) {
    const ssize_t n = seekable
                          ? ::pread(fd, text + used, sizeof text - used, static_cast<off_t>(used))
                          : ::read(fd, text + used, sizeof text - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return wrong(name + " cannot be read: " + std::strerror(errno));
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
  }
  auto key = JobKey::from_hex({text, used});
  return key.ok() ? key : wrong(name + ": " + key.status().message());
}

Result<JobKey> key_from_file(const std::string& path) {
  const std::string name = "DSM_JOB_KEY_FILE=\"" + path + "\"";
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return wrong(name + " cannot be opened: " + std::strerror(errno));
  struct stat about {};
  if (::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode))
    return wrong(name + " is not a regular file");
  if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return wrong(name + " can be used by others than its owner: chmod 600 " + path);
  return key_of_descriptor(file.get(), name);
}

Result<JobKey> key_from_descriptor(int fd) {
  const std::string name = "DSM_JOB_KEY_FD=" + std::to_string(fd);
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return wrong(name +
                 " is not an open descriptor: a program that a node starts is no node itself "
                 "unless DSM_RANK, "
                 "DSM_SIZE and DSM_RENDEZVOUS are removed from its environment");
  return key_of_descriptor(fd, name);
}

Result<JobKey> read_key(const LaunchVariables& given) {
  const int ways =
      (given.key_file.empty() ? 0 : 1) + (given.key_fd ? 1 : 0) + (given.key_hex.empty() ? 0 : 1);
  if (ways == 0)
    return wrong(
        "DSM_SIZE is more than 1 but the job's key is missing: set DSM_JOB_KEY_FILE, "
        "DSM_JOB_KEY_FD or DSM_JOB_KEY");
  if (ways > 1)
    return wrong(
        "more than one of DSM_JOB_KEY_FILE, DSM_JOB_KEY_FD and DSM_JOB_KEY is set: keep one");
  if (!given.key_file.empty()) return key_from_file(given.key_file);
  if (given.key_fd) return key_from_descriptor(*given.key_fd);
  auto key = JobKey::from_hex(given.key_hex);
  return key.ok() ? key : wrong("DSM_JOB_KEY: " + key.status().message());
}

}  // namespace

Result<Job> read_job(const Settings& settings) {
  const LaunchVariables& given = settings.launch;
  Job job;
  job.join_timeout = settings.join_timeout;
  if (!given.rank && !given.size && !given.rendezvous) {
    job.key = JobKey::random();
    return job;
  }
  if (!given.rank || !given.size)
    return wrong(std::string(!given.rank ? "DSM_RANK" : "DSM_SIZE") + " is missing beside " +
                 (given.rank   ? "DSM_RANK"
                  : given.size ? "DSM_SIZE"
                               : "DSM_RENDEZVOUS") +
                 ": set DSM_RANK and DSM_SIZE both, or neither");
  if (*given.rank >= *given.size)
    return wrong("DSM_RANK=" + std::to_string(*given.rank) +
                 " is not below DSM_SIZE=" + std::to_string(*given.size) + ": ranks count from 0");
  job.rank = NodeId(*given.rank);
  job.size = *given.size;
  job.launched = given.launched;
  if (job.size == 1) {
    job.key = JobKey::random();
    return job;
  }
  if (!given.rendezvous)
    return wrong("DSM_SIZE=" + std::to_string(job.size) +
                 " but DSM_RENDEZVOUS is missing: set it to HOST:PORT where node 0 listens, equal "
                 "on all nodes");
  job.rendezvous = *given.rendezvous;
  auto key = read_key(given);
  if (!key) return key.status();
  job.key = *key;
  return job;
}

}  // namespace dsm::launch
