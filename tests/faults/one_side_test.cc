// SPDX-License-Identifier: Apache-2.0
//
// The contract about failure, tern to tern: whatever breaks, the guest is alive and consistent on
// exactly one side, or stopped and complete on the source with the outcome reported as unknown.
// Never on two.
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <random>

#include "tests/doubles/faulty_run.h"

namespace tern {
namespace {

using test::Cut;
using test::FaultPlan;
using test::FaultyRun;
using test::random_moment;
using test::short_deadlines;
using test::Tally;
using test::TestMachine;

constexpr uint64_t kRam = FaultyRun::kRam;
constexpr uint64_t kGuestPages = FaultyRun::kGuestPages;
constexpr size_t kWriteBytes = 16u << 10;  // so that a migration of a small guest has many writes

struct Writes {
  uint64_t source = 0;
  uint64_t destination = 0;
};

Writes writes_of_a_whole_run() {
  std::atomic<uint64_t> source_writes{0};
  std::atomic<uint64_t> destination_writes{0};
  Settings patient = short_deadlines();  // but for this one, which must get to its end
  patient.stall_timeout = patient.final_timeout = 60000;
  FaultyRun run(patient, {.max_write_bytes = kWriteBytes, .writes = &source_writes},
                {.writes = &destination_writes});
  run.source->wait();
  run.destination->wait();
  EXPECT_EQ(run.verdict(), "handed over");
  return {source_writes, destination_writes};
}

void cut_everywhere(bool at_source, Cut cut, uint64_t writes, Tally& tally) {
  for (uint64_t n = 1; n <= writes; ++n) {
    FaultPlan source_plan{.max_write_bytes = kWriteBytes};
    FaultPlan destination_plan{};
    FaultPlan& plan = at_source ? source_plan : destination_plan;
    plan.cut_at_write = n;
    plan.cut = cut;
    FaultyRun run(short_deadlines(), source_plan, destination_plan);
    run.wait_both();
    ++tally.runs;
    ++tally.endings[run.verdict()];
    if (::testing::Test::HasFailure()) {
      constexpr const char* kNames[] = {"before", "after", "with the bytes lost of"};
      ADD_FAILURE() << "cut " << kNames[static_cast<int>(cut)] << " write " << n << " of the "
                    << (at_source ? "source" : "destination");
      return;
    }
  }
}

TEST(OneSide, a_cut_at_every_write_of_either_side_leaves_one_guest) {
  const Writes writes = writes_of_a_whole_run();
  std::printf("a whole run has %llu writes of the source and %llu of the destination\n",
              static_cast<unsigned long long>(writes.source),
              static_cast<unsigned long long>(writes.destination));
  Tally tally;
  for (const Cut cut : {Cut::before, Cut::after, Cut::lost}) {
    // A run may have a few writes more than the one that was counted: the guest writes while it is
    // migrated.
    cut_everywhere(true, cut, writes.source + 8, tally);
    cut_everywhere(false, cut, writes.destination, tally);
  }
  tally.print("cuts");
  EXPECT_GE(tally.runs, 100);
}

struct LastMessage {
  const char* name;
  bool of_source;
  std::vector<uint8_t> begins;
};

TEST(OneSide, the_last_messages_cut_one_by_one_leave_one_guest) {
  const std::vector<LastMessage> messages = {{"opening", true, {0x51, 0x45, 0x56, 0x4d}},
                                             {"last pages", true, {0x03, 0, 0, 0, 1}},
                                             {"devices", true, {0x04, 0, 0, 0, 2}},
                                             {"end of stream", true, {0x00, 0x06}},
                                             {"go", true, {0x08, 0xd4, 0x03}},
                                             {"hello", false, {0x54, 0x01}},
                                             {"pong", false, {0x00, 0x02}},
                                             {"loaded", false, {0xd4, 0x02}},
                                             {"shut", false, {0x00, 0x01}}};
  Tally tally;
  for (const LastMessage& message : messages) {
    for (const Cut cut : {Cut::before, Cut::after, Cut::lost}) {
      for (int repeat = 0; repeat < 3 && !HasFailure(); ++repeat) {
        const FaultPlan plan{.cut_at_message = message.begins, .cut = cut};
        FaultyRun run(short_deadlines(), message.of_source ? plan : FaultPlan{},
                      message.of_source ? FaultPlan{} : plan);
        run.wait_both();
        ++tally.runs;
        ++tally.endings[run.verdict()];
        if (HasFailure())
          ADD_FAILURE() << "message " << message.name << ", cut " << static_cast<int>(cut);
      }
    }
  }
  tally.print("last messages");
  EXPECT_GE(tally.endings["unknown, stopped and complete, revived"], 3) << "the lost go";
  EXPECT_GE(tally.endings["unknown to the source, runs at the destination"], 3) << "the lost SHUT";
}

TEST(OneSide, a_cancel_at_a_random_moment_leaves_one_guest) {
  std::mt19937 random(20240611);
  Tally tally;
  for (int i = 0; i < 60 && !HasFailure(); ++i) {
    FaultyRun run(short_deadlines(), {.max_write_bytes = kWriteBytes}, {});
    std::this_thread::sleep_for(random_moment(random));
    run.source->cancel().ignore("too late is one of the moments");
    run.wait_both();
    ++tally.runs;
    ++tally.endings[run.verdict()];
  }
  tally.print("cancels");
  EXPECT_GE(tally.endings["cancelled, kept by the source"], 1);
}

TEST(OneSide, a_destination_taken_down_at_a_random_moment_leaves_one_guest) {
  std::mt19937 random(42);
  Tally tally;
  for (int i = 0; i < 60 && !HasFailure(); ++i) {
    FaultyRun run(short_deadlines(), {.max_write_bytes = kWriteBytes}, {});
    std::this_thread::sleep_for(random_moment(random));
    run.destination.reset();
    run.source->wait();
    ++tally.runs;
    ++tally.endings[run.verdict()];
  }
  tally.print("destinations taken down");
}

TEST(OneSide, a_migration_after_a_failed_one_succeeds) {
  TestMachine a(kRam, kGuestPages, RunState::running);
  {
    auto s = MigrationSource::create(a.machine(), {});
    ASSERT_TRUE((*s)->start(*parse_uri("tcp:127.0.0.1:1")));
    (*s)->wait();
    EXPECT_EQ((*s)->stats().status, Status::failed);
    EXPECT_NE((*s)->stats().error_desc.find("127.0.0.1:1"), std::string::npos)
        << (*s)->stats().error_desc;
    EXPECT_TRUE(a.running());
  }
  TestMachine b(kRam, kGuestPages, RunState::inmigrate);
  auto d = MigrationDestination::create(b.machine(), {});
  ASSERT_TRUE((*d)->listen(*parse_uri("tcp:127.0.0.1:0")));
  auto s = MigrationSource::create(a.machine(), {});
  ASSERT_TRUE((*s)->start((*d)->listening().at(0)));
  (*s)->wait();
  (*d)->wait();
  EXPECT_EQ((*s)->stats().status, Status::completed) << (*s)->stats().error_desc;
  EXPECT_EQ(b.check(), "");
}

TEST(OneSide, a_destination_that_falls_silent_ends_in_a_named_deadline) {
  TestMachine a(kRam, kGuestPages, RunState::running);
  // Listens, accepts into its backlog, and never says a word.
  auto listener = transport::make_listener(*parse_uri("tcp:127.0.0.1:0"), {10000});
  Settings settings;
  settings.handshake_timeout = 100;
  auto s = MigrationSource::create(a.machine(), settings);
  ASSERT_TRUE((*s)->start((*listener)->bound().at(0)));
  (*s)->wait();
  EXPECT_EQ((*s)->stats().status, Status::failed);
  EXPECT_NE((*s)->stats().error_desc.find("x-handshake-timeout"), std::string::npos)
      << (*s)->stats().error_desc;
  EXPECT_TRUE(a.running());
}

}  // namespace
}  // namespace tern
