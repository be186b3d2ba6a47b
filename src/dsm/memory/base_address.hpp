// Where the program view may lie. Every node maps the space at the same address, so the nodes first
// agree on one: each says which candidates are free for it (first_free_bases), and the lowest bit
// that all of them have wins.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.hpp"

namespace dsm::memory {

// Constant, the same on every node, in order of preference; a bit of first_free_bases() is an index
// into it.
std::span<const std::uintptr_t> candidate_bases();

// Bit i: candidate_bases()[i] has room for `bytes` in this process now.
std::uint32_t first_free_bases(std::uint64_t bytes);

// Nothing is mapped in [base, base + bytes), and the kernel would map it.
bool base_is_free(std::uintptr_t base, std::uint64_t bytes);

// Why a base cannot be used: shows the line of /proc/self/maps that takes it.
Status base_taken(std::uintptr_t base, std::uint64_t bytes);

}  // namespace dsm::memory
