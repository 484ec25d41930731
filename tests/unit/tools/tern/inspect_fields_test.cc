// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_fields.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

// The body decoded by the fields of one device.
Json decode(const std::string& members, const std::vector<std::byte>& body,
            bool everything = false) {
  const auto d =
      parse_description(R"({"devices": [{"name": "d", "instance_id": 0, )" + members + "}]}");
  if (!d) return d.error().message();
  return decode_body(d->devices[0].layout, body, everything);
}
Json one(const std::string& type, const std::vector<std::byte>& body) {
  return decode(R"("fields": [{"name": "f", "type": ")" + type + R"(", "size": )" +
                    std::to_string(body.size()) + "}]",
                body)["fields"][0];
}

TEST(Fields, each_encoding_of_vmstate_gives_its_value) {
  EXPECT_EQ(one("bool", bytes_of({1}))["value"], true);
  EXPECT_EQ(one("bool", bytes_of({7}))["value"], true);
  EXPECT_EQ(one("int8", bytes_of({0xff}))["value"], -1);
  EXPECT_EQ(one("int16", bytes_of({0x80, 0}))["value"], -32768);
  EXPECT_EQ(one("int32", bytes_of({0xff, 0xff, 0xff, 0xfe}))["value"], -2);
  EXPECT_EQ(one("int64", bytes_of({0x80, 0, 0, 0, 0, 0, 0, 0}))["value"], INT64_MIN);
  EXPECT_EQ(one("uint8", bytes_of({0xff}))["value"], 255);
  EXPECT_EQ(one("uint16", bytes_of({1, 2}))["value"], 0x102);
  EXPECT_EQ(one("uint32", bytes_of({0xff, 0, 0, 0}))["value"], 0xff000000u);
  EXPECT_EQ(one("uint64", std::vector<std::byte>(8, std::byte{0xff}))["value"], UINT64_MAX);
  EXPECT_EQ(one("uint32 equal", bytes_of({0, 0, 0, 9}))["value"], 9);
  EXPECT_EQ(one("int64 equal", std::vector<std::byte>(8, std::byte{0xff}))["value"],
            UINT64_MAX);  // a u64, by its name
  EXPECT_EQ(one("int32 le", bytes_of({0, 0, 0, 5}))["value"],
            5);  // "less or equal", not little-endian
  EXPECT_EQ(one("timer", std::vector<std::byte>(8, std::byte{0xff}))["value"], -1);
  EXPECT_EQ(one("float64", bytes_of({0x3f, 0xf8, 0, 0, 0, 0, 0, 0}))["value"], 1.5);
  EXPECT_EQ(one("float64", std::vector<std::byte>(8, std::byte{0xff}))["value"], "nan");
  EXPECT_EQ(one("nullptr", bytes_of({0x30}))["value"], nullptr);
  EXPECT_EQ(one("buffer", bytes_of({1, 2, 0xab}))["value"], "0102ab");
  EXPECT_EQ(one("pci config", bytes_of({0x86, 0x80}))["value"], "8680");
  EXPECT_EQ(one("uint32", bytes_of({1, 2}))["value"], "0102");  // a size that the type cannot have
}

TEST(Fields, a_buffer_with_text_is_shown_as_text_too) {
  EXPECT_EQ(one("buffer", StreamMaker().text("running").fill(25, 0).take())["text"], "running");
  EXPECT_FALSE(one("buffer", StreamMaker().text("run\x01ing").fill(25, 0).take()).contains("text"));
  EXPECT_FALSE(one("buffer", StreamMaker().text("unterminated").take()).contains("text"));
}

TEST(Fields, arrays_come_compressed_with_index_and_without_it) {
  const auto body = bytes_of({1, 2, 3});
  const Json compressed =
      decode(R"("fields": [{"name": "a", "type": "uint8", "size": 1, "array_len": 3}])", body);
  EXPECT_EQ(compressed["fields"][0]["value"], Json({1, 2, 3}));
  EXPECT_EQ(compressed["fields"][0]["array_len"], 3);
  const char* forms[] = {// QEMU 7.2, 10.x, 11.1
                         R"("fields": [{"name": "a", "type": "uint8", "size": 1, "index": 0},
                    {"name": "a", "type": "uint8", "size": 1, "index": 1},
                    {"name": "a", "type": "uint8", "size": 1, "index": 2}])",
                         R"("fields": [{"name": "a", "type": "uint8", "size": 1, "index": 0},
                    {"name": "a", "type": "uint8", "size": 1, "index": 1},
                    {"name": "a", "type": "uint8", "size": 1}])",
                         R"("fields": [{"name": "a", "type": "uint8", "size": 1},
                    {"name": "a", "type": "uint8", "size": 1},
                    {"name": "a", "type": "uint8", "size": 1}])"};
  for (const char* form : forms) {
    const Json fields = decode(form, body)["fields"];
    ASSERT_EQ(fields.size(), 3u);
    for (unsigned i = 0; i < 3; ++i) {
      EXPECT_EQ(fields[i]["index"], i) << form;
      EXPECT_EQ(fields[i]["value"], i + 1);
    }
  }
}

TEST(Fields, runs_of_pointers_and_null_pointers_count_on) {
  const Json fields = decode(R"("fields": [
      {"name": "p", "type": "struct", "size": 1, "array_len": 2,
        "struct": {"vmsd_name": "s", "version": 1,
        "fields": [{"name": "x", "type": "uint8", "size": 1}]}},
      {"name": "p", "type": "nullptr", "size": 1}, {"name": "p", "type": "nullptr", "size": 1}])",
                             bytes_of({5, 6, 0x30, 0x30}))["fields"];
  EXPECT_EQ(fields[0]["index"], 0);
  EXPECT_EQ(fields[0]["elements"][1]["fields"][0]["value"], 6);
  EXPECT_EQ(fields[1]["index"], 2);
  EXPECT_EQ(fields[2]["index"], 3);
  EXPECT_EQ(fields[2]["value"], nullptr);
}

