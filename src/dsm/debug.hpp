// The engine that the debugger's commands describe.
#pragma once

namespace dsm {

namespace core {
class Engine;
}

void debug_watch(const core::Engine* engine);  // null: none

}  // namespace dsm
