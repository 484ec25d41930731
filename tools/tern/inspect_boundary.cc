// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_boundary.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/wire_int.h"
#include "migration/stream/framing.h"

namespace tern::tool {
namespace {

constexpr size_t kFooterBytes = 5;
constexpr size_t kItemBytes = 16;  // enough of the next item to judge it
constexpr size_t kWindowBytes = 1u << 16;

bool could_be_item(std::span<const std::byte> next) noexcept {
  if (next.empty()) return true;  // the stream or the package ends here
  const auto u8 = [&](size_t i) { return std::to_integer<uint8_t>(next[i]); };
  switch (u8(0)) {
    case kItemEof:
      return next.size() < 2 || u8(1) == kItemVmDescription;
    case kItemSectionPart:
    case kItemSectionEnd:
      return next.size() >= 5;
    case kItemSectionStart:
    case kItemSectionFull: {
      if (next.size() < 7 || u8(5) == 0) return false;
      const size_t shown = std::min<size_t>(u8(5), next.size() - 6);
      return std::all_of(next.begin() + 6, next.begin() + 6 + static_cast<ptrdiff_t>(shown),
                         [](std::byte b) { return b >= std::byte{0x20} && b < std::byte{0x7f}; });
    }
    case kItemCommand:
      return next.size() >= 5 && is_known_command(load_be<uint16_t>(next.data() + 1));
    default:
      return false;
  }
}

Result<void> take_into(StreamReader& in, size_t n, std::vector<std::byte>* keep,
                       uint64_t keep_max) noexcept {
  const auto bytes = TERN_TRY(in.take(n, "section body"));
  if (keep == nullptr) return {};
  if (bytes.size() > keep_max - keep->size()) {
    return Error(ErrorCode::resource_exhausted,
                 "no footer in " + std::to_string(keep_max) + " bytes of device state");
  }
  keep->insert(keep->end(), bytes.begin(), bytes.end());
  return {};
}

}  // namespace

Result<uint64_t> take_to_footer(StreamReader& in, uint32_t section_id, uint64_t end,
                                std::vector<std::byte>* keep, uint64_t keep_max) noexcept {
  std::byte footer[kFooterBytes] = {std::byte{kItemFooter}};
  store_be(footer + 1, section_id);
  const uint64_t begin = in.offset();
  const auto window = [&](size_t n) noexcept {
    return in.peek(std::min<uint64_t>(n, end - in.offset()));
  };
  for (;;) {
    auto bytes = TERN_TRY(window(kWindowBytes));
    if (bytes.size() < kFooterBytes) {
      if (end == UINT64_MAX) TERN_TRY(in.take(bytes.size() + kFooterBytes, "section footer"));
      return in.malformed("section without a footer at the end of the package");
    }
    const auto found =
        std::search(bytes.begin(), bytes.end(), std::begin(footer), std::end(footer));
    if (found == bytes.end()) {
      // Its first bytes may stand at the end of the window.
      TERN_TRY(take_into(in, bytes.size() - (kFooterBytes - 1), keep, keep_max));
      continue;
    }
    TERN_TRY(take_into(in, static_cast<size_t>(found - bytes.begin()), keep, keep_max));
    bytes = TERN_TRY(window(kFooterBytes + kItemBytes));
    if (could_be_item(bytes.subspan(kFooterBytes))) return in.offset() - begin;
    TERN_TRY(take_into(in, 1, keep, keep_max));
  }
}

}  // namespace tern::tool
