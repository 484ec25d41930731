// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/tracker.h"

#include <gtest/gtest.h>

#include <semaphore>
#include <thread>

#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

/// A tracker in C that says page 3 is dirty, and serves until it is told to stop.
struct Script {
  Script() {
    table.size = sizeof(table);
    table.user = this;
    table.destroy = [](void* user) { ++self(user).destroyed; };
    table.name = "script";
    table.start = [](void* user, const tern_ram_block* given, size_t count, tern_error** error) {
      if (self(user).fail != TERN_OK) *error = tern_error_new(self(user).fail, "told to", 0);
      if (self(user).fail == TERN_OK) {
        self(user).first = TERN_ELEMENT(tern_ram_block, given, 0)->idstr;
        self(user).blocks = count;
      }
      return self(user).fail;
    };
    table.harvest = [](void* user, tern_dirty_bitmap* into, tern_error**) {
      tern_dirty_bitmap_set_range(into, 0, 3, 1);
      return self(user).fail;
    };
    table.stop = [](void* user, tern_error**) { return self(user).fail; };
    table.mark = [](void* user, size_t block, uint64_t offset, uint64_t bytes) {
      self(user).marked = block + offset + bytes;
    };
  }
  void with_service() {
    table.run_service = [](void* user, tern_error**) {
      self(user).serving.acquire();
      return 0;
    };
    table.stop_service = [](void* user) { self(user).serving.release(); };
  }
  static Script& self(void* user) { return *static_cast<Script*>(user); }

  tern_tracker_callbacks table{};
  int fail = TERN_OK;
  int destroyed = 0;
  std::string first;
  size_t blocks = 0;
  uint64_t marked = 0;
  std::binary_semaphore serving{0};
};

tern_tracker* create(const Script& script) {
  tern_tracker* tracker = nullptr;
  tern_error* error = nullptr;
  EXPECT_EQ(tern_tracker_custom(&script.table, &tracker, &error), TERN_OK) << take_message(error);
  return tracker;
}

TEST(CTracker, one_written_in_c_is_started_harvested_marked_and_stopped) {
  CMachine m;
  Script script;
  tern_tracker* tracker = create(script);
  tern_dirty_bitmap* bitmap = nullptr;
  ASSERT_EQ(tern_dirty_bitmap_create(&m.ram, 1, &bitmap, nullptr), TERN_OK);
  EXPECT_STREQ(tern_tracker_name(tracker), "script");
  EXPECT_EQ(tern_tracker_needs_service(tracker), 0);
  ASSERT_EQ(tern_tracker_start(tracker, &m.ram, 1, nullptr), TERN_OK);
  EXPECT_EQ(script.first, "ram");
  EXPECT_EQ(script.blocks, 1u);
  EXPECT_EQ(tern_tracker_start(tracker, &m.ram, 1, nullptr), TERN_ERROR_FAILED_PRECONDITION);
  uint64_t added = 99;
  ASSERT_EQ(tern_tracker_harvest(tracker, bitmap, &added, nullptr), TERN_OK);
  EXPECT_EQ(added, 1u);
  ASSERT_EQ(tern_tracker_harvest(tracker, bitmap, &added, nullptr), TERN_OK);
  EXPECT_EQ(added, 0u) << "it was set before";
  tern_tracker_mark(tracker, 1, 10, 100);
  EXPECT_EQ(script.marked, 111u);
  ASSERT_EQ(tern_tracker_stop(tracker, nullptr), TERN_OK);
  EXPECT_EQ(tern_tracker_start(tracker, &m.ram, 1, nullptr), TERN_OK) << "and once more";
  tern_tracker_free(tracker);
  EXPECT_EQ(script.destroyed, 1);
  tern_dirty_bitmap_free(bitmap);
}

TEST(CTracker, its_errors_are_passed_on_with_its_name) {
  CMachine m;
  Script script;
  script.fail = TERN_ERROR_UNSUPPORTED;
  tern_tracker* tracker = create(script);
  tern_error* error = nullptr;
  EXPECT_EQ(tern_tracker_start(tracker, &m.ram, 1, &error), TERN_ERROR_UNSUPPORTED);
  EXPECT_EQ(take_message(error), "script: start: told to");
  EXPECT_EQ(tern_tracker_stop(tracker, &error), TERN_ERROR_UNSUPPORTED);
  EXPECT_EQ(take_message(error), "script: stop: failed with code 3");
  tern_tracker_free(tracker);
}

