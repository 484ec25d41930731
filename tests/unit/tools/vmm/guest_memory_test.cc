// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/guest_memory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/unit/tools/vmm/support.h"

namespace tern::vmm {
namespace {

Ram split_ram() {
  RamOptions options;
  options.bytes = 8 << 20;
  options.hole_start = 4 << 20;
  return must(Ram::create(options));
}

TEST(guest_memory, what_is_written_is_read_also_above_the_hole) {
  const Ram ram = split_ram();
  GuestMemory memory(ram.blocks());
  const std::string text = "hello";
  for (const uint64_t gpa : {0ull, 4095ull, (4ull << 20) - 5, 4ull << 30, (4ull << 30) + 12345}) {
    must(memory.write(gpa, std::as_bytes(std::span(text))));
    std::string back(5, ' ');
    must(memory.read(gpa, std::as_writable_bytes(std::span(back))));
    EXPECT_EQ(back, text) << gpa;
  }
}

TEST(guest_memory, addresses_outside_ram_are_named_and_nothing_is_written) {
  const Ram ram = split_ram();
  GuestMemory memory(ram.blocks());
  const auto written = memory.fill((4ull << 20) - 4, 8, std::byte{0xff});
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message().find("0x400000"), std::string::npos)
      << written.error().message();
  EXPECT_EQ(ram.blocks()[0].host[(4 << 20) - 4], std::byte{0});
  EXPECT_FALSE(memory.check(UINT64_MAX, 1));
  EXPECT_FALSE(memory.check(UINT64_MAX - 3, 8));
  EXPECT_FALSE(memory.check(0, UINT64_MAX));
  EXPECT_FALSE(memory.check((4ull << 30) + (4ull << 20), 1));
  EXPECT_TRUE(memory.check((4ull << 30) + (4ull << 20) - 1, 1));
}

TEST(guest_memory, every_write_is_told_to_the_tracker) {
  const Ram ram = split_ram();
  GuestMemory memory(ram.blocks());
  const auto tracker = make_fed_tracker();
  memory.set_tracker(tracker.get());
  must(tracker->start(ram.blocks()));
  const std::byte one{1};
  must(memory.write(0x1fff, std::span(&one, 1)));
  must(memory.fill((4ull << 30) + 4096, 3 << 20, std::byte{2}));
  DirtyBitmap dirty(ram.blocks());
  EXPECT_EQ(must(tracker->harvest(dirty)), 1U + 768U);
  EXPECT_TRUE(dirty.block(0).test(1));
  EXPECT_TRUE(dirty.block(1).test(1));
  EXPECT_TRUE(dirty.block(1).test(768));
  EXPECT_FALSE(dirty.block(1).test(769));
}

TEST(guest_memory, a_held_write_happens_after_the_release) {
  const Ram ram = split_ram();
  GuestMemory memory(ram.blocks());
  memory.hold_writes(true);
  std::atomic<bool> released = false;
  std::thread writer([&] {
    must(memory.fill(0, 1, std::byte{7}));
    EXPECT_TRUE(released);
  });
  std::byte seen{};
  must(memory.read(0, std::span(&seen, 1)));
  EXPECT_EQ(seen, std::byte{0});
  released = true;
  memory.hold_writes(false);
  writer.join();
  EXPECT_EQ(ram.blocks()[0].host[0], std::byte{7});
}

TEST(guest_memory, closing_frees_a_held_writer_with_an_error) {
  const Ram ram = split_ram();
  GuestMemory memory(ram.blocks());
  memory.hold_writes(true);
  std::thread writer([&] {
    const auto written = memory.fill(0, 1, std::byte{7});
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code(), ErrorCode::cancelled);
  });
  memory.close();
  writer.join();
  EXPECT_EQ(ram.blocks()[0].host[0], std::byte{0});
}

}  // namespace
}  // namespace tern::vmm
