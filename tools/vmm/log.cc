// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/log.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>

namespace tern::vmm {

void StderrLog::log(LogLevel level, std::string_view message) noexcept {
  if (level < lowest_) return;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm local{};
  ::localtime_r(&now.tv_sec, &local);
  char stamp[40];
  const int n = std::snprintf(stamp, sizeof stamp, "%02d:%02d:%02d.%03ld ", local.tm_hour,
                              local.tm_min, local.tm_sec, now.tv_nsec / 1000000);
  std::string line(stamp, static_cast<size_t>(n));
  line.append(to_string(level)).append(" ").append(message).append("\n");
  // Nobody can be told when stderr is closed.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace tern::vmm
