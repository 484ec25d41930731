// SPDX-License-Identifier: Apache-2.0
//
// Covers generic.cc and x86_64.cc: every variant this machine can run against the obvious loop.

#include "ram/simd/page_ops.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace tern {
namespace {

constexpr size_t kPage = 4096;

/// Three pages of which only the middle one can be read: reading outside it crashes.
class GuardedPage {
 public:
  GuardedPage() {
    void* all = ::mmap(nullptr, 3 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(all, MAP_FAILED);
    all_ = static_cast<std::byte*>(all);
    EXPECT_EQ(::mprotect(begin(), kPage, PROT_READ | PROT_WRITE), 0);
  }
  GuardedPage(const GuardedPage&) = delete;
  GuardedPage& operator=(const GuardedPage&) = delete;
  ~GuardedPage() { ::munmap(all_, 3 * kPage); }
  std::byte* begin() const { return all_ + kPage; }
  std::byte* end() const { return begin() + kPage; }

 private:
  std::byte* all_;
};

std::vector<PageOps> supported() {
  std::vector<PageOps> list;
  for (const PageOps& ops : page_ops_list()) {
    if ((ops.features & ~cpu_features()) == 0) list.push_back(ops);
  }
  return list;
}

TEST(PageOps, more_than_the_generic_variant_is_tried_on_x86_64) {
  std::string names;
  for (const PageOps& ops : supported()) names += std::string(ops.name) + " ";
  RecordProperty("variants", names);
#if defined(__x86_64__)
  EXPECT_GT(supported().size(), 1u) << names;
#else
  EXPECT_EQ(supported().size(), 1u) << names;
#endif
}

TEST(PageOps, a_page_of_zeros_is_zero_and_any_single_byte_makes_it_not) {
  const GuardedPage page;
  for (const PageOps& ops : supported()) {
    EXPECT_TRUE(ops.is_zero(page.begin(), kPage)) << ops.name;
    for (size_t i = 0; i < kPage; ++i) {
      page.begin()[i] = std::byte{1};
      ASSERT_FALSE(ops.is_zero(page.begin(), kPage)) << ops.name << " byte " << i;
      page.begin()[i] = std::byte{0x80};
      ASSERT_FALSE(ops.is_zero(page.begin(), kPage)) << ops.name << " byte " << i;
      page.begin()[i] = std::byte{0};
    }
  }
}

TEST(PageOps, every_length_ending_at_a_guard_page_is_judged_by_its_own_bytes) {
  const GuardedPage page;
  for (const PageOps& ops : supported()) {
    for (size_t bytes = 0; bytes <= 700; ++bytes) {
      std::byte* const start = page.end() - bytes;  // unaligned for most lengths
      start[-1] = std::byte{0xff};                  // just before: must not count
      ASSERT_TRUE(ops.is_zero(start, bytes)) << ops.name << " length " << bytes;
      for (size_t i = 0; i < bytes; ++i) {
        start[i] = std::byte{0x10};
        ASSERT_FALSE(ops.is_zero(start, bytes)) << ops.name << " byte " << i << " of " << bytes;
        start[i] = std::byte{0};
      }
      start[-1] = std::byte{0};
    }
  }
}

TEST(PageOps, every_length_beginning_at_a_guard_page_is_judged_by_its_own_bytes) {
  const GuardedPage page;
  for (const PageOps& ops : supported()) {
    for (size_t bytes = 0; bytes <= 700; ++bytes) {
      page.begin()[bytes] = std::byte{0xff};  // just behind: must not count
      ASSERT_TRUE(ops.is_zero(page.begin(), bytes)) << ops.name << " length " << bytes;
      if (bytes > 0) {
        page.begin()[bytes - 1] = std::byte{1};
        ASSERT_FALSE(ops.is_zero(page.begin(), bytes)) << ops.name << " length " << bytes;
        page.begin()[bytes - 1] = std::byte{0};
      }
      page.begin()[bytes] = std::byte{0};
    }
  }
}

TEST(PageOps, differences_are_those_of_the_generic_variant_which_are_right) {
  // Both pages end at memory that cannot be read, and neither is aligned to anything.
  const GuardedPage old;
  const GuardedPage now;
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    for (size_t i = 0; i < kPage; ++i) old.begin()[i] = static_cast<std::byte>(random());
    std::memcpy(now.begin(), old.begin(), kPage);
    for (auto changes = random() % 200; changes > 0; --changes) {
      now.begin()[random() % kPage] ^= static_cast<std::byte>(random() % 3);  // 0: none
    }
    for (const PageOps& ops : supported()) {
      PageDifferences found;
      found.groups = random();  // what was there before must not matter
      ops.find_differences(old.begin(), now.begin(), found);
      for (size_t g = 0; g < PageDifferences::kGroups; ++g) {
        uint64_t bits = 0;
        const size_t at = g * PageDifferences::kGroupBytes;
        for (size_t i = 0; i < PageDifferences::kGroupBytes; ++i) {
          bits |= uint64_t{old.begin()[at + i] != now.begin()[at + i]} << i;
        }
        ASSERT_EQ(found.groups >> g & 1, bits == 0 ? 0u : 1u) << ops.name << " group " << g;
        if (bits == 0) continue;
        ASSERT_EQ(found.bytes[g], bits) << ops.name << " group " << g;
        ASSERT_EQ(std::memcmp(found.now.data() + at, now.begin() + at, 64), 0) << ops.name;
      }
    }
  }
}

TEST(PageOps, a_huge_page_is_seen_to_its_last_byte) {
  std::vector<std::byte> huge(2u << 20);
  for (const PageOps& ops : supported()) {
    EXPECT_TRUE(ops.is_zero(huge.data(), huge.size())) << ops.name;
    huge.back() = std::byte{1};
    EXPECT_FALSE(ops.is_zero(huge.data(), huge.size())) << ops.name;
    huge.back() = std::byte{0};
  }
}

TEST(PageOps, the_first_variant_whose_needs_are_met_is_selected) {
  const PageOps list[] = {
      {.name = "wide", .features = kCpuAvx512f | kCpuAvx2, .is_zero = is_zero_generic},
      {.name = "middle", .features = kCpuAvx2, .is_zero = is_zero_generic},
      {.name = "plain", .features = 0, .is_zero = is_zero_generic},
  };
  EXPECT_STREQ(select_page_ops(list, kCpuAvx512f | kCpuAvx2 | kCpuSse2).name, "wide");
  EXPECT_STREQ(select_page_ops(list, kCpuAvx512f).name, "plain");
  EXPECT_STREQ(select_page_ops(list, kCpuAvx2 | kCpuSse2).name, "middle");
  EXPECT_STREQ(select_page_ops(list, 0).name, "plain");
}

TEST(PageOps, the_list_ends_with_generic_and_its_names_are_unique) {
  std::vector<std::string_view> names;
  for (const PageOps& ops : page_ops_list()) names.emplace_back(ops.name);
  EXPECT_EQ(names.back(), "generic");
  EXPECT_EQ(page_ops_list().back().features, 0u);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST(PageOps, the_best_is_the_first_supported) {
  EXPECT_STREQ(best_page_ops().name, supported().front().name);
}

}  // namespace
}  // namespace tern
