// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_output.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "tools/common/progress.h"

namespace tern::tool {
namespace {

using Line = std::pair<std::string, std::string>;  // what, value
using Lines = std::vector<Line>;

enum class Unit {
  none,
  bytes,
  bytes_per_second,
  nanoseconds,
  milliseconds,
  megabits_per_second,
  percent
};

struct NamedUnit {
  std::string_view name;
  Unit unit;
};

// Units of numbers that no reply tells.
constexpr std::array kUnits = {
    NamedUnit{"max-bandwidth", Unit::bytes_per_second},
    NamedUnit{"max-postcopy-bandwidth", Unit::bytes_per_second},
    NamedUnit{"avail-switchover-bandwidth", Unit::bytes_per_second},
    NamedUnit{"bandwidth", Unit::bytes_per_second},
    NamedUnit{"xbzrle-cache-size", Unit::bytes},
    NamedUnit{"cache-size", Unit::bytes},
    NamedUnit{"compressed-size", Unit::bytes},
    NamedUnit{"x-max-device-state", Unit::bytes},
    NamedUnit{"downtime-limit", Unit::milliseconds},
    NamedUnit{"announce-initial", Unit::milliseconds},
    NamedUnit{"announce-max", Unit::milliseconds},
    NamedUnit{"announce-step", Unit::milliseconds},
    NamedUnit{"x-checkpoint-delay", Unit::milliseconds},
    NamedUnit{"x-vcpu-dirty-limit-period", Unit::milliseconds},
    NamedUnit{"cpu-throttle-initial", Unit::percent},
    NamedUnit{"cpu-throttle-increment", Unit::percent},
    NamedUnit{"cpu-throttle-percentage", Unit::percent},
    NamedUnit{"max-cpu-throttle", Unit::percent},
    NamedUnit{"throttle-trigger-threshold", Unit::percent},
    NamedUnit{"total-time", Unit::milliseconds},
    NamedUnit{"setup-time", Unit::milliseconds},
    NamedUnit{"downtime", Unit::milliseconds},
    NamedUnit{"expected-downtime", Unit::milliseconds},
    NamedUnit{"mbps", Unit::megabits_per_second},
    NamedUnit{"transferred", Unit::bytes},
    NamedUnit{"remaining", Unit::bytes},
    NamedUnit{"total", Unit::bytes},
    NamedUnit{"page-size", Unit::bytes},
    NamedUnit{"multifd-bytes", Unit::bytes},
    NamedUnit{"precopy-bytes", Unit::bytes},
    NamedUnit{"downtime-bytes", Unit::bytes},
    NamedUnit{"postcopy-bytes", Unit::bytes},
    NamedUnit{"base-memory", Unit::bytes},
    NamedUnit{"plugged-memory", Unit::bytes},
};

// Of a path: what stands below "…-ns" is counted in nanoseconds.
Unit unit_of(std::string_view path) noexcept {
  if (path.ends_with("-ns") || path.find("-ns.") != path.npos) return Unit::nanoseconds;
  const size_t dot = path.rfind('.');
  const std::string_view name = dot == path.npos ? path : path.substr(dot + 1);
  for (const NamedUnit& known : kUnits) {
    if (known.name == name) return known.unit;
  }
  if (name.starts_with("x-") && name.ends_with("-timeout")) return Unit::milliseconds;
  return name.ends_with("-bytes") ? Unit::bytes : Unit::none;
}

bool scalar(const Json& value) noexcept { return !value.is_object() && !value.is_array(); }

std::string plain_text(const Json& value) {
  if (value.is_string()) {
    const std::string text = printable(value.get<std::string>());
    return text.empty() ? "\"\"" : text;
  }
  if (value.is_boolean()) return value.get<bool>() ? "on" : "off";
  if (value.is_null()) return "null";
  return printable(json_line(value));
}

std::string with_unit(std::string_view path, const Json& value) {
  const std::string text = plain_text(value);
  if (!value.is_number()) return text;
  const double n = value.get<double>();
  switch (unit_of(path)) {
    case Unit::bytes:
      return n < 1000 ? text + " B" : human_bytes(n) + " (" + text + ")";
    case Unit::bytes_per_second:
      return n <= 0 ? text : human_bytes(n) + "/s (" + text + ")";
    case Unit::nanoseconds: {
      std::array<char, 32> ms{};
      std::snprintf(ms.data(), ms.size(), "%.3f ms", n / 1e6);
      return ms.data();
    }
    case Unit::milliseconds:
      return human_milliseconds(n);
    case Unit::megabits_per_second:
      return human_bytes(n * 1e6 / 8) + "/s";
    case Unit::percent:
      return text + " %";
    case Unit::none:
      break;
  }
  return text;
}

// Columns of a terminal, taking each code point for one.
size_t width(std::string_view text) noexcept {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string padded(const std::string& text, size_t columns) {
  return text + std::string(columns - std::min(columns, width(text)), ' ');
}

std::string aligned(const Lines& lines) {
  size_t columns = 0;
  for (const Line& line : lines) columns = std::max(columns, width(line.first));
  std::string text;
  for (const Line& line : lines) text += padded(line.first, columns + 3) + line.second + "\n";
  return text;
}

// All of `value`, nested names with dots between them.
void flatten(const std::string& name, const Json& value, Lines& out) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      flatten(name.empty() ? key : name + "." + key, inner, out);
    }
  } else if (value.is_array() && std::all_of(value.begin(), value.end(), scalar)) {
    std::string text;
    for (const Json& item : value) text += (text.empty() ? "" : ", ") + plain_text(item);
    out.emplace_back(printable(name), text.empty() ? "none" : text);
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      flatten(name + "." + std::to_string(i), value[i], out);
    }
  } else {
    out.emplace_back(printable(name), with_unit(name, value));
  }
}

