// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/none_machine.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/vmm/support.h"

namespace tern::vmm {
namespace {

TEST(none_machine, it_is_qemus_none_with_ram_alone) {
  const auto machine = make_none_machine(small_ram(1 << 20), null_log());
  EXPECT_EQ(machine->name(), "none");
  EXPECT_EQ(machine->vcpus(), 0U);
  EXPECT_TRUE(machine->devices().empty());
  EXPECT_EQ(machine->ram()[0].used_bytes, 1U << 20);
}

TEST(none_machine, its_tracker_knows_what_the_vmm_writes) {
  const auto machine = make_none_machine(small_ram(1 << 20), null_log());
  const auto tracker = must(machine->make_tracker(null_log()));
  machine->memory().set_tracker(tracker.get());
  must(tracker->start(machine->ram()));
  must(machine->resume_all());
  must(machine->memory().fill(0x3000, 1, std::byte{1}));
  DirtyBitmap dirty(machine->ram());
  EXPECT_EQ(must(tracker->harvest(dirty)), 1U);
  EXPECT_TRUE(dirty.block(0).test(3));
}

}  // namespace
}  // namespace tern::vmm
