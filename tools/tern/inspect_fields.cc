// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_fields.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/wire_int.h"
#include "migration/stream/framing.h"

namespace tern::tool {
namespace {

constexpr size_t kShownElements = 16;
constexpr size_t kShownBytes = 32;
constexpr size_t kMaxValues = 262144;

std::string hex(std::span<const std::byte> bytes) noexcept {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    text += kDigits[std::to_integer<size_t>(b) >> 4];
    text += kDigits[std::to_integer<size_t>(b) & 15];
  }
  return text;
}

// The text in a buffer that holds one, NUL-padded; run states, names and the like.
std::optional<std::string> text_of(std::span<const std::byte> bytes) noexcept {
  const auto end = std::find(bytes.begin(), bytes.end(), std::byte{0});
  const bool printable = std::all_of(
      bytes.begin(), end, [](std::byte b) { return b >= std::byte{0x20} && b < std::byte{0x7f}; });
  if (end - bytes.begin() < 2 || end == bytes.end() || !printable) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(bytes.data()),
                     static_cast<size_t>(end - bytes.begin()));
}

uint64_t big_endian(std::span<const std::byte> bytes) noexcept {
  uint64_t v = 0;
  for (const std::byte b : bytes) v = v << 8 | std::to_integer<uint64_t>(b);
  return v;
}

struct ScalarType {
  std::string_view name;  // the whole type, or its first word ("uint32 equal")
  size_t bytes;
  enum class Form { boolean, is_signed, is_unsigned, real } form;
};
constexpr std::array<ScalarType, 13> kScalars = {{
    {"bool", 1, ScalarType::Form::boolean},
    {"int8", 1, ScalarType::Form::is_signed},
    {"int16", 2, ScalarType::Form::is_signed},
    {"int32", 4, ScalarType::Form::is_signed},
    {"int64 equal", 8, ScalarType::Form::is_unsigned},  // QEMU's name for a u64
    {"int64", 8, ScalarType::Form::is_signed},
    {"uint8", 1, ScalarType::Form::is_unsigned},
    {"uint16", 2, ScalarType::Form::is_unsigned},
    {"uint32", 4, ScalarType::Form::is_unsigned},
    {"uint64", 8, ScalarType::Form::is_unsigned},
    {"timer", 8, ScalarType::Form::is_signed},
    {"CPU_Double_U", 8, ScalarType::Form::real},
    {"float64", 8, ScalarType::Form::real},
}};

// Nothing if the type is no number of that size.
std::optional<Json> decode_scalar(std::string_view type,
                                  std::span<const std::byte> bytes) noexcept {
  for (const ScalarType& t : kScalars) {
    const bool same = type == t.name || (type.starts_with(t.name) && type[t.name.size()] == ' ');
    if (!same || bytes.size() != t.bytes) continue;
    const uint64_t v = big_endian(bytes);
    switch (t.form) {
      case ScalarType::Form::boolean:
        return Json(v != 0);
      case ScalarType::Form::is_unsigned:
        return Json(v);
      case ScalarType::Form::is_signed: {
        const unsigned unused = static_cast<unsigned>(64 - 8 * t.bytes);
        return Json(static_cast<int64_t>(v << unused) >> unused);
      }
      case ScalarType::Form::real: {
        const double d = std::bit_cast<double>(v);
        if (!std::isfinite(d)) return Json(std::isnan(d) ? "nan" : d > 0 ? "inf" : "-inf");
        return Json(d);
      }
    }
  }
  if (type == "nullptr" && bytes.size() == 1 && bytes[0] == std::byte{'0'}) return Json(nullptr);
  return std::nullopt;
}

class Decoder {
 public:
  explicit Decoder(bool everything) noexcept : everything_(everything) {}

  // Nothing if the layout does not take exactly these bytes.
  std::optional<Json> layout(const DescribedLayout& l, std::span<const std::byte> bytes) noexcept {
    Json out{{"fields", Json::array()}};
    uint64_t index = 0;
    for (size_t i = 0; i < l.fields.size(); ++i) {
      const DescribedField& f = l.fields[i];
      uint64_t size = 0;
      if (__builtin_mul_overflow(f.size, f.array_len, &size) || size > bytes.size()) {
        return std::nullopt;
      }
      if (values_ >= kMaxValues) return std::nullopt;
      const bool again = i > 0 && l.fields[i - 1].name == f.name;
      const bool followed = i + 1 < l.fields.size() && l.fields[i + 1].name == f.name;
      index = again ? index + l.fields[i - 1].array_len : 0;
      Json j{{"name", f.name}};
      if (again || followed) j["index"] = index;
      j["type"] = f.type;
      j["size"] = f.size;
      field(f, bytes.first(size), j);
      out["fields"].push_back(std::move(j));
      bytes = bytes.subspan(size);
    }
    for (const DescribedLayout& s : l.subsections) {
      if (!subsection(s, bytes, out)) return std::nullopt;
    }
    if (!bytes.empty()) return std::nullopt;
    return out;
  }

