// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_maps.h"

#include <gtest/gtest.h>

namespace tern::tool {
namespace {

constexpr const char* kMaps =
    "555500000000-555500001000 r-xp 00000000 fe:00 1234                       /usr/bin/a program\n"
    "555500002000-555500004000 rw-p 00001000 fe:00 1234                       /usr/bin/a program\n"
    "555500800000-555500900000 rw-p 00000000 00:00 0                          [heap]\n"
    "7f0000000000-7f0010000000 rw-s 00002000 00:01 77                         /memfd:ram "
    "(deleted)\n"
    "7f0020000000-7f0020001000 rw-p 00000000 00:00 0 \n"
    "7f0030000000-7f0030001000 -w-p 00000000 00:00 0 \n"
    "7f0040000000-7f0040001000 rw-s 00000000 00:06 9                          /dev/dri/card0\n"
    "7fff00000000-7fff00001000 rw-p 00000000 00:00 0                          [stack]\n";

std::vector<std::string> names(const MappingsChosen& chosen) {
  std::vector<std::string> names;
  for (const Mapping& mapping : chosen.mappings) names.push_back(mapping.name);
  return names;
}
MappingsChosen choose(const MappingChoice& choice) {
  return choose_mappings(parse_maps(kMaps).value(), choice);
}

TEST(DirtyRateMaps, lines_are_read_with_names_that_have_blanks_and_without_names) {
  const Result<std::vector<Mapping>> maps = parse_maps(kMaps);
  ASSERT_TRUE(maps);
  ASSERT_EQ(maps->size(), 8u);
  EXPECT_EQ((*maps)[0].name, "/usr/bin/a program");
  EXPECT_FALSE((*maps)[0].writable);
  const Mapping& ram = (*maps)[3];
  EXPECT_EQ(ram.start, 0x7f0000000000u);
  EXPECT_EQ(ram.bytes(), 0x10000000u);
  EXPECT_EQ(ram.offset, 0x2000u);
  EXPECT_EQ(ram.inode, 77u);
  EXPECT_TRUE(ram.shared);
  EXPECT_EQ(ram.name, "/memfd:ram (deleted)");
  EXPECT_EQ((*maps)[4].name, "[anon]");
}

TEST(DirtyRateMaps, what_makes_no_sense_is_refused_with_its_line) {
  for (const char* line :
       {"x", "10-20 rw-p 0 0:0 0", "2000-1000 rw-p 0 0:0 0", "1000-1000 rw-p 0 0:0 0",
        "1000-2000 rw-p 0 0:0 zero", "1000-2000 rw", "1000-20000000000000000 rw-p 0 0:0 0", "",
        "1000-2000 rw-p 0 0:0 \x1b[31m"}) {
    const Result<std::vector<Mapping>> maps =
        parse_maps("1000-2000 rw-p 0 0:0 0\n" + std::string(line) + "\n");
    ASSERT_FALSE(maps) << line;
    EXPECT_EQ(maps.error().code(), ErrorCode::peer_protocol);
    EXPECT_NE(maps.error().message().find("line 2"), std::string::npos);
    EXPECT_EQ(maps.error().message().find('\x1b'), std::string::npos);
  }
  EXPECT_TRUE(parse_maps("")->empty());
}

TEST(DirtyRateMaps, a_mapping_that_is_listed_twice_counts_once) {
  const Result<std::vector<Mapping>> maps =
      parse_maps("1000-3000 rw-p 0 0:0 0\n2000-4000 rw-p 0 0:0 0\n5000-6000 rw-p 0 0:0 0\n");
  ASSERT_EQ(maps->size(), 2u);
  EXPECT_EQ((*maps)[1].start, 0x5000u);
}

TEST(DirtyRateMaps, what_cannot_be_dirtied_or_is_a_device_is_left_out_and_counted) {
  const MappingsChosen chosen = choose({});
  EXPECT_EQ(names(chosen), (std::vector<std::string>{"/usr/bin/a program", "[heap]",
                                                     "/memfd:ram (deleted)", "[anon]", "[stack]"}));
  EXPECT_EQ(chosen.all, 8u);
  EXPECT_EQ(chosen.read_only, 2u);
  EXPECT_EQ(chosen.devices, 1u);
}

TEST(DirtyRateMaps, mappings_are_chosen_by_size_and_name) {
  MappingChoice choice;
  choice.min_bytes = 1 << 20;
  EXPECT_EQ(names(choose(choice)), (std::vector<std::string>{"[heap]", "/memfd:ram (deleted)"}));
  choice.globs = {"*memfd*", "/usr/*"};
  EXPECT_EQ(names(choose(choice)), (std::vector<std::string>{"/memfd:ram (deleted)"}));
  MappingChoice by_regex;
  ASSERT_TRUE(by_regex.set_regex("^\\[(heap|stack)"));
  EXPECT_EQ(names(choose(by_regex)), (std::vector<std::string>{"[heap]", "[stack]"}));
  EXPECT_EQ(choose(by_regex).unwanted, 3u);
  MappingChoice wrong;
  const Result<void> set = wrong.set_regex("(");
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().code(), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace tern::tool
