// SPDX-License-Identifier: Apache-2.0
//
// The sending side for C: states and arguments. Whole migrations through it are in tests/capi.
#include "tern/source.h"

#include <gtest/gtest.h>

#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

class CSource : public ::testing::Test {
 protected:
  ~CSource() override {
    tern_source_free(source_);
    tern_machine_free(machine_);
  }
  void create(const tern_settings* settings = nullptr) {
    tern_error* error = nullptr;
    ASSERT_EQ(tern_source_create(machine_, settings, &source_, &error), TERN_OK)
        << take_message(error);
  }
  CMachine m_;
  tern_machine* machine_ = m_.create();
  tern_source* source_ = nullptr;
};

TEST_F(CSource, settings_that_do_not_go_together_are_refused) {
  tern_settings* settings = tern_settings_new();
  tern_settings_set(settings, "switchover-ack", "on", nullptr);
  tern_settings_set(settings, "return-path", "off", nullptr);
  EXPECT_EQ(tern_source_create(machine_, settings, &source_, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(source_, nullptr);
  tern_settings_free(settings);
}

TEST_F(CSource, before_it_starts_there_is_nothing_to_cancel_and_nothing_to_see) {
  create();
  EXPECT_EQ(tern_source_cancel(source_, nullptr), TERN_ERROR_FAILED_PRECONDITION);
  EXPECT_EQ(tern_source_yank(source_, nullptr), TERN_OK);
  EXPECT_EQ(tern_source_wait(source_, nullptr), TERN_OK);
  tern_stats* stats = nullptr;
  ASSERT_EQ(tern_source_stats(source_, &stats, nullptr), TERN_OK);
  EXPECT_EQ(tern_stats_status(stats), TERN_STATUS_NONE);
  tern_stats_free(stats);
  tern_threads* threads = nullptr;
  ASSERT_EQ(tern_source_threads(source_, &threads, nullptr), TERN_OK);
  EXPECT_EQ(tern_threads_count(threads), 0u);
  tern_threads_free(threads);
}

TEST_F(CSource, an_address_that_cannot_work_is_refused_at_once) {
  create();
  tern_error* error = nullptr;
  EXPECT_EQ(tern_source_start(source_, "pigeon:7", &error), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(take_message(error), "");
  EXPECT_EQ(tern_source_start(source_, R"({"transport": "socket"})", nullptr),
            TERN_ERROR_INVALID_ARGUMENT);
}

TEST_F(CSource, nobody_at_the_address_ends_it_with_the_guest_kept) {
  create();
  ASSERT_EQ(tern_source_start(source_, "unix:/nonexistent/socket", nullptr), TERN_OK);
  ASSERT_EQ(tern_source_wait(source_, nullptr), TERN_OK);
  tern_stats* stats = nullptr;
  ASSERT_EQ(tern_source_stats(source_, &stats, nullptr), TERN_OK);
  EXPECT_EQ(tern_stats_status(stats), TERN_STATUS_FAILED);
  EXPECT_EQ(tern_stats_ending(stats), TERN_ENDING_KEPT);
  EXPECT_STRNE(tern_stats_error(stats), "");
  tern_stats_free(stats);
  EXPECT_EQ(m_.state, TERN_RUN_STATE_PAUSED);
}

TEST_F(CSource, going_on_needs_a_status_that_exists_and_fits) {
  create();
  EXPECT_EQ(tern_source_continue_from(source_, 99, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(tern_source_continue_from(source_, -1, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(tern_source_continue_from(source_, TERN_STATUS_PRE_SWITCHOVER, nullptr),
            TERN_ERROR_FAILED_PRECONDITION);
}

TEST_F(CSource, settings_can_be_changed_while_it_lives) {
  create();
  tern_settings* settings = tern_settings_new();
  tern_settings_set(settings, "max-bandwidth", "1M", nullptr);
  EXPECT_EQ(tern_source_update(source_, settings, nullptr), TERN_OK);
  EXPECT_EQ(tern_source_update(source_, nullptr, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  tern_settings_free(settings);
}

TEST_F(CSource, it_keeps_the_machine_alive) {
  create();
  tern_machine_free(machine_);
  machine_ = nullptr;
  EXPECT_EQ(m_.destroyed, 0);
  tern_source_free(source_);
  source_ = nullptr;
  EXPECT_EQ(m_.destroyed, 1);
}

}  // namespace
}  // namespace tern::capi
