// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/callbacks.h"

#include <gtest/gtest.h>

#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

TEST(CCallbacks, a_table_is_given_back_once_and_only_if_it_was_adopted) {
  CMachine m;
  EXPECT_TRUE(VcpuAdapter::create(&m.vcpus).has_value()) << "and dropped at once";
  EXPECT_EQ(m.destroyed, 0);
  {
    const auto kept = VcpuAdapter::create(&m.vcpus);
    (*kept)->adopt();
  }
  EXPECT_EQ(m.destroyed, 1);
}

TEST(CCallbacks, what_is_missing_in_a_table_is_named) {
  CMachine m;
  m.vcpus.resume_all = nullptr;
  EXPECT_EQ(VcpuAdapter::create(&m.vcpus).error().message(), "vcpus.resume_all is NULL");
  EXPECT_EQ(VcpuAdapter::create(nullptr).error().message(), "vcpus is NULL");
  CMachine half;
  half.vcpus.vcpu_count = [](void*) { return 1u; };
  EXPECT_EQ(VcpuAdapter::create(&half.vcpus).error().message(),
            "vcpus: one of vcpu_count, hold_vcpu is NULL");
  tern_log_callbacks log{};
  EXPECT_EQ(LogAdapter::create(&log).error().code(), ErrorCode::invalid_argument) << "size is 0";
}

TEST(CCallbacks, the_vcpus_are_stopped_and_started) {
  CMachine m;
  m.state = TERN_RUN_STATE_RUNNING;
  const auto vcpus = VcpuAdapter::create(&m.vcpus);
  EXPECT_EQ((*vcpus)->run_state(), RunState::running);
  EXPECT_EQ(*(*vcpus)->pause_all(RunState::finish_migrate), RunState::running);
  EXPECT_EQ(m.state, TERN_RUN_STATE_FINISH_MIGRATE);
  EXPECT_EQ((*vcpus)->vcpu_count(), 0u) << "none of it given: nothing can be held";
  (*vcpus)->hold_vcpu(0, Milliseconds(1));
  (*vcpus)->set_stopped_state(RunState::postmigrate);
  EXPECT_EQ(m.state, TERN_RUN_STATE_POSTMIGRATE);
  EXPECT_TRUE((*vcpus)->resume_all().has_value());
  EXPECT_EQ(m.state, TERN_RUN_STATE_RUNNING);
}

TEST(CCallbacks, a_run_state_that_is_none_does_not_run) {
  CMachine m;
  m.state = 4711;
  const auto vcpus = VcpuAdapter::create(&m.vcpus);
  EXPECT_EQ((*vcpus)->run_state(), RunState::internal_error);
}

TEST(CCallbacks, a_pause_that_does_not_say_what_was_before_is_undone) {
  CMachine m;
  m.tells_before = false;
  m.state = TERN_RUN_STATE_RUNNING;
  const auto vcpus = VcpuAdapter::create(&m.vcpus);
  const auto running = (*vcpus)->pause_all(RunState::finish_migrate);
  ASSERT_FALSE(running.has_value());
  EXPECT_EQ(running.error().code(), ErrorCode::device);
  EXPECT_EQ(m.state, TERN_RUN_STATE_RUNNING);
  m.state = TERN_RUN_STATE_PAUSED;
  EXPECT_FALSE((*vcpus)->pause_all(RunState::finish_migrate).has_value());
  EXPECT_EQ(m.state, TERN_RUN_STATE_PAUSED);
}

TEST(CCallbacks, an_error_of_a_callback_is_told_with_its_name) {
  CMachine m;
  m.fail = TERN_ERROR_TIMED_OUT;
  const auto vcpus = VcpuAdapter::create(&m.vcpus);
  const auto failed = (*vcpus)->resume_all();
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code(), ErrorCode::timed_out);
  EXPECT_EQ(failed.error().message(), "vcpus.resume_all: told to fail");
}

TEST(CCallbacks, events_carry_what_belongs_to_them) {
  std::vector<std::string> seen;
  tern_event_callbacks table{};
  table.size = sizeof(table);
  table.user = &seen;
  table.on_event = [](void* user, const tern_event* event) {
    auto& list = *static_cast<std::vector<std::string>*>(user);
    list.push_back(std::to_string(event->type) + " " + tern_status_name(event->status) + " " +
                   std::to_string(event->pass) + " " +
                   (event->device_id != nullptr ? event->device_id : "-"));
  };
  const auto events = EventAdapter::create(&table);
  (*events)->on_event(StatusChanged{Status::active});
  (*events)->on_event(PassStarted{7});
  (*events)->on_event(UnplugRequested{"net0"});
  EXPECT_EQ(seen, (std::vector<std::string>{"1 active 0 -", "2 none 7 -", "3 none 0 net0"}));
}

TEST(CCallbacks, log_lines_end_where_they_end) {
  std::string seen;
  tern_log_callbacks table{};
  table.size = sizeof(table);
  table.user = &seen;
  table.log = [](void* user, int level, const char* message) {
    *static_cast<std::string*>(user) += std::string(tern_log_level_name(level)) + ": " + message;
  };
  const auto log = LogAdapter::create(&table);
  (*log)->log(LogLevel::warning, std::string_view("cut here, not there").substr(0, 8));
  EXPECT_EQ(seen, "warning: cut here");
}

