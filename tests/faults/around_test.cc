// SPDX-License-Identifier: Apache-2.0
//
// What happens around the transfer of a whole migration: devices that must be unplugged first, the
// announcement after it, the list of its threads, and yank.
#include <gtest/gtest.h>

#include <array>
#include <set>

#include "tests/doubles/devices.h"
#include "tests/doubles/pair.h"

namespace tern {
namespace {

using test::CountingNetwork;
using test::HeldDevice;
using test::Pair;
using test::SlowDevice;
using Strings = std::vector<std::string>;

struct UnplugPair : Pair {
  HeldDevice net0{"net0"};
  HeldDevice net1{"net1"};
  std::array<UnplugDevice*, 2> devices{&net0, &net1};
  UnplugPair() {
    adjust_a = [this](Machine& machine) { machine.unplug = devices; };
  }
};

TEST(Unplug, a_migration_waits_until_the_guest_let_go_of_every_device) {
  UnplugPair pair;
  pair.net0.gone = true;
  pair.prepare({});
  pair.start();
  pair.a_events.wait_for("wait-unplug");
  EXPECT_EQ(pair.source->stats().status, Status::wait_unplug);
  EXPECT_TRUE(pair.a.running());
  pair.net1.gone = true;
  pair.source->wait();
  EXPECT_EQ(pair.a_events.all(), (Strings{"setup", "unplug net0", "unplug net1", "wait-unplug",
                                          "active", "device", "completed"}));
  pair.destination->wait();
  EXPECT_TRUE(pair.b.running());
  EXPECT_EQ(pair.net1.plugged_back, 0) << "the guest is gone, its device stays unplugged";
}

TEST(Unplug, with_nothing_to_wait_for_the_state_is_never_wait_unplug) {
  UnplugPair pair;
  pair.net0.gone = pair.net1.gone = true;
  pair.prepare({});
  pair.start();
  pair.source->wait();
  EXPECT_EQ(pair.a_events.all(),
            (Strings{"setup", "unplug net0", "unplug net1", "active", "device", "completed"}));
}

TEST(Unplug, a_guest_that_keeps_the_device_fails_the_migration_and_has_it_back) {
  UnplugPair pair;
  pair.net0.gone = true;
  Settings settings;
  settings.unplug_timeout = 1;
  pair.prepare(settings);
  pair.start();
  pair.source->wait();
  const StatsSnapshot stats = pair.source->stats();
  EXPECT_EQ(stats.status, Status::failed);
  EXPECT_NE(stats.error_desc.find("'net1'"), std::string::npos) << stats.error_desc;
  EXPECT_NE(stats.error_desc.find("x-unplug-timeout"), std::string::npos) << stats.error_desc;
  EXPECT_EQ(pair.net0.plugged_back, 1);
  EXPECT_EQ(pair.net1.plugged_back, 1);
  EXPECT_TRUE(pair.a.running());
}

TEST(Unplug, cancelled_while_waiting_the_guest_has_its_devices_back) {
  UnplugPair pair;
  pair.prepare({});
  pair.start();
  pair.a_events.wait_for("wait-unplug");
  ASSERT_TRUE(pair.source->cancel().has_value());
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::cancelled);
  EXPECT_EQ(pair.net0.plugged_back, 1);
  EXPECT_TRUE(pair.a.running());
}

TEST(Unplug, a_destination_that_goes_while_the_guest_is_waited_for_fails_the_migration) {
  UnplugPair pair;
  pair.prepare({});
  pair.start();
  pair.a_events.wait_for("wait-unplug");
  pair.destination.reset();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::failed);
  EXPECT_EQ(pair.net1.plugged_back, 1);
  EXPECT_TRUE(pair.a.running());
}

TEST(Unplug, a_device_that_cannot_be_asked_is_named_in_the_error) {
  UnplugPair pair;
  pair.net1.refuses = true;
  pair.prepare({});
  pair.start();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().error_desc, "unplugging device 'net1': no hotplug controller");
  EXPECT_EQ(pair.net0.plugged_back, 1);
}

