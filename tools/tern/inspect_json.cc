// SPDX-License-Identifier: Apache-2.0
//
// The JSON form: one document, written as it comes.
//   {"format": …, "items": [{"offset", "item", …, "records": […] | "items": […], …}],
//    "summary": {…}, "error": {…}}
#include <utility>
#include <vector>

#include "tools/tern/inspect_output.h"

namespace tern::tool {

std::string json_text(const Json& value) noexcept {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

namespace {

class JsonOutput final : public InspectOutput {
 public:
  explicit JsonOutput(TextSink sink) noexcept : sink_(std::move(sink)) {}

  void begin(std::string_view format) noexcept override {
    put("{\"format\": " + json_text(Json(format)) + ", \"items\": [");
    levels_.push_back({Inside::items, true});
  }

  void open(uint64_t offset, std::string_view item, const Json& head) noexcept override {
    enter(Inside::items, "items");
    separate();
    put("{\"offset\": " + std::to_string(offset) + ", \"item\": " + json_text(Json(item)));
    put_members(head);
    levels_.push_back({Inside::object, false});
  }

  void record(uint64_t offset, const Json& record) noexcept override {
    enter(Inside::records, "records");
    separate();
    put("{\"offset\": " + std::to_string(offset));
    put_members(record);
    put("}");
  }

  void close(const Json& tail) noexcept override {
    leave_array();
    put_members(tail);
    put("}");
    levels_.pop_back();
    levels_.back().empty = false;
  }

  void end(const Json& summary, const std::optional<Failure>& failure) noexcept override {
    while (levels_.size() > 1) close(Json::object());
    put("], \"summary\": " + json_text(summary));
    if (failure) {
      put(", \"error\": " +
          json_text(Json{{"offset", failure->offset}, {"reason", failure->reason}}));
    }
    put("}\n");
  }

 private:
  enum class Inside { object, items, records };
  struct Level {
    Inside inside;  // which array of the open object is being written
    bool empty;     // nothing in that array yet
  };

  void put(std::string_view text) const noexcept { sink_(text); }
  void put_members(const Json& object) const noexcept {
    for (const auto& [key, value] : object.items()) {
      put(", " + json_text(Json(key)) + ": " + json_text(value));
    }
  }
  void enter(Inside array, std::string_view key) noexcept {
    if (levels_.back().inside == array) return;
    leave_array();
    put(", \"" + std::string(key) + "\": [");
    levels_.back() = {array, true};
  }
  void leave_array() noexcept {
    if (levels_.back().inside == Inside::object) return;
    put("]");
    levels_.back() = {Inside::object, false};
  }
  void separate() noexcept {
    put(levels_.back().empty ? "\n" : ",\n");
    levels_.back().empty = false;
  }

  TextSink sink_;
  std::vector<Level> levels_;
};

}  // namespace

std::unique_ptr<InspectOutput> make_json_output(TextSink sink) noexcept {
  return std::make_unique<JsonOutput>(std::move(sink));
}

}  // namespace tern::tool
