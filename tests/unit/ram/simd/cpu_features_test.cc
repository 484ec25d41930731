// SPDX-License-Identifier: Apache-2.0

#include "ram/simd/cpu_features.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace tern {
namespace {

bool kernel_says(const std::string& flag) {
  std::ifstream file("/proc/cpuinfo");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return text.find(" " + flag + " ") != std::string::npos;
}

TEST(CpuFeatures, agree_with_what_the_kernel_found) {
#if defined(__x86_64__)
  EXPECT_EQ((cpu_features() & kCpuSse2) != 0, kernel_says("sse2"));
  EXPECT_EQ((cpu_features() & kCpuAvx2) != 0, kernel_says("avx2"));
  EXPECT_EQ((cpu_features() & kCpuAvx512f) != 0, kernel_says("avx512f"));
#else
  EXPECT_EQ(cpu_features(), 0u);
#endif
}

}  // namespace
}  // namespace tern
