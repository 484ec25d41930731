// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/json_text.h"

#include <utility>
#include <vector>

namespace tern::qmp {
namespace {

// Builds the value from the parser's events: nlohmann's own builder keeps the last of two equal
// keys in silence.
class StrictBuilder final : public nlohmann::json_sax<Json> {
 public:
  Json take() { return std::move(root_); }
  const std::string& fault() const { return fault_; }

  bool null() override { return put(nullptr) != nullptr; }
  bool boolean(bool v) override { return put(v) != nullptr; }
  bool number_integer(number_integer_t v) override { return put(v) != nullptr; }
  bool number_unsigned(number_unsigned_t v) override { return put(v) != nullptr; }
  bool number_float(number_float_t v, const string_t&) override { return put(v) != nullptr; }
  bool string(string_t& v) override { return put(std::move(v)) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (!count()) return false;
    auto [place, fresh] = open_.back()->get_ref<Json::object_t&>().try_emplace(std::move(name));
    if (!fresh) return fail("JSON parse error, duplicate key");
    member_ = &place->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    constexpr size_t kShown = 40;  // a token may be as long as the text
    return fail("JSON parse error, expecting value at offset " + std::to_string(position) +
                ", near '" + token.substr(0, kShown) + "'");
  }

 private:
  bool fail(std::string why) {
    if (fault_.empty()) fault_ = std::move(why);
    return false;
  }
  bool count() { return ++tokens_ <= kMaxTokens || fail("JSON token count limit exceeded"); }

  Json* put(Json value) {
    if (!count()) return nullptr;
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      auto& array = open_.back()->get_ref<Json::array_t&>();
      array.push_back(std::move(value));
      return &array.back();
    }
    *member_ = std::move(value);
    return member_;
  }
  bool open(Json empty) {
    if (open_.size() >= kMaxNesting) return fail("JSON nesting depth limit exceeded");
    Json* place = put(std::move(empty));
    if (place == nullptr) return false;
    open_.push_back(place);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*>
      open_;  // an array does not grow while one of its elements is open, so these stay valid
  Json* member_ = nullptr;  // where the value after a key goes
  size_t tokens_ = 0;
  std::string fault_;
};

}  // namespace

Result<Json> parse_json(std::string_view text) noexcept {
  // The lexer would take a byte order mark for nothing; JSON texts on a stream have none.
  if (text.starts_with("\xEF\xBB\xBF")) {
    return Error(ErrorCode::invalid_argument, "JSON parse error, stray byte order mark");
  }
  StrictBuilder builder;
  if (Json::sax_parse(text.begin(), text.end(), &builder)) return builder.take();
  return Error(ErrorCode::invalid_argument, builder.fault());
}

std::string to_text(const Json& value) noexcept {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace tern::qmp
