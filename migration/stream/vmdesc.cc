// SPDX-License-Identifier: Apache-2.0
#include "migration/stream/vmdesc.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/wire_int.h"
#include "migration/device_state/description.h"
#include "migration/stream/framing.h"

namespace tern {
namespace {

using Json = nlohmann::ordered_json;

Json describe(const StructDescription& s) noexcept;

Json describe_fields(const std::vector<FieldDescription>& fields) noexcept {
  Json out = Json::array();
  for (size_t i = 0; i < fields.size(); ++i) {
    const FieldDescription& f = fields[i];
    Json j{{"name", f.name}, {"type", f.type}, {"size", f.size}};
    if (f.array_len > 1) j["array_len"] = f.array_len;
    // Structs of one name are an array whose elements may differ in size: one entry each, with
    // index.
    const bool follows = i > 0 && fields[i - 1].name == f.name;
    const bool leads = i + 1 < fields.size() && fields[i + 1].name == f.name;
    if (follows || leads) {
      size_t index = 0;
      while (index < i && fields[i - index - 1].name == f.name) ++index;
      j["index"] = index;
    }
    if (f.nested) j["struct"] = describe(*f.nested);
    out.push_back(std::move(j));
  }
  return out;
}

Json describe(const StructDescription& s) noexcept {
  return Json{
      {"vmsd_name", s.vmsd_name}, {"version", s.version}, {"fields", describe_fields(s.fields)}};
}

// analyze-migration.py looks for the last NUL byte of the file and takes the first '{' after it.
// The be32 length before the JSON holds NUL bytes; if one of its bytes after the last NUL is 0x7b,
// the script starts there and fails.
bool misleads_analyzer(uint32_t length) noexcept {
  std::byte b[4];
  store_be(b, length);
  for (int i = 3; i >= 0 && b[i] != std::byte{0}; --i) {
    if (b[i] == std::byte{'{'}) return true;
  }
  return false;
}

// Adds up body lengths while nlohmann's parser walks the text.
class LengthReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  BodyLengths lengths;
  std::string why = "not JSON";
  bool saw_devices = false;

  bool null() override { return value({}); }
  bool boolean(bool) override { return value({}); }
  bool number_integer(number_integer_t) override { return value({}); }
  bool number_unsigned(number_unsigned_t v) override { return value(v); }
  bool number_float(number_float_t, const string_t&) override { return value({}); }
  bool string(string_t& v) override {
    if (stack_.empty()) return refuse("top level is not an object");
    Frame& f = stack_.back();
    if (f.kind == Kind::device && f.key == "name") f.name = v;
    if (f.kind == Kind::subsection && f.key == "vmsd_name") f.name = v;
    return true;
  }
  bool binary(binary_t&) override { return refuse("binary value"); }
  bool key(string_t& k) override {
    stack_.back().key = k;
    return true;
  }
  bool start_object(size_t) override {
    if (stack_.size() >= kMaxDepth) return refuse("nested deeper than 64");
    Kind kind = Kind::skip;
    if (stack_.empty()) {
      kind = Kind::root;
    } else {
      const Frame& parent = stack_.back();
      if (parent.kind == Kind::devices) kind = Kind::device;
      if (parent.kind == Kind::fields) kind = Kind::field;
      if (parent.kind == Kind::subsections) kind = Kind::subsection;
    }
    stack_.push_back({kind, {}, {}, 0, 0, 1, false, false});
    return true;
  }
  bool start_array(size_t) override {
    if (stack_.empty()) return refuse("top level is not an object");
    if (stack_.size() >= kMaxDepth) return refuse("nested deeper than 64");
    const Frame& parent = stack_.back();
    Kind kind = Kind::skip;
    if (parent.kind == Kind::root && parent.key == "devices") kind = Kind::devices;
    if (parent.kind == Kind::device || parent.kind == Kind::subsection) {
      if (parent.key == "fields") kind = Kind::fields;
      if (parent.key == "subsections") kind = Kind::subsections;
    }
    if (kind == Kind::devices) saw_devices = true;
    stack_.push_back({kind, {}, {}, 0, 0, 1, false, false});
    return true;
  }
  bool end_object() override {
    const Frame f = std::move(stack_.back());
    stack_.pop_back();
    switch (f.kind) {
      case Kind::device:
        if (f.name.empty() || f.name.size() > 255) return refuse("device without a name");
        if (lengths.size() >= kMaxDevices) return refuse("more than 65536 devices");
        lengths[{f.name, f.instance}] = f.bytes;
        return true;
      case Kind::field: {
        if (!f.has_size) return refuse("field without a size");
        uint64_t bytes = 0;
        if (__builtin_mul_overflow(f.size, f.count, &bytes)) return refuse("size overflow");
        return add(bytes);
      }
      case Kind::subsection:
        if (f.name.empty() || f.name.size() > 255) return refuse("subsection without a name");
        return add(f.bytes) && add(6 + f.name.size());
      default:
        return true;
    }
  }
  bool end_array() override {
    const Frame f = std::move(stack_.back());
    stack_.pop_back();
    if (f.kind == Kind::fields || f.kind == Kind::subsections) return add(f.bytes);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    if (!refused_) why = "JSON error at byte " + std::to_string(position);
    return false;
  }

