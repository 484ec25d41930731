// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_scalar.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <numeric>

namespace tern::tool {
namespace {

constexpr int kMaxDepth = 128;
constexpr size_t kFew = 40;  // candidates that are all named in a message

template <typename T>
std::optional<T> whole(std::string_view text, int base = 10) noexcept {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<double> fraction(std::string_view text) noexcept {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

// "K", "KB" and "KiB" off the end of `text`: the factor, 0 if there is none.
uint64_t take_suffix(std::string_view& text) noexcept {
  std::string_view body = text;
  if (body.ends_with("iB"))
    body.remove_suffix(2);
  else if (body.ends_with('B'))
    body.remove_suffix(1);
  if (body.empty()) return 0;
  constexpr std::string_view kLetters = "KMGTP";
  const char last = body.back();
  const size_t power =
      kLetters.find(last >= 'a' && last <= 'z' ? static_cast<char>(last - 32) : last);
  if (power == std::string_view::npos) return 0;
  body.remove_suffix(1);
  text = body;
  return 1ull << (10 * (power + 1));
}

std::optional<Json> size_with_suffix(std::string_view text) noexcept {
  const uint64_t factor = take_suffix(text);
  if (factor == 0 || text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
  if (const auto n = whole<uint64_t>(text)) {
    if (*n > UINT64_MAX / factor) return std::nullopt;
    return Json(*n * factor);
  }
  const auto part = fraction(text);
  if (!part) return std::nullopt;
  const double bytes = *part * static_cast<double>(factor);
  if (bytes != std::floor(bytes) || bytes >= 9e18) return std::nullopt;
  return Json(static_cast<uint64_t>(bytes));
}

// Letters to change, put in, leave out or swap with their neighbour.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = a[i - 1] == b[j - 1] || (a[i - 1] == '_' && b[j - 1] == '-') ||
                        (a[i - 1] == '-' && b[j - 1] == '_');
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::optional<bool> parse_switch(std::string_view text) noexcept {
  if (text == "on" || text == "true") return true;
  if (text == "off" || text == "false") return false;
  return std::nullopt;
}

std::optional<Json> parse_integer(std::string_view text) noexcept {
  if (const auto n = whole<uint64_t>(text)) return Json(*n);
  if (const auto n = whole<int64_t>(text)) return Json(*n);
  if (text.starts_with("0x") || text.starts_with("0X")) {
    if (const auto n = whole<uint64_t>(text.substr(2), 16)) return Json(*n);
    return std::nullopt;
  }
  return size_with_suffix(text);
}

std::optional<Json> parse_number(std::string_view text) noexcept {
  if (auto n = parse_integer(text)) return n;
  if (const auto part = fraction(text)) return Json(*part);
  return std::nullopt;
}

std::optional<Json> parse_json(std::string_view text) noexcept {
  bool deep = false;
  const auto look = [&deep](int depth, Json::parse_event_t, Json&) {
    deep = deep || depth > kMaxDepth;
    return !deep;
  };
  Json value = Json::parse(text.begin(), text.end(), look, false);
  if (deep || value.is_discarded()) return std::nullopt;
  return value;
}

Json value_by_look(std::string_view text) noexcept {
  if (text == "true") return true;
  if (text == "false") return false;
  if (const auto n = whole<uint64_t>(text)) return *n;
  if (const auto n = whole<int64_t>(text)) return *n;
  if (text.starts_with('[') || text.starts_with('{')) {
    if (auto value = parse_json(text)) return *value;
  }
  return std::string(text);
}

std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates) {
  size_t best = std::max<size_t>(1, word.size() / 3) + 1;
  std::optional<std::string> found;
  for (const std::string& candidate : candidates) {
    if (candidate == word) continue;
    const size_t far = distance(word, candidate);
    if (far < best) {
      best = far;
      found = candidate;
    }
  }
  if (found || word.size() < 3) return found;
  // No slip, perhaps a half word: the shortest candidate that has it in it.
  for (const std::string& candidate : candidates) {
    if (candidate.find(word) == std::string::npos) continue;
    if (!found || candidate.size() < found->size()) found = candidate;
  }
  return found;
}

std::string advice(std::string_view word, const std::vector<std::string>& candidates) {
  std::string text;
  if (const auto meant = nearest(word, candidates)) text += "; did you mean '" + *meant + "'?";
  if (candidates.empty() || candidates.size() > kFew) return text;
  text += text.empty() ? "; possible: " : " Possible: ";
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (i != 0) text += ", ";
    text += candidates[i];
  }
  return text;
}

}  // namespace tern::tool
