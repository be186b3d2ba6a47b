#include "dsmrun_doctor.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "dsm/launch/settings.hpp"
#include "dsm/launch/socket.hpp"
#include "dsm/memory/available_memory.hpp"
#include "dsm/memory/base_address.hpp"
#include "dsm/memory/trap.hpp"
#include "transport/transport.hpp"

namespace dsm::run {
namespace {

// good: as it should be. lesser: jobs run, something is slower or missing. bad: jobs cannot run.
enum class Grade : std::uint8_t { good, lesser, bad };

constexpr long maps_wanted = 65'530;  // the kernel's default; mprotect splits mappings
constexpr rlim_t descriptors_wanted = 4'096;
constexpr std::uint64_t memory_wanted = 2 * launch::gibibyte;
constexpr std::uint64_t locked_wanted = 64 * launch::mebibyte;

class Report {
 public:
  void add(Grade grade, const char* what, const std::string& finding,
           const std::string& mend = {}) {
    constexpr const char* marks[] = {"ok", "--", "!!"};
    std::printf("%s  %-12s %s\n", marks[static_cast<int>(grade)], what, finding.c_str());
    if (grade != Grade::good && !mend.empty()) std::printf("      mend: %s\n", mend.c_str());
    works_ = works_ && grade != Grade::bad;
  }
  bool works() const { return works_; }

 private:
  bool works_ = true;
};

std::string bytes_text(std::uint64_t bytes) {
  if (bytes >= 10 * launch::gibibyte) return std::to_string(bytes / launch::gibibyte) + " GiB";
  if (bytes >= launch::mebibyte) return std::to_string(bytes / launch::mebibyte) + " MiB";
  return std::to_string(bytes / launch::kibibyte) + " KiB";
}

std::string limit_text(rlim_t limit) {
  return limit == RLIM_INFINITY ? "unlimited" : bytes_text(limit);
}

long number_in(const char* path) {
  std::ifstream file(path);
  long value = -1;
  file >> value;
  return value;
}

bool in_path(const std::string& program) {
  const char* given = std::getenv("PATH");
  const std::string_view path = given != nullptr ? given : "/usr/bin:/bin";
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    if (::access((std::string(path.substr(at, end - at)) + "/" + program).c_str(), X_OK) == 0)
      return true;
    at = end + 1;
  }
  return false;
}

void examine_kernel(Report& report) {
  utsname system{};
  ::uname(&system);
  report.add(Grade::good, "kernel",
             std::string(system.sysname) + " " + system.release + ", " + system.machine);
  const unsigned cores = std::thread::hardware_concurrency();
  report.add(
      Grade::good, "cores",
      std::to_string(cores) + ", pages of " + std::to_string(::sysconf(_SC_PAGESIZE)) + " bytes");
}

void examine_traps(Report& report) {
  const memory::TrapProbe probe = memory::probe_traps();
  const Status& uffd = probe.uffd;
  const Status& mprotect = probe.mprotect;
  if (uffd)
    report.add(Grade::good, "traps", "userfaultfd, write-protecting, in the faulting thread");
  else
    report.add(Grade::lesser, "traps", "userfaultfd is not usable: " + uffd.message(),
               "Linux 6.4 or later; without it mprotect serves, more slowly");
  if (probe.scans)
    report.add(Grade::good, "watching", "written pages can be asked for");
  else
    report.add(Grade::lesser, "watching", "by traps alone: " + probe.scans.message(),
               "Linux 6.7 or later with userfaultfd");
  if (mprotect)
    report.add(Grade::good, "traps", "mprotect and SIGSEGV");
  else
    report.add(uffd ? Grade::lesser : Grade::bad, "traps",
               "mprotect is not usable: " + mprotect.message(),
               "let the sandbox or emulator pass SIGSEGV to programs");
}

void examine_transports(Report& report) {
  bool joined = false;
  for (const transport::Backend* backend : transport::backends()) {
    const Status usable = backend->usable();
    joined = joined || (usable.ok() && backend->joins_nodes);
    const std::string name = "transport " + std::string(backend->name) + ": ";
    if (usable)
      report.add(Grade::good, "wire", name + backend->summary);
    else
      report.add(Grade::lesser, "wire", name + usable.message());
  }
  if (!joined)
    report.add(Grade::bad, "wire", "no transport joins several nodes here", "see the lines above");
}

void examine_memory(Report& report) {
  const auto available = memory::available_memory();
  report.add(available.bytes >= memory_wanted ? Grade::good : Grade::lesser, "memory",
             bytes_text(available.bytes) + " can be filled (" + available.limit + ")",
             "smaller caches (--cache 256M), fewer nodes, or a higher limit of the control group");

  const Fd fd(::memfd_create("dsm-doctor", MFD_CLOEXEC));
  if (fd && ::ftruncate(fd.get(), 1 << 20) == 0)
    report.add(Grade::good, "memfd", "anonymous shared memory can be made");
  else
    report.add(Grade::bad, "memfd", std::string("memfd_create: ") + std::strerror(errno),
               "let the sandbox pass memfd_create, and raise the limit of file sizes (ulimit -f)");

  struct statvfs shm {};
  if (::statvfs("/dev/shm", &shm) == 0 && ::access("/dev/shm", W_OK) == 0)
    report.add(Grade::good, "/dev/shm",
               bytes_text(std::uint64_t{shm.f_bavail} * shm.f_frsize) +
                   " free (libdsm leaves no file there)");
  else
    report.add(Grade::lesser, "/dev/shm", "not writable: " + std::string(std::strerror(errno)),
               "mount -t tmpfs tmpfs /dev/shm; libdsm itself does without");

  rlimit locked{};
  ::getrlimit(RLIMIT_MEMLOCK, &locked);
  report.add(locked.rlim_cur >= locked_wanted ? Grade::good : Grade::lesser, "memory lock",
             limit_text(locked.rlim_cur) + " (matters to RDMA devices only)",
             "ulimit -l unlimited, or a memlock line in /etc/security/limits.conf");
}

void examine_addresses(Report& report) {
  const std::uint64_t space = 64 * launch::gibibyte;
  const std::uint32_t free = memory::first_free_bases(space);
  std::string bases;
  const auto candidates = memory::candidate_bases();
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    char text[32];
    std::snprintf(text, sizeof text, "%s0x%llx", bases.empty() ? "" : ", ",
                  static_cast<unsigned long long>(candidates[i]));
    if ((free >> i & 1) != 0) bases += text;
  }
  if (free != 0)
    report.add(Grade::good, "addresses", "a space of 64 GiB fits at " + bases);
  else
    report.add(Grade::bad, "addresses", "a space of 64 GiB fits nowhere",
               "ulimit -v unlimited, or a smaller DSM_SPACE");

