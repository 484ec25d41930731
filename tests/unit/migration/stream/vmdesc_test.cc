// SPDX-License-Identifier: Apache-2.0
#include "migration/stream/vmdesc.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/doubles/stream_maker.h"

namespace tern {
namespace {

using test::bytes_of;
using test::StreamMaker;

constexpr uint64_t kLimit = 64u << 20;

// From the first FULL section that follows the end of RAM: its offset is the test's knowledge.
std::vector<std::byte> tail_of(const std::string& name, std::string_view first_idstr) {
  const auto bytes = test::capture(name);
  const auto word = bytes_of(first_idstr);
  const auto found = std::search(bytes.begin(), bytes.end(), word.begin(), word.end());
  return {found - 6, bytes.end()};
}

struct Captured {
  const char* name;
  size_t sections;
  const char* last;
};
const Captured kCaptured[] = {
    {"7.2-plain/conn0.to-destination.bin", 2, "globalstate"},
    {"11.1-plain/conn0.to-destination.bin", 2, "globalstate"},
    {"7.2-pc/conn0.to-destination.bin", 35, "globalstate"},
    {"7.2-q35-usb/conn0.to-destination.bin", 38, "globalstate"},
    {"7.2-background-snapshot/conn0.to-destination.bin", 35, "globalstate"},
};

TEST(TailSplitter, cuts_captured_tails_of_whole_machines) {
  for (const Captured& c : kCaptured) {
    TailSplitter splitter(1000, kLimit, true);
    ASSERT_TRUE(splitter.append(tail_of(c.name, "timer")));
    const auto sections = splitter.try_split();
    ASSERT_TRUE(sections) << c.name << ": " << splitter.why_incomplete().message();
    EXPECT_EQ(sections->size(), c.sections) << c.name;
    EXPECT_EQ(sections->front().idstr, "timer");
    EXPECT_EQ(sections->front().body.size(), 24u);
    EXPECT_EQ(sections->front().offset, 1000u + 6 + 5 + 8);
    EXPECT_EQ(sections->back().idstr, c.last);
    EXPECT_EQ(sections->back().body.size(), 104u);
  }
}

TEST(TailSplitter, gives_the_same_however_the_bytes_come) {
  const auto tail = tail_of("7.2-pc/conn0.to-destination.bin", "timer");
  TailSplitter splitter(0, kLimit, true);
  std::optional<std::vector<TailSection>> sections;
  for (size_t at = 0; at < tail.size(); at += 1009) {
    EXPECT_FALSE(sections) << "complete before the last byte";
    ASSERT_TRUE(
        splitter.append(std::span(tail).subspan(at, std::min<size_t>(1009, tail.size() - at))));
    sections = splitter.try_split();
  }
  ASSERT_TRUE(sections);
  EXPECT_EQ(sections->size(), 35u);
}

TEST(TailSplitter, a_tail_cut_anywhere_is_not_complete) {
  const auto tail = tail_of("11.1-plain/conn0.to-destination.bin", "timer");
  for (size_t n = 0; n < tail.size(); ++n) {
    TailSplitter splitter(0, kLimit, true);
    ASSERT_TRUE(splitter.append(std::span(tail).first(n)));
    ASSERT_FALSE(splitter.try_split()) << n;
    EXPECT_FALSE(splitter.why_incomplete().message().empty());
  }
}

std::vector<std::byte> tern_tail(DeviceWriter& body) {
  return StreamMaker().device(3, {"a", 0, 1}, body).end().take();
}

TEST(TailSplitter, state_that_looks_like_the_end_does_not_end_it) {
  // A device whose state holds a complete false end: EOF, description, and JSON that describes
  // nothing.
  const auto decoy = StreamMaker().end_with("{\"devices\": []}").take();
  DeviceWriter body;
  body.put_buffer("decoy", decoy);
  body.put_u32("after", 7);
  const auto tail = tern_tail(body);
  // It even comes in such a piece that the decoy ends with the last byte received.
  const auto found = std::search(tail.begin(), tail.end(), decoy.begin(), decoy.end());
  const auto first = static_cast<size_t>(found - tail.begin()) + decoy.size();
  TailSplitter splitter(0, kLimit, true);
  ASSERT_TRUE(splitter.append(std::span(tail).first(first)));
  EXPECT_FALSE(splitter.try_split());
  ASSERT_TRUE(splitter.append(std::span(tail).subspan(first)));
  const auto sections = splitter.try_split();
  ASSERT_TRUE(sections);
  EXPECT_EQ((*sections)[0].body.size(), decoy.size() + 4);
}

TEST(TailSplitter, a_footer_that_is_not_there_is_an_error_that_says_where) {
  DeviceWriter body;
  body.put_u32("x", 1);
  auto tail = tern_tail(body);
  tail[5 + 1 + 1 + 8 + 4] ^= std::byte{1};  // the footer's first byte
  TailSplitter splitter(100, kLimit, true);
  ASSERT_TRUE(splitter.append(tail));
  EXPECT_FALSE(splitter.try_split());
  EXPECT_NE(splitter.why_incomplete().message().find("at offset 119: no footer of section 'a'"),
            std::string::npos)
      << splitter.why_incomplete().message();
}

TEST(TailSplitter, more_than_the_limit_is_refused) {
  TailSplitter splitter(0, 100, true);
  const std::vector<std::byte> bytes(60);
  ASSERT_TRUE(splitter.append(bytes));
  const auto more = splitter.append(bytes);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code(), ErrorCode::resource_exhausted);
}

TEST(TailSplitter, nothing_but_heads_of_descriptions_is_given_up) {
  // 8 MiB of "EOF, description of n bytes, {" with an end that is always still to come.
  StreamMaker maker;
  maker.u8(4);
  while (maker.size() < (8u << 20)) maker.raw({0, 6, 0, 0xff, 0xff, 0xff, '{'});
  const auto tail = maker.take();
  TailSplitter splitter(0, kLimit, true);
  Result<void> added;
  for (size_t at = 0; at < tail.size() && added; at += 65536) {
    added = splitter.append(std::span(tail).subspan(at, std::min<size_t>(65536, tail.size() - at)));
    EXPECT_FALSE(splitter.try_split());
  }
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code(), ErrorCode::resource_exhausted);
  EXPECT_NE(added.error().message().find("false vmdescriptions"), std::string::npos);
}

