// SPDX-License-Identifier: Apache-2.0
//
// Every function of the C API, called with nothing: NULL for each pointer and 0 for each number.
// One that can fail says invalid_argument, the others answer something harmless.
// tests/capi/capi_test.py holds this list and the headers together.
#include <gtest/gtest.h>

#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

template <typename Returned, typename... Arguments>
Returned with_nothing(Returned (*function)(Arguments...)) {
  return function(Arguments{}...);
}

template <typename... Arguments>
void expect_refusal(const char* name, int (*function)(Arguments...)) {
  EXPECT_EQ(with_nothing(function), TERN_ERROR_INVALID_ARGUMENT) << name;
}
#define EXPECT_REFUSAL(function) expect_refusal(#function, function)

TEST(NullArguments, are_refused_by_every_function_that_can_fail) {
  EXPECT_REFUSAL(tern_run_state_from);
  EXPECT_REFUSAL(tern_status_from);
  EXPECT_REFUSAL(tern_ending_from);
  EXPECT_REFUSAL(tern_address_to_uri);
  EXPECT_REFUSAL(tern_settings_set);
  EXPECT_REFUSAL(tern_settings_get);
  EXPECT_REFUSAL(tern_settings_check);
  EXPECT_REFUSAL(tern_setting_at);
  EXPECT_REFUSAL(tern_setting_find);
  EXPECT_REFUSAL(tern_dirty_bitmap_create);
  EXPECT_REFUSAL(tern_dirty_bitmap_or);
  EXPECT_REFUSAL(tern_find_populated);
  EXPECT_REFUSAL(tern_tracker_kvm_bitmap);
  EXPECT_REFUSAL(tern_tracker_kvm_ring);
  EXPECT_REFUSAL(tern_tracker_ring_full);
  EXPECT_REFUSAL(tern_tracker_set_vcpu_threads);
  EXPECT_REFUSAL(tern_kvm_dirty_ring_limit);
  EXPECT_REFUSAL(tern_kvm_dirty_ring_enable);
  EXPECT_REFUSAL(tern_machine_set_vcpu_dirty_limit);
  EXPECT_REFUSAL(tern_dirty_rate_meter_create);
  EXPECT_REFUSAL(tern_dirty_rate_meter_start);
  EXPECT_REFUSAL(tern_dirty_rate_meter_report);
  EXPECT_REFUSAL(tern_dirty_rate_meter_error);
  EXPECT_REFUSAL(tern_tracker_write_protect);
  EXPECT_REFUSAL(tern_tracker_fed);
  EXPECT_REFUSAL(tern_tracker_custom);
  EXPECT_REFUSAL(tern_tracker_start);
  EXPECT_REFUSAL(tern_tracker_harvest);
  EXPECT_REFUSAL(tern_tracker_stop);
  EXPECT_REFUSAL(tern_tracker_run_service);
  EXPECT_REFUSAL(tern_device_get_bool);
  EXPECT_REFUSAL(tern_device_get_u8);
  EXPECT_REFUSAL(tern_device_get_u16);
  EXPECT_REFUSAL(tern_device_get_u32);
  EXPECT_REFUSAL(tern_device_get_u64);
  EXPECT_REFUSAL(tern_device_get_i32);
  EXPECT_REFUSAL(tern_device_get_i64);
  EXPECT_REFUSAL(tern_device_get_buffer);
  EXPECT_REFUSAL(tern_device_get_u32_array);
  EXPECT_REFUSAL(tern_device_get_u64_array);
  EXPECT_REFUSAL(tern_device_bad_value);
  EXPECT_REFUSAL(tern_device_reader_create);
  EXPECT_REFUSAL(tern_make_announcement);
  EXPECT_REFUSAL(tern_object_store_add);
  EXPECT_REFUSAL(tern_object_store_remove);
  EXPECT_REFUSAL(tern_object_store_ids);
  EXPECT_REFUSAL(tern_machine_create);
  EXPECT_REFUSAL(tern_machine_pause);
  EXPECT_REFUSAL(tern_pause_guard_release);
  EXPECT_REFUSAL(tern_pause_guard_undo);
  EXPECT_REFUSAL(tern_stats_get_u64);
  EXPECT_REFUSAL(tern_stats_get_double);
  EXPECT_REFUSAL(tern_stats_get_text);
  EXPECT_REFUSAL(tern_stats_json);
  EXPECT_REFUSAL(tern_stats_channel_at);
  EXPECT_REFUSAL(tern_stats_throttle_step_at);
  EXPECT_REFUSAL(tern_statistic_at);
  EXPECT_REFUSAL(tern_statistic_find);
  EXPECT_REFUSAL(tern_source_create);
  EXPECT_REFUSAL(tern_source_start);
  EXPECT_REFUSAL(tern_source_continue_from);
  EXPECT_REFUSAL(tern_source_cancel);
  EXPECT_REFUSAL(tern_source_yank);
  EXPECT_REFUSAL(tern_source_update);
  EXPECT_REFUSAL(tern_source_stats);
  EXPECT_REFUSAL(tern_source_threads);
  EXPECT_REFUSAL(tern_source_wait);
  EXPECT_REFUSAL(tern_destination_create);
  EXPECT_REFUSAL(tern_destination_listen);
  EXPECT_REFUSAL(tern_destination_listening);
  EXPECT_REFUSAL(tern_destination_set_autostart);
  EXPECT_REFUSAL(tern_destination_hold_switchover);
  EXPECT_REFUSAL(tern_destination_release_switchover);
  EXPECT_REFUSAL(tern_destination_yank);
  EXPECT_REFUSAL(tern_destination_stats);
  EXPECT_REFUSAL(tern_destination_threads);
  EXPECT_REFUSAL(tern_destination_update);
  EXPECT_REFUSAL(tern_destination_wait);
  EXPECT_REFUSAL(tern_control_plane_create);
  EXPECT_REFUSAL(tern_control_plane_begin);
  EXPECT_REFUSAL(tern_control_plane_serve_unix);
  EXPECT_REFUSAL(tern_control_plane_execute);
  EXPECT_REFUSAL(tern_control_plane_add_blocker);
}

