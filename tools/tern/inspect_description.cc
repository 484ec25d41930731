// SPDX-License-Identifier: Apache-2.0
//
// Reads the vmdescription's JSON into layouts, by events: a hostile text is refused before it has
// become large.
#include "tools/tern/inspect_fields.h"

namespace tern::tool {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxEntries = 262144;

class DescriptionReader final : public nlohmann::json_sax<Json> {
 public:
  Description description;
  std::string why = "not JSON";

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t v) override { return number(v); }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool binary(binary_t&) override { return refuse("binary value"); }

  bool string(string_t& v) override {
    if (frames_.empty()) return refuse("top level is not an object");
    Frame& f = frames_.back();
    if (f.kind == Kind::device && f.key == "name") f.device->idstr = v;
    if (f.kind == Kind::field && f.key == "name") f.field->name = v;
    if (f.kind == Kind::field && f.key == "type") f.field->type = v;
    if (f.key == "vmsd_name" && f.kind == Kind::field) layout_of(f)->name = v;
    if (f.key == "vmsd_name" && f.kind != Kind::field && f.layout != nullptr) f.layout->name = v;
    return true;
  }
  bool key(string_t& k) override {
    frames_.back().key = k;
    return true;
  }
  bool start_object(size_t) override {
    Frame next{};
    if (frames_.empty()) {
      next.kind = Kind::root;
    } else {
      const Frame& parent = frames_.back();
      if (parent.kind == Kind::root && parent.key == "configuration") {
        description.has_configuration = true;
      }
      if (parent.kind == Kind::devices) {
        description.devices.emplace_back();
        next.kind = Kind::device;
        next.device = &description.devices.back();
        next.layout = &next.device->layout;
      } else if (parent.kind == Kind::fields) {
        parent.layout->fields.emplace_back();
        next.kind = Kind::field;
        next.field = &parent.layout->fields.back();
      } else if (parent.kind == Kind::subsections) {
        parent.layout->subsections.emplace_back();
        next.kind = Kind::layout;
        next.layout = &parent.layout->subsections.back();
      } else if (parent.kind == Kind::field && parent.key == "struct") {
        next.kind = Kind::layout;
        next.layout = layout_of(parent);
      }
    }
    return push(std::move(next));
  }
  bool start_array(size_t) override {
    if (frames_.empty()) return refuse("top level is not an object");
    const Frame& parent = frames_.back();
    Frame next{};
    if (parent.kind == Kind::root && parent.key == "devices") {
      next.kind = Kind::devices;
      saw_devices_ = true;
    } else if (parent.key == "fields" || parent.key == "subsections") {
      next.layout = parent.kind == Kind::field ? layout_of(parent) : parent.layout;
      if (next.layout != nullptr) {
        next.kind = parent.key == "fields" ? Kind::fields : Kind::subsections;
      }
    }
    return push(std::move(next));
  }
  bool end_object() override { return pop(); }
  bool end_array() override { return pop(); }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    if (!refused_) why = "JSON error at byte " + std::to_string(position);
    return false;
  }
  bool complete() {
    if (!saw_devices_) why = "no devices array";
    return saw_devices_;
  }

 private:
  enum class Kind { other, root, devices, device, fields, field, subsections, layout };
  // The vectors that these point into do not grow while something inside is being read.
  struct Frame {
    Kind kind = Kind::other;
    std::string key;
    DescribedDevice* device = nullptr;
    DescribedField* field = nullptr;
    DescribedLayout* layout = nullptr;
  };

  static DescribedLayout* layout_of(const Frame& f) {
    if (!f.field->layout) f.field->layout = std::make_unique<DescribedLayout>();
    return f.field->layout.get();
  }
  bool refuse(const char* reason) {
    why = reason;
    refused_ = true;
    return false;
  }
  bool push(Frame&& frame) {
    if (frames_.size() >= kMaxDepth) return refuse("nested deeper than 64");
    if (frame.kind != Kind::other && ++entries_ > kMaxEntries) return refuse("too many entries");
    frames_.push_back(std::move(frame));
    return true;
  }
  bool pop() {
    frames_.pop_back();
    return true;
  }
  bool number(uint64_t v) {
    if (frames_.empty()) return refuse("top level is not an object");
    const Frame& f = frames_.back();
    if (f.kind == Kind::root && f.key == "page_size") description.page_size = v;
    if (f.kind == Kind::device && f.key == "instance_id") {
      f.device->instance_id = static_cast<uint32_t>(v);
    }
    if (f.kind == Kind::field && f.key == "size") f.field->size = v;
    if (f.kind == Kind::field && f.key == "array_len") f.field->array_len = v == 0 ? 1 : v;
    if (f.key == "version" && f.kind == Kind::field) layout_of(f)->version = v;
    if (f.key == "version" && f.kind != Kind::field && f.layout != nullptr) f.layout->version = v;
    return true;
  }

  std::vector<Frame> frames_;
  size_t entries_ = 0;
  bool saw_devices_ = false;
  bool refused_ = false;
};

}  // namespace

const DescribedDevice* Description::find(std::string_view idstr,
                                         uint32_t instance_id) const noexcept {
  for (size_t i = devices.size(); i-- > 0;) {
    if (devices[i].idstr == idstr && devices[i].instance_id == instance_id) return &devices[i];
  }
  return nullptr;
}

Result<Description> parse_description(std::string_view json) noexcept {
  DescriptionReader reader;
  if (!Json::sax_parse(json.begin(), json.end(), &reader) || !reader.complete()) {
    return Error(ErrorCode::peer_protocol, "vmdescription: " + reader.why);
  }
  return std::move(reader.description);
}

}  // namespace tern::tool
