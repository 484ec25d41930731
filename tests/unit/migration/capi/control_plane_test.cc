// SPDX-License-Identifier: Apache-2.0
//
// The control plane for C: options, ownership, the dispatcher. Whole migrations through it are in
// tests/capi.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <semaphore>
#include <thread>

#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

class CControlPlane : public ::testing::Test {
 protected:
  CControlPlane() {
    vm_.size = sizeof(vm_);
    vm_.user = this;
    vm_.destroy = [](void* user) { ++self(user).vm_destroyed_; };
    vm_.name = "guest";
    vm_.quit = [](void* user) { ++self(user).quits_; };
    vm_.incoming_failed = [](void*, const tern_error*) {};
    options_.size = sizeof(options_);
  }
  ~CControlPlane() override {
    tern_control_plane_free(plane_);
    tern_machine_free(machine_);
  }
  static CControlPlane& self(void* user) { return *static_cast<CControlPlane*>(user); }

  int create() { return tern_control_plane_create(machine_, &vm_, &options_, &plane_, nullptr); }
  std::string execute(const char* request) {
    char* reply = nullptr;
    EXPECT_EQ(tern_control_plane_execute(plane_, request, &reply, nullptr), TERN_OK);
    return take_text(reply);
  }
  bool says(const char* request, const char* text) {
    const std::string reply = execute(request);
    const bool found = reply.find(text) != std::string::npos;
    if (!found) ADD_FAILURE() << request << " gives " << reply;
    return found;
  }

  CMachine m_;
  tern_machine* machine_ = m_.create();
  tern_qmp_vm vm_{};
  tern_control_plane_options options_{};
  tern_control_plane* plane_ = nullptr;
  int quits_ = 0;
  int vm_destroyed_ = 0;
};

TEST_F(CControlPlane, begins_by_running_the_guest_unless_it_is_to_wait) {
  ASSERT_EQ(create(), TERN_OK);
  EXPECT_EQ(tern_control_plane_begin(plane_, nullptr), TERN_OK);
  EXPECT_EQ(m_.state, TERN_RUN_STATE_RUNNING);
}

TEST_F(CControlPlane, paused_it_waits) {
  options_.paused = 1;
  ASSERT_EQ(create(), TERN_OK);
  EXPECT_EQ(tern_control_plane_begin(plane_, nullptr), TERN_OK);
  EXPECT_EQ(m_.state, TERN_RUN_STATE_PAUSED);
}

TEST_F(CControlPlane, options_are_what_qmp_shows) {
  tern_qmp_version version{};
  version.size = sizeof(version);
  version.major = 8;
  options_.version = &version;
  tern_settings* settings = tern_settings_new();
  tern_settings_set(settings, "max-bandwidth", "4096", nullptr);
  options_.settings = settings;
  options_.events = 1;
  vm_.kvm = 1;
  ASSERT_EQ(create(), TERN_OK);
  tern_settings_free(settings);  // it was copied
  EXPECT_TRUE(says(R"({"execute": "query-version"})", "\"major\":8"));
  EXPECT_TRUE(says(R"({"execute": "query-name"})", "\"guest\""));
  EXPECT_TRUE(says(R"({"execute": "query-kvm"})", "\"enabled\":true"));
  EXPECT_TRUE(says(R"({"execute": "query-migrate-parameters"})", "\"max-bandwidth\":4096"));
  EXPECT_TRUE(says(R"({"execute": "query-migrate-capabilities"})",
                   R"({"capability":"events","state":true})"));
}

TEST_F(CControlPlane, without_options_it_has_the_defaults) {
  ASSERT_EQ(tern_control_plane_create(machine_, &vm_, nullptr, &plane_, nullptr), TERN_OK);
  EXPECT_TRUE(says(R"({"execute": "query-kvm"})", "\"enabled\":false"));
}

TEST_F(CControlPlane, quit_reaches_the_vm_and_its_table_is_given_back) {
  ASSERT_EQ(create(), TERN_OK);
  EXPECT_TRUE(says(R"({"execute": "quit"})", "return"));
  EXPECT_EQ(quits_, 1);
  tern_control_plane_free(plane_);
  plane_ = nullptr;
  EXPECT_EQ(vm_destroyed_, 1);
}

TEST_F(CControlPlane, what_is_missing_or_too_new_is_refused_and_nothing_is_taken) {
  vm_.quit = nullptr;
  EXPECT_EQ(create(), TERN_ERROR_INVALID_ARGUMENT);
  vm_.quit = [](void*) {};
  vm_.reserved = 1;
  EXPECT_EQ(create(), TERN_ERROR_UNSUPPORTED);
  vm_.reserved = 0;
  options_.reserved = 1;
  EXPECT_EQ(create(), TERN_ERROR_UNSUPPORTED);
  options_.reserved = 0;
  tern_qmp_dispatcher dispatcher{};
  dispatcher.size = sizeof(dispatcher);
  options_.dispatcher = &dispatcher;
  EXPECT_EQ(create(), TERN_ERROR_INVALID_ARGUMENT) << "no post";
  EXPECT_EQ(plane_, nullptr);
  EXPECT_EQ(vm_destroyed_, 0);
}

