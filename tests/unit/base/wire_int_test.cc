// SPDX-License-Identifier: Apache-2.0
#include "base/wire_int.h"

#include <gtest/gtest.h>

#include "tests/doubles/memory_channel.h"

namespace tern {
namespace {

using test::bytes_of;

TEST(WireInt, most_significant_byte_stands_first) {
  std::vector<std::byte> two(2), four(4), eight(8);
  store_be<uint16_t>(two.data(), 0x0102);
  store_be<uint32_t>(four.data(), 0x01020304);
  store_be<uint64_t>(eight.data(), 0x0102030405060708);
  EXPECT_EQ(two, bytes_of({1, 2}));
  EXPECT_EQ(four, bytes_of({1, 2, 3, 4}));
  EXPECT_EQ(eight, bytes_of({1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(WireInt, load_gives_back_what_store_wrote_at_any_alignment) {
  std::vector<std::byte> buffer(16);
  for (size_t at = 0; at < 8; ++at) {
    store_be<uint64_t>(buffer.data() + at, 0xfedcba9876543210);
    EXPECT_EQ(load_be<uint64_t>(buffer.data() + at), 0xfedcba9876543210) << "at " << at;
    store_be<int32_t>(buffer.data() + at, -2);
    EXPECT_EQ(load_be<int32_t>(buffer.data() + at), -2) << "at " << at;
  }
}

TEST(WireInt, single_bytes_are_left_alone) {
  std::byte b{};
  store_be<uint8_t>(&b, 0xab);
  EXPECT_EQ(load_be<uint8_t>(&b), 0xab);
}

}  // namespace
}  // namespace tern