TEST(CCallbacks, a_clock_of_the_embedders) {
  tern_clock_callbacks table{};
  table.size = sizeof(table);
  table.now = [](void*) { return int64_t{5}; };
  EXPECT_EQ(ClockAdapter::create(&table).error().message(), "clock.wall is NULL");
  table.wall = [](void*) { return int64_t{6}; };
  const auto clock = ClockAdapter::create(&table);
  EXPECT_EQ((*clock)->now(), Nanoseconds(5));
  EXPECT_EQ((*clock)->wall(), Nanoseconds(6));
}

TEST(CCallbacks, announcements_name_the_interfaces) {
  std::string seen;
  tern_announcer_callbacks table{};
  table.size = sizeof(table);
  table.user = &seen;
  table.announce = [](void* user, const char* const* interfaces, size_t count) {
    for (size_t i = 0; i < count; ++i) *static_cast<std::string*>(user) += interfaces[i];
    *static_cast<std::string*>(user) += ".";
  };
  const auto announcer = AnnouncerAdapter::create(&table);
  (*announcer)->announce({});
  const std::vector<std::string> two = {"net0", "net1"};
  (*announcer)->announce(two);
  EXPECT_EQ(seen, ".net0net1.");
}

TEST(CCallbacks, a_device_to_unplug) {
  int calls = 0;
  tern_unplug_device table{};
  table.size = sizeof(table);
  table.user = &calls;
  table.id = "vfio0";
  table.request_unplug = [](void*, tern_error**) -> int { return TERN_ERROR_UNSUPPORTED; };
  table.unplugged = [](void* user) { return ++*static_cast<int*>(user); };
  EXPECT_EQ(UnplugAdapter::create(table).error().message(), "unplug.plug_back is NULL");
  table.plug_back = [](void* user) { *static_cast<int*>(user) += 10; };
  const auto device = UnplugAdapter::create(table);
  EXPECT_EQ((*device)->id(), "vfio0");
  EXPECT_EQ((*device)->request_unplug().error().message(),
            "request_unplug of vfio0: failed with code 3");
  EXPECT_TRUE((*device)->unplugged());
  (*device)->plug_back();
  EXPECT_EQ(calls, 11);
}

class CSection : public ::testing::Test {
 protected:
  CSection() {
    table_.size = sizeof(table_);
    table_.user = this;
    table_.idstr = "test/disk";
    table_.version_id = 4;
    table_.save = [](void*, tern_device_writer* writer, tern_error**) {
      tern_device_put_u32(writer, "sectors", 9);
      return 0;
    };
    table_.load = [](void* user, tern_device_reader* reader, uint32_t version, tern_error** error) {
      static_cast<CSection*>(user)->version_ = version;
      uint32_t sectors = 0;
      const int code = tern_device_get_u32(reader, "sectors", &sectors, error);
      tern_device_reader_free(reader);  // it was lent: nothing happens
      return code;
    };
  }
  tern_device_section table_{};
  uint32_t version_ = 0;
};

TEST_F(CSection, saves_and_loads_through_the_handles) {
  const auto device = DeviceAdapter::create(table_);
  ASSERT_TRUE(device.has_value());
  DeviceWriter writer;
  ASSERT_TRUE((*device)->save(writer).has_value());
  EXPECT_EQ(writer.size(), 4u);
  DeviceReader reader(writer.bytes(), 0);
  EXPECT_TRUE((*device)->load(reader, 4).has_value());
  EXPECT_EQ(version_, 4u);
  const auto too_short = (*device)->load(reader, 4);
  ASSERT_FALSE(too_short.has_value());
  EXPECT_EQ(too_short.error().code(), ErrorCode::peer_protocol);
}

TEST_F(CSection, a_save_that_passed_null_fails) {
  table_.save = [](void*, tern_device_writer* writer, tern_error**) {
    tern_device_put_u32(writer, nullptr, 9);
    return 0;
  };
  const auto device = DeviceAdapter::create(table_);
  DeviceWriter writer;
  const auto saved = (*device)->save(writer);
  ASSERT_FALSE(saved.has_value());
  EXPECT_EQ(saved.error().message(), "save: the name of a field is NULL");
}

TEST_F(CSection, versions_that_were_left_out_have_defaults) {
  EXPECT_EQ((*DeviceAdapter::create(table_))->id().minimum_version_id, 4u);
  table_.version_id = 0;
  EXPECT_EQ((*DeviceAdapter::create(table_))->id().version_id, 1u);
  table_.minimum_version_id = 2;
  EXPECT_FALSE(DeviceAdapter::create(table_).has_value()) << "above version_id";
}

TEST_F(CSection, names_and_callbacks_are_checked) {
  const std::string long_name(256, 'x');
  table_.idstr = long_name.c_str();
  EXPECT_FALSE(DeviceAdapter::create(table_).has_value());
  table_.idstr = "ok";
  table_.reserved = 1;
  EXPECT_EQ(DeviceAdapter::create(table_).error().code(), ErrorCode::unsupported);
  table_.reserved = 0;
  table_.load = nullptr;
  EXPECT_EQ(DeviceAdapter::create(table_).error().message(), "device.load is NULL");
}

}  // namespace
}  // namespace tern::capi