TEST(NullArguments, free_nothing) {
  with_nothing(tern_error_free);
  with_nothing(tern_free_string);
  with_nothing(tern_strings_free);
  with_nothing(tern_threads_free);
  with_nothing(tern_settings_free);
  with_nothing(tern_dirty_bitmap_free);
  with_nothing(tern_tracker_free);
  with_nothing(tern_dirty_rate_meter_free);
  with_nothing(tern_stop_free);
  with_nothing(tern_device_writer_free);
  with_nothing(tern_device_reader_free);
  with_nothing(tern_object_store_free);
  tern_object_store_free(tern_object_store_new());
  with_nothing(tern_machine_free);
  with_nothing(tern_pause_guard_free);
  with_nothing(tern_stats_free);
  with_nothing(tern_source_free);
  with_nothing(tern_destination_free);
  with_nothing(tern_control_plane_free);
}

TEST(NullArguments, do_nothing) {
  with_nothing(tern_version);
  with_nothing(tern_tracker_mark);
  with_nothing(tern_dirty_rate_meter_wait);
  with_nothing(tern_stop_request);
  with_nothing(tern_device_put_bool);
  with_nothing(tern_device_put_u8);
  with_nothing(tern_device_put_u16);
  with_nothing(tern_device_put_u32);
  with_nothing(tern_device_put_u64);
  with_nothing(tern_device_put_i32);
  with_nothing(tern_device_put_i64);
  with_nothing(tern_device_put_buffer);
  with_nothing(tern_device_put_u32_array);
  with_nothing(tern_device_put_u64_array);
  with_nothing(tern_device_begin_struct);
  with_nothing(tern_device_end_struct);
  with_nothing(tern_control_plane_stop);
  with_nothing(tern_control_plane_host_signal);
  with_nothing(tern_control_plane_guest_shutdown);
  with_nothing(tern_control_plane_remove_blocker);
}

TEST(NullArguments, have_no_text) {
  EXPECT_STREQ(with_nothing(tern_version_string), TERN_VERSION_STRING);
  EXPECT_STREQ(with_nothing(tern_error_message), "");
  EXPECT_STREQ(with_nothing(tern_code_name), "ok");
  EXPECT_EQ(with_nothing(tern_strings_at), nullptr);
  EXPECT_EQ(with_nothing(tern_threads_name), nullptr);
  EXPECT_STREQ(with_nothing(tern_run_state_name), "debug");
  EXPECT_STREQ(with_nothing(tern_status_name), "none");
  EXPECT_STREQ(with_nothing(tern_ending_name), "none");
  EXPECT_STREQ(with_nothing(tern_log_level_name), "debug");
  EXPECT_EQ(with_nothing(tern_setting_word), nullptr) << "the first has no words";
  EXPECT_STREQ(with_nothing(tern_setting_needs), "compress") << "of the first setting";
  EXPECT_EQ(with_nothing(tern_setting_excludes), nullptr);
  EXPECT_STREQ(with_nothing(tern_setting_type_name), "bool");
  EXPECT_STREQ(with_nothing(tern_acts_on_name), "source");
  EXPECT_EQ(with_nothing(tern_peer_version_of_machine), nullptr);
  EXPECT_STREQ(with_nothing(tern_tracker_name), "");
  EXPECT_STREQ(with_nothing(tern_stats_error), "");
  EXPECT_STREQ(with_nothing(tern_statistic_type_name), "int");
}

