// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/bandwidth.h"

#include <cmath>

namespace tern {
namespace {
constexpr double kTimeConstantNs = 1e9;
constexpr double kMinBusyNs = 1e6;
constexpr double kMinBytes = 256 * 1024;
}  // namespace

void BandwidthEstimator::add(uint64_t bytes, uint64_t pages, uint64_t normal_pages,
                             Nanoseconds busy) noexcept {
  if (normal_pages * 2 < pages || busy.count() <= 0) return;
  const double ns = static_cast<double>(busy.count());
  const double keep = std::exp(-ns / kTimeConstantNs);
  bytes_ = bytes_ * keep + static_cast<double>(bytes);
  busy_ns_ = busy_ns_ * keep + ns;
}

uint64_t BandwidthEstimator::bytes_per_s() const noexcept {
  if (busy_ns_ < kMinBusyNs || bytes_ < kMinBytes) return 0;
  return static_cast<uint64_t>(bytes_ * 1e9 / busy_ns_);
}

}  // namespace tern
