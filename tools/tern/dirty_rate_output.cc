// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_output.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <ctime>
#include <numeric>

#include "tern/ram_block.h"
#include "tern/version.h"
#include "tools/common/progress.h"

namespace tern::tool {
namespace {

__attribute__((format(printf, 1, 2))) std::string format(const char* pattern, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, pattern);
  const int length = std::vsnprintf(text, sizeof(text), pattern, arguments);
  va_end(arguments);
  return std::string(text, std::clamp<size_t>(static_cast<size_t>(std::max(length, 0)), 0, 511));
}

double seconds(Nanoseconds time) noexcept { return std::chrono::duration<double>(time).count(); }
double milliseconds(Nanoseconds time) noexcept { return seconds(time) * 1000; }

// For JSON: three decimals, the rest is noise.
double rounded(double value) noexcept { return std::round(value * 1000) / 1000; }

std::string size_text(double pages) { return human_bytes(pages * kTargetPageBytes); }

// A figure with the interval it is in, or alone where it is exact.
std::string estimated_text(const Estimated& pages, const char* unit) {
  std::string text = size_text(pages.value) + unit;
  if (pages.low < pages.high) {
    text += " (" + size_text(pages.low) + " to " + size_text(pages.high) + ")";
  }
  return text;
}

// A QEMU tells whole MiB/s: no digits that it did not.
std::string server_rate(double mib_per_s) {
  const int digits = mib_per_s == std::floor(mib_per_s) ? 0 : 1;
  return format("%.*f MiB/s", digits, mib_per_s);
}

std::string rate_text(const QmpRate& rate) {
  if (!rate.mib_per_s) return "nothing could be sampled";
  std::string text = server_rate(*rate.mib_per_s);
  if (rate.low && rate.high && *rate.low < *rate.high) {
    text += " (" + server_rate(*rate.low) + " to " + server_rate(*rate.high) + ")";
  }
  return text;
}

Json mib_json(const std::optional<double>& mib_per_s) {
  return mib_per_s ? Json(rounded(*mib_per_s)) : Json(nullptr);
}

std::string clock_time(Nanoseconds wall) {
  const std::time_t at = std::chrono::duration_cast<std::chrono::seconds>(wall).count();
  std::tm local{};
  ::localtime_r(&at, &local);
  return format("%02d:%02d:%02d", local.tm_hour, local.tm_min, local.tm_sec);
}

std::string curve_text(const Measurement& measurement) {
  std::string text = format("%-9s%-10s%-36s%s\n", "curve", "window", "dirty set", "rate");
  for (const WindowResult& window : measurement.windows) {
    text += format("%-9s%-10s%-36s%s\n", "", window_text(window.window).c_str(),
                   estimated_text(window.dirty_pages, "").c_str(),
                   estimated_text(window.pages_per_s, "/s").c_str());
  }
  return text;
}

std::string regions_text(const Measurement& measurement, uint64_t count) {
  std::string text;
  for (const HotRegion& region : hottest(measurement.regions, count)) {
    const double part = std::min(region.dirty_pages / region.pages, 1.0);
    const auto bar = static_cast<size_t>(part * 10 + 0.5);
    text += format("%-9s%012" PRIx64 "-%012" PRIx64 "  %9s of %9s  %3.0f %%  %-10s  ",
                   text.empty() ? "hot" : "", region.start, region.end,
                   size_text(region.dirty_pages).c_str(), size_text(region.pages).c_str(),
                   part * 100, std::string(bar, '#').c_str());
    text += printable(region.name) + "\n";
  }
  return text;
}

std::string cost_text(const Measurement& measurement) {
  const Cost& cost = measurement.cost;
  std::string text =
      format("%-9s%.0f ms of CPU in %.2f s", "cost", milliseconds(cost.cpu), seconds(cost.wall));
  if (cost.pages_hashed > 0) {
    text += format(", %s read and hashed (%" PRIu64 " pages)",
                   human_bytes(static_cast<double>(cost.bytes_read)).c_str(), cost.pages_hashed);
  }
  if (measurement.mode == RateMode::soft_dirty) {
    text += format(", clearing the bits %.1f ms", milliseconds(cost.clearing));
  }
  return text + ", " + human_bytes(static_cast<double>(cost.peak_bytes)) + " of memory\n";
}

Json estimated_json(const Estimated& pages) {
  return {{"value", rounded(mib(pages.value))},
          {"low", rounded(mib(pages.low))},
          {"high", rounded(mib(pages.high))}};
}

uint64_t bytes_of(double pages) noexcept {
  return static_cast<uint64_t>(pages * kTargetPageBytes + 0.5);
}

Json window_json(const WindowResult& window) {
  return {{"window-ms", rounded(milliseconds(window.window))},
          {"interval-ms", rounded(milliseconds(window.interval))},
          {"dirty-mib", estimated_json(window.dirty_pages)},
          {"rate-mib-s", estimated_json(window.pages_per_s)},
          {"new-bytes", window.new_pages * kTargetPageBytes},
          {"left-bytes", window.left_pages * kTargetPageBytes},
          {"samples", window.looks}};
}

Json region_json(const HotRegion& region) {
  return {{"start", format("0x%" PRIx64, region.start)},
          {"end", format("0x%" PRIx64, region.end)},
          {"name", region.name},
          {"populated-bytes", bytes_of(region.pages)},
          {"dirty-bytes", bytes_of(region.dirty_pages)}};
}

Json target_json(const RateTarget& target) {
  if (!target.socket.empty()) return {{"qmp", target.socket}, {"server", target.name}};
  return {{"pid", target.pid}, {"name", target.name}};
}

// A field of CSV: quoted where it must be.
std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

double mib(double pages) noexcept { return pages * kTargetPageBytes / (1 << 20); }

std::string window_text(Nanoseconds window) { return format("%.4g s", seconds(window)); }

std::string target_line(const RateTarget& target) {
  if (!target.socket.empty()) return printable(target.socket) + ": " + target.name;
  return "process " + std::to_string(target.pid) + " (" + target.name + "), " +
         std::string(to_string(target.mode.mode)) + ": " + target.mode.why;
}

std::vector<HotRegion> hottest(const std::vector<HotRegion>& regions, uint64_t count) {
  std::vector<HotRegion> sorted;
  for (const HotRegion& region : regions) {
    if (region.dirty_pages > 0 && region.pages > 0) sorted.push_back(region);
  }
  std::stable_sort(sorted.begin(), sorted.end(), [](const HotRegion& a, const HotRegion& b) {
    return a.dirty_pages > b.dirty_pages;
  });
  sorted.resize(std::min<size_t>(sorted.size(), count));
  return sorted;
}

std::string measurement_text(const Measurement& m, uint64_t regions) {
  std::string text =
      format("%-9s%zu of %zu mappings, %s, of which %s exist\n", "memory", m.mappings,
             m.all_mappings, human_bytes(static_cast<double>(m.mapped_bytes)).c_str(),
             size_text(static_cast<double>(m.populated_pages)).c_str());
  const WindowResult& last = m.windows.back();
  if (m.mode == RateMode::page_sampling) {
    text +=
        format("%-9s%" PRIu64 " of %" PRIu64 " pages\n", "sample", m.samples, m.populated_pages);
  }
  if (m.windows.size() > 1) {
    text += curve_text(m);
  } else {
    text += format("%-9s%.3f s\n", "interval", seconds(last.interval));
    text += format("%-9s%s", "dirty", estimated_text(last.dirty_pages, "").c_str());
    if (last.new_pages > 0) {
      text += format(", of it %s new", size_text(static_cast<double>(last.new_pages)).c_str());
    }
    text += format("\n%-9s%s\n", "rate", estimated_text(last.pages_per_s, "/s").c_str());
  }
  text += regions_text(m, regions) + cost_text(m);
  for (const std::string& note : m.notes) text += format("%-9s%s\n", "note", note.c_str());
  return text;
}

std::string measurement_text(const QmpRate& rate) {
  std::string text = format("%-9s%s", "mode", rate.mode.c_str());
  if (rate.sample_pages > 0) text += format(", %" PRIu64 " pages per GiB", rate.sample_pages);
  text += format("\n%-9s%.3f s asked for, %.3f s measured\n", "interval", seconds(rate.window),
                 seconds(rate.interval));
  text += format("%-9s%s\n", "rate", rate_text(rate).c_str());
  for (const auto& [id, value] : rate.vcpus) {
    text += format("%-9s%" PRId64 ": %.0f MiB/s\n", "vcpu", id, value);
  }
  for (const std::string& note : rate.notes) text += format("%-9s%s\n", "note", note.c_str());
  return text;
}

std::string measurement_line(const Measurement& m) {
  std::string text = clock_time(m.started) + "  ";
  if (m.windows.size() > 1) {
    for (const WindowResult& window : m.windows) {
      text += window_text(window.window) + " " + size_text(window.dirty_pages.value) + "  ";
    }
    return text.substr(0, text.size() - 2);
  }
  const WindowResult& last = m.windows.back();
  return text + estimated_text(last.pages_per_s, "/s") + "  dirty " +
         size_text(last.dirty_pages.value) + format(" in %.2f s", seconds(last.interval));
}

std::string measurement_line(const QmpRate& rate) {
  return clock_time(rate.started) + "  " + rate_text(rate);
}

std::string summary_line(const std::vector<double>& values) {
  if (values.size() < 2) return {};
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  constexpr double kMiB = 1 << 20;
  return format("%zu measurements: mean %s/s, least %s/s, most %s/s", values.size(),
                human_bytes(mean * kMiB).c_str(), human_bytes(*low * kMiB).c_str(),
                human_bytes(*high * kMiB).c_str());
}

std::string chart_subtitle(const Measurement& m) {
  const std::string sample =
      m.mode == RateMode::page_sampling ? format("%" PRIu64 " of ", m.samples) : std::string();
  const WindowResult& last = m.windows.back();
  return sample + format("%" PRIu64 " pages (%s) looked at; in %.3g s %s, %s; %.0f ms of CPU",
                         m.populated_pages,
                         size_text(static_cast<double>(m.populated_pages)).c_str(),
                         seconds(last.interval), estimated_text(last.dirty_pages, "").c_str(),
                         estimated_text(last.pages_per_s, "/s").c_str(), milliseconds(m.cost.cpu));
}

Json measurement_json(const RateTarget& target, const Measurement& m, uint64_t regions) {
  Json windows = Json::array();
  for (const WindowResult& window : m.windows) windows.push_back(window_json(window));
  Json hot = Json::array();
  for (const HotRegion& region : hottest(m.regions, regions)) hot.push_back(region_json(region));
  return {{"tern", TERN_VERSION_STRING},
          {"target", target_json(target)},
          {"started", rounded(seconds(m.started))},
          {"mode", std::string(to_string(m.mode))},
          {"mode-reason", target.mode.why},
          {"memory",
           {{"mappings", m.mappings},
            {"mappings-of-process", m.all_mappings},
            {"mapped-bytes", m.mapped_bytes},
            {"populated-bytes", m.populated_pages * kTargetPageBytes},
            {"swapped-bytes", m.swapped_pages * kTargetPageBytes}}},
          {"samples", m.samples},
          {"windows", windows},
          {"regions", hot},
          {"cost",
           {{"cpu-ms", rounded(milliseconds(m.cost.cpu))},
            {"wall-ms", rounded(milliseconds(m.cost.wall))},
            {"clearing-ms", rounded(milliseconds(m.cost.clearing))},
            {"bytes-read", m.cost.bytes_read},
            {"pages-hashed", m.cost.pages_hashed},
            {"peak-memory-bytes", m.cost.peak_bytes}}},
          {"notes", m.notes}};
}

Json measurement_json(const RateTarget& target, const QmpRate& rate) {
  Json vcpus = Json::array();
  for (const auto& [id, value] : rate.vcpus) vcpus.push_back({{"id", id}, {"rate-mib-s", value}});
  return {{"tern", TERN_VERSION_STRING},
          {"target", target_json(target)},
          {"started", rounded(seconds(rate.started))},
          {"mode", rate.mode},
          {"sample-pages", rate.sample_pages},
          {"window-ms", rounded(milliseconds(rate.window))},
          {"interval-ms", rounded(milliseconds(rate.interval))},
          {"rate-mib-s", mib_json(rate.mib_per_s)},
          {"rate-low-mib-s", mib_json(rate.low)},
          {"rate-high-mib-s", mib_json(rate.high)},
          {"vcpus", vcpus},
          {"notes", rate.notes}};
}

std::string csv_header() {
  return "started,target,mode,window_ms,interval_ms,dirty_mib,dirty_mib_low,dirty_mib_high,"
         "rate_mib_s,rate_mib_s_low,rate_mib_s_high,new_mib,samples,populated_mib,cpu_ms\n";
}

std::string measurement_csv(const RateTarget& target, const Measurement& m) {
  std::string text;
  for (const WindowResult& window : m.windows) {
    text += format(
        "%.3f,%d,%s,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%" PRIu64 ",%.3f,%.3f\n",
        seconds(m.started), static_cast<int>(target.pid), std::string(to_string(m.mode)).c_str(),
        milliseconds(window.window), milliseconds(window.interval), mib(window.dirty_pages.value),
        mib(window.dirty_pages.low), mib(window.dirty_pages.high), mib(window.pages_per_s.value),
        mib(window.pages_per_s.low), mib(window.pages_per_s.high),
        mib(static_cast<double>(window.new_pages)), window.looks,
        mib(static_cast<double>(m.populated_pages)), milliseconds(m.cost.cpu));
  }
  return text;
}

std::string measurement_csv(const RateTarget& target, const QmpRate& rate) {
  const auto value = [](const std::optional<double>& mib_per_s) {
    return mib_per_s ? format("%.3f", *mib_per_s) : std::string();
  };
  return format("%.3f,", seconds(rate.started)) + csv_text(target.socket) + "," +
         csv_text(rate.mode) +
         format(",%.3f,%.3f,,,,%s,%s,%s,,,,\n", milliseconds(rate.window),
                milliseconds(rate.interval), value(rate.mib_per_s).c_str(), value(rate.low).c_str(),
                value(rate.high).c_str());
}

}  // namespace tern::tool
