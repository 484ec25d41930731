// SPDX-License-Identifier: Apache-2.0
#include "migration/params/parameters.h"

#include <charconv>

#include "migration/params/capabilities.h"

namespace tern {

std::string_view to_string(MultifdCompression method) noexcept {
  return params::kMultifdCompressionWords[static_cast<size_t>(method)];
}

std::string_view to_string(ZeroPageDetection where) noexcept {
  return params::kZeroPageDetectionWords[static_cast<size_t>(where)];
}

std::string_view to_string(SwitchoverPolicy policy) noexcept {
  return params::kSwitchoverPolicyWords[static_cast<size_t>(policy)];
}

}  // namespace tern

namespace tern::params {
namespace {

Error not_a_value(const ParameterRow& row, std::string_view text) noexcept {
  constexpr size_t kShown = 64;
  return Error(ErrorCode::invalid_argument, "Parameter '" + std::string(row.name) + "' takes " +
                                                range_text(row) + ", not '" +
                                                std::string(text.substr(0, kShown)) + "'");
}

std::optional<uint64_t> number(std::string_view text) noexcept {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) text.remove_prefix(2);
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<uint64_t> size_number(std::string_view text) noexcept {
  constexpr std::string_view kSuffixes = "KMGTPE";
  unsigned shift = 0;
  if (!text.empty() && !text.starts_with("0x") && !text.starts_with("0X")) {
    const char last = text.back() >= 'a' ? static_cast<char>(text.back() - 'a' + 'A') : text.back();
    if (const size_t place = kSuffixes.find(last); place != std::string_view::npos) {
      shift = 10 * (static_cast<unsigned>(place) + 1);
      text.remove_suffix(1);
    }
  }
  const auto value = number(text);
  if (!value || *value > kAnyU64 >> shift) return std::nullopt;
  return *value << shift;
}

std::optional<uint64_t> boolean(std::string_view text) noexcept {
  if (text == "on" || text == "true" || text == "yes") return 1;
  if (text == "off" || text == "false" || text == "no") return 0;
  return std::nullopt;
}

std::optional<uint64_t> word(const EnumWords& words, std::string_view text) noexcept {
  for (size_t i = 0; i < words.words.size(); ++i) {
    if (words.words[i] == text) return i;
  }
  return std::nullopt;
}

}  // namespace

const ParameterRow* find_parameter(std::string_view name) noexcept {
  for (const ParameterRow& row : kParameters) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

Value get(const Settings& settings, const ParameterRow& row) noexcept {
  if (const auto* wide = std::get_if<uint64_t Settings::*>(&row.member)) return settings.**wide;
  if (const auto* narrow = std::get_if<uint32_t Settings::*>(&row.member)) {
    return uint64_t{settings.**narrow};
  }
  if (const auto* flag = std::get_if<bool Settings::*>(&row.member)) {
    return uint64_t{settings.**flag};
  }
  if (const auto* text = std::get_if<std::string Settings::*>(&row.member)) return settings.**text;
  if (const auto* method = std::get_if<MultifdCompression Settings::*>(&row.member)) {
    return static_cast<uint64_t>(settings.**method);
  }
  if (const auto* where = std::get_if<ZeroPageDetection Settings::*>(&row.member)) {
    return static_cast<uint64_t>(settings.**where);
  }
  if (const auto* policy = std::get_if<SwitchoverPolicy Settings::*>(&row.member)) {
    return static_cast<uint64_t>(settings.**policy);
  }
  const auto* peer = std::get_if<std::optional<PeerVersion> Settings::*>(&row.member);
  const std::optional<PeerVersion>& version = settings.**peer;
  return version ? static_cast<uint64_t>(*version) : row.api_default;
}

void set(Settings& settings, const ParameterRow& row, const Value& value) noexcept {
  if (const auto* text = std::get_if<std::string Settings::*>(&row.member)) {
    if (const auto* given = std::get_if<std::string>(&value)) settings.** text = *given;
    return;
  }
  const auto* given = std::get_if<uint64_t>(&value);
  if (given == nullptr) return;
  if (const auto* wide = std::get_if<uint64_t Settings::*>(&row.member)) {
    settings.** wide = *given;
  } else if (const auto* narrow = std::get_if<uint32_t Settings::*>(&row.member)) {
    settings.** narrow = static_cast<uint32_t>(*given);
  } else if (const auto* flag = std::get_if<bool Settings::*>(&row.member)) {
    settings.** flag = *given != 0;
  } else if (const auto* peer = std::get_if<std::optional<PeerVersion> Settings::*>(&row.member)) {
    settings.** peer = static_cast<PeerVersion>(*given);
  } else if (const auto* method = std::get_if<MultifdCompression Settings::*>(&row.member)) {
    settings.** method = static_cast<MultifdCompression>(*given);
  } else if (const auto* where = std::get_if<ZeroPageDetection Settings::*>(&row.member)) {
    settings.** where = static_cast<ZeroPageDetection>(*given);
  } else if (const auto* policy = std::get_if<SwitchoverPolicy Settings::*>(&row.member)) {
    settings.** policy = static_cast<SwitchoverPolicy>(*given);
  }
}

bool is_in_range(const ParameterRow& row, uint64_t value) noexcept {
  return value >= row.min && value <= row.max && (!row.power_of_two || std::has_single_bit(value));
}

std::string range_text(const ParameterRow& row) noexcept {
  switch (row.type) {
    case SettingType::boolean:
      return "on or off";
    case SettingType::string:
      return "a string of at most " + std::to_string(row.max) + " bytes";
    case SettingType::enumeration: {
      std::string text;
      for (const std::string_view w : row.words.words) {
        text += (text.empty() ? "" : ", ") + std::string(w);
      }
      return text;
    }
    default:
      break;
  }
  const std::string max = row.max == kAnyU64 ? "2^64-1" : std::to_string(row.max);
  std::string text = std::to_string(row.min) + ".." + max;
  if (!row.unit.empty()) text += " " + std::string(row.unit);
  if (row.power_of_two) text += ", a power of two";
  return text;
}

Result<Value> value_from_text(const ParameterRow& row, std::string_view text) noexcept {
  if (row.type == SettingType::string) {
    if (text.size() > row.max) return not_a_value(row, text);
    return Value(std::string(text));
  }
  std::optional<uint64_t> value;
  switch (row.type) {
    case SettingType::boolean:
      value = boolean(text);
      break;
    case SettingType::enumeration:
      value = word(row.words, text);
      break;
    case SettingType::size:
      value = size_number(text);
      break;
    default:
      value = number(text);
  }
  if (!value || !is_in_range(row, *value)) return not_a_value(row, text);
  return Value(*value);
}

std::string value_to_text(const ParameterRow& row, const Value& value) noexcept {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  const uint64_t n = *std::get_if<uint64_t>(&value);
  if (row.type == SettingType::boolean) return n != 0 ? "on" : "off";
  if (row.type == SettingType::enumeration) return std::string(row.words.words[n]);
  return std::to_string(n);
}

Settings qmp_defaults() noexcept {
  Settings settings;
  for (const ParameterRow& row : kParameters) {
    // A peer version that nobody named must stay unset: the engine then looks at the machine's
    // name. Strings start empty in both.
    const Value wanted(row.qmp_default);
    if (row.type == SettingType::string || get(settings, row) == wanted) continue;
    set(settings, row, wanted);
  }
  CapabilitySet on;
  for (size_t i = 0; i < kCapabilities.size(); ++i) on.set(i, kCapabilities[i].qmp_default);
  store(on, settings);
  return settings;
}

}  // namespace tern::params
