// SPDX-License-Identifier: Apache-2.0
//
// What `tern dirty-rate` was asked for: times, sizes and which options go together. Text in, values
// out.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/clock.h"
#include "tern/result.h"
#include "tools/tern/dirty_rate_measure.h"

namespace tern::tool {

/// Exit statuses, as --help lists them.
enum class DirtyRateStatus : int {
  measured = 0,
  failed = 1,
  usage = 2,
  gone = 3,
  not_permitted = 4,
  replaced = 5,
  nothing = 6,
  unavailable = 7,
  interrupted = 130,  ///< as shells say it: 128 and the signal
  terminated = 143,
};
DirtyRateStatus status_of(const Error& error) noexcept;
/// The lines of --help about them.
std::string exit_status_help();

/// The words of the command line.
struct DirtyRateArguments {
  std::optional<int64_t> pid;
  std::string qmp;
  std::string mode = "auto";
  std::optional<std::string> window;
  std::string curve;  ///< empty: one window
  std::string interval = "0";
  int64_t count = 1;
  std::string min_region = "0";
  std::vector<std::string> globs;
  std::string regex;
  double precision = 5;
  // Signed: what is below 0 shall be refused, not be very large.
  int64_t samples = 0;
  int64_t sample_pages = 0;
  int64_t max_samples = 262144;
  int64_t seed = 0;
  int64_t regions = 10;
  bool json = false;
  bool csv = false;
  std::string svg;
};
inline constexpr std::string_view kDefaultWindow = "1s";
inline constexpr std::string_view kDefaultCurve = "0.1,0.2,0.5,1,2,5";

struct DirtyRateOptions {
  pid_t pid = 0;
  std::string qmp;  ///< or this
  RateMode mode = RateMode::automatic;
  std::string qmp_mode;  ///< empty: the server's default
  MappingChoice choice;
  MeasureOptions measure;
  uint64_t sample_pages = 0;  ///< per GiB, 0: not asked for
  Nanoseconds interval{};     ///< from the beginning of one measurement to that of the next
  uint64_t count = 1;         ///< 0: until interrupted
  uint64_t regions = 10;
  bool json = false;
  bool csv = false;
  std::string svg;
};

/// Errors: invalid_argument naming the option.
Result<DirtyRateOptions> check_arguments(const DirtyRateArguments& arguments) noexcept;

/// "250ms", "1.5s", "2m", "1h"; a bare number is seconds.
std::optional<Nanoseconds> parse_duration(std::string_view text) noexcept;
/// "4096", "64K", "1.5MiB", "2G": powers of 1024.
std::optional<uint64_t> parse_size(std::string_view text) noexcept;

}  // namespace tern::tool
