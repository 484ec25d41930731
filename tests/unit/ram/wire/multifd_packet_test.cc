// SPDX-License-Identifier: Apache-2.0
#include "ram/wire/multifd_packet.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/wire_int.h"
#include "tests/doubles/memory_channel.h"

namespace tern {
namespace {

using test::bytes_of;
using Header = std::array<std::byte, kMultifdPacketBytes>;

constexpr uint64_t kPage = kTargetPageBytes;

// A header as it came from a QEMU: its first words, a name, its offsets.
Header captured(std::initializer_list<uint32_t> words, std::string_view block = {},
                const std::vector<uint64_t>& offsets = {}) {
  Header header{};
  size_t at = 0;
  for (const uint32_t word : words) {
    store_be(header.data() + at, word);
    at += 4;
  }
  const auto name = bytes_of(block);
  std::copy(name.begin(), name.end(), header.begin() + 64);
  for (size_t i = 0; i < offsets.size(); ++i) store_be(header.data() + 320 + 8 * i, offsets[i]);
  return header;
}
std::vector<uint64_t> ascending(size_t count, uint64_t first = 0) {
  std::vector<uint64_t> offsets;
  for (size_t i = 0; i < count; ++i) offsets.push_back((first + i) * kPage);
  return offsets;
}

MultifdPacket read(const Header& header) {
  const auto packet = parse_multifd_packet(header);
  EXPECT_TRUE(packet) << packet.error().message();
  return packet ? *packet : MultifdPacket();
}
// Written again it is the same; of packets without pages only what means something is.
void expect_same_bytes(const MultifdPacket& packet, const Header& header) {
  Header again;
  encode(packet, again);
  EXPECT_EQ(again, header);
}

TEST(MultifdPacket, the_first_packet_is_magic_version_uuid_and_number) {
  MultifdInitial initial;
  for (size_t i = 0; i < initial.uuid.size(); ++i) initial.uuid[i] = static_cast<uint8_t>(i * 17);
  initial.id = 5;
  std::array<std::byte, kMultifdInitialBytes> bytes;
  bytes.fill(std::byte{0xee});
  encode(initial, bytes);
  auto expected =
      bytes_of({0x11, 0x22, 0x33, 0x44, 0,    0,    0,    1,    0x00, 0x11, 0x22, 0x33, 0x44,
                0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 5});
  expected.resize(64);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), expected.begin(), expected.end()));
  bytes[30] = bytes[63] = std::byte{7};  // unused bytes say nothing
  const auto read = parse_multifd_initial(bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->uuid, initial.uuid);
  EXPECT_EQ(read->id, 5);
}

TEST(MultifdPacket, a_first_packet_without_magic_or_version_is_refused) {
  std::array<std::byte, kMultifdInitialBytes> bytes;
  encode(MultifdInitial{}, bytes);
  bytes[7] = std::byte{2};
  EXPECT_EQ(parse_multifd_initial(bytes).error().message(), "packet version 2, only 1 is known");
  encode(MultifdInitial{}, bytes);
  bytes[0] = std::byte{'Q'};
  EXPECT_EQ(parse_multifd_initial(bytes).error().message(),
            "packet without the magic 0x11223344 (0x51223344)");
}

TEST(MultifdPacket, a_sync_of_7_2_says_how_many_pages_there_could_be) {
  const Header header = captured({0x11223344, 1, 1, 0x80, 0, 0, 0, 0});
  const MultifdPacket p = read(header);
  EXPECT_EQ(p.flags, kMultifdSync);
  EXPECT_EQ(p.pages_alloc, 128u);
  EXPECT_EQ(p.normal + p.zero + p.payload_bytes, 0u);
  expect_same_bytes(p, header);
}

TEST(MultifdPacket, a_sync_of_11_1_says_none) {
  const Header header = captured({0x11223344, 1, 1, 0, 0, 0, 0, 1});
  const MultifdPacket p = read(header);
  EXPECT_EQ(p.pages_alloc, 0u);
  EXPECT_EQ(p.number, 1u);
  expect_same_bytes(p, header);
}

TEST(MultifdPacket, a_full_packet_of_7_2) {
  const Header header =
      captured({0x11223344, 1, 0, 0x80, 0x80, 0x80000, 0, 2}, "pc.ram", ascending(128, 3));
  const MultifdPacket p = read(header);
  EXPECT_EQ(p.normal, 128u);
  EXPECT_EQ(p.payload_bytes, 128 * kPage);
  EXPECT_EQ(p.block, "pc.ram");
  EXPECT_EQ(p.offsets[0], 3 * kPage);
  EXPECT_EQ(p.offsets[127], 130 * kPage);
  expect_same_bytes(p, header);
}

