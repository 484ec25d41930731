// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/pagemap.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/ram/dirty/test_ram.h"

namespace tern {
namespace {

using test::Backing;
using test::kPage;
using test::TestRam;

using Runs = std::vector<std::pair<uint64_t, uint64_t>>;

TEST(Pagemap, entries_tell_present_pages_from_holes) {
  const TestRam ram(Backing::anonymous, 100);
  ram.write(3, 1);
  ram.write(99, 1);
  Result<Pagemap> pagemap = Pagemap::open();
  ASSERT_TRUE(pagemap);
  std::vector<uint64_t> entries(60);
  const MemoryRange all{ram.block().host, ram.block().used_bytes};
  ASSERT_EQ(*pagemap->read_entries(all, 0, entries), 60u);
  EXPECT_EQ(entries[3] >> 63, 1u);
  EXPECT_EQ(entries[4] >> 62, 0u);
  ASSERT_EQ(*pagemap->read_entries(all, 40, entries), 60u);
  EXPECT_EQ(entries[59] >> 63, 1u);
  EXPECT_EQ(entries[58] >> 62, 0u);
}

// A child that does nothing.
class Child {
 public:
  Child() {
    pid_ = ::fork();
    if (pid_ == 0) {
      for (;;) ::pause();
    }
  }
  ~Child() { end(); }
  void end() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    pid_ = -1;
  }
  Fd directory() const {
    return Fd(::open(("/proc/" + std::to_string(pid_)).c_str(), O_RDONLY | O_DIRECTORY));
  }

 private:
  pid_t pid_ = -1;
};

TEST(Pagemap, another_process_is_seen_until_it_ends) {
  const TestRam ram(Backing::anonymous, 100);
  ram.write(3, 1);
  Child child;  // has the same memory at the same place
  ram.write(5, 1);
  Result<Pagemap> pagemap = Pagemap::open_at(child.directory().get());
  ASSERT_TRUE(pagemap);
  std::vector<uint64_t> entries(10);
  const MemoryRange all{ram.block().host, ram.block().used_bytes};
  ASSERT_EQ(*pagemap->read_entries(all, 0, entries), 10u);
  EXPECT_EQ(entries[3] >> 63, 1u);
  EXPECT_EQ(entries[5] >> 63, 0u);
  child.end();
  const Result<size_t> after = pagemap->read_entries(all, 0, entries);
  ASSERT_FALSE(after);
  EXPECT_EQ(after.error().sys_errno(), ESRCH);
}

TEST(Pagemap, a_scan_reports_the_runs_that_match_by_offset) {
  Result<Pagemap> pagemap = Pagemap::open();
  ASSERT_TRUE(pagemap);
  if (!pagemap->can_scan()) GTEST_SKIP() << "the kernel has no PAGEMAP_SCAN";
  const TestRam ram(Backing::anonymous, 100);
  for (uint64_t page : {3u, 4u, 5u, 80u}) ram.write(page, 1);
  Runs runs;
  const auto collect = [&](uint64_t offset, uint64_t bytes) {
    runs.emplace_back(offset / kPage, bytes / kPage);
  };
  const MemoryRange all{ram.block().host, ram.block().used_bytes};
  ASSERT_TRUE(pagemap->scan(all, {.any_of = kPagePresent}, Pagemap::Protect::no, collect));
  EXPECT_EQ(runs, (Runs{{3, 3}, {80, 1}}));
}

TEST(Pagemap, protecting_memory_that_is_not_registered_is_an_error) {
  Result<Pagemap> pagemap = Pagemap::open();
  ASSERT_TRUE(pagemap);
  if (!pagemap->can_scan()) GTEST_SKIP() << "the kernel has no PAGEMAP_SCAN";
  const TestRam ram(Backing::anonymous, 100);
  ram.write(3, 1);
  Result<void> scanned =
      pagemap->scan({ram.block().host, ram.block().used_bytes}, {.all_of = kPageWritten},
                    Pagemap::Protect::yes, [](uint64_t, uint64_t) {});
  ASSERT_FALSE(scanned);
  EXPECT_EQ(scanned.error().sys_errno(), EPERM);
}

}  // namespace
}  // namespace tern
