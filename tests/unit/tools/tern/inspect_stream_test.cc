// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_stream.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

constexpr uint64_t kRam = 1u << 20;

StreamMaker begun() {
  StreamMaker m;
  m.opening("none").ram_start("m", kRam);
  return m;
}

TEST(InspectStream, the_configuration_is_shown_whole) {
  Configuration c;
  c.machine = "pc-q35-11.1";
  c.capabilities = {"x-ignore-shared"};
  c.page_bits = 12;
  c.uuid = Uuid{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
  auto bytes = StreamMaker().opening(c).end().take();
  const Json seen = inspect_bytes(bytes).item("configuration");
  EXPECT_EQ(seen["offset"], 8);
  EXPECT_EQ(seen["machine"], "pc-q35-11.1");
  EXPECT_EQ(seen["capabilities"][0], "x-ignore-shared");
  EXPECT_EQ(seen["uuid"], "00112233-4455-6677-8899-aabbccddeeff");
}

TEST(InspectStream, the_captured_stream_has_its_items_in_their_places) {
  const Inspected seen = inspect_bytes(capture("11.1-plain/conn0.to-destination.bin"));
  const std::pair<uint64_t, const char*> expected[] = {{0, "header"},
                                                       {8, "configuration"},
                                                       {17, "section-start"},
                                                       {65, "section-part"},
                                                       {526549, "command"},
                                                       {526554, "section-end"},
                                                       {526572, "section-full"},
                                                       {526620, "section-full"},
                                                       {526754, "eof"},
                                                       {526755, "vmdescription"}};
  const Json& items = seen.json["items"];
  ASSERT_EQ(items.size(), std::size(expected));
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(items[i]["offset"], expected[i].first);
    EXPECT_EQ(items[i]["item"], expected[i].second);
  }
  EXPECT_EQ(items[9]["configuration"], true);
  EXPECT_EQ(items[9]["devices"], 2);
}

TEST(InspectStream, fields_of_a_real_pc_have_the_values_they_had) {
  const Inspected seen = inspect_bytes(capture("7.2-pc/conn0.to-destination.bin"));
  const Json cpu = seen.device("cpu");
  // An x86 CPU after reset: eip 0xfff0, and the model in edx (qemu64: family 15, model 107,
  // stepping 1).
  EXPECT_EQ(field(cpu, "env.eip")["value"], 0xfff0);
  EXPECT_EQ(field(cpu, "env.regs")["value"][2], 0x60fb1);
  EXPECT_EQ(field(cpu, "env.regs")["array_len"], 16);
  const Json globalstate = seen.device("globalstate");
  EXPECT_EQ(field(globalstate, "runstate")["text"], "prelaunch");
  EXPECT_EQ(field(globalstate, "size")["value"], 10);
  EXPECT_EQ(globalstate["bytes"], 104);
}

// Every leaf of every device of whole machines was decoded: nothing says that its description does
// not fit.
void expect_no_notes(const Json& j, const std::string& where) {
  if (j.is_object()) {
    EXPECT_FALSE(j.contains("note")) << where;
    for (const auto& [key, value] : j.items()) expect_no_notes(value, where + "/" + key);
  } else if (j.is_array()) {
    for (const Json& v : j) expect_no_notes(v, where);
  }
}

TEST(InspectStream, the_descriptions_of_whole_machines_fit_their_bytes) {
  for (const char* name : {"7.2-pc", "7.2-q35-usb", "7.2-background-snapshot", "11.1-plain"}) {
    const Inspected seen = inspect_bytes(capture(std::string(name) + "/conn0.to-destination.bin"));
    expect_no_notes(seen.json["items"], name);
  }
}

