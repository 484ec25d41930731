// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_progress.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <vector>

#include "tools/common/progress.h"
#include "tools/tern/ctl_output.h"

namespace tern::tool {
namespace {

struct Part {
  std::string text;
  int rank;  // the parts of the lowest rank go first when there is no room
};

constexpr int kAlways = 100;

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

// How much of the guest's RAM the destination has as it is now, in percent.
std::optional<double> percent(const MigrationSample& sample) {
  if (!sample.ram || sample.total <= 0) return std::nullopt;
  return std::clamp(100 * (sample.total - sample.remaining) / sample.total, 0.0, 100.0);
}

std::string percent_text(double percent) {
  std::array<char, 16> text{};
  // 100 is said when nothing remains, not before.
  std::snprintf(text.data(), text.size(), "%.0f%%", std::floor(percent));
  return text.data();
}

size_t width_of(const std::vector<Part>& parts) {
  size_t columns = 0;
  for (const Part& part : parts) columns += (columns == 0 ? 0 : 2) + part.text.size();
  return columns;
}

void add_ram(const MigrationSample& sample, const Estimate& estimate, std::vector<Part>& parts) {
  if (const auto done = percent(sample)) parts.push_back({percent_text(*done), 8});
  parts.push_back({human_bytes(sample.sent) + " sent", 2});
  parts.push_back({human_bytes(sample.remaining) + " left", 7});
  if (estimate.rate) parts.push_back({human_bytes(*estimate.rate) + "/s", 6});
  if (estimate.mean_rate) parts.push_back({"mean " + human_bytes(*estimate.mean_rate) + "/s", 0});
  if (sample.passes > 1) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "pass %.0f", sample.passes);
    parts.push_back({text.data(), 1});
    parts.push_back({"dirty " + human_bytes(sample.dirty_rate) + "/s", 5});
  }
  if (!sample.throttle.empty()) parts.push_back({sample.throttle, 6});
}

}  // namespace

std::string sample_line(const MigrationSample& sample, const Estimate& estimate, size_t columns) {
  std::vector<Part> parts = {{printable(sample.status), kAlways}};
  if (sample.ram) add_ram(sample, estimate, parts);
  if (sample.downtime_ms) {
    parts.push_back({"downtime " + human_milliseconds(*sample.downtime_ms), 4});
  } else if (sample.expected_downtime_ms) {
    parts.push_back({"expected downtime " + human_milliseconds(*sample.expected_downtime_ms), 3});
  }
  if (const std::string text = outlook_text(estimate); !text.empty()) parts.push_back({text, 9});
  if (!sample.error.empty()) parts.push_back({printable(sample.error), kAlways});
  while (columns != 0 && parts.size() > 1 && width_of(parts) > columns) {
    parts.erase(std::min_element(parts.begin() + 1, parts.end(),
                                 [](const Part& a, const Part& b) { return a.rank < b.rank; }));
  }
  std::string line;
  for (const Part& part : parts) line += (line.empty() ? "" : "  ") + part.text;
  if (columns != 0 && line.size() > columns) line.resize(columns);
  return line;
}

Json sample_json(const MigrationSample& sample, const Estimate& estimate, double unix_time,
                 const Json& info) {
  Json out = {{"time", unix_time}, {"status", sample.status}};
  if (sample.ram) {
    out["percent"] = or_null(percent(sample));
    out["sent"] = sample.sent;
    out["remaining"] = sample.remaining;
    out["total"] = sample.total;
    out["rate"] = or_null(estimate.rate);
    out["mean-rate"] = or_null(estimate.mean_rate);
    out["dirty-rate"] = sample.passes > 1 ? Json(sample.dirty_rate) : Json(nullptr);
  }
  out["expected-downtime-ms"] = or_null(sample.expected_downtime_ms);
  Json outlook = nullptr;
  if (estimate.outlook == Outlook::never) outlook = {{"kind", "does-not-converge"}};
  if (estimate.outlook == Outlook::about) outlook = {{"kind", "about"}};
  if (estimate.outlook == Outlook::at_least) outlook = {{"kind", "at-least"}};
  const bool seconds = estimate.outlook == Outlook::about || estimate.outlook == Outlook::at_least;
  if (seconds) outlook["seconds"] = estimate.seconds;
  out["estimate"] = std::move(outlook);
  out["migration"] = info;
  return Json{{"sample", std::move(out)}};
}

std::string event_line(const Json& event) {
  std::string text = printable(text_field(event, "event", "?"));
  const Json& data = field(event, "data");
  if (!data.is_object()) return text;
  const bool flat = std::none_of(data.begin(), data.end(),
                                 [](const Json& value) { return value.is_structured(); });
  if (!flat) return text + " " + printable(json_line(data));
  for (const auto& [key, value] : data.items()) {
    text += " " + printable(key) + "=";
    text += value.is_string() ? printable(value.get<std::string>()) : json_line(value);
  }
  return text;
}

std::string end_line(const MigrationSample& last, const Estimate& estimate) {
  std::string text = printable(last.status);
  if (!last.error.empty()) text += ": " + printable(last.error);
  if (last.total_time_ms) text += " in " + human_milliseconds(*last.total_time_ms);
  if (last.downtime_ms) text += ", downtime " + human_milliseconds(*last.downtime_ms);
  if (last.ram) {
    text += ", " + human_bytes(last.sent) + " sent";
    if (estimate.mean_rate) text += " (" + human_bytes(*estimate.mean_rate) + "/s on average)";
  }
  return text;
}

std::string clock_text(double unix_time) {
  const double whole = std::floor(std::clamp(unix_time, 0.0, 1e11));
  const auto seconds = static_cast<std::time_t>(whole);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%02d:%02d:%02d.%03d", local.tm_hour, local.tm_min,
                local.tm_sec, static_cast<int>((unix_time - whole) * 1000) % 1000);
  return text.data();
}

double event_time(const Json& event, double otherwise) {
  const Json& stamp = field(event, "timestamp");
  const auto seconds = number_field(stamp, "seconds");
  if (!seconds || *seconds <= 0 || *seconds > 1e11) return otherwise;  // QEMU: -1 if unknown
  return *seconds + std::clamp(number_or_0(stamp, "microseconds"), 0.0, 999999.0) / 1e6;
}

}  // namespace tern::tool
