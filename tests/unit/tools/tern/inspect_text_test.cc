// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

TEST(TextOutput, has_one_line_per_item_with_its_offset) {
  const std::string text = inspect_text(capture("7.2-plain/conn0.to-destination.bin"));
  EXPECT_NE(text.find("           0  header  version 3\n"), std::string::npos) << text;
  EXPECT_NE(text.find("           8  configuration  machine \"none\"\n"), std::string::npos);
  EXPECT_NE(text.find("section-start  section_id 2  idstr \"ram\"  instance_id 0  version_id 4\n"),
            std::string::npos);
  EXPECT_NE(text.find("block  name \"m\"  used_bytes 1048576\n"), std::string::npos);
  EXPECT_NE(text.find("pages  normal 128  zero 128  data_bytes 524288\n"), std::string::npos);
  EXPECT_NE(text.find("runstate = \"running\" "), std::string::npos);
  EXPECT_NE(text.find("complete true\n"), std::string::npos);
}

TEST(TextOutput, indents_what_is_inside_a_package) {
  const std::string text = inspect_text(capture("7.2-postcopy/conn0.to-destination.bin"));
  EXPECT_NE(text.find("    command  command \"postcopy-listen\"\n"), std::string::npos);
  EXPECT_NE(text.find("runstate \"prelaunch\"\n"), std::string::npos);
}

TEST(TextOutput, ends_with_the_error) {
  const std::string text = inspect_text(StreamMaker().opening("none").u8(77).take());
  EXPECT_NE(text.find("error at offset 17: \"item 77 cannot begin here\"\n"), std::string::npos)
      << text;
}

TEST(TextOutput, control_bytes_of_a_hostile_stream_do_not_reach_the_terminal) {
  const std::string name = "\x1b[2J\x07\n\x7f";
  const std::string text =
      inspect_text(StreamMaker().opening(name).ram_start(name, 4096).part(2, 9).take());
  for (const char c : text) {
    EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << static_cast<int>(c);
    EXPECT_NE(c, '\x7f');
  }
  EXPECT_NE(text.find("\\u001b[2J"), std::string::npos);
}

}  // namespace
}  // namespace tern::tool