TEST(InspectStream, a_stream_of_terns_own_writers_is_read_to_the_go) {
  DeviceWriter body;
  body.put_bool("flag", true);
  body.put_i32("cold", -40);
  body.begin_struct("q", "queue", 3);
  body.put_u16("depth", 9);
  body.end_struct();
  const auto bytes = begun().page("m", 0, 1).take();
  StreamMaker m;
  m.opening("none")
      .command(Command::open_return_path)
      .command(Command::ping, bytes_of({0x54, 0x45, 0x52, 0x4e}));
  m.dialect(kTernFeatures)
      .ram_start("m", kRam)
      .ram_end()
      .device(2, {"dev", 1, 4}, body)
      .end()
      .command(Command::tern_go);
  const Inspected seen = inspect_bytes(m.take());
  EXPECT_EQ(seen.error(), "");
  const Json device = seen.device("dev");
  EXPECT_EQ(device["instance_id"], 1);
  EXPECT_EQ(device["version_id"], 4);
  EXPECT_EQ(field(device, "flag")["value"], true);
  EXPECT_EQ(field(device, "cold")["value"], -40);
  EXPECT_EQ(field(device, "q")["vmsd_name"], "queue");
  EXPECT_EQ(field(field(device, "q"), "depth")["value"], 9);
  EXPECT_EQ(seen.item("command", 3)["command"], "tern-go");
}

TEST(InspectStream, a_postcopy_package_is_opened) {
  const Inspected seen = inspect_bytes(capture("7.2-postcopy/conn0.to-destination.bin"));
  EXPECT_EQ(seen.error(), "");
  const Json advise = seen.item("command", 2);
  EXPECT_EQ(advise["command"], "postcopy-advise");
  EXPECT_EQ(advise["target_page_size"], 4096);
  Json package;
  for (const Json& i : seen.json["items"]) {
    if (i.value("command", "") == "packaged") package = i;
  }
  ASSERT_TRUE(package.is_object());
  const Json& inside = package["items"];
  EXPECT_EQ(inside.front()["command"], "postcopy-listen");
  EXPECT_EQ(inside.back()["command"], "postcopy-run");
  const Json last = Inspected::find(inside, "section-full", 34);
  EXPECT_EQ(last["idstr"], "globalstate");
  EXPECT_EQ(last["runstate"], "prelaunch");
  EXPECT_EQ(seen.json["summary"]["vmdescription"], false);
}

TEST(InspectStream, a_stream_without_configuration_and_footers_is_that_of_an_old_machine) {
  StreamMaker m;
  m.be32(kStreamMagic)
      .be32(3)
      .begin(kItemSectionStart, {2, "ram", 0, 4})
      .be64(0x1000 | 4)
      .name("m")
      .be64(0x1000)
      .eos();
  m.part(kItemSectionEnd, 2).eos();
  m.begin(kItemSectionFull, {3, "d", 0, 1})
      .raw({1, 2})
      .end_with(
          R"({"devices": [{"name": "d", "instance_id": 0,
               "fields": [{"name": "x", "type": "uint16", "size": 2}]}]})");
  const Inspected seen = inspect_bytes(m.take());
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(field(seen.device("d"), "x")["value"], 0x102);
}

TEST(InspectStream, footers_that_were_switched_off_must_be_said_to_be) {
  StreamMaker m;
  m.opening("none")
      .begin(kItemSectionStart, {2, "ram", 0, 4})
      .be64(0x1000 | 4)
      .name("m")
      .be64(0x1000)
      .eos();
  m.part(kItemSectionEnd, 2).eos().end_with(R"({"devices": []})");
  const auto bytes = m.take();
  EXPECT_NE(inspect_bytes(bytes).error().find("has no footer"), std::string::npos);
  InspectOptions options;
  options.footers = false;
  EXPECT_EQ(inspect_bytes(bytes, options).error(), "");
}

TEST(InspectStream, a_recovered_postcopy_begins_with_a_command) {
  StreamMaker m;
  m.command(Command::recv_bitmap, bytes_of({6, 'p', 'c', '.', 'r', 'a', 'm'}))
      .command(Command::postcopy_resume);
  m.part(kItemSectionPart, 2)
      .page("pc.ram", 0x1596000, 3)
      .eos()
      .footer(2)
      .part(kItemSectionEnd, 2)
      .eos()
      .footer(2)
      .u8(0);
  const Inspected seen = inspect_bytes(m.take());
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(seen.item("command")["block"], "pc.ram");
  EXPECT_EQ(seen.item("section-part")["pages"]["normal"], 1);
}

TEST(InspectStream, a_device_before_ram_is_decoded_when_its_description_comes) {
  DeviceWriter early;
  early.put_u32("plugged", 5);
  StreamMaker m;
  m.opening("none")
      .device(9, {"0000:00:04.0/virtio-mem-device-early", 0, 1}, early)
      .ram_start("m", kRam)
      .ram_end()
      .end();
  const Inspected seen = inspect_bytes(m.take());
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(seen.device("0000:00:04.0/virtio-mem-device-early")["bytes"], 4);
  // It stands inside the description, which tells its fields.
  const Json state = Inspected::find(seen.item("vmdescription")["items"], "device-state", 0);
  EXPECT_EQ(field(state, "plugged")["value"], 5);
}

