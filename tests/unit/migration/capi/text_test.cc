// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/text.h"

#include <gtest/gtest.h>

#include "tern/events.h"
#include "tern/stats.h"
#include "tern/vcpu_control.h"
#include "tests/unit/migration/capi/c_machine.h"

namespace tern::capi {
namespace {

TEST(CText, the_version_is_that_of_the_headers) {
  uint32_t major = 9;
  uint32_t minor = 9;
  uint32_t micro = 9;
  tern_version(&major, &minor, &micro);
  EXPECT_EQ(std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(micro),
            tern_version_string());
  EXPECT_STREQ(tern_version_string(), TERN_VERSION_STRING);
}

TEST(CText, run_states_have_the_words_of_cxx_both_ways) {
  for (int i = 0; i <= TERN_RUN_STATE_COLO; ++i) {
    int state = -1;
    EXPECT_EQ(tern_run_state_name(i), to_string(static_cast<RunState>(i)));
    EXPECT_EQ(tern_run_state_from(tern_run_state_name(i), &state, nullptr), TERN_OK);
    EXPECT_EQ(state, i);
  }
}

TEST(CText, statuses_and_endings_have_the_words_of_cxx_both_ways) {
  for (int i = 0; i < kStatusCount; ++i) {
    int status = -1;
    EXPECT_EQ(tern_status_name(i), to_string(static_cast<Status>(i)));
    EXPECT_EQ(tern_status_from(tern_status_name(i), &status, nullptr), TERN_OK);
    EXPECT_EQ(status, i);
  }
  for (int i = 0; i <= TERN_ENDING_NOT_TAKEN; ++i) {
    int ending = -1;
    EXPECT_EQ(tern_ending_name(i), to_string(static_cast<Ending>(i)));
    EXPECT_EQ(tern_ending_from(tern_ending_name(i), &ending, nullptr), TERN_OK);
    EXPECT_EQ(ending, i);
  }
}

TEST(CText, numbers_and_words_that_are_none) {
  for (const int number : {-1, 99}) {
    EXPECT_STREQ(tern_run_state_name(number), "unknown");
    EXPECT_STREQ(tern_status_name(number), "unknown");
    EXPECT_STREQ(tern_ending_name(number), "unknown");
    EXPECT_STREQ(tern_log_level_name(number), "unknown");
  }
  int state = 7;
  tern_error* error = nullptr;
  EXPECT_EQ(tern_run_state_from("unknown", &state, &error), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(take_message(error), "no state 'unknown'");
  EXPECT_EQ(state, 7) << "outputs are written on success only";
  EXPECT_STREQ(tern_log_level_name(TERN_LOG_WARNING), "warning");
}

TEST(CText, an_address_is_a_uri_or_json_and_gives_its_uri) {
  char* uri = nullptr;
  ASSERT_EQ(tern_address_to_uri("tcp:[::1]:4444", &uri, nullptr), TERN_OK);
  EXPECT_EQ(take_text(uri), "tcp:[::1]:4444");
  ASSERT_EQ(tern_address_to_uri(R"({"transport": "socket", "type": "unix", "path": "/run/x"})",
                                &uri, nullptr),
            TERN_OK);
  EXPECT_EQ(take_text(uri), "unix:/run/x");
  EXPECT_EQ(tern_address_to_uri("unix:/run/x", nullptr, nullptr), TERN_OK);
  EXPECT_EQ(tern_address_to_uri("pigeon:", &uri, nullptr), TERN_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(uri, nullptr);
}

TEST(CText, lists_end_where_they_end) {
  auto* strings = new tern_strings{{"a", "b"}};
  EXPECT_EQ(tern_strings_count(strings), 2u);
  EXPECT_STREQ(tern_strings_at(strings, 1), "b");
  EXPECT_EQ(tern_strings_at(strings, 2), nullptr);
  tern_strings_free(strings);
  auto* threads = new tern_threads{{{"mig/src/main", 12}}};
  EXPECT_EQ(tern_threads_count(threads), 1u);
  EXPECT_STREQ(tern_threads_name(threads, 0), "mig/src/main");
  EXPECT_EQ(tern_threads_id(threads, 0), 12);
  EXPECT_EQ(tern_threads_name(threads, 1), nullptr);
  EXPECT_EQ(tern_threads_id(threads, 1), 0);
  tern_threads_free(threads);
}

TEST(CText, the_clocks_go_on) {
  const int64_t now = tern_clock_now();
  EXPECT_GE(tern_clock_now(), now);
  EXPECT_GT(tern_clock_wall(), 1'600'000'000'000'000'000);
}

}  // namespace
}  // namespace tern::capi
