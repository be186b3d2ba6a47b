#include "dsm/launch/frame.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace dsm::launch {
namespace {

constexpr std::size_t size_bytes = sizeof(std::uint32_t);

ByteView text_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <typename T>
ByteView object_bytes(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span(&value, 1));
}

// --- bodies: one put and one get a message, in the variant's order ---

void put(Writer& w, const Join& m) {
  w.put(m.rank);
  w.put(m.size);
  w.put(m.pid);
  w.put_string(m.host);
  w.put(static_cast<std::uint8_t>(m.agreement.size()));
  for (const Agreed& agreed : m.agreement) {
    w.put_string(agreed.name);
    w.put_string(agreed.value);
  }
}
void put(Writer& w, const Publish& m) {
  w.put_string(m.key);
  w.put_sized(m.value);
}
void put(Writer& w, const Lookup& m) {
  w.put(m.request);
  w.put(m.rank);
  w.put_string(m.key);
}
void put(Writer& w, const Fence& m) {
  w.put(m.number);
}
void put(Writer&, const Finish&) {}
void put(Writer& w, const Abort& m) {
  w.put(m.rank);
  w.put(static_cast<std::uint8_t>(m.code));
  w.put_string(m.text);
}
void put(Writer&, const Welcome&) {}
void put(Writer& w, const Value& m) {
  w.put(m.request);
  w.put_sized(m.value);
}
void put(Writer& w, const FenceDone& m) {
  w.put(m.number);
}
void put(Writer&, const Farewell&) {}

std::string get_text(Reader& r, std::size_t max) {
  const ByteView bytes = r.get_sized();
  if (bytes.size() > max) r.fail();
  return r.ok() ? std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())
                : std::string();
}
Bytes get_value(Reader& r) {
  const ByteView bytes = r.get_sized();
  if (bytes.size() > value_bytes_max) r.fail();
  return r.ok() ? Bytes(bytes.begin(), bytes.end()) : Bytes();
}

void get(Reader& r, Join& m) {
  m.rank = r.get<NodeId>();
  m.size = r.get<std::uint32_t>();
  m.pid = r.get<std::uint32_t>();
  m.host = get_text(r, name_bytes_max);
  const std::size_t lines = r.get<std::uint8_t>();
  if (lines > agreed_max) r.fail();
  for (std::size_t i = 0; i < lines && r.ok(); ++i) {
    std::string name = get_text(r, name_bytes_max);
    std::string value = get_text(r, name_bytes_max);
    m.agreement.push_back({std::move(name), std::move(value)});
  }
}
void get(Reader& r, Publish& m) {
  m.key = get_text(r, name_bytes_max);
  m.value = get_value(r);
}
void get(Reader& r, Lookup& m) {
  m.request = r.get<std::uint64_t>();
  m.rank = r.get<NodeId>();
  m.key = get_text(r, name_bytes_max);
}
void get(Reader& r, Fence& m) {
  m.number = r.get<std::uint64_t>();
}
void get(Reader&, Finish&) {}
void get(Reader& r, Abort& m) {
  m.rank = r.get<NodeId>();
  const auto code = r.get<std::uint8_t>();
  if (code > static_cast<std::uint8_t>(Code::timed_out) ||
      code == static_cast<std::uint8_t>(Code::ok))
    r.fail();
  m.code = static_cast<Code>(code);
  m.text = get_text(r, text_bytes_max);
}
void get(Reader&, Welcome&) {}
void get(Reader& r, Value& m) {
  m.request = r.get<std::uint64_t>();
  m.value = get_value(r);
}
void get(Reader& r, FenceDone& m) {
  m.number = r.get<std::uint64_t>();
}
void get(Reader&, Farewell&) {}

template <std::size_t kind>
bool decode_kind(Reader& r, Message& out) {
  get(r, out.emplace<kind>());
  return r.done();
}

template <std::size_t... kinds>
bool decode_any(std::size_t kind, Reader& r, Message& out, std::index_sequence<kinds...>) {
  return ((kind == kinds && decode_kind<kinds>(r, out)) || ...);
}

Digest derive(const JobKey& key, std::string_view label, const Nonce& node, const Nonce& server) {
  // The labels are of equal length, the rest is of fixed size: no two cuts give the same bytes.
  return keyed_hash(key.bytes, {text_bytes(label), object_bytes(frame_version), node, server});
}

constexpr std::string_view proof_label = "server proof";
constexpr std::string_view node_label = "node  frames";
constexpr std::string_view server_label = "server frame";
static_assert(proof_label.size() == node_label.size() && node_label.size() == server_label.size());

