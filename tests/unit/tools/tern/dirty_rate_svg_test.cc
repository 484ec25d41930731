// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_svg.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/tern/dirty_rate_sample.h"

namespace tern::tool {
namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

TEST(DirtyRateSvg, axes_end_at_round_numbers) {
  for (const double largest : {0.001, 0.37, 1.0, 7.9, 8.0, 8.1, 99.0, 12345.0}) {
    const AxisScale scale = nice_scale(largest);
    EXPECT_GE(scale.end, largest * 0.999999);
    EXPECT_LE(scale.end, largest * 1.6);
    EXPECT_GE(scale.end / scale.step, 2.9);
    EXPECT_LE(scale.end / scale.step, 8.01);
  }
  EXPECT_EQ(nice_scale(0).end, 1);
  EXPECT_EQ(nice_scale(-1).end, 1);
}

TEST(DirtyRateSvg, panels_are_drawn_for_what_there_is) {
  const Measurement m = test::sample_measurement();
  RateChart chart{test::sample_target(), "sub & title", {}, m.windows, m.regions};
  chart.points = {{std::chrono::seconds(1), {5, 4, 6}}};
  const std::string one = rate_chart_svg(chart);
  EXPECT_FALSE(has(one, "over time"));
  EXPECT_TRUE(has(one, "within a window, MiB"));
  EXPECT_TRUE(has(one, "percent"));
  EXPECT_TRUE(has(one, "sub &amp; title"));
  EXPECT_TRUE(has(one, "[anon] &lt;&amp;&gt;"));
  chart.points.push_back({std::chrono::seconds(3), {7, 7, 7}});
  chart.windows.clear();
  chart.regions.clear();
  const std::string two = rate_chart_svg(chart);
  EXPECT_TRUE(has(two, "over time, MiB/s"));
  EXPECT_FALSE(has(two, "within a window, MiB"));
  EXPECT_FALSE(has(two, "nan"));
  EXPECT_FALSE(has(two, "inf"));
}

TEST(DirtyRateSvg, names_cannot_break_out_of_the_text) {
  EXPECT_EQ(xml_text("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
  EXPECT_EQ(xml_text("\x01").find('\x01'), std::string::npos);
  EXPECT_EQ(xml_text("n\xFFm\xC3"), "n\xEF\xBF\xBDm\xEF\xBF\xBD");
  EXPECT_EQ(xml_text("gr\xC3\xBC\xC3\x9F"), "gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(xml_text("\xEF\xBF\xBF\xEF\xBF\xBE"), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

}  // namespace
}  // namespace tern::tool
