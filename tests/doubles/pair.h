// SPDX-License-Identifier: Apache-2.0
//
// Two test machines and the migration between them, over a real socket.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/doubles/test_machine.h"

namespace tern::test {

inline constexpr uint64_t kRam = 8u << 20;
inline constexpr uint64_t kGuestPages = 256;

/// Events as words: "active", "unplug net0"; passes are left out.
struct Recorder final : EventSink {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> seen;
  void on_event(const Event& event) noexcept override {
    const std::lock_guard lock(mutex);
    if (const auto* s = std::get_if<StatusChanged>(&event)) seen.emplace_back(to_string(s->status));
    if (const auto* u = std::get_if<UnplugRequested>(&event)) {
      seen.push_back("unplug " + u->device_id);
    }
    changed.notify_all();
  }
  std::vector<std::string> all() {
    const std::lock_guard lock(mutex);
    return seen;
  }
  void wait_for(const std::string& word) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return std::find(seen.begin(), seen.end(), word) != seen.end(); });
  }
};

inline std::string bound_uri(MigrationDestination& d) { return to_uri(d.listening().at(0)); }

struct Pair {
  TestMachine a{kRam, kGuestPages, RunState::running};
  TestMachine b{kRam, kGuestPages, RunState::inmigrate};
  Recorder a_events;
  Recorder b_events;
  std::unique_ptr<MigrationSource> source;
  std::unique_ptr<MigrationDestination> destination;

  /// What a test adds to the machines before they migrate.
  std::function<void(Machine&)> adjust_a = [](Machine&) {};
  std::function<void(Machine&)> adjust_b = [](Machine&) {};

  void prepare(const Settings& settings) {
    Machine bm = b.machine(&b_events);
    adjust_b(bm);
    auto d = MigrationDestination::create(bm, settings);
    ASSERT_TRUE(d) << d.error().message();
    destination = std::move(*d);
    const auto listening = destination->listen(*parse_uri("tcp:127.0.0.1:0"));
    ASSERT_TRUE(listening) << listening.error().message();
    Machine am = a.machine(&a_events);
    adjust_a(am);
    auto s = MigrationSource::create(am, settings);
    ASSERT_TRUE(s) << s.error().message();
    source = std::move(*s);
  }
  void start() { ASSERT_TRUE(source->start(*parse_uri(bound_uri(*destination)))); }
  /// After prepare(): the whole migration, which must succeed.
  void migrate() {
    start();
    source->wait();
    destination->wait();
    EXPECT_EQ(source->stats().status, Status::completed)
        << source->stats().error_desc << a.log_text();
    EXPECT_EQ(destination->stats().status, Status::completed)
        << destination->stats().error_desc << b.log_text();
  }
};

}  // namespace tern::test
