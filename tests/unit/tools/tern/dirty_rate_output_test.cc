// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_output.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/tools/tern/dirty_rate_sample.h"

namespace tern::tool {
namespace {

using test::sample_measurement;
using test::sample_target;

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

TEST(DirtyRateOutput, text_tells_rate_interval_place_cost_and_notes) {
  Measurement one = sample_measurement();
  one.windows.erase(one.windows.begin());
  const std::string text = measurement_text(one, 10);
  EXPECT_TRUE(has(text, "2 of 9 mappings")) << text;
  EXPECT_TRUE(has(text, "sample   500 of 1024 pages"));
  EXPECT_TRUE(has(text, "dirty    2.0 MiB (2.0 MiB to 2.0 MiB), of it 100 KiB new")) << text;
  EXPECT_TRUE(has(text, "/s"));
  EXPECT_TRUE(has(text, "7f0000000000-7f0000200000")) << text;
  EXPECT_TRUE(has(text, "88 %  #########"));
  EXPECT_TRUE(has(text, "12 ms of CPU in 1.00 s"));
  EXPECT_TRUE(has(text, "note     something is not shown"));
  EXPECT_FALSE(has(measurement_text(one, 0), "hot"));
}

TEST(DirtyRateOutput, a_curve_has_a_row_for_each_window) {
  const std::string text = measurement_text(sample_measurement(), 0);
  EXPECT_TRUE(has(text, "0.1 s     1.0 MiB (800 KiB to 1.2 MiB)")) << text;
  EXPECT_TRUE(has(text, "1 s       2.0 MiB"));
  EXPECT_TRUE(has(measurement_line(sample_measurement()), "0.1 s 1.0 MiB  1 s 2.0 MiB"));
}

TEST(DirtyRateOutput, regions_are_listed_hottest_first_and_clean_ones_not) {
  const std::vector<HotRegion> hot = hottest(sample_measurement().regions, 10);
  ASSERT_EQ(hot.size(), 2u);
  EXPECT_EQ(hot[0].dirty_pages, 448);
  EXPECT_EQ(hottest(sample_measurement().regions, 1).size(), 1u);
}

TEST(DirtyRateOutput, json_has_what_the_documentation_lists) {
  const Json json = measurement_json(sample_target(), sample_measurement(), 10);
  EXPECT_EQ(json["target"], Json({{"pid", 4242}, {"name", "redis-server"}}));
  EXPECT_EQ(json["mode"], "page-sampling");
  EXPECT_EQ(json["windows"][1]["dirty-mib"],
            Json({{"value", 2.0}, {"low", 1.953}, {"high", 2.031}}));
  EXPECT_EQ(json["windows"][1]["new-bytes"], 25 * 4096);
  EXPECT_EQ(json["memory"]["populated-bytes"], 4 << 20);
  EXPECT_EQ(json["regions"][0]["start"], "0x7f0000000000");
  EXPECT_EQ(json["cost"]["pages-hashed"], 1500);
  EXPECT_EQ(json["notes"].size(), 1u);
}

TEST(DirtyRateOutput, rows_of_csv_have_as_many_fields_as_its_head) {
  const auto fields = [](const std::string& line) {
    return std::count(line.begin(), line.end(), ',');
  };
  const std::string rows = measurement_csv(sample_target(), sample_measurement());
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), 2);
  EXPECT_EQ(fields(rows), 2 * fields(csv_header()));
  QmpRate rate;
  rate.mib_per_s = 36;
  rate.mode = "page-sampling";
  const RateTarget server{0, "QEMU", "/a,\"b\"", {}};
  const std::string row = measurement_csv(server, rate);
  EXPECT_TRUE(has(row, ",\"/a,\"\"b\"\"\",page-sampling,")) << row;
  EXPECT_EQ(fields(row), fields(csv_header()) + 1);
}

TEST(DirtyRateOutput, a_servers_figures) {
  QmpRate rate;
  rate.mode = "dirty-ring";
  rate.window = std::chrono::seconds(1);
  rate.vcpus = {{0, 31}};
  EXPECT_TRUE(has(measurement_text(rate), "nothing could be sampled"));
  EXPECT_EQ(measurement_json({0, "QEMU", "/q", {}}, rate)["rate-mib-s"], nullptr);
  rate.mib_per_s = 36;
  EXPECT_TRUE(has(measurement_text(rate), "36 MiB/s"));
  EXPECT_TRUE(has(measurement_text(rate), "vcpu     0: 31 MiB/s"));
  EXPECT_EQ(measurement_json({0, "QEMU", "/q", {}}, rate)["rate-low-mib-s"], nullptr);
  rate.low = 35;
  rate.high = 37.5;
  rate.notes = {"whole seconds"};
  EXPECT_TRUE(has(measurement_text(rate), "36 MiB/s (35 MiB/s to 37.5 MiB/s)"));
  EXPECT_TRUE(has(measurement_text(rate), "note     whole seconds"));
  EXPECT_EQ(measurement_json({0, "QEMU", "/q", {}}, rate)["rate-high-mib-s"], 37.5);
  EXPECT_TRUE(has(measurement_csv({0, "QEMU", "/q", {}}, rate), ",36.000,35.000,37.500,"));
  EXPECT_TRUE(has(target_line({0, "QEMU 7.2.0", "/q", {}}), "/q: QEMU 7.2.0"));
}

TEST(DirtyRateOutput, repeated_measuring_ends_with_a_summary) {
  EXPECT_EQ(summary_line({5}), "");
  EXPECT_EQ(summary_line({1, 2, 6}),
            "3 measurements: mean 3.0 MiB/s, least 1.0 MiB/s, most 6.0 MiB/s");
}

}  // namespace
}  // namespace tern::tool
