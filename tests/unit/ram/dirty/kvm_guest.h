// SPDX-License-Identifier: Apache-2.0
//
// A KVM guest of eighteen bytes for tracker tests: one vCPU in flat protected mode that adds 1 to
// the first word of every page of a range, tells the host (an OUT), and begins again.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "tern/dirty_tracker.h"

namespace tern::test {

inline constexpr uint8_t kGuestCode[] = {
    0x89, 0xdf,                          // again: mov edi, ebx
    0xff, 0x07,                          // page:  inc dword [edi]
    0x81, 0xc7, 0x00, 0x10, 0x00, 0x00,  //        add edi, 4096
    0x39, 0xcf,                          //        cmp edi, ecx
    0x72, 0xf4,                          //        jb page
    0xe6, 0x10,                          //        out 0x10, al
    0xeb, 0xee,                          //        jmp again
};

class KvmGuest {
 public:
  static constexpr uint64_t kCodeAddress = 0x1000;

  /// "" if a guest can be made here, otherwise what is missing.
  static std::string unavailable() {
    const Fd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!kvm) return std::string("/dev/kvm: ") + std::strerror(errno);
    const Fd vm(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
    return vm ? "" : std::string("KVM_CREATE_VM: ") + std::strerror(errno);
  }

  /// `slots` say where the blocks appear; the first one must cover kCodeAddress. `ring_entries`: of
  /// its dirty ring, 0 for none.
  KvmGuest(std::span<const RamBlock> blocks, std::vector<KvmSlot> slots, uint32_t ring_entries = 0)
      : slots_(std::move(slots)) {
    kvm_ = Fd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    vm_ = Fd(::ioctl(kvm_.get(), KVM_CREATE_VM, 0));
    EXPECT_EQ(::ioctl(vm_.get(), KVM_SET_TSS_ADDR, 0xfffbd000UL), 0);
    for (const KvmSlot& slot : slots_) {
      kvm_userspace_memory_region region{};
      region.slot = slot.slot;
      region.flags = slot.flags;
      region.guest_phys_addr = slot.gpa;
      region.memory_size = slot.bytes;
      region.userspace_addr = reinterpret_cast<uintptr_t>(blocks[slot.block].host + slot.offset);
      EXPECT_EQ(::ioctl(vm_.get(), KVM_SET_USER_MEMORY_REGION, &region), 0) << std::strerror(errno);
    }
    std::memcpy(blocks[slots_[0].block].host + slots_[0].offset + kCodeAddress, kGuestCode,
                sizeof kGuestCode);
    if (ring_entries != 0) {
      const auto enabled = enable_kvm_dirty_ring(vm_.get(), ring_entries);
      EXPECT_TRUE(enabled) << enabled.error().message();
    }
    vcpu_ = Fd(::ioctl(vm_.get(), KVM_CREATE_VCPU, 0));
    run_bytes_ = static_cast<size_t>(::ioctl(kvm_.get(), KVM_GET_VCPU_MMAP_SIZE, 0));
    run_ = static_cast<kvm_run*>(
        ::mmap(nullptr, run_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_.get(), 0));
    enter_protected_mode();
  }
  KvmGuest(const KvmGuest&) = delete;
  KvmGuest& operator=(const KvmGuest&) = delete;
  ~KvmGuest() {
    end();
    ::munmap(run_, run_bytes_);
  }

  int vcpu_fd() const { return vcpu_.get(); }
  KvmVm vm() const { return {.vm_fd = vm_.get(), .slots = slots_}; }

  /// The guest-physical range that it writes from the next round on. Only while it does not run.
  void set_range(uint64_t first, uint64_t last) {
    kvm_regs regs{};
    regs.rip = kCodeAddress;
    regs.rflags = 2;
    regs.rbx = first;
    regs.rcx = last;
    EXPECT_EQ(::ioctl(vcpu_.get(), KVM_SET_REGS, &regs), 0);
  }

  /// Runs it until its next OUT: every page of the range was written once.
  void run_round() {
    uint32_t exit;
    while ((exit = run_to_exit()) == KVM_EXIT_DIRTY_RING_FULL && ring_full_ &&
           !testing::Test::HasFailure()) {
      ring_full_();
    }
    EXPECT_EQ(exit, static_cast<uint32_t>(KVM_EXIT_IO));
    rounds_.fetch_add(1);
  }
  /// What is done then. Only while it does not run.
  void on_ring_full(std::function<void()> what) { ring_full_ = std::move(what); }
  /// Returns why KVM_RUN came back.
  uint32_t run_to_exit() {
    int result;
    do {
      result = ::ioctl(vcpu_.get(), KVM_RUN, 0);
    } while (result < 0 && errno == EINTR);
    EXPECT_EQ(result, 0) << std::strerror(errno);
    return run_->exit_reason;
  }

  /// Runs round after round on a thread, until end().
  void run_free() {
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested() && !testing::Test::HasFailure()) run_round();
    });
  }
  void end() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
  }
  uint64_t rounds() const { return rounds_.load(); }

 private:
  void enter_protected_mode() {
    kvm_sregs sregs{};
    EXPECT_EQ(::ioctl(vcpu_.get(), KVM_GET_SREGS, &sregs), 0);
    kvm_segment flat{};
    flat.limit = 0xffffffff;
    flat.present = flat.s = flat.db = flat.g = 1;
    flat.type = 3;
    flat.selector = 0x10;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
    flat.type = 11;
    flat.selector = 0x08;
    sregs.cs = flat;
    sregs.cr0 |= 1;
    EXPECT_EQ(::ioctl(vcpu_.get(), KVM_SET_SREGS, &sregs), 0);
  }

  std::vector<KvmSlot> slots_;
  Fd kvm_;
  Fd vm_;
  Fd vcpu_;
  kvm_run* run_ = nullptr;
  size_t run_bytes_ = 0;
  std::atomic<uint64_t> rounds_{0};
  std::function<void()> ring_full_;
  std::jthread thread_;
};

}  // namespace tern::test