TEST(TailSplitter, the_work_on_false_descriptions_is_bounded) {
  // A long walk (commands) that each of many complete false ends would have to make again.
  StreamMaker maker;
  DeviceWriter body;
  body.put_u8("x", 1);
  maker.device(3, {"a", 0, 1}, body);
  for (int i = 0; i < 200000; ++i) maker.raw({8, 0, 1, 0, 0});
  maker.u8(0xee);  // where every walk fails
  const auto front = maker.take();
  const auto end =
      StreamMaker().end_with("{\"devices\":[{\"name\":\"a\",\"fields\":[{\"size\":1}]}]}").take();
  TailSplitter splitter(0, kLimit, true);
  ASSERT_TRUE(splitter.append(front));
  Result<void> added;
  int tries = 0;
  for (; tries < 100000 && added; ++tries) {
    added = splitter.append(end);
    EXPECT_FALSE(added && splitter.try_split());
  }
  EXPECT_LT(tries, 100);  // 2^24 steps of work, 200000 a try
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code(), ErrorCode::resource_exhausted);
}

TEST(TailSplitter, an_empty_tail_may_leave_its_description_out) {
  TailSplitter splitter(0, kLimit, true);
  ASSERT_TRUE(splitter.append(bytes_of({0, 6, 0, 0, 0, 0})));
  const auto sections = splitter.try_split();
  ASSERT_TRUE(sections);
  EXPECT_TRUE(sections->empty());
}

TEST(CutTail, walks_over_commands_and_may_do_without_footers) {
  const auto tail = StreamMaker()
                        .command(Command::ping, bytes_of({0, 0, 0, 9}))
                        .begin(kItemSectionFull, {1, "a", 2, 3})
                        .raw({1, 2})
                        .begin(kItemSectionFull, {2, "b", 0, 1})
                        .take();
  uint64_t work = 100;
  const auto sections = cut_tail(tail, 0, {{{"a", 2}, 2}, {{"b", 0}, 0}}, false, work);
  ASSERT_TRUE(sections) << sections.error().message();
  ASSERT_EQ(sections->size(), 2u);
  EXPECT_EQ((*sections)[0].version_id, 3u);
  EXPECT_EQ((*sections)[0].body.size(), 2u);
  EXPECT_TRUE((*sections)[1].body.empty());
  EXPECT_EQ(work, 97u);
}

TEST(Lengths, add_up_as_the_rules_of_the_description_say) {
  const auto lengths = parse_vmdesc(R"({"page_size": 4096, "devices": [
    {"name": "plain", "instance_id": 1,
     "fields": [{"size": 4}, {"name": "f", "size": 8, "array_len": 3}]},
    {"name": "subs", "instance_id": 0,
     "fields": [{"size": 1, "struct": {"fields": [{"size": 99}],
                                       "subsections": [{"vmsd_name": "no", "fields": []}]}}],
     "subsections": [{"vmsd_name": "subs/x", "version": 1, "fields": [{"size": 2}],
        "subsections": [{"vmsd_name": "subs/x/y", "fields": [{"size": 5, "array_len": 0}]}]}]},
    {"name": "empty", "instance_id": 0, "fields": []}]})");
  ASSERT_TRUE(lengths) << lengths.error().message();
  EXPECT_EQ(lengths->at({"plain", 1}), 4u + 24u);
  EXPECT_EQ(lengths->at({"subs", 0}), 1u + (6 + 6 + 2) + (6 + 8 + 5));
  EXPECT_EQ(lengths->at({"empty", 0}), 0u);
}

TEST(Lengths, duplicate_keys_and_unknown_ones_do_no_harm) {
  const auto lengths = parse_vmdesc(
      R"({"configuration": {"fields": [{"name": 1}]}, "devices":
        [{"name": "q", "extra": [[{"size": "x"}]], "fields":
         [{"name": "l", "type": "qlist", "vmsd_name": "a", "fields": [{"x": 1}], "vmsd_name": "a",
           "fields": [{"x": 2}], "size": 9}]}]})");
  ASSERT_TRUE(lengths) << lengths.error().message();
  EXPECT_EQ(lengths->at({"q", 0}), 9u);
}

