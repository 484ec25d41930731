// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/uffd.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::kPage;
using test::TestRam;

class UffdTest : public testing::Test {
 protected:
  void SetUp() override {
    const Uffd::Probe probe = Uffd::probe();
    if (!probe.error.empty()) GTEST_SKIP() << probe.error;
    if ((probe.features & UFFD_FEATURE_PAGEFAULT_FLAG_WP) == 0) {
      GTEST_SKIP() << "the kernel has no userfaultfd write protection";
    }
  }
};

TEST_F(UffdTest, the_probe_says_how_it_was_opened) { EXPECT_FALSE(Uffd::probe().how.empty()); }

TEST_F(UffdTest, a_feature_nobody_has_is_unsupported) {
  Result<Uffd> opened = Uffd::open(uint64_t{1} << 63);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), ErrorCode::unsupported);
  EXPECT_EQ(opened.error().sys_errno(), EINVAL);
}

TEST_F(UffdTest, zero_page_fills_what_is_missing_and_leaves_what_is_there) {
  const TestRam ram(Backing::anonymous, 8);
  ram.write(1, 77);
  ram.write(5, 78);
  Result<Uffd> uffd = Uffd::open(0);
  ASSERT_TRUE(uffd);
  const MemoryRange all{ram.block().host, ram.block().used_bytes};
  ASSERT_TRUE(uffd->add(all, UFFDIO_REGISTER_MODE_MISSING));
  EXPECT_TRUE(uffd->zero_page({ram.page(0), kPage}));
  EXPECT_TRUE(uffd->zero_page({ram.page(1), kPage}));
  EXPECT_TRUE(uffd->zero_page({ram.page(2), 2 * kPage}));
  EXPECT_EQ(ram.read(0), 0u);
  EXPECT_EQ(ram.read(1), 77u);
  EXPECT_EQ(ram.read(3), 0u);
  EXPECT_TRUE(uffd->remove(all));
  EXPECT_EQ(ram.read(4), 0u);
  EXPECT_EQ(ram.read(5), 78u);
}

TEST_F(UffdTest, copy_fills_what_is_missing_and_leaves_what_is_there) {
  const TestRam ram(Backing::anonymous, 8);
  const TestRam source(Backing::anonymous, 8);
  source.write_all(5);
  ram.write(2, 77);
  Result<Uffd> uffd = Uffd::open(0);
  ASSERT_TRUE(uffd);
  ASSERT_TRUE(uffd->add({ram.block().host, ram.block().used_bytes}, UFFDIO_REGISTER_MODE_MISSING));
  EXPECT_TRUE(uffd->copy({ram.page(0), 4 * kPage}, source.page(0)));
  EXPECT_EQ(ram.read(0), 5u);
  EXPECT_EQ(ram.read(1), 5u);
  EXPECT_EQ(ram.read(2), 77u);
}

TEST_F(UffdTest, memory_that_is_not_registered_cannot_be_protected) {
  const TestRam ram(Backing::anonymous, 8);
  Result<Uffd> uffd = Uffd::open(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
  ASSERT_TRUE(uffd);
  Result<void> protected_now = uffd->write_protect({ram.page(2), kPage}, true);
  ASSERT_FALSE(protected_now);
  EXPECT_EQ(protected_now.error().sys_errno(), ENOENT);
  EXPECT_NE(protected_now.error().message().find("UFFDIO_WRITEPROTECT"), std::string::npos);
}

TEST_F(UffdTest, memory_of_another_userfaultfd_is_busy) {
  const TestRam ram(Backing::anonymous, 8);
  const MemoryRange all{ram.block().host, ram.block().used_bytes};
  Result<Uffd> first = Uffd::open(0);
  Result<Uffd> second = Uffd::open(0);
  ASSERT_TRUE(first);
  ASSERT_TRUE(second);
  ASSERT_TRUE(first->add(all, UFFDIO_REGISTER_MODE_MISSING));
  Result<uint64_t> added = second->add(all, UFFDIO_REGISTER_MODE_MISSING);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(added.error().sys_errno(), EBUSY);
}

}  // namespace
}  // namespace tern
