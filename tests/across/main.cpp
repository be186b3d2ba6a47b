// All members run the same tests; see member.hpp.
#include <memory>

#include "member.hpp"

namespace dsm::transport {
namespace {
std::unique_ptr<Member> the_member;
}

Member& member() {
  return *the_member;
}

}  // namespace dsm::transport

int main(int argc, char** argv) {
  using namespace dsm::transport;
  testing::InitGoogleTest(&argc, argv);
  the_member = std::make_unique<Member>();
  const int result = RUN_ALL_TESTS();
  the_member->finish();
  return result;
}