TEST(Fields, structs_and_subsections_are_walked_to_the_leaves) {
  const auto body = StreamMaker()
                        .u8(1)
                        .u8(2)
                        .u8(5)
                        .name("s/more")
                        .be32(3)
                        .u8(4)
                        .u8(5)
                        .name("d/sub")
                        .be32(1)
                        .be16(9)
                        .take();
  const Json j = decode(R"("fields": [{"name": "a", "type": "uint8", "size": 1},
      {"name": "s", "type": "struct", "size": 14, "struct": {"vmsd_name": "s", "version": 2,
        "fields": [{"name": "x", "type": "uint8", "size": 1}],
        "subsections": [{"vmsd_name": "s/more", "version": 3,
                         "fields": [{"name": "y", "type": "uint8", "size": 1}]}]}}],
      "subsections": [{"vmsd_name": "d/sub", "version": 1,
                       "fields": [{"name": "z", "type": "uint16", "size": 2}]}])",
                        body);
  ASSERT_FALSE(j.contains("note")) << j;
  const Json s = field(j, "s");
  EXPECT_EQ(s["version"], 2);
  EXPECT_EQ(field(s, "x")["value"], 2);
  EXPECT_EQ(s["subsections"][0]["name"], "s/more");
  EXPECT_EQ(s["subsections"][0]["version"], 3);
  EXPECT_EQ(field(s["subsections"][0], "y")["value"], 4);
  EXPECT_EQ(field(j["subsections"][0], "z")["value"], 9);
}

TEST(Fields, layouts_written_into_the_field_are_used_where_they_add_up) {
  const Json tmp = decode(R"("fields": [{"name": "t", "type": "tmp", "vmsd_name": "v", "version": 1,
      "fields": [{"name": "m", "type": "uint16", "size": 2}], "size": 2}])",
                          bytes_of({1, 0}));
  EXPECT_EQ(field(tmp["fields"][0], "m")["value"], 256);
  // A list: 01 element, 00; the keys repeat, and the marks are in no description.
  const Json list = decode(R"("fields": [{"name": "l", "type": "qtailq", "vmsd_name": "v",
      "fields": [{"name": "e", "type": "uint8", "size": 1}], "vmsd_name": "v", "size": 3}])",
                           bytes_of({1, 7, 0}));
  EXPECT_EQ(list["fields"][0]["value"], "010700");
  EXPECT_FALSE(list["fields"][0].contains("note"));
}

TEST(Fields, an_empty_struct_is_opaque) {
  const Json j = decode(R"("fields": [{"name": "p", "type": "struct", "size": 1, "struct": {}}])",
                        bytes_of({0x30}));
  EXPECT_EQ(j["fields"][0]["value"], "30");
}

TEST(Fields, bytes_that_do_not_fit_are_shown_as_they_are_with_a_note) {
  const char* fields = R"("fields": [{"name": "a", "type": "uint16", "size": 2}])";
  for (const auto& body : {bytes_of({1}), bytes_of({1, 2, 3})}) {
    const Json j = decode(fields, body);
    EXPECT_EQ(j["note"], "the description does not fit these bytes");
    EXPECT_TRUE(j.contains("value"));
  }
  const Json other =
      decode(R"("fields": [], "subsections": [{"vmsd_name": "d/x", "version": 1, "fields": []}])",
             StreamMaker().u8(5).name("d/y").be32(1).take());
  EXPECT_TRUE(other.contains("note"));
}

TEST(Fields, long_arrays_and_buffers_are_cut_short_unless_everything_is_asked_for) {
  const std::vector<std::byte> body(100, std::byte{1});
  const char* array = R"("fields": [{"name": "a", "type": "uint8", "size": 1, "array_len": 100}])";
  EXPECT_EQ(decode(array, body)["fields"][0]["value"].size(), 16u);
  EXPECT_EQ(decode(array, body)["fields"][0]["shown"], 16);
  EXPECT_EQ(decode(array, body, true)["fields"][0]["value"].size(), 100u);
  const char* buffer = R"("fields": [{"name": "a", "type": "buffer", "size": 100}])";
  EXPECT_EQ(decode(buffer, body)["fields"][0]["value"].get<std::string>().size(), 64u);
  EXPECT_EQ(decode(buffer, body, true)["fields"][0]["value"].get<std::string>().size(), 200u);
}

TEST(Fields, hostile_counts_cost_nothing) {
  // No bytes, a number of elements that would take for ever, at every depth.
  std::string nested =
      R"({"name": "x", "type": "uint8", "size": 0, "array_len": 18446744073709551615})";
  for (int i = 0; i < 14; ++i) {
    nested =
        R"({"name": "s", "type": "struct", "size": 0, "array_len": 1099511627776,
            "struct": {"fields": [)" +
        nested + "]}}";
  }
  for (const bool everything : {false, true}) {
    const Json j = decode("\"fields\": [" + nested + "]", {}, everything);
    EXPECT_TRUE(j.is_object());
  }
  const Json wraps = decode(
      R"("fields": [{"name": "a", "type": "x", "size": 9223372036854775808, "array_len": 2}])", {});
  EXPECT_TRUE(wraps.contains("note"));
}

}  // namespace
}  // namespace tern::tool