Digest mac(const Digest& key, std::uint64_t count, ByteView body) {
  return keyed_hash(key, {object_bytes(count), body});
}

Status not_ours(const char* why) {
  return Status(Code::refused, why);
}

}  // namespace

Bytes encode(const Message& message) {
  Bytes body;
  Writer writer(body);
  writer.put(static_cast<std::uint8_t>(message.index()));
  std::visit([&writer](const auto& m) { put(writer, m); }, message);
  DSM_CHECK(body.size() <= body_bytes_max, "a message to the rendezvous is within its limits");
  return body;
}

std::optional<Message> decode(ByteView body) {
  Reader reader(body);
  const std::size_t kind = reader.get<std::uint8_t>();
  Message message;
  const bool known =
      reader.ok() &&
      decode_any(kind, reader, message, std::make_index_sequence<std::variant_size_v<Message>>());
  return known ? std::optional(std::move(message)) : std::nullopt;
}

Bytes Sealer::seal(const Message& message) {
  const Bytes body = encode(message);
  Bytes frame;
  frame.reserve(size_bytes + body.size() + mac_bytes);
  Writer writer(frame);
  writer.put_sized(body);
  writer.put_bytes(mac(key_, count_++, body));
  return frame;
}

Result<std::optional<Message>> Opener::open(Bytes& stream, std::size_t body_max) {
  Reader reader(stream);
  const std::size_t size = reader.get<std::uint32_t>();
  if (!reader.ok()) return std::optional<Message>();
  if (size > body_max) return not_ours("a frame is too large");
  const ByteView body = reader.get_bytes(size);
  const ByteView seal = reader.get_bytes(mac_bytes);
  if (!reader.ok()) return std::optional<Message>();
  if (!equal(seal, mac(key_, count_, body))) return not_ours("a frame is not authentic");
  auto message = decode(body);
  if (!message) return not_ours("a frame is malformed");
  ++count_;
  stream.erase(stream.begin(),
               stream.begin() + static_cast<std::ptrdiff_t>(size_bytes + size + mac_bytes));
  return message;
}

Session::Session(Side self, const JobKey& key, const Nonce& node, const Nonce& server)
    : out(derive(key, self == Side::node ? node_label : server_label, node, server)),
      in(derive(key, self == Side::node ? server_label : node_label, node, server)) {}

Bytes encode_hello(const Nonce& node) {
  Bytes bytes;
  Writer writer(bytes);
  writer.put(frame_magic);
  writer.put(frame_version);
  writer.put_bytes(node);
  DSM_CHECK(bytes.size() == hello_bytes, "Hello has its fixed size");
  return bytes;
}

std::optional<Nonce> decode_hello(ByteView bytes) {
  Reader reader(bytes);
  const auto magic = reader.get<std::uint64_t>();
  const auto version = reader.get<std::uint32_t>();
  const ByteView nonce = reader.get_bytes(sizeof(Nonce));
  if (!reader.done() || magic != frame_magic || version != frame_version) return std::nullopt;
  Nonce out;
  std::copy(nonce.begin(), nonce.end(), out.begin());
  return out;
}

Bytes encode_challenge(const JobKey& key, const Nonce& node, const Nonce& server) {
  Bytes bytes;
  Writer writer(bytes);
  writer.put(frame_magic);
  writer.put(frame_version);
  writer.put_bytes(server);
  writer.put_bytes(derive(key, proof_label, node, server));
  DSM_CHECK(bytes.size() == challenge_bytes, "Challenge has its fixed size");
  return bytes;
}

Result<Nonce> decode_challenge(const JobKey& key, const Nonce& node, ByteView bytes) {
  Reader reader(bytes);
  const auto magic = reader.get<std::uint64_t>();
  const auto version = reader.get<std::uint32_t>();
  const ByteView nonce = reader.get_bytes(sizeof(Nonce));
  const ByteView proof = reader.get_bytes(mac_bytes);
  if (!reader.done() || magic != frame_magic)
    return not_ours("what listens there is no rendezvous of libdsm");
  if (version != frame_version)
    return not_ours("the rendezvous there is of another version of libdsm");
  Nonce server;
  std::copy(nonce.begin(), nonce.end(), server.begin());
  if (!equal(proof, derive(key, proof_label, node, server)))
    return not_ours("the rendezvous there has another key: all nodes of a job need the same one");
  return server;
}

}  // namespace dsm::launch