TEST(InspectStream, an_unknown_live_section_is_passed_over_by_its_footer) {
  StreamMaker m;
  m.opening("none")
      .begin(kItemSectionStart, {7, "vfio", 0, 1})
      .fill(3000, 0x7e)
      .footer(7)
      .ram_start("m", kRam)
      .ram_end()
      .end();
  const Inspected seen = inspect_bytes(m.take());
  EXPECT_EQ(seen.error(), "");
  EXPECT_EQ(seen.item("section-start")["bytes"], 3000);
  EXPECT_EQ(seen.item("section-start")["boundary"], "guessed by the footer");
}

TEST(InspectStream, zeros_behind_the_end_are_padding_and_anything_else_is_malformed) {
  auto whole = begun().ram_end().end().take();
  const size_t size = whole.size();
  whole.resize(size + 100);
  EXPECT_EQ(inspect_bytes(whole).item("padding")["bytes"], 100);
  whole[size + 50] = std::byte{1};
  EXPECT_EQ(inspect_bytes(whole).error(),
            std::to_string(size + 50) + ": data after the end of the stream");
}

TEST(InspectStream, the_first_malformed_byte_is_named) {
  const size_t part = begun().size();
  const auto at = [&](size_t offset, const std::string& reason) {
    return std::to_string(part + offset) + ": " + reason;
  };
  EXPECT_EQ(inspect_bytes(begun().u8(0x55).take()).error(), at(0, "item 85 cannot begin here"));
  EXPECT_EQ(inspect_bytes(begun().part(kItemSectionPart, 9).take()).error(),
            at(1, "part of section 9, which was not started"));
  EXPECT_EQ(
      inspect_bytes(begun().part(kItemSectionPart, 1).be64(0x1009).take()).error(),
      at(5, "section 'ram': RAM record word 0x0000000000001009: unknown combination of flags"));
  EXPECT_EQ(inspect_bytes(begun().part(kItemSectionPart, 1).eos().u8(0x7e).be32(3).take()).error(),
            at(14, "footer of section 3 after section 'ram' (1)"));
  EXPECT_EQ(inspect_bytes(begun().raw({8, 0, 99, 0, 0}).take()).error(),
            at(1, "unknown command 0x63"));
  EXPECT_EQ(inspect_bytes(begun().raw({8, 0, 2, 0, 5}).take()).error(),
            at(3, "command ping with 5 bytes"));
}

TEST(InspectStream, a_footer_where_the_description_does_not_say_is_malformed) {
  DeviceWriter body;
  body.put_u32("x", 1);
  auto bytes = begun().ram_end().device(5, {"d", 0, 1}, body).end().take();
  const size_t footer = begun().ram_end().size() + 1 + 4 + 2 + 8 + 4;
  bytes[footer + 4] ^= std::byte{1};
  const Inspected seen = inspect_bytes(bytes);
  EXPECT_EQ(seen.error(),
            std::to_string(footer + 1) + ": footer of section 4 after section 'd' (5)");
  EXPECT_EQ(field(seen.device("d"), "x")["value"], 1);  // what came before is shown
}

TEST(InspectStream, a_description_that_is_no_json_is_malformed_and_the_devices_are_shown) {
  DeviceWriter body;
  body.put_u32("x", 1);
  auto bytes = begun().ram_end().device(5, {"d", 0, 1}, body).end().take();
  bytes.back() = std::byte{'!'};
  const Inspected seen = inspect_bytes(bytes);
  EXPECT_NE(seen.error().find("vmdescription: JSON error"), std::string::npos) << seen.error();
  EXPECT_EQ(seen.device("d")["bytes"], 4);
}

TEST(InspectStream, device_state_past_the_limit_is_refused) {
  InspectOptions options;
  options.max_device_state = 100;
  const Inspected seen = inspect_bytes(capture("7.2-plain/conn0.to-destination.bin"), options);
  EXPECT_NE(seen.error().find("--max-device-state"), std::string::npos);
}

}  // namespace
}  // namespace tern::tool