TEST(Lengths, hostile_descriptions_are_refused) {
  const auto refused = [](const std::string& json) {
    const auto lengths = parse_vmdesc(json);
    EXPECT_FALSE(lengths) << json.substr(0, 200);
    EXPECT_TRUE(!lengths && lengths.error().code() == ErrorCode::peer_protocol);
  };
  refused("");
  refused("[]");
  refused("17");
  refused("\"x\"");
  refused("{}");
  refused("{\"devices\": {}}");
  refused("{\"devices\": [}");
  refused("{\"devices\": []} x");
  refused("{\"devices\": [{\"fields\": []}]}");                                    // no name
  refused("{\"devices\": [{\"name\": \"a\", \"fields\": [{\"name\": \"x\"}]}]}");  // no size
  refused("{\"devices\": [{\"name\": \"a\", \"fields\": [{\"size\": -1}]}]}");
  refused("{\"devices\": [{\"name\": \"a\", \"fields\": [{\"size\": 1e3}]}]}");
  refused("{\"devices\": [{\"name\": \"a\", \"fields\": [{\"size\": 1e99999}]}]}");
  refused("{\"devices\": [{\"name\": \"a\", \"instance_id\": 4294967296, \"fields\": []}]}");
  refused(
      "{\"devices\": [{\"name\": \"a\", \"fields\": [{\"size\": 18446744073709551615, "
      "\"array_len\": 2}]}]}");
  refused(
      "{\"devices\": [{\"name\": \"a\", \"fields\": [{\"size\": 18446744073709551615}, {\"size\": "
      "1}]}]}");
  refused("{\"devices\": [{\"name\": \"a\", \"subsections\": [{\"fields\": []}]}]}");
  refused("{\"a\": " + std::string(100000, '['));
  std::string objects = "{";
  for (int i = 0; i < 100; ++i) objects += "\"a\": {";
  refused(objects);
  refused("{\"devices\": [{\"name\": \"" + std::string(256, 'n') + "\", \"fields\": []}]}");
  refused("{\"a\": \"" + std::string(1, '\0') + "\"}");
  refused("{\"a\": " + std::string(1u << 20, '9') + "}");
}

TEST(Lengths, more_devices_than_a_machine_can_have_are_refused) {
  std::string json = "{\"devices\": [";
  for (int i = 0; i <= 65536; ++i) {
    json += (i > 0 ? "," : "") + std::string("{\"name\": \"d") + std::to_string(i) + "\"}";
  }
  const auto lengths = parse_vmdesc(json + "]}");
  ASSERT_FALSE(lengths);
  EXPECT_NE(lengths.error().message().find("65536"), std::string::npos);
}

TEST(VmDescriptionWriter, describes_what_the_device_wrote) {
  DeviceWriter body;
  body.put_bool("flag", true);
  const uint64_t words[] = {1, 2, 3};
  body.put_u64_array("words", words);
  for (unsigned i = 0; i < 2; ++i) {
    body.begin_struct("q", "queue", 2);
    body.put_buffer("data", bytes_of({1, 2, 3, 4}));
    body.end_struct();
  }
  VmDescriptionWriter writer;
  writer.add({"dev", 4, 3}, body);
  const auto json = nlohmann::json::parse(writer.finish(4096));
  EXPECT_EQ(json["page_size"], 4096);
  const auto& device = json["devices"][0];
  EXPECT_EQ(device["name"], "dev");
  EXPECT_EQ(device["instance_id"], 4);
  EXPECT_EQ(device["version"], 3);
  const auto& fields = device["fields"];
  ASSERT_EQ(fields.size(), 4u);
  EXPECT_EQ(fields[1]["array_len"], 3);
  EXPECT_EQ(fields[1]["size"], 8);
  EXPECT_EQ(fields[2]["index"], 0);
  EXPECT_EQ(fields[3]["index"], 1);
  EXPECT_EQ(fields[3]["struct"]["vmsd_name"], "queue");
  EXPECT_EQ(fields[3]["size"], 4);
}

TEST(VmDescriptionWriter, never_gives_a_length_that_misleads_qemus_analyser) {
  // analyze-migration.py takes the first '{' (0x7b) after the last NUL byte of the file.
  for (size_t pad = 0; pad < 600; ++pad) {
    DeviceWriter body;
    body.put_u8(std::string(pad + 1, 'f'), 1);
    VmDescriptionWriter writer;
    writer.add({"d", 0, 1}, body);
    const std::string json = writer.finish(4096);
    std::byte length[4];
    store_be(length, static_cast<uint32_t>(json.size()));
    const auto last_nul = std::find(std::rbegin(length), std::rend(length), std::byte{0}).base();
    EXPECT_EQ(std::find(last_nul, std::end(length), std::byte{0x7b}), std::end(length))
        << json.size();
    EXPECT_TRUE(parse_vmdesc(json));
  }
}

}  // namespace
}  // namespace tern
