// Whether what arrives must wake its receiver.
#pragma once

#include <cstdint>

namespace dsm::transport {

// Something patient may lie until the receiver polls for some other reason, as long as the receiver
// armed for prompt things only; a wire may treat all as prompt.
enum class Urgency : std::uint8_t { prompt, patient };

}  // namespace dsm::transport
