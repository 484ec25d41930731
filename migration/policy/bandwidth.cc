// SPDX-License-Identifier: Apache-2.0
#include "migration/policy/bandwidth.h"

#include <algorithm>
#include <cmath>

#include "base/per_second.h"

namespace tern {
namespace {

constexpr double kTimeConstantNs = 1e9;
constexpr double kMinBusyNs = 1e6;
constexpr double kMinBytes = 256 * 1024;
constexpr double kPageBytes = 4096;
constexpr Nanoseconds kWindow = Milliseconds(100);

}  // namespace

void BandwidthEstimator::add(const Stretch& stretch) noexcept {
  if (stretch.busy.count() <= 0) return;
  const double busy = static_cast<double>(stretch.busy.count());
  const double data = static_cast<double>(stretch.data_pages);
  const double zeros = static_cast<double>(stretch.zero_pages);
  if (zeros >= 16 && data * 16 <= zeros) {
    // Dear ones among them (a stall, pages touched for the first time) must not make the rest look
    // quick: the cheaper half decides in the long run.
    const double cost = busy / zeros;
    const bool first = zero_page_ns_ == 0;
    zero_page_ns_ =
        first ? cost : zero_page_ns_ + (cost - zero_page_ns_) * (cost < zero_page_ns_ ? 0.5 : 0.05);
    return;
  }
  // As long as nobody knows what a zero page costs, a stretch with many of them says nothing.
  if (zero_page_ns_ == 0 && zeros > data) return;
  const double ns = std::max(busy - zeros * zero_page_ns_, busy * data / (data + zeros));
  if (ns <= 0) return;
  const double keep = std::exp(-ns / kTimeConstantNs);
  bytes_ = bytes_ * keep + data * kPageBytes;
  busy_ns_ = busy_ns_ * keep + ns;
}

uint64_t BandwidthEstimator::bytes_per_s() const noexcept {
  if (busy_ns_ < kMinBusyNs || bytes_ < kMinBytes) return 0;
  return static_cast<uint64_t>(bytes_ * 1e9 / busy_ns_);
}

void WindowBandwidth::look(uint64_t total_bytes, Nanoseconds now) noexcept {
  if (!begun_) {
    begun_ = true;
    since_ = now;
    bytes_ = total_bytes;
    return;
  }
  const Nanoseconds dt = now - since_;
  if (dt < kWindow) return;
  bytes_per_s_ = per_second(total_bytes - bytes_, dt);
  since_ = now;
  bytes_ = total_bytes;
}

}  // namespace tern
