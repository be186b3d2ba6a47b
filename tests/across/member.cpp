#include "member.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/log.hpp"

namespace dsm::transport {
namespace {

// A member may be in the middle of what takes long on a lossy wire while another waits for it.
constexpr std::chrono::milliseconds patience{180'000};

[[noreturn]] void end_now(int code) {
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace

Member::Member() {
  const auto need_it = [](auto result) {
    if (!result.ok()) {
      log_line("%s", result.status().message().c_str());
      end_now(1);
    }
    return std::move(result).value();
  };
  settings_ = need_it(launch::read_settings(launch::process_environment()));
  job_ = need_it(launch::read_job(settings_));
  log_set_rank(job_.rank.value);
  if (job_.size < 2) {
    log_line("these tests need two members or more: start them with dsmrun -n");
    end_now(1);
  }
  rendezvous_ = need_it(launch::make_rendezvous(job_, launch::settings_agreement(settings_)));
}

void Member::need(const Status& status) {
  if (status.ok()) return;
  log_line("%s", status.message().c_str());
  end_now(launch::exit_code_of_bystander);
}

Status Member::while_polling(const std::function<Status()>& wait,
                             const std::function<void()>& poll) {
  if (!poll) return wait();
  Status status;
  std::atomic<bool> done{false};
  std::thread waiter([&] {
    status = wait();
    done = true;
  });
  while (!done) {
    poll();
    std::this_thread::yield();
  }
  waiter.join();
  return status;
}

std::vector<Bytes> Member::exchange(ByteView mine, const std::function<void()>& poll) {
  const std::string key = std::to_string(exchanges_++);
  need(rendezvous_->publish(key, mine));
  std::vector<Bytes> all;
  need(while_polling(
      [&] {
        auto gathered = launch::gather(*rendezvous_, size(), key, patience);
        if (!gathered.ok()) return gathered.status();
        all = std::move(gathered).value();
        return Status();
      },
      poll));
  return all;
}

void Member::meet(const std::function<void()>& poll) {
  need(while_polling([&] { return rendezvous_->fence(patience); }, poll));
}

void Member::leave(std::string_view why) {
  rendezvous_->abort(Code::peer_lost, why);
  end_now(1);
}

void Member::finish() {
  rendezvous_->finish();
  rendezvous_.reset();
}

void Together::TearDown() {
  if (!HasFailure()) return;
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  member().leave("rank " + std::to_string(member().self().value) + " failed in " +
                 test.test_suite_name() + "." + test.name());
}

void Across::SetUp() {
  Member& me = member();
  auto opened = open(
      me.transport(),
      {.self = me.self(), .nodes = me.size(), .job_key = me.job_key(), .bind_host = me.host()});
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  node_ = std::make_unique<Node>(std::move(opened).value(), memory_size_);
  Transport& wire = *node_->wire;
  const auto key = wire.expose(node_->memory.span(), node_->memory.fd(), 0);
  ASSERT_TRUE(key.ok()) << key.status().message();
  Bytes mine;
  Writer writer(mine);
  writer.put_sized(wire.address());
  writer.put_sized(key.value());
  std::vector<Bytes> addresses;
  std::vector<Bytes> keys;
  for (const Bytes& bytes : me.exchange(mine)) {
    Reader reader(bytes);
    for (std::vector<Bytes>* const list : {&addresses, &keys}) {
      const ByteView part = reader.get_sized();
      list->emplace_back(part.begin(), part.end());
    }
    ASSERT_TRUE(reader.done());
  }
  const Status connected = wire.connect(addresses);
  ASSERT_TRUE(connected.ok()) << connected.message();
  for (NodeId peer{0}; peer.value < size(); ++peer) {
    const auto memory = wire.import_memory(peer, keys[peer.value]);
    ASSERT_TRUE(memory.ok()) << memory.status().message();
    node_->memory_of.push_back(memory.value());
  }
}

// Nobody's wire goes while another still uses it.
void Across::TearDown() {
  Together::TearDown();
  meet();
  node_.reset();
}

void Across::meet() {
  member().meet([this] { node_->poll(); });
}

std::vector<Bytes> Across::exchange(ByteView mine) {
  return member().exchange(mine, [this] { node_->poll(); });
}

bool Across::poll_until(const std::function<bool()>& done, double seconds) {
  const double end = now_seconds() + seconds;
  while (!done()) {
    if (node_->poll() != 0) continue;
    if (now_seconds() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace dsm::transport
