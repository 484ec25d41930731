// SPDX-License-Identifier: Apache-2.0
#include "ram/codec/xbzrle.h"

#include <bit>
#include <cstring>
#include <optional>
#include <string>

namespace tern {
namespace {

constexpr size_t kPage = kTargetPageBytes;
constexpr size_t kGroup = PageDifferences::kGroupBytes;
constexpr size_t kLongestShort = 0x7f;  // length that one byte can tell

constexpr size_t length_bytes(size_t value) noexcept { return value <= kLongestShort ? 1 : 2; }

struct Length {
  size_t value;
  size_t bytes;
};
// `from` has two bytes at least.
std::optional<Length> read_length(std::span<const std::byte> from) noexcept {
  const auto low = std::to_integer<size_t>(from[0]);
  if (low <= kLongestShort) return Length{low, 1};
  const auto high = std::to_integer<size_t>(from[1]);
  if (high > kLongestShort) return std::nullopt;
  return Length{(low & kLongestShort) | high << 7, 2};
}

Error broken(const char* what, size_t at) noexcept {
  return Error(ErrorCode::peer_protocol,
               std::string("XBZRLE: ") + what + " at byte " + std::to_string(at));
}

struct Pair {
  size_t skipped;
  size_t from;  // in the payload
  size_t count;
};

Result<Pair> read_pair(std::span<const std::byte> payload, size_t at) noexcept {
  // Two bytes for each run: a zero run at the end would have nothing behind it.
  if (payload.size() - at < 2) return broken("a run is cut off", at);
  const auto equal = read_length(payload.subspan(at));
  if (!equal) return broken("a run length of more than two bytes", at);
  if (equal->value == 0 && at != 0) return broken("a zero run of length 0", at);
  at += equal->bytes;
  if (payload.size() - at < 2) return broken("a run is cut off", at);
  const auto changed = read_length(payload.subspan(at));
  if (!changed) return broken("a run length of more than two bytes", at);
  if (changed->value == 0) return broken("a run of no bytes", at);
  at += changed->bytes;
  if (changed->value > payload.size() - at) return broken("a run goes past the record", at);
  return Pair{equal->value, at, changed->value};
}

}  // namespace

XbzrleEncoder::Outcome XbzrleEncoder::encode(std::byte* cached, const std::byte* now) noexcept {
  ops_.find_differences(cached, now, found_);
  if (found_.groups == 0) return Outcome::unchanged;
  for (uint64_t left = found_.groups; left != 0; left &= left - 1) {
    const size_t at = static_cast<size_t>(std::countr_zero(left)) * kGroup;
    std::memcpy(cached + at, found_.now.data() + at, kGroup);
  }
  return write_runs();
}

XbzrleEncoder::Outcome XbzrleEncoder::write_runs() noexcept {
  used_ = 0;
  size_t done = 0;
  for (size_t first = next_different(0); first < kPage; first = next_different(done)) {
    const size_t end = next_equal(first);
    const size_t count = end - first;
    const size_t need = length_bytes(first - done) + length_bytes(count) + count;
    if (used_ + need > kPage) return Outcome::overflow;
    put_length(first - done);
    put_length(count);
    // Both ends have the slack; most runs are short, and a copy of fixed length is one instruction.
    if (count <= PageDifferences::kSlack) {
      std::memcpy(payload_.data() + used_, found_.now.data() + first, PageDifferences::kSlack);
    } else {
      std::memcpy(payload_.data() + used_, found_.now.data() + first, count);
    }
    used_ += count;
    done = end;
  }
  return Outcome::patch;
}

size_t XbzrleEncoder::next_different(size_t from) const noexcept {
  if (from == kPage) return kPage;
  const size_t group = from / kGroup;
  if ((found_.groups >> group & 1) != 0) {
    const uint64_t here = found_.bytes[group] >> from % kGroup;
    if (here != 0) return from + static_cast<size_t>(std::countr_zero(here));
  }
  const uint64_t later = found_.groups & ~(~uint64_t{0} >> (63 - group));
  if (later == 0) return kPage;
  const auto next = static_cast<size_t>(std::countr_zero(later));
  return next * kGroup + static_cast<size_t>(std::countr_zero(found_.bytes[next]));
}

// `from` differs.
size_t XbzrleEncoder::next_equal(size_t from) const noexcept {
  const size_t group = from / kGroup;
  const uint64_t here = ~found_.bytes[group] >> from % kGroup;
  if (here != 0) return from + static_cast<size_t>(std::countr_zero(here));
  for (size_t g = group + 1; g < PageDifferences::kGroups; ++g) {
    if ((found_.groups >> g & 1) == 0) return g * kGroup;
    if (found_.bytes[g] != ~uint64_t{0}) {
      return g * kGroup + static_cast<size_t>(std::countr_one(found_.bytes[g]));
    }
  }
  return kPage;
}

void XbzrleEncoder::put_length(size_t value) noexcept {
  if (value <= kLongestShort) {
    payload_[used_++] = static_cast<std::byte>(value);
    return;
  }
  payload_[used_++] = static_cast<std::byte>((value & kLongestShort) | (kLongestShort + 1));
  payload_[used_++] = static_cast<std::byte>(value >> 7);
}

Result<void> decode_xbzrle(std::span<const std::byte> payload, std::span<std::byte> page) noexcept {
  size_t in_page = 0;
  for (size_t at = 0; at < payload.size();) {
    const Pair pair = TERN_TRY(read_pair(payload, at));
    in_page += pair.skipped + pair.count;
    if (in_page > page.size()) return broken("a run goes past the page", at);
    at = pair.from + pair.count;
  }
  in_page = 0;
  for (size_t at = 0; at < payload.size();) {
    const Pair pair = TERN_TRY(read_pair(payload, at));
    in_page += pair.skipped;
    std::memcpy(page.data() + in_page, payload.data() + pair.from, pair.count);
    in_page += pair.count;
    at = pair.from + pair.count;
  }
  return {};
}

}  // namespace tern
