// SPDX-License-Identifier: Apache-2.0
#include "tern/dirty_rate.h"

#include <gtest/gtest.h>

#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

class CDirtyRate : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(tern_tracker_fed(&tracker_, nullptr), TERN_OK);
    m_.options.tracker = tracker_;
    ASSERT_EQ(tern_machine_create(&m_.options, &machine_, nullptr), TERN_OK);
    ASSERT_EQ(tern_dirty_rate_meter_create(machine_, &meter_, nullptr), TERN_OK);
    request_.size = sizeof(request_);
    request_.window_ms = 50;
    request_.mode = TERN_DIRTY_RATE_DIRTY_BITMAP;
  }
  // In any order: each keeps what it uses.
  void TearDown() override {
    tern_machine_free(machine_);
    tern_tracker_free(tracker_);
    tern_dirty_rate_meter_free(meter_);
  }
  tern_dirty_rate_report report() {
    tern_dirty_rate_report filled{};
    filled.size = sizeof(filled);
    EXPECT_EQ(tern_dirty_rate_meter_report(meter_, &filled, nullptr), TERN_OK);
    return filled;
  }
  CMachine m_;
  tern_tracker* tracker_ = nullptr;
  tern_machine* machine_ = nullptr;
  tern_dirty_rate_meter* meter_ = nullptr;
  tern_dirty_rate_request request_{};
};

TEST_F(CDirtyRate, a_measurement_from_its_request_to_its_report) {
  EXPECT_EQ(report().status, TERN_DIRTY_RATE_UNSTARTED);
  ASSERT_EQ(tern_dirty_rate_meter_start(meter_, &request_, nullptr), TERN_OK);
  EXPECT_EQ(tern_dirty_rate_meter_start(meter_, &request_, nullptr),
            TERN_ERROR_FAILED_PRECONDITION);
  while (report().status == TERN_DIRTY_RATE_MEASURING) {
    tern_tracker_mark(tracker_, 0, 0, 2 * TERN_TARGET_PAGE_BYTES);
  }
  tern_dirty_rate_meter_wait(meter_);
  const tern_dirty_rate_report done = report();
  EXPECT_EQ(done.status, TERN_DIRTY_RATE_MEASURED);
  EXPECT_EQ(done.mode, TERN_DIRTY_RATE_DIRTY_BITMAP);
  EXPECT_GE(done.window_ns, 50'000'000);
  const double pages = static_cast<double>(done.bytes_per_s) / TERN_TARGET_PAGE_BYTES *
                       static_cast<double>(done.window_ns) / 1e9;
  EXPECT_NEAR(pages, 2, 0.01);
  EXPECT_EQ(done.high, -1);
  int64_t block = 0;
  EXPECT_EQ(tern_dirty_rate_meter_blocks(meter_, &block, 1), 1u);
  EXPECT_EQ(block, done.bytes_per_s);
  EXPECT_EQ(tern_dirty_rate_meter_vcpus(meter_, nullptr, 0), 0u);
  char* text = nullptr;
  ASSERT_EQ(tern_dirty_rate_meter_error(meter_, &text, nullptr), TERN_OK);
  EXPECT_EQ(take_text(text), "");
}

TEST_F(CDirtyRate, requests_are_checked) {
  tern_error* error = nullptr;
  request_.mode = 3;
  EXPECT_EQ(tern_dirty_rate_meter_start(meter_, &request_, &error), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(take_message(error), "request: no mode has number 3, or reserved is not 0");
  request_.mode = TERN_DIRTY_RATE_DIRTY_RING;
  EXPECT_EQ(tern_dirty_rate_meter_start(meter_, &request_, nullptr), TERN_ERROR_UNSUPPORTED);
  request_.mode = TERN_DIRTY_RATE_PAGE_SAMPLING;
  request_.samples_per_gib = 1;
  EXPECT_EQ(tern_dirty_rate_meter_start(meter_, &request_, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  request_.samples_per_gib = 0;
  request_.window_ms = 60001;
  EXPECT_EQ(tern_dirty_rate_meter_start(meter_, &request_, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(report().status, TERN_DIRTY_RATE_UNSTARTED);
}

TEST_F(CDirtyRate, only_rings_can_be_full_and_only_some_trackers_count_by_vcpu) {
  EXPECT_EQ(tern_tracker_ring_full(tracker_, 0, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(tern_tracker_ring_full_exits(tracker_, 0), 0u);
  EXPECT_EQ(tern_tracker_counts_vcpus(tracker_), 0);
  const int threads[] = {1, 2};
  EXPECT_EQ(tern_tracker_set_vcpu_threads(tracker_, threads, 2, nullptr), TERN_OK);
  uint64_t pages[2] = {9, 9};
  EXPECT_EQ(tern_tracker_vcpu_dirty_pages(tracker_, pages, 2), 0u);
  tern_tracker* none = nullptr;
  EXPECT_EQ(tern_tracker_kvm_ring(-1, nullptr, 0, threads, 1, 1024, nullptr, &none, nullptr),
            TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(tern_kvm_dirty_ring_enable(-1, 1024, nullptr), TERN_ERROR_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace tern::capi
