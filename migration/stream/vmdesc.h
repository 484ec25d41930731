// SPDX-License-Identifier: Apache-2.0
//
// The vmdescription, both ways, and what it is good for: finding where device sections end.
//
//   06 | be32 n | n bytes of JSON            after the EOF byte 00
//
// A FULL section has no length on the wire. QEMU knows where it ends because it knows the device;
// tern cuts the tail of the stream (from the first FULL section on) with the lengths that the
// vmdescription gives, and checks each cut by the footer that must stand there. Spoken by every
// QEMU from 2.3 to 11.1; `configuration` in it since 10.x, `index` of array elements gone in 11.1.
//
// Limits: depth 64, 65536 devices, the tail as a whole is bounded by x-max-device-state. The JSON
// is read by events (SAX), so a hostile one cannot make a tree out of a few bytes. Device state may
// hold bytes that look like the head of a vmdescription: each such place is looked at once, when
// the stream is as long as it says, and both their number and the work of trying them are bounded,
// so that a tail of nothing else costs seconds, not hours.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/device_section.h"
#include "tern/result.h"

namespace tern {

/// Collects the descriptions of the devices in stream order.
class VmDescriptionWriter {
 public:
  void add(const SectionId& id, const DeviceWriter& body) noexcept;
  /// The JSON text. Padded with a space where QEMU's analyze-migration.py would otherwise find the
  /// wrong brace.
  std::string finish(uint32_t page_bytes) const noexcept;

 private:
  std::string devices_;
};

/// Body length in bytes by (idstr, instance_id).
using BodyLengths = std::map<std::pair<std::string, uint32_t>, uint64_t>;

/// Reads the lengths out of the JSON. Errors: peer_protocol.
Result<BodyLengths> parse_vmdesc(std::string_view json) noexcept;

/// One device section cut out of the tail.
struct TailSection {
  uint32_t section_id = 0;
  std::string idstr;
  uint32_t instance_id = 0;
  uint32_t version_id = 0;
  uint64_t offset = 0;  // of the body in the stream
  std::span<const std::byte> body;
};

/// Cuts `tail` (FULL sections and commands, nothing else) by the lengths; `start_offset` is where
/// its first byte stands in the stream. `work_left` goes down by one for each item, past 0 it gives
/// up. Errors: peer_protocol with the offset.
Result<std::vector<TailSection>> cut_tail(std::span<const std::byte> tail, uint64_t start_offset,
                                          const BodyLengths& lengths, bool footers,
                                          uint64_t& work_left) noexcept;
inline constexpr uint64_t kMaxCutWork = 1u << 24;

/// Collects the bytes from the first FULL section (or the EOF byte) on, and finds the end of the
/// stream while the peer keeps the connection open.
class TailSplitter {
 public:
  /// `start_offset`: where the first byte stands in the stream.
  TailSplitter(uint64_t start_offset, uint64_t max_bytes, bool footers) noexcept
      : start_(start_offset), max_bytes_(max_bytes), footers_(footers) {}

  /// Errors: resource_exhausted past the limit, or when the tail is full of false vmdescriptions.
  Result<void> append(std::span<const std::byte> bytes) noexcept;
  /// The sections, if the bytes so far are a complete tail; nothing if more must come.
  std::optional<std::vector<TailSection>> try_split() noexcept;
  /// Why the tail is not complete, for the moment when no more bytes come.
  Error why_incomplete() const noexcept;
  size_t size() const noexcept { return bytes_.size(); }
  /// The JSON of the accepted split.
  std::string_view json() const noexcept { return json_; }

 private:
  static constexpr size_t kMaxCandidates = 1u << 16;
  struct Candidate {
    uint64_t end;  // bytes_.size() when its JSON is complete
    uint64_t at;   // of the EOF byte
    bool operator>(const Candidate& other) const noexcept { return end > other.end; }
  };
  void find_candidates() noexcept;
  std::optional<std::vector<TailSection>> try_candidate(const Candidate& candidate) noexcept;

  uint64_t start_;
  uint64_t max_bytes_;
  bool footers_;
  std::vector<std::byte> bytes_;
  size_t scanned_ = 0;
  std::vector<Candidate> candidates_;  // a heap, the smallest end first
  uint64_t work_left_ = kMaxCutWork;
  std::string last_refusal_;
  std::string_view json_;
};

}  // namespace tern
