// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/serial.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/tools/vmm/support.h"

namespace tern::vmm {
namespace {

constexpr uint16_t kData = 0;
constexpr uint16_t kLineControl = 3;
constexpr uint16_t kModemControl = 4;
constexpr uint16_t kLineStatus = 5;

TEST(serial, bytes_reach_the_line_in_order) {
  SerialLine line;
  Serial serial("s", line.sink());
  for (const char c : {'a', 'b', 'c'}) serial.write(kData, static_cast<uint8_t>(c));
  EXPECT_EQ(serial.read(kLineStatus), 0x60);
  EXPECT_EQ(line.read(3), "abc");
}

TEST(serial, registers_hold_what_was_written_and_the_divisor_is_behind_its_latch) {
  Serial serial("s", {});
  serial.write(1, 0xff);
  serial.write(7, 0x5a);
  serial.write(kModemControl, 0x0b);
  serial.write(kLineControl, 0x83);
  serial.write(0, 0x34);
  serial.write(1, 0x12);
  EXPECT_EQ(serial.read(0), 0x34);
  EXPECT_EQ(serial.read(1), 0x12);
  serial.write(kLineControl, 0x03);
  EXPECT_EQ(serial.read(1), 0x0f);
  EXPECT_EQ(serial.read(kLineControl), 0x03);
  EXPECT_EQ(serial.read(kModemControl), 0x0b);
  EXPECT_EQ(serial.read(7), 0x5a);
  EXPECT_EQ(serial.read(2), 0x01);
  serial.write(2, 0x01);
  EXPECT_EQ(serial.read(2), 0xc1);
}

TEST(serial, loopback_returns_the_byte_and_prints_nothing) {
  SerialLine line;
  Serial serial("s", line.sink());
  serial.write(kModemControl, 0x1e);
  serial.write(kData, 0xae);
  EXPECT_EQ(serial.read(kLineStatus), 0x61);
  EXPECT_EQ(serial.read(kData), 0xae);
  EXPECT_EQ(serial.read(kLineStatus), 0x60);
  EXPECT_EQ(line.drain(), "");
}

/// Fills the pipe until the transmitter keeps a byte.
size_t stuff(Serial& serial) {
  size_t sent = 0;
  while (serial.read(kLineStatus) == 0x60) {
    serial.write(kData, static_cast<uint8_t>('a' + sent % 26));
    ++sent;
  }
  return sent;
}

TEST(serial, a_line_that_is_not_read_stops_the_transmitter_and_loses_nothing) {
  SerialLine line;
  Serial serial("s", line.sink());
  const size_t sent = stuff(serial);
  EXPECT_FALSE(serial.try_put('!'));
  std::string text = line.read(sent - 1);
  EXPECT_EQ(serial.read(kLineStatus), 0x60);
  text += line.read(1);
  for (size_t i = 0; i < sent; ++i) ASSERT_EQ(text[i], 'a' + static_cast<int>(i % 26)) << i;
}

TEST(serial, a_waiting_byte_moves_to_the_other_side_and_is_printed_once) {
  SerialLine here;
  SerialLine there;
  Serial source("s", here.sink());
  Serial destination("s", there.sink());
  source.write(7, 0x77);
  const size_t sent = stuff(source);
  DeviceWriter writer;
  must(source.save(writer));
  load_from(destination, writer);
  EXPECT_EQ(destination.read(7), 0x77);
  EXPECT_EQ(destination.read(kLineStatus), 0x60);
  EXPECT_EQ(there.drain(), std::string(1, static_cast<char>('a' + (sent - 1) % 26)));
}

TEST(serial, a_cut_section_is_an_error) {
  Serial serial("s", {});
  DeviceWriter writer;
  must(serial.save(writer));
  for (size_t size = 0; size < writer.bytes().size(); ++size) {
    DeviceReader reader(writer.bytes().first(size), 0);
    EXPECT_FALSE(serial.load(reader, 1)) << size;
  }
}

TEST(serial, a_reader_that_went_away_does_not_stop_the_guest) {
  ::signal(SIGPIPE, SIG_IGN);
  auto line = std::make_unique<SerialLine>();
  Serial serial("s", line->sink());
  line.reset();
  serial.write(kData, 'x');
  EXPECT_EQ(serial.read(kLineStatus), 0x60);
}

TEST(serial, a_file_starts_anew_or_goes_on) {
  const TempDir dir;
  for (const bool append : {false, true, true}) {
    Serial serial("s", must(SerialSink::open(dir.file("out"), append)));
    serial.write(kData, append ? 'b' : 'a');
  }
  std::string text;
  std::getline(std::ifstream(dir.file("out")), text);
  EXPECT_EQ(text, "abb");
  EXPECT_FALSE(SerialSink::open(dir.file("no/such/dir"), false));
}

}  // namespace
}  // namespace tern::vmm