TEST(NullArguments, are_empty_and_0) {
  EXPECT_EQ(with_nothing(tern_error_code), TERN_OK);
  EXPECT_EQ(with_nothing(tern_error_errno), 0);
  EXPECT_EQ(with_nothing(tern_tracker_counts_vcpus), 0);
  EXPECT_EQ(with_nothing(tern_tracker_vcpu_dirty_pages), 0u);
  EXPECT_EQ(with_nothing(tern_tracker_ring_full_exits), 0u);
  EXPECT_EQ(with_nothing(tern_machine_vcpu_dirty_limits), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_rate_meter_vcpus), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_rate_meter_blocks), 0u);
  EXPECT_EQ(with_nothing(tern_threads_id), 0);
  EXPECT_EQ(with_nothing(tern_threads_count), 0u);
  EXPECT_EQ(with_nothing(tern_strings_count), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_bitmap_test), 0);
  EXPECT_EQ(with_nothing(tern_dirty_bitmap_blocks), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_bitmap_pages), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_bitmap_count), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_bitmap_block_count), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_bitmap_set_range), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_bitmap_clear_range), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_bitmap_or_word), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_bitmap_next_run), 0u);
  EXPECT_EQ(with_nothing(tern_dirty_bitmap_words), nullptr);
  EXPECT_EQ(with_nothing(tern_device_bytes), nullptr);
  EXPECT_EQ(with_nothing(tern_device_left), 0u);
  EXPECT_EQ(with_nothing(tern_device_stream_offset), 0u);
  EXPECT_EQ(with_nothing(tern_tracker_needs_service), 0);
  EXPECT_EQ(with_nothing(tern_pause_guard_before), TERN_RUN_STATE_INTERNAL_ERROR);
  EXPECT_EQ(with_nothing(tern_stats_status), TERN_STATUS_NONE);
  EXPECT_EQ(with_nothing(tern_stats_ending), TERN_ENDING_NONE);
  EXPECT_EQ(with_nothing(tern_stats_taken_at), 0);
  EXPECT_EQ(with_nothing(tern_stats_channel_count), 0u);
  EXPECT_EQ(with_nothing(tern_stats_throttle_step_count), 0u);
}

TEST(NullArguments, are_not_needed_where_something_is_made) {
  tern_error* error = with_nothing(tern_error_new);
  EXPECT_EQ(tern_error_code(error), TERN_ERROR_DEVICE);
  tern_error_free(error);
  for (auto* make : {tern_settings_new, tern_settings_new_qmp}) {
    tern_settings* settings = with_nothing(make);
    EXPECT_EQ(tern_settings_check(settings, nullptr), TERN_OK);
    tern_settings_free(settings);
  }
  tern_settings* copy = with_nothing(tern_settings_copy);
  EXPECT_EQ(tern_settings_check(copy, nullptr), TERN_OK);
  tern_settings_free(copy);
  tern_stop* stop = with_nothing(tern_stop_new);
  EXPECT_NE(stop, nullptr);
  tern_stop_free(stop);
  tern_device_writer* writer = with_nothing(tern_device_writer_new);
  EXPECT_NE(writer, nullptr);
  tern_device_writer_free(writer);
  EXPECT_GT(with_nothing(tern_setting_count), 0u);
  EXPECT_GT(with_nothing(tern_statistic_count), 0u);
  EXPECT_GT(with_nothing(tern_clock_now), 0);
  EXPECT_GT(with_nothing(tern_clock_wall), 0);
}

TEST(NullArguments, an_error_is_told_and_handles_become_null) {
  tern_error* error = nullptr;
  auto* source = reinterpret_cast<tern_source*>(&error);
  EXPECT_EQ(tern_source_create(nullptr, nullptr, &source, &error), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(source, nullptr);
  EXPECT_EQ(take_message(error), "machine is NULL");
}

}  // namespace
}  // namespace tern::capi
