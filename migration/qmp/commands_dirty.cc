// SPDX-License-Identifier: Apache-2.0
//
// The dirty-rate commands: from checked JSON arguments to the meter and back.
#include <array>
#include <cmath>
#include <string>

#include "migration/qmp/command_table.h"
#include "migration/qmp/result_types.h"

namespace tern::qmp::dirty_commands {
namespace {

using Mode = DirtyRateMode;
using Status = DirtyRateReport::Status;

constexpr int64_t kMinMilliseconds = DirtyRateRequest::kMinWindow.count();
constexpr int64_t kMaxMilliseconds = DirtyRateRequest::kMaxWindow.count();
constexpr std::array kModes = {Mode::page_sampling, Mode::dirty_ring, Mode::dirty_bitmap};

constexpr auto kCalcMembers =
    std::to_array<QapiMember>({{"calc-time", &kInteger},
                               {"calc-time-unit", &types::kTimeUnit, true},
                               {"sample-pages", &kInteger, true},
                               {"mode", &types::kDirtyRateMode, true}});
constexpr auto kQueryMembers =
    std::to_array<QapiMember>({{"calc-time-unit", &types::kTimeUnit, true}});

bool in_milliseconds(const Json& arguments) noexcept {
  const auto unit = arguments.find("calc-time-unit");
  return unit != arguments.end() && *unit == "millisecond";
}

int64_t mib_per_s(double bytes_per_s) noexcept {
  return static_cast<int64_t>(std::floor(bytes_per_s / (1 << 20)));
}

// What QEMU has no member for.
Json details_of(const DirtyRateReport& report, const Machine& machine) noexcept {
  Json details = Json::object();
  if (!report.error.empty()) details["error-desc"] = report.error;
  if (report.bytes_per_s) {
    details["bytes-per-second"] = *report.bytes_per_s;
    if (report.mode == Mode::page_sampling) {
      details["low"] = report.low;
      // Nobody knows an upper bound where it is infinite.
      if (std::isfinite(report.high)) details["high"] = report.high;
    }
  }
  for (size_t b = 0; b < report.block_bytes_per_s.size(); ++b) {
    details["blocks"].push_back(
        {{"id", machine.ram[b].idstr}, {"bytes-per-second", report.block_bytes_per_s[b]}});
  }
  return details;
}

}  // namespace

const QapiType kCalcArguments{.kind = Kind::object, .members = kCalcMembers};
const QapiType kQueryArguments{.kind = Kind::object, .members = kQueryMembers};

Outcome calc_dirty_rate(Call& call) {
  DirtyRateMeter* const meter = call.plane.dirty_rate;
  if (meter == nullptr) return generic_error("this machine has no memory to measure");
  if (meter->report().status == Status::measuring) {
    return generic_error("the dirty rate is already being measured.");
  }
  const bool fine = in_milliseconds(call.arguments);
  const auto time = call.arguments.find("calc-time")->get<int64_t>();
  const int64_t scale = fine ? 1 : 1000;
  if (time < (fine ? kMinMilliseconds : 1) || time > kMaxMilliseconds / scale) {
    return generic_error(fine ? "calc-time is out of range[50, 60000] ms."
                              : "calc-time is out of range[1, 60].");
  }
  DirtyRateRequest request;
  request.window = Milliseconds(time * scale);
  if (const auto mode = call.arguments.find("mode"); mode != call.arguments.end()) {
    for (const Mode known : kModes) {
      if (*mode == to_string(known)) request.mode = known;
    }
  }
  if (const auto samples = call.arguments.find("sample-pages"); samples != call.arguments.end()) {
    if (request.mode == Mode::dirty_ring) {
      return generic_error("either sample-pages or dirty-ring can be specified.");
    }
    if (request.mode != Mode::page_sampling) {
      return generic_error("sample-pages is only for the mode page-sampling.");
    }
    const auto count = samples->get<int64_t>();
    if (count < static_cast<int64_t>(DirtyRateRequest::kMinSamples) ||
        count > static_cast<int64_t>(DirtyRateRequest::kMaxSamples)) {
      return generic_error("sample-pages is out of range[128, 16384].");
    }
    request.samples_per_gib = static_cast<uint64_t>(count);
  }
  Result<void> started = meter->start(request);
  if (started) return no_result();
  if (started.error().code() != ErrorCode::unsupported) return std::move(started).error();
  // QEMU's words, and why.
  return generic_error("mode " + std::string(to_string(request.mode)) +
                       " is not enabled, use other method instead. (" + started.error().message() +
                       ")");
}

Outcome query_dirty_rate(Call& call) {
  const DirtyRateReport report =
      call.plane.dirty_rate != nullptr ? call.plane.dirty_rate->report() : DirtyRateReport{};
  const bool fine = in_milliseconds(call.arguments);
  const auto window = std::chrono::duration_cast<Milliseconds>(report.window).count();
  Json info = {
      {"status", types::kDirtyRateStatusWords[static_cast<size_t>(report.status)]},
      {"start-time", std::chrono::duration_cast<std::chrono::seconds>(report.start).count()},
      {"calc-time", fine ? window : window / 1000},
      {"calc-time-unit", fine ? "millisecond" : "second"},
      {"sample-pages", report.samples_per_gib},
      {"mode", to_string(report.mode)}};
  if (report.status != Status::measured) return info;
  info["dirty-rate"] = report.bytes_per_s ? mib_per_s(*report.bytes_per_s) : int64_t{-1};
  if (report.mode == Mode::dirty_ring) {
    Json vcpus = Json::array();
    for (const double rate : report.vcpu_bytes_per_s) {
      vcpus.push_back({{"id", vcpus.size()}, {"dirty-rate", mib_per_s(rate)}});
    }
    info["vcpu-dirty-rate"] = std::move(vcpus);
  }
  info["x-tern"] = details_of(report, call.plane.machine);
  return info;
}

}  // namespace tern::qmp::dirty_commands
