// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/guest_params.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/tools/vmm/support.h"
#include "tools/vmm/le_bytes.h"

namespace tern::vmm {
namespace {

TEST(guest_params, what_is_encoded_is_decoded) {
  const GuestParams params{0x200000, 77, 123456789012, 3};
  const ParamBlock block = must(decode_params(encode_params(params)));
  EXPECT_EQ(block.params, params);
  EXPECT_EQ(block.status[0].filled, 0U);
}

TEST(guest_params, slices_cover_the_range_without_a_gap) {
  for (const uint32_t vcpus : {1U, 2U, 3U, 7U, 64U}) {
    const GuestParams params{0x100000, 1000, 0, vcpus};
    uint64_t next = 0;
    for (uint32_t i = 0; i < vcpus; ++i) {
      EXPECT_EQ(slice_of(params, i).first, next);
      next = slice_of(params, i).end;
    }
    EXPECT_EQ(next, params.pages);
  }
}

TEST(guest_params, ranges_that_do_not_fit_are_named) {
  constexpr uint64_t kRam = 4ull << 20;
  const std::vector<std::pair<GuestParams, std::string>> cases = {
      {{0x1000, 1, 0, 1}, "range start"},
      {{0x100001, 1, 0, 1}, "range start"},
      {{0x100000, 0, 0, 1}, "0 pages"},
      {{0x100000, 769, 0, 1}, "the RAM"},
      {{0x100000, 1, 0, 2}, "2 vCPUs"},
      {{0x100000, 1, 0, 0}, "0 vCPUs"},
      {{0x100000, 100, 0, 65}, "65 vCPUs"},
      {{0x100000, UINT64_MAX, 0, 1}, "pages"},
      {{UINT64_MAX & ~0xfffull, 1, 0, 1}, "range start"},
  };
  for (const auto& [params, word] : cases) {
    const auto checked = check_params(params, kRam);
    ASSERT_FALSE(checked) << word;
    EXPECT_NE(checked.error().message().find(word), std::string::npos) << checked.error().message();
  }
  EXPECT_TRUE(check_params({0x100000, 768, 0, 1}, kRam));
}

TEST(guest_params, a_block_from_elsewhere_is_refused) {
  auto block = encode_params({});
  EXPECT_TRUE(decode_params(block));
  EXPECT_FALSE(decode_params(std::span(block).first(kParamsBytes - 1)));
  auto no_magic = block;
  no_magic[0] = std::byte{0};
  EXPECT_FALSE(decode_params(no_magic));
  auto version = block;
  version[4] = std::byte{2};
  EXPECT_FALSE(decode_params(version));
  auto filled = block;
  store_le<uint32_t>(filled, kParamsStatusOffset, 4097);
  EXPECT_FALSE(decode_params(filled));
}

TEST(guest_params, a_filled_page_tells_its_number) {
  std::array<std::byte, kGuestPageBytes> page{};
  fill_page(0x123, page);
  EXPECT_EQ(page[0], std::byte{0});
  EXPECT_EQ(load_le<uint32_t>(page, 4), fill_word(0x123, 1));
  EXPECT_EQ(load_le<uint32_t>(page, 64), fill_word(0x123, 0));
  EXPECT_NE(fill_word(0x123, 1), fill_word(0x124, 1));
}

}  // namespace
}  // namespace tern::vmm
