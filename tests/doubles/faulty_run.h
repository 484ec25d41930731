// SPDX-License-Identifier: Apache-2.0
//
// A whole migration of a small writing guest in one process whose connections break as planned, and
// the contract about failure: the guest is alive and consistent on exactly one side, or stopped and
// complete on the source with the outcome reported as unknown. Never on two.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "migration/destination/destination_impl.h"
#include "migration/source/source_impl.h"
#include "tests/doubles/fault_channel.h"
#include "tests/doubles/test_machine.h"
#include "transport/connect.h"
#include "transport/listen.h"

namespace tern::test {

// How the runs ended, printed at the end of each test.
struct Tally {
  std::map<std::string, int> endings;
  int runs = 0;
  void print(const char* what) const {
    std::printf("%s: %d runs:", what, runs);
    for (const auto& [name, count] : endings) std::printf(" %s %d,", name.c_str(), count);
    std::printf(" both sides 0\n");
  }
};

struct FaultyRun {
  static constexpr uint64_t kRam = 2u << 20;
  static constexpr uint64_t kGuestPages = 128;
  TestMachine a{kRam, kGuestPages, RunState::running};
  TestMachine b{kRam, kGuestPages, RunState::inmigrate};
  std::unique_ptr<SourceImpl> source;
  std::unique_ptr<DestinationImpl> destination;

  FaultyRun(const Settings& settings, FaultPlan source_plan, FaultPlan destination_plan) {
    auto listener = transport::make_listener(*parse_uri("tcp:127.0.0.1:0"), {10000});
    EXPECT_TRUE(listener);
    const Address address = (*listener)->bound().at(0);
    const Machine bm = b.machine();
    destination = std::make_unique<DestinationImpl>(bm, settings, *GuestMemory::create(bm.ram));
    const auto listening = destination->listen_with(
        std::make_unique<FaultListener>(std::move(*listener), destination_plan), {address});
    EXPECT_TRUE(listening) << listening.error().message();
    const Machine am = a.machine();
    source = std::make_unique<SourceImpl>(am, settings, *GuestMemory::create(am.ram));
    auto connector = transport::make_connector(address, {10000});
    EXPECT_TRUE(connector);
    EXPECT_TRUE(
        source->start_with(std::make_unique<FaultConnector>(std::move(*connector), source_plan)));
  }

  void wait_both() {
    source->wait();
    // A source that was cut before its first byte is a visitor like any other: the destination
    // still listens.
    if (source->stats().status != Status::completed &&
        destination->stats().status == Status::setup) {
      destination.reset();
    } else {
      destination->wait();
    }
  }

  // After both ended: checks the contract and says how it ended.
  std::string verdict() {
    const StatsSnapshot s = source->stats();
    const bool here = a.running();
    const bool there = b.running();
    EXPECT_FALSE(here && there) << "two sides run";
    if (here) {
      EXPECT_EQ(s.ending, Ending::kept) << s.error_desc;
      a.wait_rounds(1);
      EXPECT_EQ(a.check(), "");
      return s.status == Status::cancelled ? "cancelled, kept by the source"
                                           : "failed, kept by the source";
    }
    if (there) {
      EXPECT_TRUE(s.ending == Ending::handed_over || s.ending == Ending::unknown) << s.error_desc;
      b.wait_rounds(1);
      EXPECT_EQ(b.check(), "");
      if (s.ending == Ending::handed_over) return "handed over";
      EXPECT_EQ(a.inconsistency(), "") << "the stopped source must stay complete";
      EXPECT_NE(s.error_desc.find("outcome unknown"), std::string::npos) << s.error_desc;
      return "unknown to the source, runs at the destination";
    }
    // On neither side: then the source says so, is complete, and can be revived.
    EXPECT_EQ(s.ending, Ending::unknown) << s.error_desc << "\n" << a.log_text() << b.log_text();
    EXPECT_NE(s.error_desc.find("outcome unknown"), std::string::npos) << s.error_desc;
    EXPECT_EQ(a.run_state(), RunState::postmigrate);
    EXPECT_TRUE(a.resume_all());
    a.wait_rounds(1);
    EXPECT_EQ(a.check(), "");
    return "unknown, stopped and complete, revived";
  }
};

/// From at once to 65 ms, each power of two as likely: a migration takes one or fifty milliseconds,
/// by the build and the machine, and every part of it should be met.
inline std::chrono::microseconds random_moment(std::mt19937& random) {
  return std::chrono::microseconds((uint64_t{1} << random() % 17) - 1);
}

inline Settings short_deadlines() {
  Settings s;
  s.final_timeout = 3000;
  s.handshake_timeout = 3000;
  s.stall_timeout = 3000;
  return s;
}

}  // namespace tern::test