TEST(MultifdPacket, pages_and_sync_in_one_packet_as_7_2_does) {
  const Header header = captured({0x11223344, 1, 1, 0x80, 0x18, 0x18000, 0, 6}, "m", ascending(24));
  const MultifdPacket p = read(header);
  EXPECT_EQ(p.flags, kMultifdSync);
  EXPECT_EQ(p.normal, 24u);
  EXPECT_EQ(p.payload_bytes, 98304u);
  expect_same_bytes(p, header);
}

TEST(MultifdPacket, without_pages_payload_name_and_offsets_are_leftovers) {
  Header header = captured({0x11223344, 1, 0, 0x80, 0, 0x18000, 0, 6}, "m", {1, 2, 3});
  std::fill(header.begin() + 64, header.begin() + 320, std::byte{'x'});  // not even terminated
  const MultifdPacket p = read(header);
  EXPECT_EQ(p.payload_bytes, 0u);
  EXPECT_EQ(p.block, "");
  store_be<uint32_t>(header.data() + 20, 0xffffffff);
  EXPECT_EQ(read(header).payload_bytes, 0u);
  store_be<uint32_t>(header.data() + 8, kMultifdSync | kMultifdZlib);  // nor is there a method
  EXPECT_EQ(read(header).payload_bytes, 0u);
}

TEST(MultifdPacket, normal_and_zero_pages_of_11_1_in_any_order) {
  std::vector<uint64_t> offsets = ascending(87, 10);
  std::swap(offsets[3], offsets[50]);
  for (size_t i = 41; i-- > 0;) offsets.push_back((200 + i) * kPage);
  const Header header =
      captured({0x11223344, 1, 0, 0x80, 0x57, 0x57000, 0, 2, 0x29}, "pc.ram", offsets);
  const MultifdPacket p = read(header);
  EXPECT_EQ(p.normal, 87u);
  EXPECT_EQ(p.zero, 41u);
  EXPECT_TRUE(std::equal(offsets.begin(), offsets.end(), p.offsets.begin(), p.offsets.end()));
  expect_same_bytes(p, header);
}

TEST(MultifdPacket, only_zero_pages_have_no_payload_and_may_name_the_method) {
  for (const uint32_t method : {0u, kMultifdZlib, kMultifdZstd, 0x08u, 0x10u, 0x20u}) {
    const Header header =
        captured({0x11223344, 1, method, 0x80, 0, 0, 0, 9, 3}, "m", {0, 5 * kPage, kPage});
    const MultifdPacket p = read(header);
    EXPECT_EQ(p.zero, 3u);
    EXPECT_EQ(p.flags, method);
    expect_same_bytes(p, header);
  }
}

TEST(MultifdPacket, compressed_payloads_have_1_byte_to_1_mib) {
  for (const uint32_t bytes : {1u, 4096u, kMultifdMaxPayload}) {
    const MultifdPacket p =
        read(captured({0x11223344, 1, kMultifdZstd, 2, 1, bytes, 0, 9, 1}, "m", ascending(2)));
    EXPECT_EQ(p.payload_bytes, bytes);
  }
}

TEST(MultifdPacket, what_stands_in_unused_fields_is_not_looked_at) {
  Header header = captured({0x11223344, 1, 0, 1, 1, 4096, 0, 9, 0}, "m", {kPage, 1, 2, 3});
  std::fill(header.begin() + 36, header.begin() + 64, std::byte{0xff});
  std::fill(header.begin() + 66, header.begin() + 320, std::byte{0xff});
  const MultifdPacket p = read(header);
  EXPECT_EQ(p.block, "m");
  EXPECT_EQ(p.offsets[0], kPage);
  EXPECT_EQ(p.offsets[1], 0u);
}

TEST(MultifdPacket, the_longest_name_has_255_bytes) {
  MultifdPacket p;
  p.pages_alloc = 128;
  p.normal = 1;
  p.payload_bytes = 4096;
  p.block = std::string(255, 'n');
  Header header;
  encode(p, header);
  EXPECT_EQ(header[319], std::byte{0});
  EXPECT_EQ(read(header).block, p.block);
}

