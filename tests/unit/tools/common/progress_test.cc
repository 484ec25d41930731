// SPDX-License-Identifier: Apache-2.0
#include "tools/common/progress.h"

#include <gtest/gtest.h>

namespace tern::tool {
namespace {

using nlohmann::json;

TEST(Progress, bytes_have_a_unit_and_few_digits) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(300.0 * (1 << 20)), "300 MiB");
  EXPECT_EQ(human_bytes(1e18), "888 PiB");
}

TEST(Progress, the_line_names_phase_rates_and_expected_downtime) {
  const json info = {{"status", "active"},
                     {"expected-downtime", 42},
                     {"ram",
                      {{"transferred", 1 << 20},
                       {"remaining", 2 << 20},
                       {"mbps", 8.388608},
                       {"dirty-sync-count", 3},
                       {"dirty-pages-rate", 256},
                       {"page-size", 4096}}}};
  EXPECT_EQ(progress_line(info),
            "active         sent 1.0 MiB, left 2.0 MiB, 1.0 MiB/s, pass 3, dirtied 1.0 MiB/s, "
            "expected downtime 42 ms");
}

TEST(Progress, how_the_guest_is_held_back_is_said_where_it_is) {
  EXPECT_EQ(throttle_text(json{{"cpu-throttle-percentage", 30}}), "throttled 30%");
  EXPECT_EQ(throttle_text(json{{"dirty-limit-throttle-time-per-round", 1}}), "dirty-limit");
  EXPECT_EQ(throttle_text(json{{"cpu-throttle-percentage", "x"}}), "");
  EXPECT_EQ(throttle_text(json::array()), "");
  EXPECT_NE(progress_line(json{{"ram", json::object()}, {"cpu-throttle-percentage", 99}})
                .find(", throttled 99%"),
            std::string::npos);
}

TEST(Progress, before_the_first_page_there_is_only_the_phase) {
  EXPECT_EQ(progress_line(json{{"status", "setup"}}), "setup");
}

TEST(Progress, in_a_pipe_a_new_phase_is_a_new_line_and_the_same_one_is_not) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  ProgressPrinter printer(file);
  printer.show(json{{"status", "setup"}});
  printer.show(json{{"status", "setup"}});
  printer.show(json{{"status", "completed"}});
  printer.finish();
  std::rewind(file);
  char text[64] = {};
  const size_t n = std::fread(text, 1, sizeof text - 1, file);
  EXPECT_EQ(std::string(text, n), "setup\ncompleted\n");
  std::fclose(file);
}

}  // namespace
}  // namespace tern::tool
