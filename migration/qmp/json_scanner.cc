// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/json_scanner.h"

#include <array>
#include <utility>

#include "migration/qmp/json_text.h"

namespace tern::qmp {
namespace {

// A number or word longer than this is none.
constexpr size_t kMaxWordBytes = 4096;

bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_line_end(char c) noexcept { return c == '\n' || c == '\r'; }
bool is_word(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '+' || c == '.' || c == '_';
}
bool is_punctuation(char c) noexcept {
  return c == '{' || c == '}' || c == '[' || c == ']' || c == ',' || c == ':' || c == '"';
}
// Never part of a text, not even inside a string: clients send such a byte to start afresh.
bool is_reset(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && !is_space(c)) || byte >= 0xF5;
}

std::string shown(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x20 && byte < 0x7F) return std::string(1, c);
  constexpr std::string_view kDigits = "0123456789abcdef";
  return {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
}

}  // namespace

std::optional<JsonScanner::Item> JsonScanner::next(std::string_view& bytes) noexcept {
  while (!bytes.empty()) {
    if (in_string_ && !escaped_) {
      take_plain(bytes);
      if (text_.size() > kMaxTextBytes) return over_limit("JSON token size limit exceeded");
      if (bytes.empty()) break;
    }
    const char c = bytes.front();
    // A word ends before the byte that is not part of it; that byte begins the next text.
    if (mode_ == Mode::word && !is_word(c)) return complete();
    // The bracket that ends the recovery begins a text.
    if (mode_ == Mode::recovering && (c == '{' || c == '[')) mode_ = Mode::idle;
    bytes.remove_prefix(1);
    std::optional<Item> item = step(c);
    if (item) return item;
  }
  return std::nullopt;
}

// Strings are nearly all of a large text: what needs no decision is taken in one piece.
void JsonScanner::take_plain(std::string_view& bytes) noexcept {
  size_t n = 0;
  while (n < bytes.size() && bytes[n] != '"' && bytes[n] != '\\' && !is_space(bytes[n]) &&
         !is_reset(bytes[n])) {
    ++n;
  }
  if (mode_ == Mode::structure) text_.append(bytes.substr(0, n));
  bytes.remove_prefix(n);
}

std::optional<JsonScanner::Item> JsonScanner::finish() noexcept {
  if (mode_ == Mode::word) return complete();
  return std::nullopt;
}

std::optional<JsonScanner::Item> JsonScanner::step(char c) noexcept {
  if (is_reset(c)) return broken(c);
  switch (mode_) {
    case Mode::idle:
      return begin(c);
    case Mode::word:
      text_.push_back(c);
      if (text_.size() <= kMaxWordBytes) return std::nullopt;
      reset(Mode::recovering);
      return Item{false, "JSON parse error, word too long"};
    case Mode::structure:
    case Mode::swallowing:
      return in_string_ ? in_string(c) : inside(c);
    case Mode::recovering:
      if (is_line_end(c)) mode_ = Mode::idle;
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<JsonScanner::Item> JsonScanner::begin(char c) noexcept {
  if (is_space(c)) return std::nullopt;
  if (c == '{' || c == '[' || c == '"') {
    mode_ = Mode::structure;
    text_.push_back(c);
    in_string_ = c == '"';
    depth_ = in_string_ ? 0 : 1;
    return std::nullopt;
  }
  if (is_word(c)) {
    mode_ = Mode::word;
    text_.push_back(c);
    return std::nullopt;
  }
  if (!is_punctuation(c)) return broken(c);
  reset(Mode::recovering);
  return Item{false, "JSON parse error, expecting value"};
}

std::optional<JsonScanner::Item> JsonScanner::in_string(char c) noexcept {
  // A line end inside a string is where a half-typed line was given up: what follows is a new
  // request.
  if (is_line_end(c)) return junk(c);
  if (mode_ == Mode::structure) text_.push_back(c);
  if (escaped_) {
    escaped_ = false;
  } else if (c == '\\') {
    escaped_ = true;
  } else if (c == '"') {
    in_string_ = false;
    if (depth_ == 0) return balanced();
  }
  if (text_.size() > kMaxTextBytes) return over_limit("JSON token size limit exceeded");
  return std::nullopt;
}

std::optional<JsonScanner::Item> JsonScanner::inside(char c) noexcept {
  if (!is_space(c) && !is_word(c) && !is_punctuation(c)) return junk(c);
  if (mode_ == Mode::structure) text_.push_back(c);
  if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    ++depth_;
    if (depth_ > kMaxNesting && mode_ == Mode::structure) {
      return over_limit("JSON nesting depth limit exceeded");
    }
  } else if (c == '}' || c == ']') {
    --depth_;
    if (depth_ == 0) return balanced();
  }
  if (text_.size() > kMaxTextBytes) return over_limit("JSON token size limit exceeded");
  return std::nullopt;
}

std::optional<JsonScanner::Item> JsonScanner::balanced() noexcept {
  if (mode_ == Mode::structure) return complete();
  reset(Mode::idle);  // of a swallowed text everything has been said
  return std::nullopt;
}

std::optional<JsonScanner::Item> JsonScanner::junk(char c) noexcept {
  if (mode_ == Mode::structure) return broken(c);
  reset(is_line_end(c) ? Mode::idle : Mode::recovering);
  return std::nullopt;
}

JsonScanner::Item JsonScanner::complete() noexcept {
  Item item{true, std::move(text_)};
  reset(Mode::idle);
  return item;
}

JsonScanner::Item JsonScanner::broken(char c) noexcept {
  reset(is_line_end(c) ? Mode::idle : Mode::recovering);
  return Item{false, "JSON parse error, stray '" + shown(c) + "'"};
}

std::optional<JsonScanner::Item> JsonScanner::over_limit(std::string_view why) noexcept {
  text_ = std::string();  // gives the memory back
  mode_ = Mode::swallowing;
  return Item{false, std::string(why)};
}

void JsonScanner::reset(Mode mode) noexcept {
  mode_ = mode;
  in_string_ = false;
  escaped_ = false;
  depth_ = 0;
  text_ = std::string();
}

}  // namespace tern::qmp
