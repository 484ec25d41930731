// SPDX-License-Identifier: Apache-2.0
//
// Cuts a byte stream into JSON texts. QMP has no frames: texts may be split over reads, several may
// be on one line, line breaks may be inside. Owns only the framing and its limits; whether a text
// is valid JSON is the parser's business (json_text.h).
//
// Recovery: a byte that cannot be in a text (a control character, 0xF5..0xFF, a single quote or the
// like outside a string, a line end inside a string) makes one error; what is left of that text is
// skipped to the next '{', '[' or line end. A text beyond a limit makes one error at once and is
// swallowed, without being kept, up to its balanced end or the next such byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tern::qmp {

/// Largest text in bytes.
inline constexpr size_t kMaxTextBytes = 64u << 20;

class JsonScanner {
 public:
  struct Item {
    bool is_text;       // otherwise an error
    std::string value;  // the text, or the description of the error
  };

  /// Takes bytes off the front of `bytes` until one text or error is complete. Empty: all bytes are
  /// taken and more are needed.
  std::optional<Item> next(std::string_view& bytes) noexcept;

  /// No more bytes come: a number or word at the top level ends here.
  std::optional<Item> finish() noexcept;

  /// Bytes of the unfinished text that are kept.
  size_t kept_bytes() const noexcept { return text_.size(); }

 private:
  enum class Mode {
    idle,        // between texts
    word,        // in a number or word at the top level
    structure,   // inside brackets, or a string at the top level
    swallowing,  // as structure, over a limit
    recovering,  // after an error
  };

  void take_plain(std::string_view& bytes) noexcept;
  std::optional<Item> step(char c) noexcept;
  std::optional<Item> begin(char c) noexcept;
  std::optional<Item> inside(char c) noexcept;
  std::optional<Item> in_string(char c) noexcept;
  std::optional<Item> balanced() noexcept;
  std::optional<Item> junk(char c) noexcept;
  Item complete() noexcept;
  Item broken(char c) noexcept;
  std::optional<Item> over_limit(std::string_view why) noexcept;
  void reset(Mode mode) noexcept;

  Mode mode_ = Mode::idle;
  bool in_string_ = false;
  bool escaped_ = false;
  uint64_t depth_ = 0;
  std::string text_;
};

}  // namespace tern::qmp
