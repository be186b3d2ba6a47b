#include <cstdio>
#include <dsm/dsm.hpp>
#include <mutex>

int main() {
  dsm::Session session;                   // joins the job that dsmrun started, or runs alone
  auto counter = dsm::allocate<long>(1);  // the same pointer on every node, zero-filled
  dsm::Lock lock;
  {
    std::scoped_lock hold(lock);  // what a lock's holder wrote, its next holder sees
    ++counter[0];
  }
  dsm::barrier();  // what anyone wrote before, everyone sees after
  if (dsm::rank() == 0) std::printf("%ld of %d nodes said hello\n", counter[0], dsm::size());
}
