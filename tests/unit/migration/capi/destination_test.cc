// SPDX-License-Identifier: Apache-2.0
//
// The receiving side for C: states and arguments. Whole migrations through it are in tests/capi.
#include "tern/destination.h"

#include <gtest/gtest.h>

#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

class CDestination : public ::testing::Test {
 protected:
  CDestination() {
    m_.state = TERN_RUN_STATE_INMIGRATE;
    EXPECT_EQ(tern_destination_create(machine_, nullptr, &destination_, nullptr), TERN_OK);
  }
  ~CDestination() override {
    tern_destination_free(destination_);
    tern_machine_free(machine_);
  }
  std::vector<std::string> listening() {
    tern_strings* bound = nullptr;
    EXPECT_EQ(tern_destination_listening(destination_, &bound, nullptr), TERN_OK);
    std::vector<std::string> uris;
    for (size_t i = 0; i < tern_strings_count(bound); ++i) {
      uris.emplace_back(tern_strings_at(bound, i));
    }
    tern_strings_free(bound);
    return uris;
  }
  CMachine m_;
  tern_machine* machine_ = m_.create();
  tern_destination* destination_ = nullptr;
};

TEST_F(CDestination, listens_where_the_kernel_put_it) {
  EXPECT_TRUE(listening().empty());
  ASSERT_EQ(tern_destination_listen(destination_, "tcp:127.0.0.1:0", nullptr), TERN_OK);
  ASSERT_EQ(listening().size(), 1u);
  EXPECT_EQ(listening()[0].find("tcp:127.0.0.1:"), 0u);
  EXPECT_EQ(listening()[0].find("tcp:127.0.0.1:0"), std::string::npos);
  EXPECT_EQ(tern_destination_listen(destination_, "tcp:127.0.0.1:0", nullptr),
            TERN_ERROR_FAILED_PRECONDITION);
}

TEST_F(CDestination, takes_an_address_as_json) {
  const char* address =
      R"({"transport": "socket", "type": "inet", "host": "127.0.0.1", "port": "0"})";
  tern_error* error = nullptr;
  ASSERT_EQ(tern_destination_listen(destination_, address, &error), TERN_OK) << take_message(error);
  EXPECT_EQ(listening().size(), 1u);
}

TEST_F(CDestination, an_address_that_cannot_be_bound_is_an_error_of_the_channel) {
  EXPECT_EQ(tern_destination_listen(destination_, "unix:/nonexistent/socket", nullptr),
            TERN_ERROR_CHANNEL);
  EXPECT_EQ(tern_destination_listen(destination_, "pigeon:", nullptr), TERN_ERROR_INVALID_ARGUMENT);
}

TEST_F(CDestination, the_switches_before_listening) {
  EXPECT_EQ(tern_destination_set_autostart(destination_, 0, nullptr), TERN_OK);
  EXPECT_EQ(tern_destination_hold_switchover(destination_, nullptr), TERN_OK);
  EXPECT_EQ(tern_destination_release_switchover(destination_, nullptr), TERN_OK);
  EXPECT_EQ(tern_destination_yank(destination_, nullptr), TERN_OK);
  tern_settings* settings = tern_settings_new();
  EXPECT_EQ(tern_destination_update(destination_, settings, nullptr), TERN_OK);
  EXPECT_EQ(tern_destination_update(destination_, nullptr, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  tern_settings_free(settings);
}

TEST_F(CDestination, before_it_listens_there_is_nothing_to_see) {
  EXPECT_EQ(tern_destination_wait(destination_, nullptr), TERN_OK);
  tern_stats* stats = nullptr;
  ASSERT_EQ(tern_destination_stats(destination_, &stats, nullptr), TERN_OK);
  EXPECT_EQ(tern_stats_status(stats), TERN_STATUS_NONE);
  tern_stats_free(stats);
  tern_threads* threads = nullptr;
  ASSERT_EQ(tern_destination_threads(destination_, &threads, nullptr), TERN_OK);
  EXPECT_EQ(tern_threads_count(threads), 0u);
  tern_threads_free(threads);
}

TEST_F(CDestination, it_keeps_the_machine_alive) {
  tern_machine_free(machine_);
  machine_ = nullptr;
  EXPECT_EQ(m_.destroyed, 0);
  tern_destination_free(destination_);
  destination_ = nullptr;
  EXPECT_EQ(m_.destroyed, 1);
}

}  // namespace
}  // namespace tern::capi
