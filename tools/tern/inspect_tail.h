// SPDX-License-Identifier: Apache-2.0
//
// The tail of a stream, from the first device section that follows RAM to the end: kept in memory,
// because only the vmdescription behind it tells where its sections end. Finding and cutting is the
// engine's (migration/stream/vmdesc); but where the engine accepts nothing behind the description,
// here the stream is complete and the last description that fits is taken, whatever follows (tern's
// go, the zeros of a snapshot).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/stream_io.h"
#include "migration/stream/vmdesc.h"
#include "tools/tern/inspect_fields.h"

namespace tern::tool {

class InspectTail {
 public:
  /// Takes everything up to the end. Errors: resource_exhausted past `max_bytes`, and those of the
  /// channel.
  Result<void> collect(StreamReader& in, uint64_t max_bytes) noexcept;
  /// Looks for the description. A description that can be read but does not fit the bytes before it
  /// is taken too, if there is no better one: then the sections show where it goes wrong.
  void find_description(bool footers) noexcept;

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  uint64_t start() const noexcept { return start_; }
  /// Nothing: no description.
  const std::optional<BodyLengths>& lengths() const noexcept { return lengths_; }
  const Description& description() const noexcept { return description_; }

 private:
  bool try_description(size_t at, bool footers) noexcept;

  std::vector<std::byte> bytes_;
  uint64_t start_ = 0;
  std::optional<BodyLengths> lengths_;
  Description description_;
  uint64_t work_left_ = kMaxCutWork;
  int readable_ = 0;  // descriptions that were JSON, whether they fitted or not
};

}  // namespace tern::tool
