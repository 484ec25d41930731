// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/threads_machine.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/tools/vmm/support.h"

namespace tern::vmm {
namespace {

constexpr uint64_t kRamBytes = 2 << 20;
constexpr GuestParams kGuest{0x100000, 32, 0, 1};

struct Vm {
  explicit Vm(ThreadsOptions options)
      : machine(
            must(make_threads_machine(small_ram(kRamBytes), options, line.sink(), null_log()))) {}
  SerialLine line;
  std::unique_ptr<VmMachine> machine;
};

ThreadsOptions with(GuestParams params, bool incoming = false) {
  ThreadsOptions options;
  options.params = params;
  options.incoming = incoming;
  return options;
}

TEST(threads_machine, it_runs_the_guests_program) {
  Vm vm(with(kGuest));
  must(vm.machine->resume_all());
  EXPECT_EQ(vm.line.read(60), rounds_text(60));
  must(vm.machine->pause_all(RunState::paused));
  const Verdict verdict = verdict_of(*vm.machine);
  EXPECT_TRUE(verdict.consistent) << describe(verdict);
  EXPECT_GE(verdict.slices[0].rounds, 60U);
}

TEST(threads_machine, it_stops_at_any_page_and_goes_on_there) {
  Vm vm(with(kGuest));
  std::string text;
  Verdict before;
  for (int i = 0; i < 200; ++i) {
    must(vm.machine->resume_all());
    text += vm.line.read(2);  // the first may belong to a round done before
    must(vm.machine->pause_all(RunState::paused));
    text += vm.line.drain();
    const Verdict verdict = verdict_of(*vm.machine);
    ASSERT_TRUE(verdict.consistent) << describe(verdict);
    if (i > 0) must(check_advanced(before, verdict));
    before = verdict;
  }
  EXPECT_EQ(text, rounds_text(text.size()));
}

TEST(threads_machine, it_goes_on_in_another_machine_exactly_where_it_stopped) {
  Vm from(with(kGuest));
  must(from.machine->resume_all());
  std::string text = from.line.read(30);
  must(from.machine->pause_all(RunState::finish_migrate));
  text += from.line.drain();
  const Verdict before = verdict_of(*from.machine);

  Vm to(with({0x110000, 5, 0, 1}, true));  // what it was told does not matter: the stream says
  move_guest(*from.machine, *to.machine);
  must(to.machine->resume_all());
  text += to.line.read(30);
  must(to.machine->pause_all(RunState::paused));
  text += to.line.drain();
  EXPECT_EQ(text, rounds_text(text.size()));
  const Verdict after = verdict_of(*to.machine);
  EXPECT_TRUE(after.consistent) << describe(after);
  EXPECT_TRUE(check_advanced(before, after));
}

TEST(threads_machine, several_vcpus_have_slices_of_their_own) {
  Vm from(with({0x100000, 33, 0, 3}));
  must(from.machine->resume_all());
  from.line.read(20);
  must(from.machine->pause_all(RunState::paused));
  Vm to(with({0x100000, 33, 0, 3}, true));
  move_guest(*from.machine, *to.machine);
  const Verdict before = verdict_of(*to.machine);
  EXPECT_EQ(before.slices.size(), 3U);
  must(to.machine->resume_all());
  Verdict after = before;
  while (!check_advanced(before, after)) {
    to.line.read(1);
    must(to.machine->pause_all(RunState::paused));
    after = verdict_of(*to.machine);
    ASSERT_TRUE(after.consistent) << describe(after);
    must(to.machine->resume_all());
  }
}

TEST(threads_machine, it_keeps_its_pace_and_can_be_stopped_while_it_waits) {
  GuestParams slow = kGuest;
  slow.ticks_per_page = kMaxTicksPerPage;
  Vm vm(with(slow));
  must(vm.machine->resume_all());
  // The first page needs no wait; the second comes in a day.
  while (verdict_of(*vm.machine).slices[0].position == 0) std::this_thread::yield();
  must(vm.machine->pause_all(RunState::paused));
  EXPECT_EQ(verdict_of(*vm.machine).slices[0].position, 1U);
  EXPECT_EQ(vm.line.drain(), "");
}

TEST(threads_machine, a_serial_line_nobody_reads_does_not_keep_it_from_stopping) {
  Vm vm(with({0x100000, 1, 0, 1}));
  ASSERT_GE(::fcntl(vm.line.fd(), F_SETPIPE_SZ, 4096), 4096);
  must(vm.machine->resume_all());
  // A pipe of one page takes no second write until the first was read, so round 1 cannot be
  // printed.
  while (verdict_of(*vm.machine).slices[0].rounds < 2) std::this_thread::yield();
  must(vm.machine->pause_all(RunState::finish_migrate));
  Vm to(with({0x100000, 1, 0, 1}, true));
  move_guest(*vm.machine, *to.machine);
  std::string text = vm.line.drain();
  EXPECT_EQ(text.size(), 1U);
  must(to.machine->resume_all());
  text += to.line.read(100);
  EXPECT_EQ(text, rounds_text(text.size()));
}

TEST(threads_machine, its_writes_are_tracked) {
  // The process itself writes, so write protection is what sees it; either kind may be missing
  // here.
  for (const auto mode : {WriteProtectMode::async, WriteProtectMode::sync}) {
    ThreadsOptions options = with(kGuest);
    options.tracking = mode;
    Vm vm(options);
    auto made = vm.machine->make_tracker(null_log());
    if (!made) {
      std::printf("not on this kernel: %s\n", made.error().message().c_str());
      continue;
    }
    DirtyTracker& tracker = **made;
    must(vm.machine->resume_all());
    vm.line.read(1);
    must(tracker.start(vm.machine->ram()));
    std::jthread service;
    if (tracker.needs_service()) {
      service = std::jthread([&](const std::stop_token& stop) {
        tracker.run_service(stop).ignore("ends with the test");
      });
    }
    vm.line.drain();
    vm.line.read(3);  // a whole round lies between the second and the third
    must(vm.machine->pause_all(RunState::paused));
    DirtyBitmap dirty(vm.machine->ram());
    must(tracker.harvest(dirty));
    for (uint64_t page = 0x100; page < 0x120; ++page)
      EXPECT_TRUE(dirty.block(0).test(page)) << page;
    EXPECT_TRUE(dirty.block(0).test(0)) << "the round count";
    EXPECT_FALSE(dirty.block(0).test(0x120));
    service = {};
    must(tracker.stop());
  }
}

TEST(threads_machine, sections_that_do_not_fit_are_refused) {
  Vm from(with(kGuest));
  Vm two(with({0x100000, 32, 0, 2}, true));
  DeviceWriter writer;
  must(from.machine->devices()[0]->save(writer));
  DeviceReader other_count(writer.bytes(), 0);
  const auto refused = two.machine->devices()[0]->load(other_count, 1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("vCPUs"), std::string::npos);

  Vm to(with(kGuest, true));
  for (size_t size = 0; size < writer.bytes().size(); ++size) {
    DeviceReader cut(writer.bytes().first(size), 0);
    EXPECT_FALSE(to.machine->devices()[0]->load(cut, 1)) << size;
  }
  // Every byte set to 0xff, one after the other: an error or a state that runs, never a wild write.
  for (size_t i = 0; i < writer.bytes().size(); ++i) {
    std::vector<std::byte> bytes(writer.bytes().begin(), writer.bytes().end());
    bytes[i] = std::byte{0xff};
    DeviceReader reader(bytes, 0);
    if (!to.machine->devices()[0]->load(reader, 1)) continue;
    must(to.machine->resume_all());
    must(to.machine->pause_all(RunState::paused));
  }
}

TEST(threads_machine, a_running_machine_is_not_saved) {
  Vm vm(with(kGuest));
  must(vm.machine->resume_all());
  DeviceWriter writer;
  EXPECT_FALSE(vm.machine->devices()[0]->save(writer));
  must(vm.machine->pause_all(RunState::paused));
}

TEST(threads_machine, a_range_outside_ram_is_refused) {
  SerialLine line;
  EXPECT_FALSE(make_threads_machine(small_ram(kRamBytes), with({0x100000, 257, 0, 1}), line.sink(),
                                    null_log()));
}

}  // namespace
}  // namespace tern::vmm
