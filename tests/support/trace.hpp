// Events, effects and messages as one line of text each, for traces and failures.
#pragma once

#include <string>

#include "dsm/core/effect.hpp"
#include "dsm/core/event.hpp"
#include "dsm/core/message.hpp"

namespace dsm::sim {

std::string to_string(PageRun run);
std::string to_string(const core::Event& event);
std::string to_string(const core::Effect& effect);
std::string to_string(const core::Message& message);

}  // namespace dsm::sim