  // For bytes that the layout did not take.
  const char* why_not() const noexcept {
    return values_ >= kMaxValues ? "too many values to show"
                                 : "the description does not fit these bytes";
  }
  void raw(std::span<const std::byte> bytes, Json& j) const noexcept {
    const size_t n = everything_ ? bytes.size() : std::min(bytes.size(), kShownBytes);
    j["value"] = hex(bytes.first(n));
    if (n < bytes.size()) j["shown"] = n;
  }

 private:
  // Subsections have no length; theirs follows from their description.
  static std::optional<uint64_t> length(const DescribedLayout& l) noexcept {
    uint64_t sum = 0;
    for (const DescribedField& f : l.fields) {
      uint64_t size = 0;
      if (__builtin_mul_overflow(f.size, f.array_len, &size) ||
          __builtin_add_overflow(sum, size, &sum)) {
        return std::nullopt;
      }
    }
    for (const DescribedLayout& s : l.subsections) {
      const auto inner = length(s);
      if (!inner || __builtin_add_overflow(sum, *inner, &sum) ||
          __builtin_add_overflow(sum, 6 + s.name.size(), &sum)) {
        return std::nullopt;
      }
    }
    return sum;
  }

  bool subsection(const DescribedLayout& s, std::span<const std::byte>& bytes, Json& out) noexcept {
    const size_t head = 1 + 1 + s.name.size() + 4;
    if (bytes.size() < head || bytes[0] != std::byte{kItemSubsection} ||
        std::to_integer<size_t>(bytes[1]) != s.name.size() ||
        std::string_view(reinterpret_cast<const char*>(bytes.data()) + 2, s.name.size()) !=
            s.name) {
      return false;
    }
    const auto size = length(s);
    if (!size || *size > bytes.size() - head) return false;
    auto body = layout(s, bytes.subspan(head, *size));
    if (!body) return false;
    Json j{{"name", s.name}, {"version", load_be<uint32_t>(bytes.data() + head - 4)}};
    j.update(*body);
    out["subsections"].push_back(std::move(j));
    bytes = bytes.subspan(head + *size);
    return true;
  }

  void field(const DescribedField& f, std::span<const std::byte> bytes, Json& j) noexcept {
    ++values_;
    if (f.array_len == 1) return element(f, bytes, j);
    j["array_len"] = f.array_len;
    const uint64_t shown =
        std::min<uint64_t>(f.array_len, everything_ && f.size > 0 ? UINT64_MAX : kShownElements);
    const bool nested = f.layout && !f.layout->fields.empty();
    Json list = Json::array();
    uint64_t i = 0;
    for (; i < shown && values_ < kMaxValues; ++i) {
      ++values_;
      Json e = Json::object();
      element(f, bytes.subspan(i * f.size, f.size), e);
      list.push_back(nested ? std::move(e) : std::move(e["value"]));
    }
    if (i < f.array_len) j["shown"] = i;
    j[nested ? "elements" : "value"] = std::move(list);
  }

  void element(const DescribedField& f, std::span<const std::byte> bytes, Json& j) noexcept {
    if (f.layout && !f.layout->fields.empty()) {
      if (!f.layout->name.empty()) j["vmsd_name"] = f.layout->name;
      if (f.layout->version) j["version"] = *f.layout->version;
      if (auto inner = layout(*f.layout, bytes)) return j.update(*inner);
      // Lists put marks between their elements, which no description tells of.
      if (f.type == "struct") j["note"] = why_not();
      return raw(bytes, j);
    }
    if (auto value = decode_scalar(f.type, bytes)) {
      j["value"] = std::move(*value);
      return;
    }
    if (f.type == "buffer") {
      if (auto text = text_of(bytes)) j["text"] = *text;
    }
    raw(bytes, j);
  }

  const bool everything_;
  size_t values_ = 0;
};

}  // namespace

Json decode_body(const DescribedLayout& layout, std::span<const std::byte> body,
                 bool everything) noexcept {
  Decoder decoder(everything);
  if (auto decoded = decoder.layout(layout, body)) return std::move(*decoded);
  Json j{{"note", decoder.why_not()}};
  decoder.raw(body, j);
  return j;
}

}  // namespace tern::tool
