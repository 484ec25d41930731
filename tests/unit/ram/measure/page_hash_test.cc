// SPDX-License-Identifier: Apache-2.0
#include "ram/measure/page_hash.h"

#include <gtest/gtest.h>

#include <vector>

#include "tern/ram_block.h"

namespace tern {
namespace {

TEST(PageHash, every_byte_of_the_page_counts_and_none_behind_it) {
  std::vector<std::byte> page(kTargetPageBytes + 1);
  const uint64_t zeros = hash_page(page.data());
  for (size_t i = 0; i < kTargetPageBytes; ++i) {
    page[i] = std::byte{1};
    ASSERT_NE(hash_page(page.data()), zeros) << i;
    page[i] = std::byte{0};
  }
  page[kTargetPageBytes] = std::byte{1};
  EXPECT_EQ(hash_page(page.data()), zeros);
}

}  // namespace
}  // namespace tern
