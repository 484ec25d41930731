// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

constexpr const char* kVersions[] = {"7.2", "11.1"};
constexpr const char* kCodecs[] = {"none", "zlib", "zstd"};

TEST(Inspect, prints_every_captured_main_stream_to_the_last_byte) {
  std::vector<std::string> names;
  for (const char* version : kVersions) {
    for (const char* kind :
         {"plain", "return-path", "multifd-none", "multifd-zlib", "multifd-zstd"}) {
      names.push_back(std::string(version) + "-" + kind);
    }
  }
  for (const char* name : {"7.2-pc", "7.2-q35-usb", "7.2-background-snapshot", "7.2-postcopy"})
    names.push_back(name);
  for (const std::string& name : names) {
    const auto bytes = capture(name + "/conn0.to-destination.bin");
    const Inspected seen = inspect_bytes(bytes);
    EXPECT_EQ(seen.error(), "") << name;
    EXPECT_EQ(seen.json["format"], "migration-stream");
    EXPECT_EQ(seen.json["summary"]["bytes"], bytes.size()) << name;
    EXPECT_EQ(seen.json["summary"]["complete"], true);
    EXPECT_FALSE(seen.json.contains("error"));
  }
}

TEST(Inspect, counts_what_the_captured_guests_had) {
  // ram.bin: 128 pages with content, 128 without.
  for (const char* version : kVersions) {
    const Inspected seen =
        inspect_bytes(capture(std::string(version) + "-plain/conn0.to-destination.bin"));
    const Json& pages = seen.json["summary"]["pages"];
    EXPECT_EQ(pages["normal"], 128);
    EXPECT_EQ(pages["zero"], 128);
    EXPECT_EQ(pages["data_bytes"], 128 * 4096);
  }
}

TEST(Inspect, prints_every_captured_multifd_channel) {
  for (const char* version : kVersions) {
    for (const char* codec : kCodecs) {
      uint64_t normal = 0;
      for (const char* connection : {"conn1", "conn2"}) {
        const std::string name =
            std::string(version) + "-multifd-" + codec + "/" + connection + ".to-destination.bin";
        const Inspected seen = inspect_bytes(capture(name));
        EXPECT_EQ(seen.error(), "") << name;
        EXPECT_EQ(seen.json["format"], "multifd-channel");
        normal += seen.json["summary"]["normal"].get<uint64_t>();
      }
      EXPECT_EQ(normal, 128u) << version << codec;
    }
  }
}

TEST(Inspect, a_file_that_is_no_stream_is_refused_at_its_first_byte) {
  EXPECT_EQ(inspect_bytes(bytes_of("hello world")).error(),
            "0: not a migration stream (magic 0x68656c6c, not QEVM)");
  EXPECT_EQ(inspect_bytes({}).failure->offset, 0u);
  EXPECT_EQ(inspect_bytes(bytes_of({0x51, 0x45})).failure->offset, 2u);
}

TEST(Inspect, a_truncated_stream_fails_at_its_end_wherever_that_is) {
  const auto bytes = capture("11.1-multifd-none/conn0.to-destination.bin");
  for (size_t n = 0; n < bytes.size(); ++n) {
    const Inspected seen =
        inspect_bytes({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n)});
    if (!seen.failure) {
      // Only behind the EOF byte a stream may end early: then the description was left out.
      EXPECT_EQ(std::to_integer<unsigned>(bytes[n - 1]), 0u) << n;
      EXPECT_EQ(seen.json["summary"]["vmdescription"], false);
      continue;
    }
    EXPECT_LE(seen.failure->offset, n);
    EXPECT_FALSE(seen.failure->reason.empty());
    ASSERT_TRUE(seen.json.is_object()) << n;
    EXPECT_EQ(seen.json["error"]["offset"], seen.failure->offset);
  }
}

TEST(Inspect, offsets_count_from_where_the_stream_stands_in_its_file) {
  InspectOptions options;
  options.first_offset = 1000;
  const Inspected seen = inspect_bytes(StreamMaker().opening("none").u8(9).take(), options);
  EXPECT_EQ(seen.json["items"][0]["offset"], 1000);
  EXPECT_EQ(seen.error(), "1017: item 9 cannot begin here");
}

TEST(Inspect, a_preempt_channel_is_bare_records) {
  InspectOptions options;
  options.format = InspectFormat::preempt;
  const Inspected seen =
      inspect_bytes(StreamMaker().page("pc.ram", 0x1000, 7).zero("", 0x2000).take(), options);
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(seen.json["summary"]["pages"]["normal"], 1);
  EXPECT_EQ(inspect_bytes(StreamMaker().page("pc.ram", 0, 7).eos().take(), options).error(), "");
  EXPECT_EQ(inspect_bytes(StreamMaker().page("m", 0, 7).eos().u8(1).take(), options).error(),
            "4114: data after the last record");
}

}  // namespace
}  // namespace tern::tool
