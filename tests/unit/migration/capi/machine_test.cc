// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/machine.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tern/announce.h"
#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

TEST(CMachineHandle, has_what_the_options_say) {
  CMachine m;
  const std::array<uint8_t, 16> uuid = {1, 2, 3};
  m.options.uuid = uuid.data();
  tern_machine* machine = m.create();
  const Machine& cxx = machine->parts->machine();
  EXPECT_EQ(cxx.name, "test");
  ASSERT_EQ(cxx.ram.size(), 1u);
  EXPECT_EQ(cxx.ram[0].idstr, "ram");
  EXPECT_EQ(cxx.uuid, uuid);
  EXPECT_EQ(cxx.tracker, nullptr);
  EXPECT_EQ(cxx.events, nullptr);
  tern_machine_free(machine);
  EXPECT_EQ(m.destroyed, 1);
}

TEST(CMachineHandle, a_name_that_was_left_out_is_none) {
  CMachine m;
  m.options.name = nullptr;
  tern_machine* machine = m.create();
  EXPECT_EQ(machine->parts->machine().name, "none");
  tern_machine_free(machine);
}

TEST(CMachineHandle, options_of_an_older_caller_end_after_the_vcpus) {
  CMachine m;
  m.options.size = offsetof(tern_machine_options, devices);
  m.options.device_count = 4711;  // an older caller has no such member
  tern_machine_free(m.create());
}

TEST(CMachineHandle, what_is_wrong_is_named_and_nothing_is_taken) {
  CMachine m;
  m.options.name = "";
  EXPECT_EQ(m.refusal(), "options.name must have 1 to 255 bytes");
  m.options.name = "test";
  m.options.vcpus = nullptr;
  EXPECT_EQ(m.refusal(), "vcpus is NULL");
  m.options.vcpus = &m.vcpus;
  m.options.device_count = 1;
  EXPECT_EQ(m.refusal(), "devices is NULL");
  EXPECT_EQ(m.destroyed, 0);
}

TEST(CMachineHandle, two_devices_of_one_name_are_refused) {
  CMachine m;
  tern_device_section device{};
  device.size = sizeof(device);
  device.idstr = "test/disk";
  device.save = [](void*, tern_device_writer*, tern_error**) { return 0; };
  device.load = [](void*, tern_device_reader*, uint32_t, tern_error**) { return 0; };
  std::array<tern_device_section, 2> devices = {device, device};
  m.options.devices = devices.data();
  m.options.device_count = devices.size();
  EXPECT_EQ(m.refusal(), "two devices are test/disk with instance 0");
  devices[1].instance_id = 1;
  tern_machine* machine = m.create();
  EXPECT_EQ(machine->parts->machine().devices.size(), 2u);
  tern_machine_free(machine);
}

TEST(CMachineHandle, its_tracker_lives_as_long_as_it_does) {
  CMachine m;
  tern_tracker* tracker = nullptr;
  ASSERT_EQ(tern_tracker_fed(&tracker, nullptr), TERN_OK);
  m.options.tracker = tracker;
  tern_machine* machine = m.create();
  tern_tracker_free(tracker);
  EXPECT_EQ(machine->parts->machine().tracker->name(), "fed");
  tern_machine_free(machine);
}

TEST(CPauseGuard, gives_the_guest_back_what_it_did_before) {
  CMachine m;
  m.state = TERN_RUN_STATE_RUNNING;
  tern_machine* machine = m.create();
  tern_pause_guard* guard = nullptr;
  ASSERT_EQ(tern_machine_pause(machine, &guard, nullptr), TERN_OK);
  EXPECT_EQ(m.state, TERN_RUN_STATE_FINISH_MIGRATE);
  EXPECT_EQ(tern_pause_guard_before(guard), TERN_RUN_STATE_RUNNING);
  tern_machine_free(machine);  // the guard keeps it
  tern_pause_guard_free(guard);
  EXPECT_EQ(m.calls, (std::vector<std::string>{"pause", "resume"}));
  EXPECT_EQ(m.destroyed, 1);
}

TEST(CPauseGuard, released_it_leaves_the_guest_stopped) {
  CMachine m;
  m.state = TERN_RUN_STATE_RUNNING;
  tern_machine* machine = m.create();
  tern_pause_guard* guard = nullptr;
  ASSERT_EQ(tern_machine_pause(machine, &guard, nullptr), TERN_OK);
  EXPECT_EQ(tern_pause_guard_release(guard, TERN_RUN_STATE_RUNNING, nullptr),
            TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(tern_pause_guard_release(guard, 99, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(tern_pause_guard_release(guard, TERN_RUN_STATE_POSTMIGRATE, nullptr), TERN_OK);
  EXPECT_EQ(m.state, TERN_RUN_STATE_POSTMIGRATE);
  tern_machine_free(machine);
}

TEST(CPauseGuard, undo_tells_the_error) {
  CMachine m;
  m.state = TERN_RUN_STATE_RUNNING;
  tern_machine* machine = m.create();
  tern_pause_guard* guard = nullptr;
  ASSERT_EQ(tern_machine_pause(machine, &guard, nullptr), TERN_OK);
  m.fail = TERN_ERROR_DEVICE;
  tern_error* error = nullptr;
  EXPECT_EQ(tern_pause_guard_undo(guard, &error), TERN_ERROR_DEVICE);
  EXPECT_EQ(take_message(error), "vcpus.resume_all: told to fail");
  EXPECT_EQ(tern_machine_pause(machine, &guard, nullptr), TERN_ERROR_DEVICE);
  EXPECT_EQ(guard, nullptr);
  tern_machine_free(machine);
}

TEST(CAnnouncement, is_the_packet_of_cxx) {
  const MacAddress mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
  std::array<uint8_t, TERN_ANNOUNCEMENT_BYTES> frame{};
  ASSERT_EQ(tern_make_announcement(mac.data(), frame.data(), nullptr), TERN_OK);
  const auto expected = make_announcement(mac);
  EXPECT_EQ(std::memcmp(frame.data(), expected.data(), frame.size()), 0);
}

}  // namespace
}  // namespace tern::capi
