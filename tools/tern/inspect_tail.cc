// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_tail.h"

#include <cstring>
#include <string>

#include "base/wire_int.h"
#include "migration/stream/framing.h"

namespace tern::tool {
namespace {
constexpr size_t kHead = 6;       // 00 06 be32
constexpr int kMaxReadable = 64;  // descriptions that can be read but do not fit
}  // namespace

Result<void> InspectTail::collect(StreamReader& in, uint64_t max_bytes) noexcept {
  start_ = in.offset();
  for (;;) {
    const auto bytes = TERN_TRY(in.take_available(StreamReader::kBufferBytes));
    if (bytes.empty()) return {};
    if (bytes.size() > max_bytes - bytes_.size()) {
      return Error(ErrorCode::resource_exhausted,
                   "device state from offset " + std::to_string(start_) + " on is larger than " +
                       std::to_string(max_bytes) + " bytes (--max-device-state)");
    }
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
}

void InspectTail::find_description(bool footers) noexcept {
  size_t at = bytes_.size();
  while (at > 0 && readable_ < kMaxReadable) {
    const void* p = memrchr(bytes_.data(), kItemVmDescription, at);
    if (p == nullptr) return;
    at = static_cast<size_t>(static_cast<const std::byte*>(p) - bytes_.data());
    if (at == 0 || bytes_[at - 1] != std::byte{kItemEof}) continue;
    if (try_description(at - 1, footers)) return;
  }
}

// true: it fits.
bool InspectTail::try_description(size_t at, bool footers) noexcept {
  if (bytes_.size() - at < kHead + 2 || bytes_[at + kHead] != std::byte{'{'}) return false;
  const size_t n = load_be<uint32_t>(bytes_.data() + at + 2);
  if (n < 2 || n > bytes_.size() - at - kHead) return false;
  const std::string_view json(reinterpret_cast<const char*>(bytes_.data()) + at + kHead, n);
  if (std::memchr(json.data(), 0, n) != nullptr) return false;  // JSON is text
  auto lengths = parse_vmdesc(json);
  if (!lengths) return false;
  ++readable_;
  const bool fits =
      cut_tail(std::span(bytes_).first(at), start_, *lengths, footers, work_left_).has_value();
  if (!fits && lengths_) return false;
  auto description = parse_description(json);
  if (!description) return false;
  lengths_ = std::move(*lengths);
  description_ = std::move(*description);
  return fits;
}

}  // namespace tern::tool
