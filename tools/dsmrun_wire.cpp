#include "dsmrun_wire.hpp"

#include <algorithm>

namespace dsm::run {
namespace {

// On the wire; the order of AgentMessage's alternatives.
enum class Kind : std::uint8_t { order, signal, output, ended, failed };

constexpr std::uint32_t words_max = 65'536;

struct Put {
  Writer& out;

  void operator()(const Order& order) {
    out.put(Kind::order);
    for (const std::uint32_t number : {order.nodes, order.first, order.count}) out.put(number);
    out.put(order.bind);
    for (const std::string* text :
         {&order.rendezvous, &order.key, &order.directory, &order.program})
      out.put_string(*text);
    out.put(static_cast<std::uint32_t>(order.command.size()));
    for (const std::string& word : order.command) out.put_string(word);
    out.put(static_cast<std::uint32_t>(order.environment.size()));
    for (const auto& [name, value] : order.environment) {
      out.put_string(name);
      out.put_string(value);
    }
  }
  void operator()(const SignalRanks& signal) {
    out.put(Kind::signal);
    out.put(signal.signal);
  }
  void operator()(const Output& output) {
    out.put(Kind::output);
    out.put(output.rank);
    out.put(static_cast<std::uint8_t>(output.is_error));
    out.put_string(output.bytes);
  }
  void operator()(const RankEnded& ended) {
    out.put(Kind::ended);
    out.put(ended.end.rank);
    out.put(static_cast<std::int32_t>(ended.end.code));
    out.put(static_cast<std::int32_t>(ended.end.signal));
    out.put(static_cast<std::uint8_t>(ended.end.core));
  }
  void operator()(const AgentFailed& failed) {
    out.put(Kind::failed);
    out.put(failed.exit_code);
    out.put_string(failed.why);
  }
};

bool get_flag(Reader& in) {
  return in.get<std::uint8_t>() != 0;
}

Order get_order(Reader& in) {
  Order order;
  for (std::uint32_t* number : {&order.nodes, &order.first, &order.count})
    *number = in.get<std::uint32_t>();
  order.bind = in.get<Binding>();
  for (std::string* text : {&order.rendezvous, &order.key, &order.directory, &order.program})
    *text = in.get_string();
  const auto words = in.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < std::min(words, words_max) && in.ok(); ++i)
    order.command.push_back(in.get_string());
  const auto variables = in.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < std::min(variables, words_max) && in.ok(); ++i) {
    std::string name = in.get_string();
    order.environment.emplace_back(std::move(name), in.get_string());
  }
  const bool sane = order.count > 0 && order.nodes <= nodes_max && order.count <= order.nodes &&
                    order.first <= order.nodes - order.count && !order.command.empty();
  if (!sane) in.fail();
  return order;
}

}  // namespace

Bytes encode(const AgentMessage& message) {
  Bytes frame;
  Writer writer(frame);
  writer.put(std::uint32_t{0});
  std::visit(Put{writer}, message);
  const auto size = static_cast<std::uint32_t>(frame.size() - sizeof(std::uint32_t));
  std::memcpy(frame.data(), &size, sizeof size);
  return frame;
}

std::optional<AgentMessage> decode(ByteView body) {
  Reader in(body);
  AgentMessage message;
  switch (in.get<Kind>()) {
    case Kind::order:
      message = get_order(in);
      break;
    case Kind::signal:
      message = SignalRanks{in.get<std::int32_t>()};
      break;
    case Kind::output: {
      Output output{in.get<std::uint32_t>(), get_flag(in), {}};
      output.bytes = in.get_string();
      message = std::move(output);
      break;
    }
    case Kind::ended: {
      End end{in.get<std::uint32_t>()};
      end.code = in.get<std::int32_t>();
      end.signal = in.get<std::int32_t>();
      end.core = get_flag(in);
      message = RankEnded{end};
      break;
    }
    case Kind::failed: {
      AgentFailed failed{in.get<std::int32_t>(), {}};
      failed.why = in.get_string();
      message = std::move(failed);
      break;
    }
    default:
      return std::nullopt;
  }
  if (!in.done()) return std::nullopt;
  return message;
}

void AgentStream::look_for_greeting() {
  const auto* const text = reinterpret_cast<const char*>(held_.data());
  const std::size_t at = std::string_view(text, held_.size()).find(agent_greeting);
  if (at == std::string_view::npos) {
    broken_ = held_.size() > chatter_bytes_max;
    return;
  }
  greeted_ = true;
  chatter_.assign(text, at);
  held_.erase(held_.begin(),
              held_.begin() + static_cast<std::ptrdiff_t>(at + agent_greeting.size()));
}

std::optional<AgentMessage> AgentStream::next() {
  if (!greeted_) look_for_greeting();
  if (!greeted_ || broken_ || held_.size() < sizeof(std::uint32_t)) return std::nullopt;
  const auto size = Reader(held_).get<std::uint32_t>();
  broken_ = size > frame_bytes_max;
  if (broken_ || held_.size() - sizeof size < size) return std::nullopt;
  auto message = decode(ByteView(held_).subspan(sizeof size, size));
  broken_ = !message;
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(sizeof size + size));
  return message;
}

}  // namespace dsm::run
