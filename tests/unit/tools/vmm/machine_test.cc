// SPDX-License-Identifier: Apache-2.0
//
// What all machines share, seen on the one without a guest.
#include "tools/vmm/machine.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/tools/vmm/support.h"
#include "tools/vmm/none_machine.h"

namespace tern::vmm {
namespace {

TEST(machine, the_run_state_follows_the_calls) {
  const auto machine = make_none_machine(small_ram(1 << 20), null_log());
  EXPECT_EQ(machine->run_state(), RunState::prelaunch);
  must(machine->resume_all());
  must(machine->resume_all());
  EXPECT_EQ(machine->run_state(), RunState::running);
  must(machine->pause_all(RunState::paused));
  EXPECT_EQ(machine->run_state(), RunState::paused);
  must(machine->pause_all(RunState::finish_migrate));
  EXPECT_EQ(machine->run_state(), RunState::finish_migrate);
  machine->set_stopped_state(RunState::postmigrate);
  EXPECT_EQ(machine->run_state(), RunState::postmigrate);
}

TEST(machine, nothing_writes_its_memory_between_finish_migrate_and_what_follows) {
  for (const RunState after : {RunState::running, RunState::postmigrate}) {
    const auto machine = make_none_machine(small_ram(1 << 20), null_log());
    must(machine->resume_all());
    must(machine->pause_all(RunState::finish_migrate));
    std::thread writer([&] { must(machine->memory().fill(0, 1, std::byte{1})); });
    EXPECT_EQ(machine->ram()[0].host[0], std::byte{0});
    if (after == RunState::running) {
      must(machine->resume_all());
    } else {
      machine->set_stopped_state(after);
    }
    writer.join();
    EXPECT_EQ(machine->ram()[0].host[0], std::byte{1});
  }
}

TEST(machine, the_pause_guard_gives_it_back) {
  const auto machine = make_none_machine(small_ram(1 << 20), null_log());
  must(machine->resume_all());
  {
    const auto guard = must(VcpuPauseGuard::pause(*machine));
    EXPECT_EQ(machine->run_state(), RunState::finish_migrate);
  }
  EXPECT_EQ(machine->run_state(), RunState::running);
}

}  // namespace
}  // namespace tern::vmm
