// SPDX-License-Identifier: Apache-2.0
//
// The measurements as one SVG: the rate over time, the set of dirty pages over growing windows, and
// where in memory it is hot. Draws what there is: a panel without two points is left out.
#pragma once

#include <string>
#include <vector>

#include "tools/tern/dirty_rate_output.h"

namespace tern::tool {

/// One measured rate, MiB/s; low and high are the same where it is exact or the server's.
struct RatePoint {
  Nanoseconds at{};  ///< since the Unix epoch
  Estimated mib_per_s;
};

struct RateChart {
  RateTarget target;
  std::string subtitle;           ///< what was measured and what it cost
  std::vector<RatePoint> points;  ///< oldest first
  /// Of the last measurement; empty with a server.
  std::vector<WindowResult> windows;
  std::vector<HotRegion> regions;
};

std::string rate_chart_svg(const RateChart& chart);

/// The end and step of an axis from 0 that has four to eight steps of 1, 2 or 5 times a power of
/// ten.
struct AxisScale {
  double end = 1;
  double step = 1;
};
AxisScale nice_scale(double largest) noexcept;

/// `text` for the inside of an element or attribute.
std::string xml_text(std::string_view text);

}  // namespace tern::tool