 private:
  enum class Kind { root, devices, device, fields, field, subsections, subsection, skip };
  struct Frame {
    Kind kind;
    std::string key;
    std::string name;
    uint64_t bytes;  // of what is inside
    uint64_t size;
    uint64_t count;
    bool has_size;
    bool unused;
    uint32_t instance = 0;
  };
  static constexpr size_t kMaxDepth = 64;
  static constexpr size_t kMaxDevices = 65536;

  bool refuse(const char* reason) {
    why = reason;
    refused_ = true;
    return false;
  }
  bool add(uint64_t bytes) {
    if (stack_.empty() ||
        __builtin_add_overflow(stack_.back().bytes, bytes, &stack_.back().bytes)) {
      return refuse("size overflow");
    }
    return true;
  }
  bool value(std::optional<uint64_t> number) {
    if (stack_.empty()) return refuse("top level is not an object");
    Frame& f = stack_.back();
    if (f.kind == Kind::device && f.key == "instance_id") {
      if (!number || *number > UINT32_MAX) return refuse("bad instance_id");
      f.instance = static_cast<uint32_t>(*number);
    }
    if (f.kind == Kind::field && f.key == "size") {
      if (!number) return refuse("bad size");
      f.size = *number;
      f.has_size = true;
    }
    if (f.kind == Kind::field && f.key == "array_len") {
      if (!number) return refuse("bad array_len");
      f.count = *number == 0 ? 1 : *number;
    }
    return true;
  }

  std::vector<Frame> stack_;
  bool refused_ = false;
};

}  // namespace

void VmDescriptionWriter::add(const SectionId& id, const DeviceWriter& body) noexcept {
  Json j{{"name", id.idstr},
         {"instance_id", id.instance_id},
         {"vmsd_name", id.idstr},
         {"version", id.version_id},
         {"fields", describe_fields(body.state().root.fields)}};
  if (!devices_.empty()) devices_ += ", ";
  devices_ += j.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string VmDescriptionWriter::finish(uint32_t page_bytes) const noexcept {
  std::string text =
      "{\"page_size\": " + std::to_string(page_bytes) + ", \"devices\": [" + devices_ + "]}";
  while (misleads_analyzer(static_cast<uint32_t>(text.size()))) text += ' ';
  return text;
}

Result<BodyLengths> parse_vmdesc(std::string_view json) noexcept {
  LengthReader reader;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) {
    return Error(ErrorCode::peer_protocol, "vmdescription: " + reader.why);
  }
  if (!reader.saw_devices)
    return Error(ErrorCode::peer_protocol, "vmdescription: no devices array");
  return std::move(reader.lengths);
}

Result<std::vector<TailSection>> cut_tail(std::span<const std::byte> all, uint64_t start_offset,
                                          const BodyLengths& lengths, bool footers,
                                          uint64_t& work_left) noexcept {
  std::vector<TailSection> sections;
  const size_t end = all.size();
  size_t at = 0;
  const auto bad = [&](const std::string& why) {
    return Error(ErrorCode::peer_protocol,
                 "at offset " + std::to_string(start_offset + at) + ": " + why);
  };
  while (at < end) {
    if (work_left == 0) return bad("too many items");
    --work_left;
    const auto item = std::to_integer<uint8_t>(all[at]);
    const size_t left = end - at;
    if (item == kItemCommand) {
      if (left < 5) return bad("command cut short");
      const size_t length = load_be<uint16_t>(all.data() + at + 3);
      if (left < 5 + length) return bad("command cut short");
      at += 5 + length;
      continue;
    }
    if (item != kItemSectionFull)
      return bad("device section expected, found item " + std::to_string(item));
    if (left < 6) return bad("device section cut short");
    TailSection s;
    s.section_id = load_be<uint32_t>(all.data() + at + 1);
    const size_t name = std::to_integer<size_t>(all[at + 5]);
    const size_t head = 6 + name + 8;
    if (name == 0 || left < head) return bad("device section header cut short or without a name");
    s.idstr.assign(reinterpret_cast<const char*>(all.data()) + at + 6, name);
    s.instance_id = load_be<uint32_t>(all.data() + at + 6 + name);
    s.version_id = load_be<uint32_t>(all.data() + at + 10 + name);
    const auto found = lengths.find({s.idstr, s.instance_id});
    if (found == lengths.end()) return bad("section '" + s.idstr + "' is not in the vmdescription");
    const size_t foot = footers ? 5 : 0;
    if (found->second > left - head || left - head - found->second < foot) {
      return bad("section '" + s.idstr + "' is longer than the stream");
    }
    s.body = all.subspan(at + head, found->second);
    s.offset = start_offset + at + head;
    at += head + found->second;
    if (footers) {
      if (std::to_integer<uint8_t>(all[at]) != kItemFooter ||
          load_be<uint32_t>(all.data() + at + 1) != s.section_id) {
        return bad("no footer of section '" + s.idstr + "' where the vmdescription says it ends");
      }
      at += 5;
    }
    sections.push_back(std::move(s));
  }
  return sections;
}

