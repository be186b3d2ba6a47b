// dsmrun and the actor as a test uses them, and what tests say about their output.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "process.hpp"

namespace dsm::test {

// The command line of dsmrun with these arguments, and the path of the actor (programs/actor.cpp).
std::vector<std::string> dsmrun(const std::vector<std::string>& arguments);
std::string actor();

struct Outcome {
  int code;
  std::string out, err;
};
// dsmrun with these arguments, from its start to its end, with nothing on standard input.
Outcome run(const std::vector<std::string>& arguments, const Variables& variables = {});

void expect_one_line(const std::string& text, std::initializer_list<const char*> words);
bool has(const std::string& text, std::string_view part);

// Waits until `lines` lines that begin with `name` are whole; the last word of each, a process id,
// in the order of the lines.
std::vector<pid_t> wait_for_pids(Process& process, const std::string& name, std::size_t lines);

}  // namespace dsm::test
