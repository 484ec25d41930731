// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/kvm_cpuid.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/vmm/support.h"

namespace tern::vmm {
namespace {

kvm_cpuid_entry2 entry(uint32_t function, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx) {
  kvm_cpuid_entry2 out{};
  out.function = function;
  out.eax = eax;
  out.ebx = ebx;
  out.ecx = ecx;
  out.edx = edx;
  return out;
}

TEST(kvm_cpuid, a_feature_the_host_lacks_is_named) {
  const Cpuid host = {entry(1, 0, 0, 0xf0, 0xff)};
  EXPECT_TRUE(check_cpuid(host, host));
  EXPECT_TRUE(check_cpuid(host, {entry(1, 0, 0, 0x30, 0x0f)}));
  EXPECT_TRUE(check_cpuid(host, {entry(1, 0, 0, 1U << 27, 0)})) << "OSXSAVE mirrors CR4";
  const auto missing = check_cpuid(host, {entry(1, 0, 0, 0x1f0, 0xff)});
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message().find("CPUID 0x1.0 ecx bits 0x100"), std::string::npos)
      << missing.error().message();
  EXPECT_FALSE(check_cpuid(host, {entry(7, 0, 1, 0, 0)})) << "a leaf the host does not have";
}

TEST(kvm_cpuid, the_table_moves_whole) {
  const Cpuid table = {entry(0, 1, 2, 3, 4), entry(0x80000001, 5, 6, 7, 8)};
  DeviceWriter writer;
  save_cpuid(table, writer);
  DeviceReader reader(writer.bytes(), 0);
  const Cpuid back = must(load_cpuid(reader));
  ASSERT_EQ(back.size(), 2U);
  EXPECT_EQ(back[1].function, 0x80000001);
  EXPECT_EQ(back[1].edx, 8U);
  EXPECT_EQ(reader.left(), 0U);
  for (size_t size = 0; size < writer.bytes().size(); ++size) {
    DeviceReader cut(writer.bytes().first(size), 0);
    EXPECT_FALSE(load_cpuid(cut)) << size;
  }
}

TEST(kvm_cpuid, a_count_from_elsewhere_is_bounded) {
  DeviceWriter writer;
  writer.put_u32("cpuid_count", 257);
  DeviceReader reader(writer.bytes(), 0);
  EXPECT_FALSE(load_cpuid(reader));
}

TEST(kvm_cpuid, each_vcpu_has_its_own_apic_number) {
  const Cpuid table = cpuid_for_vcpu({entry(1, 0, 0xff123456, 0, 0), entry(0xb, 0, 0, 0, 9)}, 3);
  EXPECT_EQ(table[0].ebx, 0x03123456U);
  EXPECT_EQ(table[1].edx, 3U);
}

TEST(kvm_cpuid, the_host_gives_no_leaves_of_kvm) {
  const UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm) GTEST_SKIP() << "no KVM here: /dev/kvm: " << std::strerror(errno);
  const Cpuid host = must(supported_cpuid(kvm.get()));
  EXPECT_FALSE(host.empty());
  for (const auto& leaf : host) EXPECT_NE(leaf.function >> 28, 4U);
  EXPECT_FALSE(supported_cpuid(-1));
}

}  // namespace
}  // namespace tern::vmm
