#include "run_dsmrun.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace dsm::test {

std::vector<std::string> dsmrun(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {program("DSMRUN")};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::string actor() {
  return program("ACTOR");
}

Outcome run(const std::vector<std::string>& arguments, const Variables& variables) {
  Process process(dsmrun(arguments), variables);
  process.close_input();
  const int code = process.wait();
  return {code, process.out(), process.err()};
}

void expect_one_line(const std::string& text, std::initializer_list<const char*> words) {
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  for (const char* word : words)
    EXPECT_NE(text.find(word), std::string::npos) << "no \"" << word << "\" in: " << text;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::vector<pid_t> wait_for_pids(Process& process, const std::string& name, std::size_t lines) {
  const auto pids = [&](const std::string& out) {
    std::vector<pid_t> found;
    for (const std::string& line : lines_of(out.substr(0, out.rfind('\n') + 1)))
      if (line.rfind(name + " ", 0) == 0)
        found.push_back(static_cast<pid_t>(std::stol(line.substr(line.rfind(' ')))));
    return found;
  };
  EXPECT_TRUE(process.wait_until([&](const std::string& out) { return pids(out).size() == lines; }))
      << process.err();
  return pids(process.out());
}

}  // namespace dsm::test
