// SPDX-License-Identifier: Apache-2.0
#include "tools/common/progress.h"

#include <unistd.h>

namespace tern::tool {

std::string human_bytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes,
                kUnits[unit]);
  return text;
}

std::string throttle_text(const nlohmann::json& info) {
  const auto percentage = info.find("cpu-throttle-percentage");
  if (percentage != info.end() && percentage->is_number()) {
    return "throttled " + std::to_string(percentage->get<uint64_t>()) + "%";
  }
  return info.contains("dirty-limit-throttle-time-per-round") ? "dirty-limit" : "";
}

std::string progress_line(const nlohmann::json& info) {
  const std::string status = info.value("status", "none");
  if (!info.contains("ram")) return status;
  const auto& ram = info["ram"];
  std::string line = status;
  line.resize(std::max<size_t>(line.size(), 14), ' ');
  line += " sent " + human_bytes(ram.value("transferred", 0.0));
  line += ", left " + human_bytes(ram.value("remaining", 0.0));
  line += ", " + human_bytes(ram.value("mbps", 0.0) * 1e6 / 8) + "/s";
  line += ", pass " + std::to_string(ram.value("dirty-sync-count", uint64_t{0}));
  line += ", dirtied " +
          human_bytes(ram.value("dirty-pages-rate", 0.0) * ram.value("page-size", 4096.0)) + "/s";
  if (const std::string throttle = throttle_text(info); !throttle.empty()) line += ", " + throttle;
  if (info.contains("expected-downtime")) {
    line +=
        ", expected downtime " + std::to_string(info["expected-downtime"].get<uint64_t>()) + " ms";
  }
  return line;
}

ProgressPrinter::ProgressPrinter(std::FILE* out) noexcept
    : out_(out), terminal_(isatty(fileno(out)) != 0) {}

void ProgressPrinter::show(const nlohmann::json& info) {
  const auto now = std::chrono::steady_clock::now();
  const std::string status = info.value("status", "none");
  const auto pause = std::chrono::milliseconds(terminal_ ? 100 : 1000);
  if (status == status_ && now - last_ < pause) return;
  status_ = status;
  last_ = now;
  const std::string line = progress_line(info);
  if (terminal_) {
    std::fprintf(out_, "\r\033[K%s", line.c_str());
    open_ = true;
  } else {
    std::fprintf(out_, "%s\n", line.c_str());
  }
  std::fflush(out_);
}

void ProgressPrinter::finish() {
  if (open_) std::fputc('\n', out_);
  open_ = false;
}

}  // namespace tern::tool