TEST(MultifdPacket, a_number_has_64_bits) {
  MultifdPacket p;
  p.number = 0xfedcba9876543210;
  Header header;
  encode(p, header);
  EXPECT_EQ(read(header).number, p.number);
}

std::string refusal(const Header& header) {
  const auto packet = parse_multifd_packet(header);
  if (packet) return "accepted";
  EXPECT_EQ(packet.error().code(), ErrorCode::peer_protocol);
  return packet.error().message();
}
std::string refusal(std::initializer_list<uint32_t> words, std::string_view block = "m",
                    const std::vector<uint64_t>& offsets = {}) {
  return refusal(captured(words, block, offsets));
}

TEST(MultifdPacket, every_packet_has_magic_and_version) {
  EXPECT_EQ(refusal({0x5145564d, 1, 1}), "packet without the magic 0x11223344 (0x5145564d)");
  EXPECT_EQ(refusal({0x11223344, 0, 1}), "packet version 0, only 1 is known");
  EXPECT_EQ(refusal({0x11223344, 0x01000000, 1}), "packet version 16777216, only 1 is known");
}

TEST(MultifdPacket, unknown_flags_and_two_methods_are_refused) {
  EXPECT_EQ(refusal({0x11223344, 1, 0x80}), "packet with unknown flags 128");
  EXPECT_EQ(refusal({0x11223344, 1, 0x80000001}), "packet with unknown flags 2147483649");
  EXPECT_EQ(refusal({0x11223344, 1, 0x06}), "packet with flags 6, of two compression methods");
  EXPECT_EQ(refusal({0x11223344, 1, 0x3f}), "packet with flags 63, of two compression methods");
}

TEST(MultifdPacket, more_pages_than_there_is_room_for_are_refused) {
  EXPECT_EQ(refusal({0x11223344, 1, 0, 129}),
            "packet of 0 normal and 0 zero pages, allocated 129 (128 at most)");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 0xffffffff}),
            "packet of 0 normal and 0 zero pages, allocated 4294967295 (128 at most)");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 129, 129 * 4096}),
            "packet of 129 normal and 0 zero pages, allocated 128 (128 at most)");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 1, 2, 2 * 4096}),
            "packet of 2 normal and 0 zero pages, allocated 1 (128 at most)");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 100, 100 * 4096, 0, 0, 29}),
            "packet of 100 normal and 29 zero pages, allocated 128 (128 at most)");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 0, 0, 0, 0, 129}),
            "packet of 0 normal and 129 zero pages, allocated 128 (128 at most)");
  // Sums that overflow are no way around.
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 1, 4096, 0, 0, 0xffffffff}),
            "packet of 1 normal and 4294967295 zero pages, allocated 128 (128 at most)");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 0xffffffff, 4096, 0, 0, 1}),
            "packet of 4294967295 normal and 1 zero pages, allocated 128 (128 at most)");
}

TEST(MultifdPacket, payloads_that_cannot_be_are_refused) {
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 1, 4097}, "m", {0}),
            "payload of 4097 bytes for 1 pages");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 2, 4096}, "m", {0, kPage}),
            "payload of 4096 bytes for 2 pages");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 1, 0}, "m", {0}), "payload of 0 bytes for 1 pages");
  EXPECT_EQ(refusal({0x11223344, 1, kMultifdZlib, 128, 1, 0}, "m", {0}),
            "payload of 0 bytes, 1..1048576 are possible");
  EXPECT_EQ(refusal({0x11223344, 1, kMultifdZlib, 128, 1, 1048577}, "m", {0}),
            "payload of 1048577 bytes, 1..1048576 are possible");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 0, 1, 0, 0, 1}, "m", {0}),
            "payload of 1 bytes without normal pages");
}

TEST(MultifdPacket, pages_need_the_name_of_a_block) {
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 1, 4096}, "", {0}), "RAM block name is empty");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 0, 0, 0, 0, 1}, "", {0}), "RAM block name is empty");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 1, 4096}, std::string(256, 'n'), {0}),
            "RAM block name is not NUL-terminated");
}

TEST(MultifdPacket, offsets_are_page_boundaries) {
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 2, 8192}, "m", {kPage, 5}),
            "page offset 5 is not a page boundary");
  EXPECT_EQ(refusal({0x11223344, 1, 0, 128, 1, 4096, 0, 0, 1}, "m", {kPage, UINT64_MAX}),
            "page offset 18446744073709551615 is not a page boundary");
  // Whether they are inside the block is for who knows its size.
  EXPECT_EQ(read(captured({0x11223344, 1, 0, 1, 1, 4096}, "m", {0 - kPage})).offsets[0], 0 - kPage);
}

