// SPDX-License-Identifier: Apache-2.0
#include "tern/clock.h"

#include <ctime>

namespace tern {
namespace {

Nanoseconds read_clock(clockid_t id) noexcept {
  timespec t{};
  clock_gettime(id, &t);
  return std::chrono::seconds(t.tv_sec) + Nanoseconds(t.tv_nsec);
}

class SystemClock final : public Clock {
 public:
  Nanoseconds now() const noexcept override { return read_clock(CLOCK_MONOTONIC); }
  Nanoseconds wall() const noexcept override { return read_clock(CLOCK_REALTIME); }
};

}  // namespace

Clock& system_clock() noexcept {
  static SystemClock clock;  // stateless: sharing it between migrations shares nothing
  return clock;
}

}  // namespace tern