Result<void> TailSplitter::append(std::span<const std::byte> bytes) noexcept {
  if (bytes.size() > max_bytes_ - bytes_.size()) {
    return Error(ErrorCode::resource_exhausted,
                 "device state from offset " + std::to_string(start_) + " on is larger than " +
                     std::to_string(max_bytes_) + " bytes (x-max-device-state)");
  }
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  find_candidates();
  if (candidates_.size() > kMaxCandidates || work_left_ == 0) {
    return Error(ErrorCode::resource_exhausted, "device state from offset " +
                                                    std::to_string(start_) +
                                                    " on is full of false vmdescriptions");
  }
  return {};
}

void TailSplitter::find_candidates() noexcept {
  constexpr size_t kHead = 7;  // 00 06 be32 '{'
  while (scanned_ + kHead <= bytes_.size() && candidates_.size() <= kMaxCandidates) {
    const auto* p = static_cast<const std::byte*>(
        std::memchr(bytes_.data() + scanned_, kItemEof, bytes_.size() - kHead + 1 - scanned_));
    if (p == nullptr) {
      scanned_ = bytes_.size() - kHead + 1;
      return;
    }
    const auto at = static_cast<size_t>(p - bytes_.data());
    scanned_ = at + 1;
    if (p[1] != std::byte{kItemVmDescription} || p[6] != std::byte{'{'}) continue;
    const uint64_t n = load_be<uint32_t>(p + 2);
    const uint64_t end = at + 6 + n;
    // Nothing follows a vmdescription: one that ends before the last byte here is none.
    if (n < 2 || end > max_bytes_ || end < bytes_.size()) continue;
    candidates_.push_back({end, at});
    std::push_heap(candidates_.begin(), candidates_.end(), std::greater<>());
  }
}

std::optional<std::vector<TailSection>> TailSplitter::try_split() noexcept {
  // An empty tail whose description is suppressed with length 0, as some senders do.
  static constexpr std::byte kEmpty[] = {std::byte{0}, std::byte{6}, {}, {}, {}, {}};
  if (bytes_.size() == sizeof kEmpty && std::equal(bytes_.begin(), bytes_.end(), kEmpty)) {
    return std::vector<TailSection>{};
  }
  while (!candidates_.empty() && candidates_.front().end <= bytes_.size()) {
    const Candidate next = candidates_.front();
    std::pop_heap(candidates_.begin(), candidates_.end(), std::greater<>());
    candidates_.pop_back();
    if (next.end != bytes_.size()) continue;
    if (auto sections = try_candidate(next)) return sections;
  }
  return std::nullopt;
}

std::optional<std::vector<TailSection>> TailSplitter::try_candidate(
    const Candidate& candidate) noexcept {
  const char* text = reinterpret_cast<const char*>(bytes_.data()) + candidate.at + 6;
  const std::string_view json(text, candidate.end - candidate.at - 6);
  auto lengths = parse_vmdesc(json);
  if (!lengths) {
    last_refusal_ = lengths.error().message();
    return std::nullopt;
  }
  auto sections =
      cut_tail(std::span(bytes_).first(candidate.at), start_, *lengths, footers_, work_left_);
  if (!sections) {
    last_refusal_ = sections.error().message();
    return std::nullopt;
  }
  json_ = json;
  return std::move(*sections);
}

Error TailSplitter::why_incomplete() const noexcept {
  std::string why = "the stream from offset " + std::to_string(start_) + " on (" +
                    std::to_string(bytes_.size()) +
                    " bytes of device state) has no vmdescription that fits it";
  if (!last_refusal_.empty()) why += " (" + last_refusal_ + ")";
  return Error(ErrorCode::peer_protocol, why);
}

}  // namespace tern
