// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/device.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

/// What was written, and a reader of it.
class CDevice : public ::testing::Test {
 protected:
  ~CDevice() override {
    tern_device_reader_free(reader_);
    tern_device_writer_free(writer_);
  }
  void read_back() {
    size_t size = 0;
    const void* bytes = tern_device_bytes(writer_, &size);
    ASSERT_EQ(tern_device_reader_create(bytes, size, 1000, &reader_, nullptr), TERN_OK);
  }
  tern_device_writer* writer_ = tern_device_writer_new();
  tern_device_reader* reader_ = nullptr;
};

TEST_F(CDevice, every_kind_of_field_is_read_as_it_was_written) {
  const uint32_t words[2] = {1, 0xfffffffe};
  const uint64_t longs[2] = {3, ~uint64_t{0}};
  tern_device_put_bool(writer_, "bool", 17);
  tern_device_put_u8(writer_, "u8", 0xa5);
  tern_device_put_u16(writer_, "u16", 0xa5b6);
  tern_device_put_u32(writer_, "u32", 0xa5b6c7d8);
  tern_device_put_u64(writer_, "u64", 0x0102030405060708);
  tern_device_put_i32(writer_, "i32", -5);
  tern_device_put_i64(writer_, "i64", -6);
  tern_device_begin_struct(writer_, "inner", "test/inner", 1);
  tern_device_put_buffer(writer_, "buffer", "four", 4);
  tern_device_end_struct(writer_);
  tern_device_put_u32_array(writer_, "words", words, 2);
  tern_device_put_u64_array(writer_, "longs", longs, 2);
  read_back();

  int flag = 0;
  uint8_t u8 = 0;
  uint16_t u16 = 0;
  uint32_t u32 = 0;
  uint64_t u64 = 0;
  int32_t i32 = 0;
  int64_t i64 = 0;
  const void* buffer = nullptr;
  uint32_t words_read[2] = {};
  uint64_t longs_read[2] = {};
  EXPECT_EQ(tern_device_get_bool(reader_, "bool", &flag, nullptr), TERN_OK);
  EXPECT_EQ(tern_device_get_u8(reader_, "u8", &u8, nullptr), TERN_OK);
  EXPECT_EQ(tern_device_get_u16(reader_, "u16", &u16, nullptr), TERN_OK);
  EXPECT_EQ(tern_device_get_u32(reader_, "u32", &u32, nullptr), TERN_OK);
  EXPECT_EQ(tern_device_get_u64(reader_, "u64", &u64, nullptr), TERN_OK);
  EXPECT_EQ(tern_device_get_i32(reader_, "i32", &i32, nullptr), TERN_OK);
  EXPECT_EQ(tern_device_get_i64(reader_, "i64", &i64, nullptr), TERN_OK);
  ASSERT_EQ(tern_device_get_buffer(reader_, "buffer", 4, &buffer, nullptr), TERN_OK);
  EXPECT_EQ(tern_device_get_u32_array(reader_, "words", words_read, 2, nullptr), TERN_OK);
  EXPECT_EQ(tern_device_get_u64_array(reader_, "longs", longs_read, 2, nullptr), TERN_OK);
  EXPECT_EQ(flag, 1);
  EXPECT_EQ(u8, 0xa5);
  EXPECT_EQ(u16, 0xa5b6);
  EXPECT_EQ(u32, 0xa5b6c7d8);
  EXPECT_EQ(u64, 0x0102030405060708u);
  EXPECT_EQ(i32, -5);
  EXPECT_EQ(i64, -6);
  EXPECT_EQ(std::memcmp(buffer, "four", 4), 0);
  EXPECT_EQ(words_read[1], words[1]);
  EXPECT_EQ(longs_read[1], longs[1]);
  EXPECT_EQ(tern_device_left(reader_), 0u);
}

TEST_F(CDevice, a_body_that_is_too_short_names_field_and_offset) {
  tern_device_put_u8(writer_, "u8", 1);
  read_back();
  uint32_t u32 = 77;
  tern_error* error = nullptr;
  EXPECT_EQ(tern_device_get_u32(reader_, "speed", &u32, &error), TERN_ERROR_PEER_PROTOCOL);
  const std::string message = take_message(error);
  EXPECT_NE(message.find("'speed' at offset 1000"), std::string::npos) << message;
  EXPECT_EQ(u32, 77u);
  const void* bytes = nullptr;
  EXPECT_EQ(tern_device_get_buffer(reader_, "b", ~size_t{0}, &bytes, nullptr),
            TERN_ERROR_PEER_PROTOCOL);
  EXPECT_EQ(tern_device_get_u64_array(reader_, "b", reinterpret_cast<uint64_t*>(&u32),
                                      ~size_t{0} / 8 + 1, nullptr),
            TERN_ERROR_PEER_PROTOCOL)
      << "a count that wraps when it is multiplied";
}

TEST_F(CDevice, a_bad_value_is_an_error_of_the_peer) {
  read_back();
  tern_error* error = nullptr;
  EXPECT_EQ(tern_device_bad_value(reader_, "fan", "turns backwards", &error),
            TERN_ERROR_PEER_PROTOCOL);
  EXPECT_EQ(take_message(error), "field 'fan' before offset 1000: turns backwards");
  EXPECT_EQ(tern_device_stream_offset(reader_), 1000u);
}

TEST_F(CDevice, a_bad_argument_is_remembered_and_writes_nothing) {
  tern_device_put_u32(writer_, nullptr, 1);
  tern_device_put_buffer(writer_, "b", nullptr, 3);
  tern_device_put_buffer(writer_, "empty", nullptr, 0);
  size_t size = 9;
  tern_device_bytes(writer_, &size);
  EXPECT_EQ(size, 0u);
  EXPECT_EQ(writer_->fault, "the name of a field is NULL") << "the first of several";
}

}  // namespace
}  // namespace tern::capi
