// SPDX-License-Identifier: Apache-2.0
//
// One line of progress out of a query-migrate reply: redrawn on a terminal, now and then a plain
// line in a pipe.
#pragma once

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace tern::tool {

/// "1.5 GiB", three digits at most.
std::string human_bytes(double bytes);

/// How the guest is held back: "throttled 30%" (auto-converge), "dirty-limit", or "".
std::string throttle_text(const nlohmann::json& info);

/// The line for people: phase, transferred, remaining, rate, dirty rate, throttle, expected
/// downtime.
std::string progress_line(const nlohmann::json& info);

class ProgressPrinter {
 public:
  explicit ProgressPrinter(std::FILE* out) noexcept;
  /// Shows the line if it is time: every 100 ms on a terminal, every second in a pipe; always if
  /// the status is new.
  void show(const nlohmann::json& info);
  /// Ends the line.
  void finish();

 private:
  std::FILE* out_;
  bool terminal_;
  bool open_ = false;
  std::string status_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace tern::tool
