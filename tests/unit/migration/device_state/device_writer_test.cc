// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "migration/device_state/description.h"
#include "tern/device_section.h"
#include "tests/doubles/stream_maker.h"

namespace tern {
namespace {

using test::bytes_of;

std::vector<std::byte> bytes_in(const DeviceWriter& w) {
  return {w.bytes().begin(), w.bytes().end()};
}

TEST(DeviceWriter, writes_qemus_encoding) {
  DeviceWriter w;
  w.put_bool("a", true);
  w.put_u16("b", 0x1234);
  w.put_i32("c", -2);
  w.put_u64("d", 3);
  w.put_buffer("e", bytes_of("xy"));
  EXPECT_EQ(bytes_in(w),
            bytes_of({1, 0x12, 0x34, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 3, 'x', 'y'}));
  EXPECT_EQ(w.size(), 17u);
}

TEST(DeviceWriter, empty_arrays_and_buffers_leave_no_trace) {
  DeviceWriter w;
  w.put_u32_array("a", {});
  w.put_u64_array("b", {});
  w.put_buffer("c", {});
  EXPECT_EQ(w.size(), 0u);
  EXPECT_TRUE(w.state().root.fields.empty());
}

TEST(DeviceWriter, the_description_adds_up_to_the_bytes_at_every_depth) {
  DeviceWriter w;
  w.put_u8("a", 1);
  w.begin_struct("s", "outer", 1);
  w.put_u32("x", 1);
  w.begin_struct("t", "inner", 2);
  w.put_i64("y", 1);
  w.end_struct();
  w.end_struct();
  w.put_u8("b", 2);
  const auto& fields = w.state().root.fields;
  ASSERT_EQ(fields.size(), 3u);
  EXPECT_EQ(fields[1].type, "struct");
  EXPECT_EQ(fields[1].size, 12u);
  ASSERT_TRUE(fields[1].nested);
  EXPECT_EQ(fields[1].nested->vmsd_name, "outer");
  EXPECT_EQ(fields[1].nested->fields[1].size, 8u);
  EXPECT_EQ(fields[1].nested->fields[1].nested->version, 2u);
  EXPECT_EQ(w.size(), 14u);
}

TEST(DeviceWriter, an_end_without_a_begin_changes_nothing) {
  DeviceWriter w;
  w.end_struct();
  w.put_u8("a", 1);
  w.end_struct();
  EXPECT_EQ(w.state().root.fields.size(), 1u);
}

TEST(DeviceWriter, what_it_writes_its_reader_reads) {
  DeviceWriter w;
  const uint32_t words[] = {7, 8, 9};
  w.put_u32_array("words", words);
  w.put_u8("n", 3);
  DeviceReader r(w.bytes(), 0);
  uint32_t read[3];
  ASSERT_TRUE(r.get_u32_array("words", read));
  EXPECT_EQ(read[2], 9u);
  EXPECT_EQ(*r.get_u8("n"), 3);
}

}  // namespace
}  // namespace tern
