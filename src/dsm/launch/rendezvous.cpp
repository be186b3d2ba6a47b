#include "dsm/launch/rendezvous.hpp"

#include <map>
#include <string>

#include "base/mutex.hpp"
#include "dsm/launch/rendezvous_client.hpp"
#include "dsm/launch/rendezvous_server.hpp"

namespace dsm::launch {
namespace {

// A job of one node: it meets itself.
class Alone final : public Rendezvous {
 public:
  Status publish(std::string_view key, ByteView value) override DSM_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    values_[std::string(key)] = Bytes(value.begin(), value.end());
    return Status();
  }
  Result<Bytes> lookup(NodeId rank, std::string_view key, std::chrono::milliseconds) override
      DSM_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto found = values_.find(key);
    if (rank != NodeId(0) || found == values_.end())
      return Status(Code::timed_out, "nobody published \"" + std::string(key) +
                                         "\", and nobody else is there to do so");
    return found->second;
  }
  Status fence(std::chrono::milliseconds) override { return Status(); }
  void abort(Code, std::string_view) override {}
  void finish() override {}
  int wait_fd() const override { return -1; }
  std::string near_host() const override { return {}; }
  Status check() override { return Status(); }

 private:
  Mutex mutex_;
  std::map<std::string, Bytes, std::less<>> values_ DSM_GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<Rendezvous>> make_rendezvous(const Job& job, const Agreement& agreement) {
  if (job.size == 1) return std::unique_ptr<Rendezvous>(std::make_unique<Alone>());
  std::unique_ptr<RendezvousServer> served;
  if (!job.launched && job.rank == NodeId(0)) {
    auto server = RendezvousServer::open({job.rendezvous, job.size, job.key, job.join_timeout});
    if (!server)
      return Status(server.status().code(), "DSM_RENDEZVOUS: " + server.status().message());
    served = std::move(*server);
    served->start();
  }
  return join_over_tcp(job, agreement, std::move(served));
}

Result<std::vector<Bytes>> gather(Rendezvous& rendezvous, std::uint32_t nodes, std::string_view key,
                                  std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::vector<Bytes> values;
  values.reserve(nodes);
  for (std::uint32_t rank = 0; rank < nodes; ++rank) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    auto value = rendezvous.lookup(NodeId(rank), key, std::max(left, std::chrono::milliseconds(0)));
    if (!value) return value.status();
    values.push_back(std::move(*value));
  }
  return values;
}

}  // namespace dsm::launch
