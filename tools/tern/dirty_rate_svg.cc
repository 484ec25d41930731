// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>

#include "tools/common/progress.h"

namespace tern::tool {
namespace {

constexpr double kWidth = 960;
constexpr double kLeft = 80;
constexpr double kRight = 30;
constexpr double kPlotHeight = 220;
constexpr double kPlotWidth = kWidth - kLeft - kRight;
// Okabe and Ito: told apart by colour-blind readers, and in grey by their lightness.
constexpr const char* kBlue = "#0072b2";
constexpr const char* kOrange = "#e69f00";

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.1f", value);
  return text;
}

std::string tick_text(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%g", std::round(value * 1e6) / 1e6);
  return text;
}

std::string text_at(double x, double y, std::string_view text, int size, const char* anchor,
                    const char* extra = "") {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" font-size=\"" +
         std::to_string(size) + "\" text-anchor=\"" + anchor + "\" " + extra + ">" +
         xml_text(text) + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) +
         "\" y2=\"" + number(y2) + "\" " + style + "/>\n";
}

std::string rectangle(double x, double y, double width, double height, const char* fill) {
  return "<rect x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(width) +
         "\" height=\"" + number(height) + "\" fill=\"" + fill + "\"/>\n";
}

// Title, vertical axis from 0 to `scale.end` with its grid, and the frame's base line.
std::string frame(double top, const std::string& title, const AxisScale& scale) {
  std::string out = text_at(16, top + 16, title, 14, "start", "font-weight=\"bold\"");
  const double base = top + 30 + kPlotHeight;
  const auto steps = static_cast<int>(std::lround(scale.end / scale.step));
  for (int i = 0; i <= steps; ++i) {
    const double y = base - kPlotHeight * i / steps;
    out += line(kLeft, y, kWidth - kRight, y, i == 0 ? "stroke=\"#404040\"" : "stroke=\"#d8d8d8\"");
    out += text_at(kLeft - 8, y + 4, tick_text(scale.step * i), 11, "end");
  }
  return out;
}

struct Point {
  double x;  ///< in the picture
  Estimated value;
};

// Points with their intervals, joined.
std::string curve(const std::vector<Point>& points, double base, double scale) {
  std::string path;
  std::string marks;
  const auto y_of = [&](double value) { return base - value * scale; };
  for (const Point& point : points) {
    const double x = point.x;
    path += (path.empty() ? "M" : " L") + number(x) + " " + number(y_of(point.value.value));
    if (point.value.low < point.value.high) {
      const char* style = "stroke=\"#303030\" stroke-width=\"1.2\"";
      marks += line(x, y_of(point.value.low), x, y_of(point.value.high), style);
      for (const double end : {point.value.low, point.value.high}) {
        marks += line(x - 4, y_of(end), x + 4, y_of(end), style);
      }
    }
    marks += "<circle cx=\"" + number(x) + "\" cy=\"" + number(y_of(point.value.value)) +
             "\" r=\"3.5\" fill=\"" + kBlue + "\"/>\n";
  }
  return "<path d=\"" + path + "\" fill=\"none\" stroke=\"" + kBlue + "\" stroke-width=\"2\"/>\n" +
         marks;
}

double largest(const std::vector<Point>& points) noexcept {
  double most = 0;
  for (const Point& point : points) most = std::max(most, point.value.high);
  return most;
}

constexpr double kPanelHeight = 30 + kPlotHeight + 52;

std::string time_panel(const RateChart& chart, double top) {
  const Nanoseconds first = chart.points.front().at;
  const auto seconds = [&](Nanoseconds at) {
    return std::chrono::duration<double>(at - first).count();
  };
  const AxisScale across = nice_scale(std::max(seconds(chart.points.back().at), 1e-3));
  std::vector<Point> points;
  for (const RatePoint& point : chart.points) {
    points.push_back({kLeft + seconds(point.at) / across.end * kPlotWidth, point.mib_per_s});
  }
  const AxisScale up = nice_scale(largest(points));
  const double base = top + 30 + kPlotHeight;
  std::string out = frame(top, "Dirty rate over time, MiB/s", up);
  for (double at = 0; at <= across.end * 1.0001; at += across.step) {
    out += text_at(kLeft + at / across.end * kPlotWidth, base + 16, tick_text(at), 11, "middle");
  }
  out += text_at(kLeft + kPlotWidth / 2, base + 36,
                 "seconds since the first measurement began; bars: 95 % intervals", 11, "middle");
  return out + curve(points, base, kPlotHeight / up.end);
}

