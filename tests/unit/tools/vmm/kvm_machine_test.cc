// SPDX-License-Identifier: Apache-2.0
//
// Real guests under KVM; each test is skipped, saying so, where /dev/kvm cannot be opened.
#include "tools/vmm/kvm_machine.h"

#include <gtest/gtest.h>

#include <thread>

#include <future>

#include "tests/unit/tools/vmm/support.h"

namespace tern::vmm {
namespace {

constexpr uint64_t kRamBytes = 2 << 20;
constexpr GuestParams kGuest{0x100000, 32, 0, 1};

struct Vm {
  explicit Vm(const KvmOptions& options, uint64_t ram_bytes = kRamBytes)
      : machine(must(make_kvm_machine(small_ram(ram_bytes), options, line.sink(), null_log()))) {}
  SerialLine line;
  std::unique_ptr<VmMachine> machine;
};

KvmOptions with(GuestParams params, bool incoming = false) {
  KvmOptions options;
  options.params = params;
  options.incoming = incoming;
  return options;
}

KvmOptions boot(std::initializer_list<int> code) {
  KvmOptions options = with(kGuest);
  for (const int byte : code) options.boot.push_back(static_cast<std::byte>(byte));
  return options;
}

class KvmMachine : public testing::Test {
 protected:
  void SetUp() override {
    const UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!kvm) GTEST_SKIP() << "no KVM here: /dev/kvm: " << std::strerror(errno);
  }
};

TEST_F(KvmMachine, the_test_guest_runs) {
  Vm vm(with(kGuest));
  EXPECT_EQ(built_in_guest().size(), 512U);
  must(vm.machine->resume_all());
  EXPECT_EQ(vm.line.read(60), rounds_text(60));
  must(vm.machine->pause_all(RunState::paused));
  const Verdict verdict = verdict_of(*vm.machine);
  EXPECT_TRUE(verdict.consistent) << describe(verdict);
  EXPECT_GE(verdict.slices[0].rounds, 60U);
}

TEST_F(KvmMachine, it_stops_anywhere_and_goes_on_there) {
  // One page: most stops fall into port accesses, which must be done exactly once.
  for (const uint64_t pages : {1U, 32U}) {
    Vm vm(with({0x100000, pages, 0, 1}));
    std::string text;
    for (int i = 0; i < 100; ++i) {
      must(vm.machine->resume_all());
      text += vm.line.read(1);
      must(vm.machine->pause_all(RunState::paused));
      const Verdict verdict = verdict_of(*vm.machine);
      ASSERT_TRUE(verdict.consistent) << describe(verdict);
    }
    text += vm.line.drain();
    EXPECT_EQ(text, rounds_text(text.size()));
  }
}

TEST_F(KvmMachine, it_goes_on_in_another_vm_exactly_where_it_stopped) {
  auto from = std::make_unique<Vm>(with(kGuest));
  must(from->machine->resume_all());
  std::string text = from->line.read(1);
  for (int hop = 0; hop < 5; ++hop) {
    text += from->line.read(5);
    must(from->machine->pause_all(RunState::finish_migrate));
    text += from->line.drain();
    const Verdict before = verdict_of(*from->machine);
    auto to = std::make_unique<Vm>(with({0x180000, 1, 0, 1}, true));
    move_guest(*from->machine, *to->machine);
    must(to->machine->resume_all());
    text += to->line.read(5);
    must(to->machine->pause_all(RunState::paused));
    const Verdict after = verdict_of(*to->machine);
    ASSERT_TRUE(after.consistent) << describe(after);
    must(check_advanced(before, after));
    must(to->machine->resume_all());
    from = std::move(to);
  }
  must(from->machine->pause_all(RunState::paused));
  text += from->line.drain();
  EXPECT_EQ(text, rounds_text(text.size()));
}

TEST_F(KvmMachine, two_vcpus_move_each_with_its_slice) {
  Vm from(with({0x100000, 33, 0, 2}));
  must(from.machine->resume_all());
  from.line.read(20);
  must(from.machine->pause_all(RunState::paused));
  Vm to(with({0x100000, 33, 0, 2}, true));
  move_guest(*from.machine, *to.machine);
  const Verdict before = verdict_of(*to.machine);
  EXPECT_EQ(before.slices.size(), 2U);
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

TEST_F(KvmMachine, two_vms_run_at_once) {
  Vm one(with(kGuest));
  Vm two(with(kGuest));
  must(one.machine->resume_all());
  must(two.machine->resume_all());
  EXPECT_EQ(one.line.read(20), rounds_text(20));
  EXPECT_EQ(two.line.read(20), rounds_text(20));
  must(one.machine->pause_all(RunState::paused));
  EXPECT_EQ(two.line.read(20).size(), 20U);
}

TEST_F(KvmMachine, a_pace_is_kept_and_does_not_keep_it_from_stopping) {
  KvmOptions options = with(kGuest);
  options.pages_per_second = 1;
  Vm vm(options);
  must(vm.machine->resume_all());
  while (verdict_of(*vm.machine).slices[0].position == 0) std::this_thread::yield();
  must(vm.machine->pause_all(RunState::paused));
  const Verdict verdict = verdict_of(*vm.machine);
  EXPECT_TRUE(verdict.consistent) << describe(verdict);
  EXPECT_EQ(verdict.slices[0].rounds, 0U);
  const ParamBlock block =
      must(decode_params(memory_of(*vm.machine).subspan(kParamsGpa, kParamsBytes)));
  EXPECT_GT(block.params.ticks_per_page, 1'000'000U);  // a second is at least that on any TSC
}

/// What is dirty after the guest went over its range once and the VMM wrote to 0x1ff000.
DirtyBitmap dirty_after_a_round(Vm& vm, DirtyTracker& tracker) {
  vm.machine->memory().set_tracker(&tracker);
  must(vm.machine->resume_all());
  vm.line.read(1);
  must(tracker.start(vm.machine->ram()));
  DirtyBitmap dirty(vm.machine->ram());
  vm.line.drain();
  vm.line.read(3);  // a whole round lies between the second and the third
  must(vm.machine->memory().fill(0x1ff000, 1, std::byte{1}));
  must(vm.machine->pause_all(RunState::paused));
  must(tracker.harvest(dirty));
  return dirty;
}

TEST_F(KvmMachine, the_dirty_log_sees_the_guest_and_the_vmm) {
  Vm vm(with(kGuest));
  const auto tracker = must(vm.machine->make_tracker(null_log()));
  const DirtyBitmap dirty = dirty_after_a_round(vm, *tracker);
  for (uint64_t page = 0x100; page < 0x120; ++page) EXPECT_TRUE(dirty.block(0).test(page)) << page;
  EXPECT_TRUE(dirty.block(0).test(0)) << "the round count";
  EXPECT_TRUE(dirty.block(0).test(0x1ff)) << "the VMM's own write";
  EXPECT_FALSE(dirty.block(0).test(0x150));
  must(tracker->stop());
}

TEST_F(KvmMachine, the_dirty_rings_see_the_guest_and_who_of_it_wrote) {
  KvmOptions options = with({0x100000, 32, 0, 2});
  options.dirty_ring = 65536;
  Vm vm(options);
  const auto tracker = must(vm.machine->make_tracker(null_log()));
  const DirtyBitmap dirty = dirty_after_a_round(vm, *tracker);
  for (uint64_t page = 0x100; page < 0x110; ++page) EXPECT_TRUE(dirty.block(0).test(page)) << page;
  EXPECT_TRUE(dirty.block(0).test(0x1ff)) << "the VMM's own write";
  EXPECT_FALSE(dirty.block(0).test(0x150));
  const auto by_vcpu = tracker->vcpu_dirty_pages();
  ASSERT_EQ(by_vcpu.size(), 2U);
  EXPECT_GE(by_vcpu[0], 16U);
  must(tracker->stop());
}

/// Runs a guest until it ends by itself; returns what it printed.
std::string run_to_the_end(const KvmOptions& options) {
  Vm vm(options);
  std::promise<void> ended;
  vm.machine->on_guest_end([&] { ended.set_value(); });
  must(vm.machine->resume_all());
  ended.get_future().wait();
  must(vm.machine->pause_all(RunState::shutdown));
  return vm.line.drain();
}

TEST_F(KvmMachine, a_halt_ends_the_guest) { run_to_the_end(boot({0xf4})); }

TEST_F(KvmMachine, a_triple_fault_ends_the_guest) {
  run_to_the_end(boot({
      0xfa, 0x31, 0xc0, 0x8e, 0xd8,        // cli; ds = 0
      0x66, 0x0f, 0x01, 0x16, 0x34, 0x7c,  // lgdt [0x7c34]
      0x0f, 0x20, 0xc0, 0x0c, 0x01,        // protected mode on
      0x0f, 0x22, 0xc0, 0xea, 0x18, 0x7c, 0x08, 0x00,
      0x0f, 0x01, 0x1d, 0x3a, 0x7c, 0x00, 0x00,  // lidt [0x7c3a]: no vector at all
      0x0f, 0x0b, 0xeb, 0xfe, 0x90,              // ud2; jmp .
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xcf, 0x00,  // 0x08: code, 4 GiB flat
      0x0f, 0x00, 0x24, 0x7c, 0x00, 0x00,              // 0x7c34: the table above
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00,              // 0x7c3a: limit 0
  }));
}

TEST_F(KvmMachine, a_fast_reset_ends_the_guest) {
  // mov al, 3; out 0x92, al; mov al, 'x'; mov dx, 0x3f8; out dx, al; hlt
  EXPECT_EQ(run_to_the_end(boot({0xb0, 0x03, 0xe6, 0x92, 0xb0, 'x', 0xba, 0xf8, 0x03, 0xee, 0xf4})),
            "");
}

TEST_F(KvmMachine, unknown_ports_read_as_ff_and_port_92_as_written) {
  // mov dx, 0x3f8; in al, 0x60; out dx, al; mov al, 2; out 0x92, al; in al, 0x92; out dx, al; hlt
  EXPECT_EQ(run_to_the_end(boot({0xba, 0xf8, 0x03, 0xe4, 0x60, 0xee, 0xb0, 0x02, 0xe6, 0x92, 0xe4,
                                 0x92, 0xee, 0xf4})),
            "\xff\x02");
}

TEST_F(KvmMachine, string_output_is_complete) {
  // mov si, 0x7c0c; mov cx, 5; mov dx, 0x3f8; rep outsb; hlt; "hello"
  EXPECT_EQ(run_to_the_end(boot({0xbe, 0x0c, 0x7c, 0xb9, 0x05, 0x00, 0xba, 0xf8, 0x03, 0xf3, 0x6e,
                                 0xf4, 'h', 'e', 'l', 'l', 'o'})),
            "hello");
}

TEST_F(KvmMachine, a_halted_vcpu_stays_halted_where_it_moves_to) {
  Vm from(boot({0xf4}));
  std::promise<void> ended;
  from.machine->on_guest_end([&] { ended.set_value(); });
  must(from.machine->resume_all());
  ended.get_future().wait();
  must(from.machine->pause_all(RunState::shutdown));
  Vm to(with(kGuest, true));
  std::promise<void> told;
  to.machine->on_guest_end([&] { told.set_value(); });
  move_guest(*from.machine, *to.machine);
  must(to.machine->resume_all());
  told.get_future().wait();
  must(to.machine->pause_all(RunState::shutdown));
}

TEST_F(KvmMachine, ram_above_the_hole_is_there) {
  RamOptions ram;
  ram.bytes = 6 << 20;
  ram.hole_start = 4 << 20;
  const auto machine =
      must(make_kvm_machine(must(Ram::create(ram)), with(kGuest), SerialSink{}, null_log()));
  ASSERT_EQ(machine->ram().size(), 2U);
  EXPECT_TRUE(machine->memory().check(kHighRamGpa, 2 << 20));
  EXPECT_FALSE(machine->memory().check(4 << 20, 1));
}

TEST_F(KvmMachine, sections_that_do_not_fit_are_refused) {
  Vm from(with(kGuest));
  must(from.machine->resume_all());
  from.line.read(1);
  must(from.machine->pause_all(RunState::paused));
  DeviceWriter writer;
  must(from.machine->devices()[0]->save(writer));
  Vm to(with(kGuest, true));
  for (size_t size = 0; size < writer.bytes().size(); size += size < 64 ? 1 : 97) {
    DeviceReader cut(writer.bytes().first(size), 0);
    EXPECT_FALSE(to.machine->devices()[0]->load(cut, 1)) << size;
  }
  std::vector<std::byte> bytes(writer.bytes().begin(), writer.bytes().end());
  bytes[0] = std::byte{9};  // no such end
  DeviceReader reader(bytes, 0);
  EXPECT_FALSE(to.machine->devices()[0]->load(reader, 1));
}

TEST_F(KvmMachine, what_does_not_fit_is_refused) {
  EXPECT_FALSE(make_kvm_machine(small_ram(kRamBytes), with({0x100000, 257, 0, 1}), {}, null_log()));
  KvmOptions options = with(kGuest);
  options.boot.resize(kMaxBootBytes + 1);
  EXPECT_FALSE(make_kvm_machine(small_ram(kRamBytes), options, {}, null_log()));
}

}  // namespace
}  // namespace tern::vmm