std::array<std::byte, kMultifdDeviceBytes> device(uint32_t flags, std::string_view idstr,
                                                  uint32_t payload) {
  std::array<std::byte, kMultifdDeviceBytes> bytes{};
  store_be<uint32_t>(bytes.data(), kMultifdMagic);
  store_be<uint32_t>(bytes.data() + 4, 1);
  store_be(bytes.data() + 8, flags);
  const auto name = bytes_of(idstr);
  std::copy(name.begin(), name.end(), bytes.begin() + 12);
  store_be<uint32_t>(bytes.data() + 268, 2);
  store_be(bytes.data() + 272, payload);
  return bytes;
}
std::string device_refusal(uint32_t flags, std::string_view idstr, uint32_t payload) {
  const auto packet = parse_multifd_device(device(flags, idstr, payload));
  return packet ? "accepted" : packet.error().message();
}

TEST(MultifdPacket, device_state_has_a_head_of_its_own) {
  const auto bytes = device(kMultifdDeviceState, "0000:00:02.0/vfio", 100);
  const auto flags = parse_multifd_prefix(std::span(bytes).first<kMultifdPrefixBytes>());
  ASSERT_TRUE(flags);
  EXPECT_EQ(*flags, kMultifdDeviceState);
  const auto packet = parse_multifd_device(bytes);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->idstr, "0000:00:02.0/vfio");
  EXPECT_EQ(packet->instance_id, 2u);
  EXPECT_EQ(packet->payload_bytes, 100u);
}

TEST(MultifdPacket, device_state_that_cannot_be_is_refused) {
  EXPECT_EQ(device_refusal(0x40, "", 1), "device name is empty");
  EXPECT_EQ(device_refusal(0x40, std::string(256, 'd'), 1), "device name is not NUL-terminated");
  EXPECT_EQ(device_refusal(0x40, "d", 0), "empty device state packet");
  EXPECT_EQ(device_refusal(0x41, "d", 1), "device state packet with other flags (65)");
  EXPECT_EQ(device_refusal(0x42, "d", 1), "device state packet with other flags (66)");
  EXPECT_EQ(device_refusal(0, "d", 1), "RAM where device state must be");
  EXPECT_EQ(refusal({0x11223344, 1, 0x40}), "device state where RAM must be");
}

TEST(MultifdPacket, a_refusal_tells_where_the_field_begins) {
  const auto where = [](const Header& header) {
    size_t wrong_at = SIZE_MAX;
    EXPECT_FALSE(parse_multifd_packet(header, &wrong_at));
    return wrong_at;
  };
  EXPECT_EQ(where(captured({0x5145564d, 1})), 0u);
  EXPECT_EQ(where(captured({0x11223344, 2})), 4u);
  EXPECT_EQ(where(captured({0x11223344, 1, 0x80})), 8u);
  EXPECT_EQ(where(captured({0x11223344, 1, 0x40})), 8u);
  EXPECT_EQ(where(captured({0x11223344, 1, 0, 129})), 12u);
  EXPECT_EQ(where(captured({0x11223344, 1, 0, 1, 2})), 16u);
  EXPECT_EQ(where(captured({0x11223344, 1, 0, 1, 1, 1})), 20u);
  EXPECT_EQ(where(captured({0x11223344, 1, 0, 1, 0, 0, 0, 0, 2})), 32u);
  EXPECT_EQ(where(captured({0x11223344, 1, 0, 1, 1, 4096})), 64u);
  EXPECT_EQ(where(captured({0x11223344, 1, 0, 2, 2, 8192}, "m", {0, 1})), 328u);
  size_t wrong_at = SIZE_MAX;
  EXPECT_FALSE(parse_multifd_device(device(0x40, "d", 0), &wrong_at));
  EXPECT_EQ(wrong_at, 272u);
  EXPECT_FALSE(parse_multifd_device(device(0x40, "", 1), &wrong_at));
  EXPECT_EQ(wrong_at, 12u);
}

TEST(MultifdPacket, the_prefix_alone_tells_which_head_follows) {
  for (const uint32_t flags : {0u, 1u, 2u, 5u, 0x21u, 0x40u}) {
    const auto bytes = device(flags, "d", 1);
    EXPECT_EQ(*parse_multifd_prefix(std::span(bytes).first<kMultifdPrefixBytes>()), flags);
  }
}

}  // namespace
}  // namespace tern
