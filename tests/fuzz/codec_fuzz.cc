// SPDX-License-Identifier: Apache-2.0
//
// The decoders of packed pages, one target each. For xbzrle and zlib-page the input is the payload
// of one record. For the others it is what stands behind the heads of a channel's packets:
//
//   { u8 pages  u8 apart  be16 bytes  payload[bytes] }*
//
// Pages are placed between pages that nobody may touch; pages apart have one between them that must
// stay as it was.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/wire_int.h"
#include "ram/codec/page_codec.h"
#include "ram/codec/xbzrle.h"
#include "ram/codec/zlib_page.h"
#include "tests/doubles/guarded_pages.h"
#include "tests/fuzz/target.h"

namespace tern::fuzz {
namespace {

constexpr size_t kHeadBytes = 4;
constexpr std::byte kUntouched{0xa5};
uint64_t successes = 0;

// The pages at the end of the memory, so that one byte too many is outside.
std::vector<std::span<std::byte>> pieces_of(const test::GuardedPages& memory, size_t count,
                                            bool apart) {
  const size_t step = apart ? 2 : 1;
  const size_t first = memory.pages() - (count - 1) * step - 1;
  if (!apart) return {memory.page(first, count)};
  std::vector<std::span<std::byte>> pieces;
  for (size_t i = 0; i < count; ++i) pieces.push_back(memory.page(first + i * step));
  return pieces;
}

std::string run(const PageCodec& codec, std::span<const std::byte> input) {
  static const test::GuardedPages memory(2 * kMultifdPages);
  auto decoder = codec.make_decoder();
  if (!decoder) return "no memory";
  while (input.size() > kHeadBytes) {
    const size_t count = std::to_integer<size_t>(input[0]) % kMultifdPages + 1;
    const bool apart = (input[1] & std::byte{1}) != std::byte{0};
    const size_t bytes =
        std::min<size_t>(load_be<uint16_t>(input.data() + 2), input.size() - kHeadBytes);
    const auto pieces = pieces_of(memory, count, apart);
    if (apart) {
      for (size_t i = 0; i + 1 < pieces.size(); ++i) {
        std::memset(pieces[i].data() + kTargetPageBytes, 0xa5, kTargetPageBytes);
      }
    }
    // A copy that ends where the payload does: under AddressSanitizer a byte too far is found.
    const std::vector<std::byte> payload(
        input.begin() + kHeadBytes, input.begin() + kHeadBytes + static_cast<ptrdiff_t>(bytes));
    const auto decoded = (*decoder)->decode(payload, pieces);
    for (size_t i = 0; apart && i + 1 < pieces.size(); ++i) {
      const std::span between(pieces[i].data() + kTargetPageBytes, kTargetPageBytes);
      if (std::any_of(between.begin(), between.end(), [](std::byte b) { return b != kUntouched; }))
        return "a page between those of the packet was written";
    }
    if (!decoded) return check_error(decoded.error(), {ErrorCode::peer_protocol});
    input = input.subspan(kHeadBytes + bytes);
  }
  ++successes;
  return {};
}

template <MultifdCompression kMethod>
std::string run_method(std::span<const std::byte> input) {
  return run(*find_page_codec(kMethod), input);
}

// A payload that is refused changes nothing; one that is taken stays inside its page, and is taken
// again with the same result.
template <typename Decode>
std::string run_on_one_page(std::span<const std::byte> input, const Decode& decode) {
  static const test::GuardedPages memory(2);
  // A copy that ends where the payload does: under AddressSanitizer a byte too far is found.
  const std::vector<std::byte> payload(input.begin(), input.end());
  memory.fill(0x5a);
  const auto first = memory.page(0);
  const auto page = memory.page(1);  // one byte too far is outside
  const auto decoded = decode(payload, page);
  const auto untouched = [](std::byte b) { return b == std::byte{0x5a}; };
  if (!std::all_of(first.begin(), first.end(), untouched)) return "the page before was written";
  if (!decoded) {
    if (!std::all_of(page.begin(), page.end(), untouched)) return "a refused payload was placed";
    return check_error(decoded.error(), {ErrorCode::peer_protocol});
  }
  const std::vector<std::byte> result(page.begin(), page.end());
  if (!decode(payload, page)) return "what was taken is refused";
  if (!std::equal(result.begin(), result.end(), page.begin())) return "the second time differs";
  ++successes;
  return {};
}

std::string run_xbzrle(std::span<const std::byte> input) {
  return run_on_one_page(input, decode_xbzrle);
}
std::string run_zlib_page(std::span<const std::byte> input) {
  static PageInflater inflater;
  return run_on_one_page(input, [](std::span<const std::byte> payload, std::span<std::byte> page) {
    return inflater.inflate(payload, page);
  });
}

}  // namespace

FuzzTarget xbzrle_target() {
  return {"xbzrle", {"xbzrle-"}, run_xbzrle, [] { return std::exchange(successes, 0); }};
}
FuzzTarget zlib_page_target() {
  return {"zlib-page", {"zpage-"}, run_zlib_page, [] { return std::exchange(successes, 0); }};
}
FuzzTarget zlib_target() {
  return {"zlib", {"zlib-"}, run_method<MultifdCompression::zlib>, [] {
            return std::exchange(successes, 0);
          }};
}
FuzzTarget zstd_target() {
  return {"zstd", {"zstd-"}, run_method<MultifdCompression::zstd>, [] {
            return std::exchange(successes, 0);
          }};
}

}  // namespace tern::fuzz