bool is_table(const Json& list) {
  return !list.empty() && std::all_of(list.begin(), list.end(), [](const Json& row) {
    return row.is_object() && !row.empty() && std::all_of(row.begin(), row.end(), scalar);
  });
}

std::vector<std::string> columns_of(const Json& list) {
  std::vector<std::string> names;
  for (const Json& row : list) {
    for (const auto& [key, value] : row.items()) {
      if (std::find(names.begin(), names.end(), key) == names.end()) names.push_back(key);
    }
  }
  // What names a row stands first.
  constexpr std::array<std::string_view, 8> kFirst = {"name",    "id",     "capability", "label",
                                                      "command", "device", "thread-id",  "type"};
  std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    const auto rank = [&](const std::string& name) {
      return std::find(kFirst.begin(), kFirst.end(), name) - kFirst.begin();
    };
    return rank(a) < rank(b);
  });
  return names;
}

std::string table(const Json& list) {
  const auto names = columns_of(list);
  std::vector<std::vector<std::string>> rows;
  rows.push_back(names);
  for (const Json& row : list) {
    std::vector<std::string> cells;
    for (const std::string& name : names) {
      const auto cell = row.find(name);
      cells.push_back(cell == row.end() ? "-" : plain_text(*cell));
    }
    rows.push_back(std::move(cells));
  }
  std::vector<size_t> widths(names.size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string text;
  // A single column needs no head.
  for (size_t r = names.size() == 1 ? 1 : 0; r < rows.size(); ++r) {
    for (size_t i = 0; i < rows[r].size(); ++i) {
      const bool last = i + 1 == rows[r].size();
      text += last ? rows[r][i] : padded(rows[r][i], widths[i] + 2);
    }
    text += "\n";
  }
  return text;
}

void take(Json& from, const char* key, const char* name, Lines& out) {
  if (!from.is_object()) return;
  const auto found = from.find(key);
  if (found == from.end() || !scalar(*found)) return;
  out.emplace_back(name, with_unit(key, *found));
  from.erase(found);
}

// What somebody who looks at a migration asks first, in that order; then all the rest.
std::string migration(Json info) {
  if (info.empty()) return "no migration yet\n";
  Lines lines;
  take(info, "status", "status", lines);
  take(info, "error-desc", "error", lines);
  take(info, "total-time", "total time", lines);
  take(info, "setup-time", "setup time", lines);
  take(info, "downtime", "downtime", lines);
  take(info, "expected-downtime", "expected downtime", lines);
  take(info, "cpu-throttle-percentage", "vCPUs throttled", lines);
  if (info.contains("ram") && info["ram"].is_object()) {
    Json& ram = info["ram"];
    const double page = number_field(ram, "page-size").value_or(4096);
    const auto dirty = number_field(ram, "dirty-pages-rate");
    take(ram, "total", "guest RAM", lines);
    take(ram, "transferred", "sent", lines);
    take(ram, "remaining", "remaining", lines);
    take(ram, "mbps", "rate", lines);
    if (dirty) lines.emplace_back("dirty rate", human_bytes(*dirty * page) + "/s");
    ram.erase("dirty-pages-rate");
    take(ram, "dirty-sync-count", "passes", lines);
    take(ram, "normal", "pages with data", lines);
    take(ram, "duplicate", "pages of one byte", lines);
  }
  flatten({}, info, lines);
  return aligned(lines);
}

}  // namespace

std::string human_seconds(double seconds) {
  std::array<char, 64> text{};
  const double whole = std::round(std::clamp(seconds, 0.0, 1e9));
  const auto n = static_cast<unsigned long>(whole);
  if (seconds < 9.95) {
    std::snprintf(text.data(), text.size(), "%.1f s", std::max(seconds, 0.0));
  } else if (n < 120) {
    std::snprintf(text.data(), text.size(), "%lu s", n);
  } else if (n < 7200) {
    std::snprintf(text.data(), text.size(), "%lu min %lu s", n / 60, n % 60);
  } else {
    std::snprintf(text.data(), text.size(), "%lu h %lu min", n / 3600, n / 60 % 60);
  }
  return text.data();
}

std::string human_milliseconds(double milliseconds) {
  if (milliseconds >= 10000) return human_seconds(milliseconds / 1000);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.0f ms", std::max(milliseconds, 0.0));
  return text.data();
}

std::string human_reply(const std::string& command, const Json& value) {
  if (command == "query-migrate" && value.is_object()) return migration(value);
  if (value.is_string()) {
    const std::string text = printable(value.get<std::string>(), true);
    return text.empty() || text.back() != '\n' ? text + "\n" : text;
  }
  if (scalar(value)) return plain_text(value) + "\n";
  if (value.empty()) return value.is_array() ? "none\n" : "ok\n";
  if (value.is_array()) {
    if (is_table(value)) return table(value);
    if (std::all_of(value.begin(), value.end(), scalar)) {
      std::string text;
      for (const Json& item : value) text += plain_text(item) + "\n";
      return text;
    }
  } else if (std::all_of(value.begin(), value.end(), scalar)) {
    Lines lines;
    flatten({}, value, lines);
    return aligned(lines);
  }
  return printable(json_indented(value), true) + "\n";
}

}  // namespace tern::tool
