// SPDX-License-Identifier: Apache-2.0
//
// What the scan hands to a multifd channel: pages of one block, for one packet or a few.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "ram/wire/multifd_packet.h"
#include "tern/dirty_bitmap.h"
#include "tern/result.h"

namespace tern {

struct PageBatch {
  /// Four packets: where much is to be sent, handing it over a packet at a time would cost more
  /// than looking for zeros in it.
  static constexpr size_t kMaxPages = 4 * kMultifdPages;
  size_t block = 0;
  size_t count = 0;
  std::array<uint64_t, kMaxPages> pages;
};

/// Where pages go that do not travel on the main stream.
class PageSink {
 public:
  virtual ~PageSink() = default;
  /// Takes the pages [run.first, run.first + run.count), however many. May block until there is
  /// room. Errors: of whichever channel failed.
  virtual Result<void> take(size_t block, PageRun run) noexcept = 0;
};

}  // namespace tern
