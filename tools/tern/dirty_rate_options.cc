// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "ram/measure/page_sample.h"
#include "tools/common/json_fields.h"

namespace tern::tool {
namespace {

struct StatusRow {
  DirtyRateStatus status;
  const char* meaning;
};
constexpr std::array kStatuses{
    StatusRow{DirtyRateStatus::measured, "measured"},
    StatusRow{DirtyRateStatus::failed, "failed otherwise: the server's or the system's error"},
    StatusRow{DirtyRateStatus::usage, "usage"},
    StatusRow{DirtyRateStatus::gone, "there is no such process or server, or it ended meanwhile"},
    StatusRow{DirtyRateStatus::not_permitted, "we may not look at it: not ours, ptrace scope"},
    StatusRow{DirtyRateStatus::replaced, "the process has started another program (exec)"},
    StatusRow{DirtyRateStatus::nothing, "no memory to measure: none chosen, or a kernel thread"},
    StatusRow{DirtyRateStatus::unavailable, "this kernel or server does not have the mode"},
    StatusRow{DirtyRateStatus::interrupted, "SIGINT came before anything was measured"},
    StatusRow{DirtyRateStatus::terminated, "the same with SIGTERM"},
};

constexpr Nanoseconds kShortest = std::chrono::milliseconds(1);
constexpr Nanoseconds kLongest = std::chrono::hours(24);
constexpr size_t kMostWindows = 32;

struct Unit {
  std::string_view name;
  double factor;
};

// A number, not negative, and a unit behind it.
std::optional<double> parse_with_unit(std::string_view text, std::span<const Unit> units) noexcept {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  for (const Unit& known : units) {
    if (known.name == unit) return number * known.factor;
  }
  return std::nullopt;
}

Error wrong(std::string_view option, std::string_view value, std::string_view why) {
  return Error(
      ErrorCode::invalid_argument,
      std::string(option) + " '" + printable(std::string(value)) + "': " + std::string(why));
}

Result<Nanoseconds> window_of(std::string_view option, std::string_view text) noexcept {
  const std::optional<Nanoseconds> window = parse_duration(text);
  if (!window) return wrong(option, text, "no time (say 250ms, 1.5s, 2m)");
  if (*window < kShortest || *window > kLongest) return wrong(option, text, "must be 1ms..24h");
  return *window;
}

Result<std::vector<Nanoseconds>> windows_of(const DirtyRateArguments& a) noexcept {
  std::vector<Nanoseconds> windows;
  if (a.curve.empty()) {
    windows.push_back(
        TERN_TRY(window_of("--window", a.window.value_or(std::string(kDefaultWindow)))));
    return windows;
  }
  if (a.window) {
    return Error(ErrorCode::invalid_argument,
                 "--window and --curve exclude each other: --curve " + a.curve + "," + *a.window);
  }
  for (std::string_view rest = a.curve; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    windows.push_back(TERN_TRY(window_of("--curve", rest.substr(0, comma))));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    if (windows.size() > kMostWindows) return wrong("--curve", a.curve, "at most 32 windows");
  }
  std::sort(windows.begin(), windows.end());
  windows.erase(std::unique(windows.begin(), windows.end()), windows.end());
  return windows;
}

// What goes with what is measured.
Result<void> check_target(const DirtyRateArguments& a) noexcept {
  if (a.pid.has_value() == !a.qmp.empty()) {
    return Error(ErrorCode::invalid_argument, "one of --pid and --qmp is needed");
  }
  if (a.pid && (*a.pid < 1 || *a.pid > std::numeric_limits<pid_t>::max())) {
    return wrong("--pid", std::to_string(*a.pid), "no process has this number");
  }
  if (!a.qmp.empty()) {
    const std::pair<bool, const char*> only_pid[] = {
        {!a.curve.empty(), "--curve"}, {a.min_region != "0", "--min-region"},
        {!a.globs.empty(), "--match"}, {!a.regex.empty(), "--regex"},
        {a.samples != 0, "--samples"}, {a.seed != 0, "--seed"},
    };
    for (const auto& [given, option] : only_pid) {
      if (given) {
        return Error(ErrorCode::invalid_argument,
                     std::string(option) + " goes with --pid only: the server measures");
      }
    }
  } else if (a.sample_pages != 0 && a.samples != 0) {
    return Error(ErrorCode::invalid_argument, "--samples and --sample-pages exclude each other");
  }
  return {};
}

Result<void> check_numbers(const DirtyRateArguments& a) noexcept {
  constexpr int64_t kMostCounts = 1'000'000'000;
  constexpr int64_t kMostRegions = 1'000'000;
  constexpr int64_t kPagesPerGib = 262144;
  constexpr int64_t kMostSamples = PageSample::kMaxSamples;
  const struct {
    const char* option;
    int64_t value;
    int64_t least;
    int64_t most;
  } numbers[] = {
      {"--count", a.count, 0, kMostCounts},
      {"--samples", a.samples, 0, kMostSamples},
      {"--sample-pages", a.sample_pages, 0, kPagesPerGib},
      {"--max-samples", a.max_samples, 1, kMostSamples},
      {"--seed", a.seed, 0, std::numeric_limits<int64_t>::max()},
      {"--regions", a.regions, 0, kMostRegions},
  };
  for (const auto& [option, value, least, most] : numbers) {
    if (value >= least && value <= most) continue;
    return wrong(option, std::to_string(value),
                 "must be " + std::to_string(least) + ".." + std::to_string(most));
  }
  return {};
}

Result<void> read_mode(const DirtyRateArguments& a, DirtyRateOptions& options) noexcept {
  if (!a.qmp.empty()) {
    if (a.mode == "auto") return {};
    if (a.mode != "page-sampling" && a.mode != "dirty-bitmap" && a.mode != "dirty-ring") {
      return wrong("--mode", a.mode, "with --qmp: page-sampling, dirty-bitmap, dirty-ring");
    }
    options.qmp_mode = a.mode;
    return {};
  }
  for (RateMode mode : {RateMode::automatic, RateMode::page_sampling, RateMode::soft_dirty}) {
    if (a.mode != to_string(mode)) continue;
    options.mode = mode;
    return {};
  }
  return wrong("--mode", a.mode, "with --pid: auto, page-sampling, soft-dirty");
}

}  // namespace

DirtyRateStatus status_of(const Error& error) noexcept {
  switch (error.sys_errno()) {
    case kProcessGone:
      return DirtyRateStatus::gone;
    case kNotPermitted:
    case EACCES:
      return DirtyRateStatus::not_permitted;
    case kProgramReplaced:
      return DirtyRateStatus::replaced;
    case kNothingThere:
      return DirtyRateStatus::nothing;
    case kNotAvailable:
      return DirtyRateStatus::unavailable;
    default:
      return error.code() == ErrorCode::invalid_argument ? DirtyRateStatus::usage
                                                         : DirtyRateStatus::failed;
  }
}

std::string exit_status_help() {
  std::string text = "Exit status:\n";
  for (const StatusRow& row : kStatuses) {
    text += "  " + std::to_string(static_cast<int>(row.status)) + "  " + row.meaning + "\n";
  }
  return text;
}

std::optional<Nanoseconds> parse_duration(std::string_view text) noexcept {
  static constexpr Unit kUnits[] = {{"", 1e9},  {"ns", 1},   {"us", 1e3},  {"ms", 1e6},
                                    {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  const std::optional<double> ns = parse_with_unit(text, kUnits);
  if (!ns || *ns > 9e18) return std::nullopt;
  return Nanoseconds(std::llround(*ns));
}

std::optional<uint64_t> parse_size(std::string_view text) noexcept {
  constexpr double kKi = 1024;
  static constexpr Unit kUnits[] = {{"", 1},
                                    {"B", 1},
                                    {"K", kKi},
                                    {"KiB", kKi},
                                    {"M", kKi * kKi},
                                    {"MiB", kKi * kKi},
                                    {"G", kKi * kKi * kKi},
                                    {"GiB", kKi * kKi * kKi},
                                    {"T", kKi * kKi * kKi * kKi},
                                    {"TiB", kKi * kKi * kKi * kKi}};
  const std::optional<double> bytes = parse_with_unit(text, kUnits);
  if (!bytes || *bytes > 1e18) return std::nullopt;
  return static_cast<uint64_t>(*bytes);
}

Result<DirtyRateOptions> check_arguments(const DirtyRateArguments& a) noexcept {
  TERN_TRY(check_target(a));
  DirtyRateOptions options;
  TERN_TRY(check_numbers(a));
  options.pid = static_cast<pid_t>(a.pid.value_or(0));
  // As QEMU's -qmp and migrate name a socket.
  options.qmp = a.qmp.starts_with("unix:") ? a.qmp.substr(5) : a.qmp;
  TERN_TRY(read_mode(a, options));
  options.measure.windows = TERN_TRY(windows_of(a));
  const std::optional<Nanoseconds> interval = parse_duration(a.interval);
  if (!interval || *interval > kLongest) return wrong("--interval", a.interval, "must be 0..24h");
  options.interval = *interval;
  const std::optional<uint64_t> min_bytes = parse_size(a.min_region);
  if (!min_bytes) return wrong("--min-region", a.min_region, "no size (say 128K, 64M, 1G)");
  options.choice.min_bytes = *min_bytes;
  options.choice.globs = a.globs;
  if (!a.regex.empty()) TERN_TRY(options.choice.set_regex(a.regex).context("--regex"));
  if (!(a.precision >= 0.1 && a.precision <= 100)) {
    return wrong("--precision", std::to_string(a.precision), "must be 0.1..100 percent");
  }
  options.measure.precision = a.precision / 100;
  options.measure.samples = static_cast<uint64_t>(a.samples);
  options.measure.max_samples = static_cast<uint64_t>(a.max_samples);
  options.sample_pages = static_cast<uint64_t>(a.sample_pages);
  options.measure.samples_per_gib = a.qmp.empty() ? options.sample_pages : 0;
  options.measure.seed = static_cast<uint64_t>(a.seed);
  options.count = static_cast<uint64_t>(a.count);
  options.regions = static_cast<uint64_t>(a.regions);
  if (a.json && a.csv) {
    return Error(ErrorCode::invalid_argument, "--json and --csv exclude each other");
  }
  options.json = a.json;
  options.csv = a.csv;
  options.svg = a.svg;
  return options;
}

}  // namespace tern::tool