TEST_F(CControlPlane, a_machine_with_its_own_events_is_refused) {
  CMachine with_events;
  tern_event_callbacks events{};
  events.size = sizeof(events);
  events.on_event = [](void*, const tern_event*) {};
  with_events.options.events = &events;
  tern_machine* machine = with_events.create();
  EXPECT_EQ(tern_control_plane_create(machine, &vm_, nullptr, &plane_, nullptr),
            TERN_ERROR_INVALID_ARGUMENT);
  tern_machine_free(machine);
}

TEST_F(CControlPlane, blockers_come_and_go) {
  ASSERT_EQ(create(), TERN_OK);
  uint64_t blocker = 0;
  EXPECT_EQ(tern_control_plane_add_blocker(plane_, "", &blocker, nullptr),
            TERN_ERROR_INVALID_ARGUMENT);
  ASSERT_EQ(tern_control_plane_add_blocker(plane_, "vfio", &blocker, nullptr), TERN_OK);
  EXPECT_TRUE(says(R"({"execute": "query-migrate"})", "vfio"));
  tern_control_plane_remove_blocker(plane_, blocker);
  tern_control_plane_remove_blocker(plane_, 4711);
  EXPECT_EQ(execute(R"({"execute": "query-migrate"})").find("vfio"), std::string::npos);
}

TEST_F(CControlPlane, the_end_of_the_guest_changes_its_state) {
  ASSERT_EQ(create(), TERN_OK);
  ASSERT_EQ(tern_control_plane_begin(plane_, nullptr), TERN_OK);
  tern_control_plane_host_signal(plane_);
  tern_control_plane_guest_shutdown(plane_);
  EXPECT_TRUE(says(R"({"execute": "query-status"})", "shutdown"));
}

TEST_F(CControlPlane, serving_ends_when_it_was_stopped_before) {
  ASSERT_EQ(create(), TERN_OK);
  tern_control_plane_stop(plane_);
  const std::string path = ::testing::TempDir() + "capi-stopped-" + std::to_string(getpid());
  EXPECT_EQ(tern_control_plane_serve_unix(plane_, path.c_str(), nullptr), TERN_OK);
  EXPECT_NE(tern_control_plane_serve_unix(plane_, "/nonexistent/socket", nullptr), TERN_OK);
}

/// A main loop that keeps one work, or drops all.
struct Loop {
  explicit Loop(bool drops) : drops_all(drops) {
    table.size = sizeof(table);
    table.user = this;
    table.destroy = [](void* user) { ++static_cast<Loop*>(user)->destroyed; };
    table.post = [](void* user, void (*run)(void*), void (*drop)(void*), void* work) {
      auto& loop = *static_cast<Loop*>(user);
      if (loop.drops_all) drop(work);
      if (!loop.drops_all) loop.kept = [run, work] { run(work); };
      loop.posted.release();
    };
  }
  tern_qmp_dispatcher table{};
  bool drops_all;
  std::binary_semaphore posted{0};
  std::function<void()> kept;
  int destroyed = 0;
};

class CDispatcher : public CControlPlane {
 protected:
  /// A client sends one command; the plane is freed once the command was posted.
  void serve_one_command(Loop& loop) {
    options_.dispatcher = &loop.table;
    ASSERT_EQ(create(), TERN_OK);
    const std::string path = ::testing::TempDir() + "capi-lane-" + std::to_string(getpid());
    std::thread server(
        [&] { EXPECT_EQ(tern_control_plane_serve_unix(plane_, path.c_str(), nullptr), TERN_OK); });
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      std::this_thread::yield();
    }
    const std::string request = "{\"execute\": \"qmp_capabilities\"}\n";
    EXPECT_EQ(::send(client, request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
    loop.posted.acquire();
    tern_control_plane_stop(plane_);
    server.join();
    ::close(client);
    tern_control_plane_free(plane_);
    plane_ = nullptr;
  }
};

TEST_F(CDispatcher, a_work_that_is_dropped_leaks_nothing) {
  Loop loop(true);
  serve_one_command(loop);
  EXPECT_EQ(loop.destroyed, 1);
}

TEST_F(CDispatcher, a_work_that_outlives_the_plane_does_nothing_and_gives_the_table_back) {
  Loop loop(false);
  serve_one_command(loop);
  EXPECT_EQ(loop.destroyed, 0);
  loop.kept();
  EXPECT_EQ(loop.destroyed, 1);
}

}  // namespace
}  // namespace tern::capi
