// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_measure.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "tests/unit/tools/tern/dirty_rate_child.h"
#include "tools/tern/dirty_rate_soft_dirty.h"

namespace tern::tool {
namespace {

using test::Child;
using test::ChildMemory;
using Ms = std::chrono::milliseconds;

// Long enough for a writer that is never waiting to have had the CPU.
constexpr Ms kWindow{300};

// Writes pages [from, to) without end, each time otherwise.
[[noreturn]] void write_pages(const ChildMemory& memory, size_t from, size_t to) {
  for (uint32_t value = 2;; ++value) {
    for (size_t page = from; page < to; ++page) memory.touch(page, value);
  }
}

void fill(const ChildMemory& memory, size_t pages) {
  for (size_t page = 0; page < pages; ++page) memory.touch(page, 1);
}

MappingChoice of_the_test() {
  MappingChoice choice;
  choice.globs = {test::kChildMemoryName};
  return choice;
}

Result<Measurement> run(Process& process, RateMode mode, std::vector<Nanoseconds> windows,
                        int stop = -1) {
  MeasureOptions options;
  options.windows = std::move(windows);
  options.seed = 1;
  Expectation expectation;
  const MappingChoice choice = of_the_test();
  return measure(process, choice, mode, options, expectation, stop);
}

bool has_note(const Measurement& measurement, const std::string& text) {
  for (const std::string& note : measurement.notes) {
    if (note.find(text) != note.npos) return true;
  }
  return false;
}

class DirtyRateModes : public testing::TestWithParam<RateMode> {
 protected:
  void SetUp() override {
    if (GetParam() == RateMode::soft_dirty && !kernel_has_soft_dirty()) {
      GTEST_SKIP() << "the kernel has no CONFIG_MEM_SOFT_DIRTY";
    }
  }
};

TEST_P(DirtyRateModes, the_pages_that_are_written_are_counted_once_for_each_window) {
  const ChildMemory memory(1024);
  const Child child([&](int step) {
    if (step == 0) fill(memory, 1024);
    if (step == 1) write_pages(memory, 100, 164);
  });
  ASSERT_TRUE(child.step());
  child.start();
  Result<Process> process = Process::open(child.pid());
  ASSERT_TRUE(process);
  const Result<Measurement> got = run(*process, GetParam(), {kWindow, 2 * kWindow});
  ASSERT_TRUE(got) << got.error().message();
  ASSERT_EQ(got->windows.size(), 2u);
  for (const WindowResult& window : got->windows) {
    EXPECT_EQ(window.dirty_pages.value, 64);
    EXPECT_EQ(window.dirty_pages.low, 64);
    EXPECT_EQ(window.dirty_pages.high, 64);
    const double seconds = std::chrono::duration<double>(window.interval).count();
    EXPECT_NEAR(window.pages_per_s.value * seconds, 64, 1);
    EXPECT_EQ(window.new_pages, 0u);
    EXPECT_EQ(window.left_pages, 0u);
  }
  EXPECT_EQ(got->populated_pages, 1024u);
  EXPECT_EQ(got->mappings, 1u);
  double dirty = 0;
  for (const HotRegion& region : got->regions) {
    const size_t first = (region.start - reinterpret_cast<uintptr_t>(memory.page(0))) / 4096;
    const size_t end = first + static_cast<size_t>(region.pages);
    EXPECT_EQ(region.dirty_pages > 0, first < 164 && end > 100) << first;
    dirty += region.dirty_pages;
  }
  EXPECT_EQ(dirty, 64);
}

TEST_P(DirtyRateModes, pages_that_did_not_exist_before_count_as_written) {
  const ChildMemory memory(4096);
  const Child child([&](int step) {
    if (step == 0) fill(memory, 16);
    if (step == 0) return;
    for (size_t page = 16; page < memory.pages(); ++page) {
      memory.touch(page, 1);
      ::poll(nullptr, 0, 1);
    }
  });
  ASSERT_TRUE(child.step());
  child.start();
  Result<Process> process = Process::open(child.pid());
  const Result<Measurement> got = run(*process, GetParam(), {kWindow});
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_GT(got->windows[0].new_pages, 0u);
  EXPECT_EQ(got->windows[0].dirty_pages.value, static_cast<double>(got->windows[0].new_pages));
  EXPECT_GT(got->windows[0].pages_per_s.value, 0);
}

INSTANTIATE_TEST_SUITE_P(Modes, DirtyRateModes,
                         testing::Values(RateMode::page_sampling, RateMode::soft_dirty),
                         [](const auto& mode) {
                           return mode.param == RateMode::soft_dirty ? "soft_dirty" : "sampling";
                         });

TEST(DirtyRateMeasure, content_that_is_written_again_as_it_was_is_not_seen_by_sampling) {
  const ChildMemory memory(64);
  const Child child([&](int step) {
    if (step == 0) fill(memory, 64);
    if (step == 0) return;
    for (;;) memory.touch(5, 1);
  });
  ASSERT_TRUE(child.step());
  child.start();
  Result<Process> process = Process::open(child.pid());
  EXPECT_EQ(run(*process, RateMode::page_sampling, {Ms(50)})->windows[0].dirty_pages.value, 0);
}

TEST(DirtyRateMeasure, large_memory_is_sampled_as_well_as_the_precision_asks) {
  constexpr size_t kPages = 40000;
  const ChildMemory memory(kPages);
  const Child child([&](int step) {
    if (step == 0) fill(memory, kPages);
    // All over the memory, so that it is no matter of regions.
    if (step == 0) return;
    for (uint32_t value = 2;; ++value) {
      for (size_t page = 0; page < kPages; page += 4) memory.touch(page + (page / 4 % 4), value);
    }
  });
  ASSERT_TRUE(child.step());
  child.start();
  Result<Process> process = Process::open(child.pid());
  const Result<Measurement> got = run(*process, RateMode::page_sampling, {kWindow});
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_LT(got->samples, kPages);
  const Estimated& pages = got->windows[0].dirty_pages;
  // Twice the precision: four standard deviations.
  EXPECT_NEAR(pages.value, kPages / 4, kPages / 4 * 0.1);
  EXPECT_LT(pages.high - pages.low, kPages / 4 * 0.12);
  EXPECT_GT(got->cost.pages_hashed, 2 * got->samples);
  EXPECT_GE(got->cost.bytes_read, got->cost.pages_hashed * 4096);
}

TEST(DirtyRateMeasure, a_process_that_ends_in_the_window_is_an_error_at_once) {
  const ChildMemory memory(64);
  const Child child([&](int step) {
    if (step == 0) fill(memory, 64);
    if (step == 1) {
      ::poll(nullptr, 0, 50);
      ::_exit(0);
    }
  });
  ASSERT_TRUE(child.step());
  Result<Process> process = Process::open(child.pid());
  child.start();
  const Result<Measurement> got = run(*process, RateMode::page_sampling, {std::chrono::hours(1)});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().sys_errno(), kProcessGone);
}

TEST(DirtyRateMeasure, a_stop_ends_it_without_figures) {
  const ChildMemory memory(64);
  const Child child([&](int) { fill(memory, 64); });
  ASSERT_TRUE(child.step());
  Result<Process> process = Process::open(child.pid());
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  ASSERT_EQ(::write(pipe[1], "", 1), 1);
  const Result<Measurement> got =
      run(*process, RateMode::page_sampling, {std::chrono::hours(1)}, pipe[0]);
  ASSERT_TRUE(got);
  EXPECT_TRUE(got->stopped);
  EXPECT_TRUE(got->windows.empty());
  ::close(pipe[0]);
  ::close(pipe[1]);
}

// Measures a curve whose last window is never over, with an end `after` its beginning: of the
// measuring, or of the process.
Result<Measurement> run_cut_short(bool by_stop, Ms after) {
  const ChildMemory memory(64);
  Child child([&](int) { fill(memory, 64); });
  EXPECT_TRUE(child.step());
  Result<Process> process = Process::open(child.pid());
  int pipe[2];
  EXPECT_EQ(::pipe(pipe), 0);
  std::thread ending([&] {
    ::poll(nullptr, 0, static_cast<int>(after.count()));
    if (!by_stop) child.end();
    const ssize_t written = by_stop ? ::write(pipe[1], "", 1) : 1;
    EXPECT_EQ(written, 1);
  });
  Result<Measurement> got =
      run(*process, RateMode::page_sampling, {Ms(10), std::chrono::hours(1)}, pipe[0]);
  ending.join();
  ::close(pipe[0]);
  ::close(pipe[1]);
  return got;
}

TEST(DirtyRateMeasure, an_end_in_the_middle_of_a_curve_leaves_the_finished_windows) {
  for (const bool by_stop : {true, false}) {
    // On a busy machine the first window may take any time: then once more, with more patience.
    Ms after{100};
    Result<Measurement> got = run_cut_short(by_stop, after);
    while (!got || got->windows.empty()) {
      after *= 2;
      got = run_cut_short(by_stop, after);
    }
    EXPECT_EQ(got->windows.size(), 1u);
    EXPECT_EQ(got->windows[0].looks, 64u);
    EXPECT_EQ(got->stopped, by_stop);
    ASSERT_EQ(got->failure.has_value(), !by_stop);
    EXPECT_EQ(got->failure ? got->failure->sys_errno() : kProcessGone, kProcessGone);
    EXPECT_TRUE(has_note(*got, by_stop ? "interrupted" : "has ended"));
  }
}

TEST(DirtyRateMeasure, memory_that_is_given_back_is_told_and_not_counted) {
  const ChildMemory memory(64);
  const Child child([&](int step) {
    if (step == 0) fill(memory, 64);
    if (step == 1) {
      ::poll(nullptr, 0, 100);
      ::munmap(memory.page(32), 32 * test::kChildPage);
    }
  });
  ASSERT_TRUE(child.step());
  Result<Process> process = Process::open(child.pid());
  child.start();
  const Result<Measurement> got = run(*process, RateMode::page_sampling, {Ms(1000)});
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->windows[0].dirty_pages.value, 0);
  EXPECT_EQ(got->windows[0].left_pages, 32u);
  EXPECT_TRUE(has_note(*got, "came or went")) << got->notes.size();
  EXPECT_TRUE(has_note(*got, "given back"));
}