TEST(CTracker, a_service_runs_until_it_is_told_to_stop) {
  Script script;
  script.with_service();
  tern_tracker* tracker = create(script);
  EXPECT_EQ(tern_tracker_needs_service(tracker), 1);
  tern_stop* stop = tern_stop_new();
  int code = -1;
  std::thread service([&] { code = tern_tracker_run_service(tracker, stop, nullptr); });
  std::thread stopper([&] { tern_stop_request(stop); });
  stopper.join();
  service.join();
  EXPECT_EQ(code, TERN_OK);
  tern_stop_free(stop);
  tern_tracker_free(tracker);
}

TEST(CTracker, a_table_with_half_a_service_or_without_a_callback_is_refused) {
  Script script;
  tern_tracker* tracker = nullptr;
  script.with_service();
  script.table.stop_service = nullptr;
  EXPECT_EQ(tern_tracker_custom(&script.table, &tracker, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  script.table.run_service = nullptr;
  script.table.mark = nullptr;
  EXPECT_EQ(tern_tracker_custom(&script.table, &tracker, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(tracker, nullptr);
  EXPECT_EQ(script.destroyed, 0);
}

TEST(CTracker, the_fed_one_knows_what_it_was_told) {
  CMachine m;
  tern_tracker* tracker = nullptr;
  tern_dirty_bitmap* bitmap = nullptr;
  ASSERT_EQ(tern_tracker_fed(&tracker, nullptr), TERN_OK);
  ASSERT_EQ(tern_dirty_bitmap_create(&m.ram, 1, &bitmap, nullptr), TERN_OK);
  ASSERT_EQ(tern_tracker_start(tracker, &m.ram, 1, nullptr), TERN_OK);
  tern_tracker_mark(tracker, 0, 4095, 2);
  uint64_t added = 0;
  ASSERT_EQ(tern_tracker_harvest(tracker, bitmap, &added, nullptr), TERN_OK);
  EXPECT_EQ(added, 2u);
  EXPECT_EQ(tern_dirty_bitmap_test(bitmap, 0, 1), 1);
  EXPECT_EQ(tern_tracker_stop(tracker, nullptr), TERN_OK);
  tern_tracker_free(tracker);
  tern_dirty_bitmap_free(bitmap);
}

TEST(CTracker, kvm_and_write_protection_check_their_arguments) {
  tern_tracker* tracker = nullptr;
  EXPECT_EQ(tern_tracker_write_protect(3, nullptr, &tracker, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  tern_kvm_slot slot{};
  slot.size = sizeof(slot);
  slot.bytes = 4096;
  EXPECT_NE(tern_tracker_kvm_bitmap(-1, &slot, 1, nullptr, &tracker, nullptr), TERN_OK);
  EXPECT_EQ(tern_tracker_kvm_bitmap(-1, nullptr, 1, nullptr, &tracker, nullptr),
            TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(tracker, nullptr);
}

TEST(CTracker, a_log_is_given_back_with_the_tracker_or_not_taken) {
  int destroyed = 0;
  tern_log_callbacks log{};
  log.size = sizeof(log);
  log.user = &destroyed;
  log.destroy = [](void* user) { ++*static_cast<int*>(user); };
  log.log = [](void*, int, const char*) {};
  tern_tracker* tracker = nullptr;
  EXPECT_NE(tern_tracker_kvm_bitmap(-1, nullptr, 0, &log, &tracker, nullptr), TERN_OK);
  EXPECT_EQ(destroyed, 0);
  const int code =
      tern_tracker_write_protect(TERN_WRITE_PROTECT_AUTOMATIC, &log, &tracker, nullptr);
  EXPECT_EQ(code == TERN_OK, tracker != nullptr) << code;
  tern_tracker_free(tracker);
  EXPECT_EQ(destroyed, code == TERN_OK ? 1 : 0);
}

}  // namespace
}  // namespace tern::capi
