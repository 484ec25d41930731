// SPDX-License-Identifier: Apache-2.0
//
// Whole migrations in one process, over real sockets, with a guest that writes all the time.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/doubles/pair.h"

namespace tern {
namespace {

using test::bound_uri;
using test::kGuestPages;
using test::kRam;
using test::Pair;
using test::Recorder;
using test::TestMachine;

TEST(Migration, a_writing_guest_moves_and_goes_on_where_it_stopped) {
  Pair pair;
  pair.prepare({});
  pair.a.wait_rounds(3);
  pair.migrate();
  EXPECT_FALSE(pair.a.running());
  EXPECT_TRUE(pair.b.running());
  EXPECT_EQ(pair.a.run_state(), RunState::postmigrate);
  pair.b.wait_rounds(2);
  EXPECT_EQ(pair.b.check(), "");
  EXPECT_EQ(pair.a_events.all(),
            (std::vector<std::string>{"setup", "active", "device", "completed"}));
  EXPECT_EQ(pair.b_events.all(), (std::vector<std::string>{"setup", "active", "completed"}));
  const StatsSnapshot s = pair.source->stats();
  EXPECT_EQ(s.ending, Ending::handed_over);
  EXPECT_EQ(s.remaining, 0u);
  EXPECT_EQ(s.total, kRam);
  EXPECT_GE(s.normal, kGuestPages);
  EXPECT_GE(s.never_touched_bytes, kRam / 2);
  EXPECT_EQ(s.peer, "tern " TERN_VERSION_STRING);
  ASSERT_TRUE(s.downtime);
  EXPECT_EQ(std::chrono::duration_cast<Milliseconds>(s.downtime_phases.total()), *s.downtime);
}

TEST(Migration, two_at_once_in_one_process_do_not_disturb_each_other) {
  Pair one;
  Pair two;
  one.prepare({});
  two.prepare({});
  one.start();
  two.start();
  for (Pair* pair : {&one, &two}) {
    pair->source->wait();
    pair->destination->wait();
    EXPECT_EQ(pair->source->stats().status, Status::completed) << pair->source->stats().error_desc;
    EXPECT_TRUE(pair->b.running());
    pair->b.wait_rounds(1);
    EXPECT_EQ(pair->b.check(), "");
  }
}

TEST(Migration, pause_before_switchover_waits_for_continue) {
  Pair pair;
  Settings settings;
  settings.pause_before_switchover = true;
  pair.prepare(settings);
  pair.start();
  while (pair.source->stats().status != Status::pre_switchover) std::this_thread::yield();
  EXPECT_FALSE(pair.a.running());
  EXPECT_FALSE(pair.source->continue_from(Status::active)) << "a wrong state is refused";
  ASSERT_TRUE(pair.source->continue_from(Status::pre_switchover));
  pair.source->wait();
  pair.destination->wait();
  EXPECT_EQ(pair.source->stats().status, Status::completed) << pair.source->stats().error_desc;
  EXPECT_EQ(pair.b.check(), "");
  EXPECT_EQ(pair.a_events.all(),
            (std::vector<std::string>{"setup", "active", "pre-switchover", "device", "completed"}));
}

TEST(Migration, cancel_in_pre_switchover_gives_the_guest_back_and_a_second_migration_works) {
  Pair pair;
  Settings settings;
  settings.pause_before_switchover = true;
  pair.prepare(settings);
  pair.start();
  while (pair.source->stats().status != Status::pre_switchover) std::this_thread::yield();
  ASSERT_TRUE(pair.source->cancel());
  pair.source->wait();
  pair.destination->wait();
  EXPECT_EQ(pair.source->stats().status, Status::cancelled);
  EXPECT_EQ(pair.source->stats().ending, Ending::kept);
  EXPECT_TRUE(pair.a.running());
  EXPECT_EQ(pair.destination->stats().status, Status::failed);
  EXPECT_FALSE(pair.b.running());
  pair.a.wait_rounds(1);
  EXPECT_EQ(pair.a.check(), "");

  TestMachine fresh(kRam, kGuestPages, RunState::inmigrate);
  auto d = MigrationDestination::create(fresh.machine(), {});
  ASSERT_TRUE((*d)->listen(*parse_uri("tcp:127.0.0.1:0")));
  auto s = MigrationSource::create(pair.a.machine(), {});
  ASSERT_TRUE((*s)->start((*d)->listening().at(0)));
  (*s)->wait();
  (*d)->wait();
  EXPECT_EQ((*s)->stats().status, Status::completed) << (*s)->stats().error_desc;
  EXPECT_TRUE(fresh.running());
  EXPECT_EQ(fresh.check(), "");
}

TEST(Migration, a_destination_that_cannot_start_the_guest_gives_it_back) {
  Pair pair;
  pair.b.fail_resume = true;
  pair.prepare({});
  pair.start();
  pair.source->wait();
  pair.destination->wait();
  EXPECT_EQ(pair.source->stats().status, Status::failed);
  EXPECT_EQ(pair.source->stats().ending, Ending::kept) << pair.source->stats().error_desc;
  EXPECT_TRUE(pair.a.running());
  EXPECT_FALSE(pair.b.running());
  EXPECT_EQ(pair.a.check(), "");
}

TEST(Migration, without_return_path_the_stream_is_qemus_and_completes) {
  Pair pair;
  Settings settings;
  settings.return_path = false;
  pair.prepare(settings);
  pair.migrate();
  EXPECT_TRUE(pair.b.running());
  EXPECT_EQ(pair.b.check(), "");
}

TEST(Migration, in_a_qemu_dialect_shut_ends_the_handover) {
  Pair pair;
  Settings settings;
  settings.peer_version = PeerVersion::qemu_7_2;
  pair.prepare(settings);
  pair.migrate();
  EXPECT_TRUE(pair.b.running());
  EXPECT_EQ(pair.b.check(), "");
  EXPECT_EQ(pair.source->stats().peer, "qemu-7.2");
}

TEST(Migration, switchover_waits_for_the_acknowledgement) {
  Pair pair;
  Settings settings;
  settings.switchover_ack = true;
  auto d = MigrationDestination::create(pair.b.machine(), settings);
  (*d)->hold_switchover();
  ASSERT_TRUE((*d)->listen(*parse_uri("tcp:127.0.0.1:0")));
  auto s = MigrationSource::create(pair.a.machine(), settings);
  ASSERT_TRUE((*s)->start((*d)->listening().at(0)));
  while ((*s)->stats().dirty_sync_count < 5) std::this_thread::yield();
  EXPECT_TRUE(pair.a.running()) << "five syncs and still not stopped: it waits";
  (*d)->release_switchover();
  (*s)->wait();
  (*d)->wait();
  EXPECT_EQ((*s)->stats().status, Status::completed) << (*s)->stats().error_desc;
  EXPECT_EQ(pair.b.check(), "");
}

TEST(Migration, a_probe_that_connects_and_leaves_does_not_end_the_wait) {
  Pair pair;
  pair.prepare({});
  {
    // A health check: connects, says nothing, closes.
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto addresses = pair.destination->listening();
    const auto& inet = std::get<InetAddress>(addresses.at(0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(inet.port)));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    close(fd);
  }
  pair.start();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::completed) << pair.source->stats().error_desc;
}

}  // namespace
}  // namespace tern
