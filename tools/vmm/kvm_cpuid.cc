// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/kvm_cpuid.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "tools/vmm/kvm_flex.h"

namespace tern::vmm {
namespace {

/// KVM itself accepts at most 256.
constexpr uint32_t kMaxEntries = 256;
constexpr uint32_t kKvmLeavesFirst = 0x40000000;
constexpr uint32_t kKvmLeavesLast = 0x4fffffff;
constexpr uint32_t kEntryWords = 7;

/// Leaves whose registers are sets of features: a bit more than the host has cannot work.
struct FeatureWord {
  uint32_t function;
  uint32_t index;
  uint32_t kvm_cpuid_entry2::*word;
  const char* name;
  uint32_t ignored;  ///< bits that mirror the guest's own settings
};
constexpr uint32_t kOsxsave = 1U << 27;
constexpr uint32_t kApicOnChip = 1U << 9;
constexpr FeatureWord kFeatureWords[] = {
    {0x1, 0, &kvm_cpuid_entry2::ecx, "ecx", kOsxsave},
    {0x1, 0, &kvm_cpuid_entry2::edx, "edx", kApicOnChip},
    {0x7, 0, &kvm_cpuid_entry2::ebx, "ebx", 0},
    {0x7, 0, &kvm_cpuid_entry2::ecx, "ecx", 1U << 4 /* OSPKE */},
    {0x7, 0, &kvm_cpuid_entry2::edx, "edx", 0},
    {0xd, 0, &kvm_cpuid_entry2::eax, "eax", 0},
    {0xd, 1, &kvm_cpuid_entry2::eax, "eax", 0},
    {0x80000001, 0, &kvm_cpuid_entry2::ecx, "ecx", 0},
    {0x80000001, 0, &kvm_cpuid_entry2::edx, "edx", kApicOnChip},
};

const kvm_cpuid_entry2* find(const Cpuid& table, uint32_t function, uint32_t index) noexcept {
  for (const auto& entry : table) {
    if (entry.function == function && entry.index == index) return &entry;
  }
  return nullptr;
}

}  // namespace

Result<Cpuid> supported_cpuid(int kvm_fd) noexcept {
  KvmCpuidTable table(kMaxEntries);
  if (::ioctl(kvm_fd, kKvmGetSupportedCpuid, table.data()) != 0) {
    return errno_error(ErrorCode::unsupported, "KVM_GET_SUPPORTED_CPUID", errno);
  }
  Cpuid out;
  for (const auto& entry : table.elements()) {
    if (entry.function >= kKvmLeavesFirst && entry.function <= kKvmLeavesLast) continue;
    out.push_back(entry);
  }
  return out;
}

Cpuid cpuid_for_vcpu(Cpuid table, uint32_t index) noexcept {
  for (auto& entry : table) {
    if (entry.function == 0x1) entry.ebx = (entry.ebx & 0x00ffffff) | (index << 24);
    if (entry.function == 0xb || entry.function == 0x1f) entry.edx = index;
  }
  return table;
}

Result<void> set_cpuid(int vcpu_fd, const Cpuid& cpuid) noexcept {
  KvmCpuidTable table(static_cast<uint32_t>(std::min<size_t>(cpuid.size(), kMaxEntries)));
  std::copy_n(cpuid.begin(), table.elements().size(), table.elements().begin());
  if (::ioctl(vcpu_fd, kKvmSetCpuid2, table.data()) != 0) {
    return errno_error(ErrorCode::device, "KVM_SET_CPUID2", errno);
  }
  return {};
}

Result<void> check_cpuid(const Cpuid& host, const Cpuid& wanted) noexcept {
  for (const auto& feature : kFeatureWords) {
    const auto* want = find(wanted, feature.function, feature.index);
    if (want == nullptr) continue;
    const auto* have = find(host, feature.function, feature.index);
    const uint32_t missing =
        want->*feature.word & ~(have == nullptr ? 0 : have->*feature.word) & ~feature.ignored;
    if (missing == 0) continue;
    char text[120];
    std::snprintf(text, sizeof text,
                  "this host lacks CPU features of the source: CPUID %#x.%u %s bits %#x",
                  feature.function, feature.index, feature.name, missing);
    return Error(ErrorCode::device, text);
  }
  return {};
}

void save_cpuid(const Cpuid& table, DeviceWriter& writer) noexcept {
  writer.put_u32("cpuid_count", static_cast<uint32_t>(table.size()));
  for (const auto& entry : table) {
    const std::array<uint32_t, kEntryWords> words{
        entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx, entry.edx};
    writer.begin_struct("cpuid", "tern-kvm/cpuid", 1);
    writer.put_u32_array("words", words);
    writer.end_struct();
  }
}

Result<Cpuid> load_cpuid(DeviceReader& reader) noexcept {
  const uint32_t count = TERN_TRY(reader.get_u32("cpuid_count"));
  if (count > kMaxEntries) return reader.bad_value("cpuid_count", "more than 256 entries");
  Cpuid table;
  for (uint32_t i = 0; i < count; ++i) {
    std::array<uint32_t, kEntryWords> words{};
    TERN_TRY(reader.get_u32_array("cpuid.words", words));
    kvm_cpuid_entry2 entry{};
    entry.function = words[0];
    entry.index = words[1];
    entry.flags = words[2];
    entry.eax = words[3];
    entry.ebx = words[4];
    entry.ecx = words[5];
    entry.edx = words[6];
    table.push_back(entry);
  }
  return table;
}

}  // namespace tern::vmm
