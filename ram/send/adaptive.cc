// SPDX-License-Identifier: Apache-2.0
#include "ram/send/adaptive.h"

namespace tern {

bool AdaptiveCompression::compress() const noexcept {
  // First each way, compressed before plain; a few batches each, as the first writes only fill the
  // socket's buffer.
  constexpr uint32_t kFirst = 4;
  if (batch_ < 2 * kFirst) return batch_ < kFirst;
  const bool better = ways_[1].ns_per_byte <= ways_[0].ns_per_byte;
  return batch_ % kPeriod < kTrial ? !better : better;
}

void AdaptiveCompression::report(bool compressed, uint64_t bytes, Nanoseconds cost) noexcept {
  ++batch_;
  if (bytes == 0) return;
  Way& way = ways_[compressed ? 1 : 0];
  const double now = static_cast<double>(cost.count()) / static_cast<double>(bytes);
  constexpr double kWeight = 0.25;
  way.ns_per_byte = way.known ? way.ns_per_byte + kWeight * (now - way.ns_per_byte) : now;
  way.known = true;
}

}  // namespace tern