std::string window_panel(const RateChart& chart, double top) {
  const auto seconds = [](Nanoseconds time) { return std::chrono::duration<double>(time).count(); };
  const double least = std::log(seconds(chart.windows.front().interval));
  const double most = std::log(seconds(chart.windows.back().interval));
  std::vector<Point> points;
  std::string ticks;
  const double base = top + 30 + kPlotHeight;
  double last_label = -100;
  for (const WindowResult& window : chart.windows) {
    // Half a label's width stays free on both sides.
    const double x = kLeft + 30 +
                     (std::log(seconds(window.interval)) - least) / std::max(most - least, 1e-9) *
                         (kPlotWidth - 60);
    const Estimated& pages = window.dirty_pages;
    points.push_back({x, {mib(pages.value), mib(pages.low), mib(pages.high)}});
    ticks += line(x, base, x, base + 4, "stroke=\"#404040\"");
    if (x - last_label < 44) continue;
    ticks += text_at(x, base + 16, window_text(window.window), 11, "middle");
    last_label = x;
  }
  const AxisScale up = nice_scale(largest(points));
  return frame(top, "Pages written within a window, MiB (writable working set)", up) + ticks +
         text_at(kLeft + kPlotWidth / 2, base + 36, "window, logarithmic; bars: 95 % intervals", 11,
                 "middle") +
         curve(points, base, kPlotHeight / up.end);
}

std::string region_panel(const RateChart& chart, double top) {
  double pages = 0;
  for (const HotRegion& region : chart.regions) pages += region.pages;
  const double base = top + 30 + kPlotHeight;
  std::string out = frame(
      top, "Where: part of each piece of memory that was written within the last window, percent",
      {100, 20});
  std::string labels;
  double x = kLeft;
  for (size_t i = 0; i < chart.regions.size();) {
    // A mapping: its pieces, an alternating shade, its name if it fits below.
    const std::string& name = chart.regions[i].name;
    const double from = x;
    const uint64_t start = chart.regions[i].start;
    uint64_t end = start;
    for (; i < chart.regions.size() && chart.regions[i].name == name &&
           (end == start || chart.regions[i].start == end);
         ++i) {
      const HotRegion& region = chart.regions[i];
      const double width = region.pages / pages * kPlotWidth;
      const double part = std::min(region.dirty_pages / region.pages, 1.0);
      out += rectangle(x, base - part * kPlotHeight, std::max(width - 0.5, 0.3), part * kPlotHeight,
                       kOrange);
      x += width;
      end = region.end;
    }
    out += line(x, base, x, base + 5, "stroke=\"#404040\"");
    const std::string label = name + " " + human_bytes(static_cast<double>(end - start));
    if (static_cast<double>(label.size()) * 6.4 < x - from) {
      labels += text_at((from + x) / 2, base + 16, label, 11, "middle");
    }
  }
  return out + labels +
         text_at(kLeft + kPlotWidth / 2, base + 36,
                 "memory that exists, by address: " + human_bytes(pages * 4096) +
                     "; ticks: ends of mappings",
                 11, "middle");
}

}  // namespace

AxisScale nice_scale(double largest) noexcept {
  if (!(largest > 0) || !std::isfinite(largest)) return {1, 0.25};
  for (double unit = std::pow(10, std::floor(std::log10(largest)) - 1);; unit *= 10) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double step = unit * factor;
      if (largest <= step * 8) return {std::ceil(largest / step - 1e-9) * step, step};
    }
  }
}

std::string xml_text(std::string_view text) {
  // What is no UTF-8 comes back from JSON as U+FFFD; the two characters of it that XML forbids
  // besides control characters are made the same.
  std::string valid = Json::parse(json_line(Json(printable(text)))).get<std::string>();
  for (const char* forbidden : {"\xEF\xBF\xBE", "\xEF\xBF\xBF"}) {
    for (size_t at = 0; (at = valid.find(forbidden, at)) != valid.npos; at += 3) {
      valid.replace(at, 3, "\xEF\xBF\xBD");
    }
  }
  std::string out;
  for (const char c : valid) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string rate_chart_svg(const RateChart& chart) {
  const std::string title =
      "Dirty rate of " +
      (chart.target.socket.empty()
           ? "process " + std::to_string(chart.target.pid) + " (" + chart.target.name + ")"
           : chart.target.socket + " (" + chart.target.name + ")");
  std::string body = text_at(16, 28, title, 16, "start", "font-weight=\"bold\"");
  double y = 48;
  const std::string why =
      chart.target.socket.empty()
          ? std::string(to_string(chart.target.mode.mode)) + ": " + chart.target.mode.why
          : std::string();
  for (const std::string& text : {why, chart.subtitle}) {
    if (text.empty()) continue;
    body += text_at(16, y, text, 11, "start", "fill=\"#404040\"");
    y += 16;
  }
  y += 10;
  const auto panel = [&](bool there,
                         const std::function<std::string(const RateChart&, double)>& draw) {
    if (!there) return;
    body += draw(chart, y);
    y += kPanelHeight;
  };
  panel(chart.points.size() > 1, time_panel);
  panel(chart.windows.size() > 1, window_panel);
  panel(!chart.regions.empty(), region_panel);
  const std::string size = number(kWidth) + "\" height=\"" + number(y) + "\" viewBox=\"0 0 " +
                           number(kWidth) + " " + number(y);
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
         "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" +
         size + "\" font-family=\"DejaVu Sans, Verdana, Arial, sans-serif\">\n<title>" +
         xml_text(title) + "</title>\n" +
         "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n" + body + "</svg>\n";
}

}  // namespace tern::tool
