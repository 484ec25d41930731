// SPDX-License-Identifier: Apache-2.0
//
// The text form: one line per item with its offset, what is inside it indented below. Whatever a
// stream says is escaped: it may be hostile, and terminals obey control bytes.
#include <array>
#include <cstdio>
#include <utility>
#include <vector>

#include "tools/tern/inspect_output.h"

namespace tern::tool {
namespace {

// "a", 1, true: a value on one line.
std::string one_line(const Json& value) noexcept {
  if (value.is_array()) {
    std::string text = "[";
    for (const Json& v : value) text += (text.size() > 1 ? ", " : "") + one_line(v);
    return text + "]";
  }
  return json_text(value);
}

bool is_scalar_array(const Json& value) noexcept {
  if (!value.is_array()) return false;
  for (const Json& v : value) {
    if (v.is_structured()) return false;
  }
  return true;
}

class TextOutput final : public InspectOutput {
 public:
  explicit TextOutput(TextSink sink) noexcept : sink_(std::move(sink)) {}

  void begin(std::string_view format) noexcept override {
    line(0, "format " + std::string(format));
  }

  void open(uint64_t offset, std::string_view item, const Json& head) noexcept override {
    at(offset, std::string(item) + scalars(head));
    ++depth_;
    details(head, depth_);
  }

  void record(uint64_t offset, const Json& record) noexcept override {
    at(offset, scalars(record).substr(2));
    details(record, depth_ + 1);
  }

  void close(const Json& tail) noexcept override {
    const std::string text = scalars(tail);
    if (!text.empty()) line(depth_, text.substr(2));
    details(tail, depth_);
    --depth_;
  }

  void end(const Json& summary, const std::optional<Failure>& failure) noexcept override {
    depth_ = 0;
    line(0, "summary" + scalars(summary));
    details(summary, 1);
    if (failure) {
      line(0, "error at offset " + std::to_string(failure->offset) + ": " +
                  json_text(Json(failure->reason)));
    }
  }

 private:
  static constexpr size_t kOffsetWidth = 12;

  void line(size_t depth, std::string_view text) const noexcept {
    sink_(std::string(kOffsetWidth + 2 + 2 * depth, ' ') + std::string(text) + "\n");
  }
  void at(uint64_t offset, std::string_view text) const noexcept {
    std::array<char, 32> number{};
    std::snprintf(number.data(), number.size(), "%*llu", static_cast<int>(kOffsetWidth),
                  static_cast<unsigned long long>(offset));
    sink_(std::string(number.data()) + std::string(2 + 2 * depth_, ' ') + std::string(text) + "\n");
  }

  // "  key value  key value": the members that fit on a line.
  static std::string scalars(const Json& object) noexcept {
    std::string text;
    for (const auto& [key, value] : object.items()) {
      if (value.is_structured() && !is_scalar_array(value)) continue;
      text += "  " + key + " " + one_line(value);
    }
    return text;
  }

  // The members that need lines of their own.
  void details(const Json& object, size_t depth) const noexcept {
    for (const auto& [key, value] : object.items()) {
      if (!value.is_structured() || is_scalar_array(value)) continue;
      if (key == "fields") {
        fields(value, depth);
      } else if (value.is_array()) {
        for (const Json& v : value) {
          line(depth, key + scalars(v));
          details(v, depth + 1);
        }
      } else {
        line(depth, key + scalars(value));
        details(value, depth + 1);
      }
    }
  }

  void fields(const Json& list, size_t depth) const noexcept {
    for (const Json& f : list) {
      std::string text = f.value("name", "");
      text = json_text(Json(text));
      text = text.substr(1, text.size() - 2);
      if (f.contains("index")) text += "[" + std::to_string(f["index"].get<uint64_t>()) + "]";
      if (f.contains("text")) {
        text += " = " + one_line(f["text"]);
      } else if (f.contains("value")) {
        text += " = " + one_line(f["value"]);
      }
      if (f.contains("shown")) text += " …";
      const std::string type = json_text(Json(f.value("type", "")));
      text += "  (" + type.substr(1, type.size() - 2);
      if (f.contains("array_len")) text += " × " + std::to_string(f["array_len"].get<uint64_t>());
      text += ", " + std::to_string(f["size"].get<uint64_t>()) + " bytes)";
      line(depth, text);
      if (f.contains("note")) line(depth + 1, "note " + one_line(f["note"]));
      nested(f, depth + 1);
    }
  }

  void nested(const Json& f, size_t depth) const noexcept {
    if (f.contains("fields")) fields(f["fields"], depth);
    if (f.contains("subsections")) {
      for (const Json& s : f["subsections"]) {
        line(depth, "subsection" + scalars(s));
        nested(s, depth + 1);
      }
    }
    if (f.contains("elements")) {
      size_t index = 0;
      for (const Json& e : f["elements"]) {
        line(depth, "element " + std::to_string(index++));
        nested(e, depth + 1);
      }
    }
  }

  TextSink sink_;
  size_t depth_ = 0;
};

}  // namespace

std::unique_ptr<InspectOutput> make_text_output(TextSink sink) noexcept {
  return std::make_unique<TextOutput>(std::move(sink));
}

}  // namespace tern::tool