TEST(Yank, a_migration_that_is_yanked_fails_at_once_and_the_guest_runs_on) {
  UnplugPair pair;  // waits for the guest, so that it is running for certain
  pair.prepare({});
  pair.start();
  pair.a_events.wait_for("wait-unplug");
  pair.source->yank();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::failed);
  EXPECT_EQ(pair.source->stats().error_desc, "the connection was shut down by yank");
  EXPECT_EQ(pair.source->stats().ending, Ending::kept);
  EXPECT_TRUE(pair.a.running());
  pair.destination->wait();
  EXPECT_EQ(pair.destination->stats().status, Status::failed);
  EXPECT_FALSE(pair.b.running());
}

TEST(Yank, of_the_destination_fails_both_sides_and_the_guest_runs_on) {
  UnplugPair pair;
  pair.prepare({});
  pair.start();
  pair.a_events.wait_for("wait-unplug");
  pair.b_events.wait_for("active");
  pair.destination->yank();
  pair.destination->wait();
  EXPECT_EQ(pair.destination->stats().error_desc, "the connection was shut down by yank");
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::failed);
  EXPECT_TRUE(pair.a.running());
}

TEST(Yank, a_source_that_is_destroyed_after_the_commit_does_not_wait_for_the_peers_last_word) {
  Pair pair;
  SlowDevice here(16);
  SlowDevice there(16);
  there.hold();
  std::array<DeviceSection*, 2> a_devices{&pair.a, &here};
  std::array<DeviceSection*, 2> b_devices{&pair.b, &there};
  pair.adjust_a = [&](Machine& machine) { machine.devices = a_devices; };
  pair.adjust_b = [&](Machine& machine) { machine.devices = b_devices; };
  Settings settings;
  settings.peer_version = PeerVersion::qemu_9_0;  // no go: the end of the stream is the commit
  settings.final_timeout = 86400000;
  pair.prepare(settings);
  pair.start();
  there.wait_reached();
  // The device state follows the end of the stream only after the commit.
  EXPECT_FALSE(pair.source->cancel().has_value()) << "too late";
  pair.source.reset();  // would wait for a day
  EXPECT_EQ(pair.a.run_state(), RunState::postmigrate) << "stopped and complete";
  there.let_go();
  pair.destination->wait();
}

TEST(Yank, before_and_after_a_migration_does_nothing) {
  Pair pair;
  pair.prepare({});
  pair.source->yank();
  pair.destination->yank();
  pair.start();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::completed);
  pair.source->yank();
  EXPECT_EQ(pair.source->stats().status, Status::completed);
  EXPECT_EQ(pair.source->stats().error_desc, "");
}

TEST(Threads, are_listed_with_qemus_names_while_they_run) {
  UnplugPair pair;
  Settings settings;
  settings.thread_prefix = "a:";
  pair.prepare(settings);
  EXPECT_TRUE(pair.source->threads().empty());
  pair.start();
  pair.a_events.wait_for("wait-unplug");
  std::set<std::string> names;
  for (const ThreadInfo& thread : pair.source->threads()) {
    EXPECT_GT(thread.thread_id, 0);
    names.insert(thread.name);
  }
  EXPECT_EQ(names, (std::set<std::string>{"a:mig/src/main", "a:mig/src/retur"}));
  ASSERT_EQ(pair.destination->threads().size(), 1u);
  EXPECT_EQ(pair.destination->threads()[0].name, "a:mig/dst/liste");
  pair.net0.gone = pair.net1.gone = true;
  pair.source->wait();
  pair.source.reset();
}

TEST(Announce, the_network_is_told_where_the_guest_is_once_it_runs_there) {
  Pair pair;
  CountingNetwork network;
  pair.adjust_b = [&](Machine& machine) { machine.announcer = &network; };
  Settings settings;
  settings.announce_rounds = 1;
  pair.prepare(settings);
  pair.start();
  network.wait_for(1);
  EXPECT_TRUE(pair.b.running());
  EXPECT_TRUE(network.last().empty()) << "all interfaces";
  pair.source->wait();
  pair.destination->wait();
}

TEST(Announce, a_guest_that_does_not_start_is_not_announced) {
  Pair pair;
  CountingNetwork network;
  pair.adjust_b = [&](Machine& machine) { machine.announcer = &network; };
  pair.prepare({});
  pair.destination->set_autostart(false);
  pair.start();
  pair.source->wait();
  pair.destination->wait();
  pair.destination.reset();
  EXPECT_EQ(network.count(), 0);
}

}  // namespace
}  // namespace tern
