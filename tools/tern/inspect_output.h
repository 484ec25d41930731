// SPDX-License-Identifier: Apache-2.0
//
// InspectOutput: where `tern inspect` says what it found, piece by piece, so that a stream of any
// length is printed with bounded memory. Two forms: text for people, one JSON document for machines
// (docs/reference/inspect.md). Knows nothing of migration formats.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace tern::tool {

/// Keys keep the order in which they were put in.
using Json = nlohmann::ordered_json;

/// The first malformed byte.
struct Failure {
  uint64_t offset = 0;
  std::string reason;
};

/// Takes the printed text.
using TextSink = std::function<void(std::string_view)>;

/// Calls come as: begin, { open { record | open … close } close }, end. An item holds records or
/// other items, not both. end may come with items still open: after a failure.
class InspectOutput {
 public:
  virtual ~InspectOutput() = default;
  virtual void begin(std::string_view format) noexcept = 0;
  /// An item of the stream; `head`: what is known at its beginning, an object.
  virtual void open(uint64_t offset, std::string_view item, const Json& head) noexcept = 0;
  /// One of many small things inside the open item.
  virtual void record(uint64_t offset, const Json& record) noexcept = 0;
  /// `tail`: what is known at the end of the item, an object.
  virtual void close(const Json& tail) noexcept = 0;
  virtual void end(const Json& summary, const std::optional<Failure>& failure) noexcept = 0;

  void item(uint64_t offset, std::string_view name, const Json& head) noexcept {
    open(offset, name, head);
    close(Json::object());
  }
};

std::unique_ptr<InspectOutput> make_text_output(TextSink sink) noexcept;
std::unique_ptr<InspectOutput> make_json_output(TextSink sink) noexcept;

/// JSON text of a value; bytes that are not UTF-8 are replaced.
std::string json_text(const Json& value) noexcept;

}  // namespace tern::tool
