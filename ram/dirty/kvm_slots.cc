// SPDX-License-Identifier: Apache-2.0
#include "ram/dirty/kvm_slots.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace tern {

std::string slot_name(const KvmSlot& slot) {
  return "KVM slot " + std::to_string(slot.slot & 0xffff) + " (address space " +
         std::to_string(slot.slot >> 16) + ")";
}

int retry_ioctl(int fd, unsigned long request, void* argument) noexcept {
  int result;
  do {
    result = ::ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  return result;
}

Result<void> check_vm(const KvmVm& vm, std::string_view what) noexcept {
  const std::string name(what);
  if (vm.vm_fd < 0) return Error(ErrorCode::invalid_argument, name + ": no VM descriptor");
  if (vm.slots.empty()) return Error(ErrorCode::invalid_argument, name + ": no memory slots");
  for (const KvmSlot& slot : vm.slots) {
    if (slot.bytes == 0 || (slot.bytes | slot.offset | slot.gpa) % kTargetPageBytes != 0) {
      return Error(ErrorCode::invalid_argument,
                   slot_name(slot) + ": offset, length and address must be whole pages, not empty");
    }
    if ((slot.flags & KVM_MEM_LOG_DIRTY_PAGES) != 0) {
      return Error(ErrorCode::invalid_argument,
                   slot_name(slot) + ": its flags must be those without dirty logging");
    }
  }
  const int version = ::ioctl(vm.vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY);
  if (version > 0) return {};
  return errno_error(ErrorCode::invalid_argument, name + ": the descriptor is not a KVM VM",
                     version < 0 ? errno : EINVAL);
}

Result<void> check_slots(std::span<const KvmSlot> slots,
                         std::span<const RamBlock> blocks) noexcept {
  for (const KvmSlot& slot : slots) {
    if (slot.block >= blocks.size()) {
      return Error(ErrorCode::invalid_argument,
                   slot_name(slot) + ": there is no RAM block " + std::to_string(slot.block));
    }
    const RamBlock& block = blocks[slot.block];
    if (slot.offset > block.used_bytes || slot.bytes > block.used_bytes - slot.offset) {
      return Error(ErrorCode::invalid_argument,
                   slot_name(slot) + ": reaches beyond the end of RAM block " + block.idstr);
    }
  }
  return {};
}

Result<void> set_dirty_logging(int vm_fd, const KvmSlot& slot, const RamBlock& block,
                               bool on) noexcept {
  kvm_userspace_memory_region region{};
  region.slot = slot.slot;
  region.flags = slot.flags | (on ? uint32_t{KVM_MEM_LOG_DIRTY_PAGES} : 0);
  region.guest_phys_addr = slot.gpa;
  region.memory_size = slot.bytes;
  region.userspace_addr = reinterpret_cast<uintptr_t>(block.host + slot.offset);
  if (retry_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region) == 0) return {};
  const int error = errno;
  return errno_error(error == ENOMEM ? ErrorCode::resource_exhausted : ErrorCode::unsupported,
                     slot_name(slot) + ": switching dirty logging " + (on ? "on" : "off"), error);
}

}  // namespace tern