TEST(DirtyRateMeasure, a_fork_is_told) {
  const ChildMemory memory(64);
  const Child child([&](int step) {
    if (step == 0) fill(memory, 64);
    if (step == 1) {
      ::poll(nullptr, 0, 100);
      if (::fork() == 0) {
        ::poll(nullptr, 0, 2000);
        ::_exit(0);
      }
    }
  });
  ASSERT_TRUE(child.step());
  Result<Process> process = Process::open(child.pid());
  child.start();
  const Result<Measurement> got = run(*process, RateMode::page_sampling, {Ms(600)});
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_TRUE(has_note(*got, "it has forked"));
}

TEST(DirtyRateMeasure, the_mode_is_chosen_by_what_the_kernel_has_and_why_is_said) {
  const ChildMemory memory(64);
  const Child child([&](int) { fill(memory, 64); });
  ASSERT_TRUE(child.step());
  Result<Process> process = Process::open(child.pid());
  const MappingChoice choice = of_the_test();
  ProcessMemory looked(*process, choice);
  const Result<ModeChoice> automatic = choose_mode(RateMode::automatic, looked);
  const Result<ModeChoice> asked = choose_mode(RateMode::soft_dirty, looked);
  ASSERT_TRUE(automatic);
  EXPECT_FALSE(automatic->why.empty());
  EXPECT_EQ(choose_mode(RateMode::page_sampling, looked)->mode, RateMode::page_sampling);
  if (kernel_has_soft_dirty()) {
    EXPECT_TRUE(asked);
  } else {
    EXPECT_EQ(automatic->mode, RateMode::page_sampling);
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().sys_errno(), kNotAvailable);
  }
}

}  // namespace
}  // namespace tern::tool