  const long maps = number_in("/proc/sys/vm/max_map_count");
  report.add(
      maps >= maps_wanted ? Grade::good : Grade::lesser, "mappings",
      "vm.max_map_count is " + std::to_string(maps) + " (bounds what mprotect can tell apart)",
      "sysctl -w vm.max_map_count=1048576");
}

void examine_limits(Report& report) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  report.add(
      files.rlim_max >= descriptors_wanted ? Grade::good : Grade::lesser, "descriptors",
      std::to_string(files.rlim_cur) + ", can be raised to " + std::to_string(files.rlim_max),
      "ulimit -n 65536");
  rlimit processes{};
  ::getrlimit(RLIMIT_NPROC, &processes);
  const bool enough = processes.rlim_cur >= nodes_max;
  report.add(enough ? Grade::good : Grade::lesser, "processes",
             processes.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(processes.rlim_cur),
             "ulimit -u 65536");
}

void examine_tools(Report& report) {
  report.add(in_path("gdb") ? Grade::good : Grade::lesser, "gdb",
             in_path("gdb") ? "dsmrun --gdb RANK works" : "not found", "apt install gdb");
  report.add(in_path("ssh") ? Grade::good : Grade::lesser, "ssh",
             in_path("ssh") ? "can start nodes on other machines by hand" : "not found",
             "apt install openssh-client");
}

void examine_variables(Report& report) {
  const auto settings = launch::read_settings(launch::process_environment());
  if (!settings) return report.add(Grade::bad, "variables", settings.status().message());
  for (const std::string& warning : settings.value().warnings)
    report.add(Grade::lesser, "variables", warning);
}

}  // namespace

int examine_machine() {
  Report report;
  examine_kernel(report);
  examine_traps(report);
  examine_transports(report);
  examine_memory(report);
  examine_addresses(report);
  examine_limits(report);
  examine_tools(report);
  examine_variables(report);
  std::printf(report.works() ? "Jobs can run here.\n"
                             : "Jobs cannot run here: see the lines marked !!.\n");
  return report.works() ? 0 : 1;
}

}  // namespace dsm::run
