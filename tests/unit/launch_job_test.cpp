// How a process finds out which node it is: legal sets of variables, contradictions, and the three
// ways to hand over a key.
#include "dsm/launch/job.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dsm/launch/socket.hpp"

namespace dsm::launch {
namespace {

const std::string some_key(64, 'a');

Result<Job> job_of(const Environment& environment) {
  auto settings = read_settings(environment);
  EXPECT_TRUE(settings.ok()) << settings.status().message();
  return read_job(*settings);
}

Environment with(Environment base, const Environment& more) {
  for (const auto& entry : more) base[entry.first] = entry.second;
  return base;
}

const Environment two_nodes = {
    {"DSM_RANK", "1"}, {"DSM_SIZE", "2"}, {"DSM_RENDEZVOUS", "127.0.0.1:7000"}};

void expect_error(const Environment& environment, std::initializer_list<const char*> words) {
  const auto job = job_of(environment);
  ASSERT_FALSE(job.ok());
  for (const char* word : words)
    EXPECT_NE(job.status().message().find(word), std::string::npos) << job.status().message();
}

// A file with a content and a mode, gone at the end.
class TemporaryFile {
 public:
  TemporaryFile(std::string_view content, mode_t mode) {
    const Fd fd(::mkstemp(path_.data()));
    EXPECT_EQ(::write(fd.get(), content.data(), content.size()),
              static_cast<ssize_t>(content.size()));
    EXPECT_EQ(::fchmod(fd.get(), mode), 0);
  }
  ~TemporaryFile() { ::unlink(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/dsm-job-test-XXXXXX";
};

TEST(Job, IsOneNodeAloneWhenNothingIsSet) {
  auto job = job_of({});
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->rank, NodeId(0));
  EXPECT_EQ(job->size, 1u);
  EXPECT_FALSE(job->launched);
  auto other = job_of({});
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE(job->key == other->key) << "each run has a key of its own";
}

TEST(Job, OfSizeOneNeedsNoRendezvousAndNoKey) {
  auto job = job_of({{"DSM_RANK", "0"}, {"DSM_SIZE", "1"}});
  ASSERT_TRUE(job.ok()) << job.status().message();
  EXPECT_EQ(job->size, 1u);
}

TEST(Job, TakesTheKeyFromTheEnvironment) {
  auto job = job_of(with(two_nodes, {{"DSM_JOB_KEY", some_key}, {"DSM_LAUNCHED", "1"}}));
  ASSERT_TRUE(job.ok()) << job.status().message();
  EXPECT_EQ(job->rank, NodeId(1));
  EXPECT_EQ(job->size, 2u);
  EXPECT_EQ(job->rendezvous, (Endpoint{"127.0.0.1", 7000}));
  EXPECT_EQ(job->key.hex(), some_key);
  EXPECT_TRUE(job->launched);
}

TEST(Job, TakesTheKeyFromAPrivateFile) {
  const TemporaryFile file(" " + some_key + "\n", 0600);
  auto job = job_of(with(two_nodes, {{"DSM_JOB_KEY_FILE", file.path()}}));
  ASSERT_TRUE(job.ok()) << job.status().message();
  EXPECT_EQ(job->key.hex(), some_key);
}

TEST(Job, RefusesAFileThatOthersCanRead) {
  const TemporaryFile file(some_key, 0640);
  expect_error(with(two_nodes, {{"DSM_JOB_KEY_FILE", file.path()}}),
               {"DSM_JOB_KEY_FILE", "chmod 600"});
}

TEST(Job, RefusesAFileThatIsNone) {
  expect_error(with(two_nodes, {{"DSM_JOB_KEY_FILE", "/nonexistent/key"}}),
               {"DSM_JOB_KEY_FILE", "No such file"});
  expect_error(with(two_nodes, {{"DSM_JOB_KEY_FILE", "/tmp"}}),
               {"DSM_JOB_KEY_FILE", "regular file"});
}

TEST(Job, TakesTheKeyFromADescriptorAndClosesItOnExec) {
  const TemporaryFile file(some_key, 0600);
  const Fd fd(::open(file.path().c_str(), O_RDONLY));
  const Environment environment = with(two_nodes, {{"DSM_JOB_KEY_FD", std::to_string(fd.get())}});
  for (int round = 0; round < 2; ++round) {  // a second reader finds it whole
    auto job = job_of(environment);
    ASSERT_TRUE(job.ok()) << job.status().message();
    EXPECT_EQ(job->key.hex(), some_key);
  }
  EXPECT_EQ(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(Job, TakesTheKeyFromAPipe) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const Fd out(ends[0]);
  Fd in(ends[1]);
  ASSERT_EQ(::write(in.get(), some_key.data(), some_key.size()),
            static_cast<ssize_t>(some_key.size()));
  in.reset();
  auto job = job_of(with(two_nodes, {{"DSM_JOB_KEY_FD", std::to_string(out.get())}}));
  ASSERT_TRUE(job.ok()) << job.status().message();
  EXPECT_EQ(job->key.hex(), some_key);
}

TEST(Job, NamesADescriptorThatIsClosed) {
  expect_error(with(two_nodes, {{"DSM_JOB_KEY_FD", "1000"}}),
               {"DSM_JOB_KEY_FD=1000", "not an open descriptor"});
}

TEST(Job, NamesContradictions) {
  expect_error({{"DSM_RANK", "1"}}, {"DSM_SIZE is missing"});
  expect_error({{"DSM_SIZE", "2"}}, {"DSM_RANK is missing"});
  expect_error({{"DSM_RENDEZVOUS", "h:1"}}, {"DSM_RANK is missing", "DSM_RENDEZVOUS"});
  expect_error({{"DSM_RANK", "2"}, {"DSM_SIZE", "2"}},
               {"DSM_RANK=2", "DSM_SIZE=2", "count from 0"});
  expect_error({{"DSM_RANK", "1"}, {"DSM_SIZE", "2"}, {"DSM_JOB_KEY", some_key}},
               {"DSM_RENDEZVOUS is missing"});
  expect_error(two_nodes, {"key is missing", "DSM_JOB_KEY_FILE"});
  expect_error(with(two_nodes, {{"DSM_JOB_KEY", some_key}, {"DSM_JOB_KEY_FD", "3"}}),
               {"more than one"});
}

TEST(Job, AMalformedKeyIsNotRepeatedInTheMessage) {
  for (const std::string& key :
       {some_key + "a", some_key.substr(1), std::string("swordfish"), std::string(64, 'g')}) {
    const auto job = job_of(with(two_nodes, {{"DSM_JOB_KEY", key}}));
    ASSERT_FALSE(job.ok());
    EXPECT_NE(job.status().message().find("64 hexadecimal digits"), std::string::npos);
    EXPECT_EQ(job.status().message().find(key), std::string::npos);
  }
}

}  // namespace
}  // namespace dsm::launch
