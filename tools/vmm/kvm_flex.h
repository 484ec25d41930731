// SPDX-License-Identifier: Apache-2.0
//
// Those KVM calls whose struct ends in an array of the caller's length. The kernel's own headers
// cannot be used for them in C++: an empty struct has size 1 there, which moves the array and
// changes the ioctl's number (found with the headers of Linux 6.1).
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tern::vmm {

/// struct kvm_cpuid2, kvm_msrs (8 bytes) and kvm_msr_list (4 bytes) up to the array.
struct KvmCount8 {
  uint32_t count;
  uint32_t padding;
};
struct KvmCount4 {
  uint32_t count;
};
/// struct kvm_xsave; KVM_GET_XSAVE2 writes past its end, as much as KVM_CAP_XSAVE2 said.
struct KvmXsaveArea {
  uint32_t region[1024];
};
static_assert(sizeof(KvmCount8) == 8 && sizeof(KvmCount4) == 4);

inline constexpr unsigned long kKvmGetMsrIndexList = _IOWR(KVMIO, 0x02, KvmCount4);
inline constexpr unsigned long kKvmGetSupportedCpuid = _IOWR(KVMIO, 0x05, KvmCount8);
inline constexpr unsigned long kKvmGetMsrs = _IOWR(KVMIO, 0x88, KvmCount8);
inline constexpr unsigned long kKvmSetMsrs = _IOW(KVMIO, 0x89, KvmCount8);
inline constexpr unsigned long kKvmGetXsave = _IOR(KVMIO, 0xa4, KvmXsaveArea);
inline constexpr unsigned long kKvmSetXsave = _IOW(KVMIO, 0xa5, KvmXsaveArea);
inline constexpr unsigned long kKvmGetXsave2 = _IOR(KVMIO, 0xcf, KvmXsaveArea);
inline constexpr unsigned long kKvmSetCpuid2 = _IOW(KVMIO, 0x90, KvmCount8);

/// `Head` with `count` elements behind it, all zero.
template <typename Head, typename Element>
class KvmFlex {
 public:
  explicit KvmFlex(uint32_t count) noexcept
      : room_(count),
        words_((sizeof(Head) + count * sizeof(Element) + sizeof(uint64_t) - 1) / sizeof(uint64_t)) {
    set_count(count);
  }
  void* data() noexcept { return words_.data(); }
  /// What the kernel reads, and what it answers, never more than there is room for.
  void set_count(uint32_t count) noexcept { head()->count = count; }
  std::span<Element> elements() noexcept {
    auto* first = reinterpret_cast<std::byte*>(words_.data()) + sizeof(Head);
    const uint32_t count = head()->count;
    return {reinterpret_cast<Element*>(first), count < room_ ? count : room_};
  }

 private:
  Head* head() noexcept { return reinterpret_cast<Head*>(words_.data()); }
  uint32_t room_;
  std::vector<uint64_t> words_;
};

using KvmCpuidTable = KvmFlex<KvmCount8, kvm_cpuid_entry2>;
using KvmMsrs = KvmFlex<KvmCount8, kvm_msr_entry>;
using KvmMsrIndices = KvmFlex<KvmCount4, uint32_t>;

}  // namespace tern::vmm
