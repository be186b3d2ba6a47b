// System calls on shared memory: ensure(), load() and store(), with files of every awkward size.
#include <fcntl.h>

#include <cerrno>

#include "scenario.hpp"

using namespace scenario;  // NOLINT: a test program

namespace {

// A file of this process that has no name any more.
class File {
 public:
  File() {
    char name[] = "/tmp/dsm-files-XXXXXX";
    fd_ = ::mkstemp(name);
    check(fd_ >= 0, "a temporary file can be made");
    ::unlink(name);
  }
  explicit File(std::size_t bytes) : File() {
    std::vector<std::uint64_t> words(1 << 16);
    for (std::size_t at = 0; at < bytes; at += words.size() * 8) {
      for (std::size_t i = 0; i < words.size(); ++i) words[i] = mix(at / 8 + i);
      const std::size_t piece = std::min(bytes - at, words.size() * 8);
      same(::pwrite(fd_, words.data(), piece, static_cast<off_t>(at)), static_cast<ssize_t>(piece),
           "bytes written");
    }
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// Bytes of such a file, and of memory that it was loaded into.
unsigned char byte_of(std::size_t i) {
  return static_cast<unsigned char>(mix(i / 8) >> (i % 8 * 8));
}

void compare(const unsigned char* memory, std::size_t bytes, std::size_t from,
             std::size_t step = 1) {
  for (std::size_t i = 0; i < bytes; i += step) same_at(memory[i], byte_of(from + i), "byte", i);
}

// read() and write() themselves, on pages that are absent, present and mixed.
void calls() {
  const std::size_t page = dsm::page_size(), bytes = 7 * page + 123;
  const File file(bytes + page);
  auto memory = dsm::allocate<unsigned char>(16 * page * static_cast<std::size_t>(nodes()),
                                             dsm::Placement::cyclic(1));
  unsigned char* mine = memory.data() + static_cast<std::size_t>(me()) * 16 * page + 77;
  mine[2 * page] = 1;  // present among absent ones
  {
    const dsm::Ensured hold = dsm::ensure(mine, bytes, dsm::Intent::write);
    same(::pread(file.fd(), mine, bytes, 50), static_cast<ssize_t>(bytes),
         "bytes read by one call");
  }
  compare(mine, bytes, 50);
  dsm::barrier();
  const unsigned char* other =
      memory.data() + static_cast<std::size_t>((me() + 1) % nodes()) * 16 * page + 77;
  const File copy;
  {
    const dsm::Ensured hold = dsm::ensure(other, bytes, dsm::Intent::read);
    same(::write(copy.fd(), other, bytes), static_cast<ssize_t>(bytes),
         "bytes written by one call");
  }
  std::vector<unsigned char> back(bytes);
  same(::pread(copy.fd(), back.data(), bytes, 0), static_cast<ssize_t>(bytes), "bytes read back");
  compare(back.data(), bytes, 50);
  dsm::barrier();
}

// load() and store() across absent pages, at odd offsets.
void straddle() {
  const std::size_t page = dsm::page_size(), bytes = 9 * page;
  const File file(3 * bytes);
  auto memory = dsm::allocate<unsigned char>(40 * page, dsm::Placement::cyclic(1));
  if (me() == 0) {
    same(dsm::load(file.fd(), memory.data() + page - 9, bytes, 1001), bytes, "bytes loaded");
    check(memory[page - 10] == 0 && memory[page - 9 + bytes] == 0,
          "nothing is written around the range");
  }
  dsm::barrier();
  compare(memory.data() + page - 9, bytes, 1001);
  const File copy;
  same(dsm::store(copy.fd(), memory.data() + page - 9, bytes, 13), bytes, "bytes stored");
  dsm::barrier();
  // Back into other pages, by the last node.
  if (me() == nodes() - 1)
    same(dsm::load(copy.fd(), memory.data() + 20 * page + 1, bytes, 13), bytes,
         "bytes loaded back");
  dsm::barrier();
  compare(memory.data() + 20 * page + 1, bytes, 1001);
}

// More than the cache holds (DSM_CACHE=32M), all of it foreign to someone, loaded by one node and
// stored by another.
void large() {
  const std::size_t bytes = (std::size_t{80} << 20) + 4321;
  auto memory = dsm::allocate<unsigned char>(bytes, dsm::Placement::cyclic(3));
  if (me() == 0) {
    const File file(bytes);
    same(dsm::load(file.fd(), memory.data(), bytes, 0), bytes, "bytes loaded");
  }
  dsm::barrier();
  compare(memory.data(), bytes, 0, 1021);
  if (me() == nodes() - 1) {
    const File copy;
    same(dsm::store(copy.fd(), memory.data(), bytes, 0), bytes, "bytes stored");
    std::vector<unsigned char> back(bytes);
    for (std::size_t done = 0; done < bytes;) {
      const ssize_t n =
          ::pread(copy.fd(), back.data() + done, bytes - done, static_cast<off_t>(done));
      check(n > 0, "the copy can be read");
      done += static_cast<std::size_t>(n);
    }
    compare(back.data(), bytes, 0, 1);
  }
  dsm::barrier();
}

// Several threads at once, with room in the cache for few of them.
void threads() {
  constexpr std::size_t count = 8;
  const std::size_t bytes = (std::size_t{3} << 20) + 5;
  const File file(bytes);
  auto memory = dsm::allocate<unsigned char>(count * bytes, dsm::Placement::on(nodes() - 1));
  if (me() == 0) {
    in_threads(count, [&](int t) {
      same(dsm::load(file.fd(), memory.data() + static_cast<std::size_t>(t) * bytes, bytes, 0),
           bytes, "bytes loaded by a thread");
    });
  }
  dsm::barrier();
  for (std::size_t t = 0; t < count; ++t) compare(memory.data() + t * bytes, bytes, 0, 97);
}

void ends() {
  const std::size_t page = dsm::page_size(), bytes = 2 * page + 100;
  const File file(bytes), empty;
  auto memory = dsm::allocate<unsigned char>(8 * page, dsm::Placement::on(nodes() - 1));
  if (me() == 0) {
    same(dsm::load(file.fd(), memory.data() + 10, 4 * page, 0), bytes, "bytes of a short file");
    compare(memory.data() + 10, bytes, 0);
    same(memory[10 + bytes], 0, "the byte behind what a short file gave");
    same(dsm::load(file.fd(), memory.data(), page, bytes), 0u, "bytes at the end of a file");
    same(dsm::load(file.fd(), memory.data(), page, bytes + 5), 0u,
         "bytes behind the end of a file");
    same(dsm::load(empty.fd(), memory.data(), page, 0), 0u, "bytes of an empty file");
    same(dsm::load(file.fd(), memory.data(), 0, 0), 0u, "no bytes");
    // Private memory may be given, too.
    std::vector<unsigned char> own(bytes);
    same(dsm::load(file.fd(), own.data(), bytes, 0), bytes, "bytes into private memory");
    compare(own.data(), bytes, 0);
    refused([&] { (void)dsm::load(-1, memory.data(), page, 0); }, {"load()", std::strerror(EBADF)});
    refused([&] { (void)dsm::store(-1, memory.data(), page, 0); },
            {"store()", std::strerror(EBADF)});
    const int read_only = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    refused([&] { (void)dsm::store(read_only, memory.data(), page, 0); },
            {"store()", std::strerror(EBADF)});
    ::close(read_only);
    // Private memory that is not there is the system's EFAULT, not an endless loop.
    refused([&] { (void)dsm::load(file.fd(), reinterpret_cast<void*>(64), 8, 0); },
            {"load()", std::strerror(EFAULT)});
  }
  dsm::barrier();
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {{"calls", calls},
              {"straddle", straddle},
              {"large", large},
              {"threads", threads},
              {"ends", ends}});
}
