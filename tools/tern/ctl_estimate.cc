// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_estimate.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "tools/common/progress.h"
#include "tools/tern/ctl_output.h"

namespace tern::tool {
namespace {

constexpr size_t kWindow = 6;               // samples that a rate is taken over
constexpr size_t kFewestSamples = 3;        // before anything is predicted
constexpr size_t kPredictions = 4;          // that are averaged
constexpr double kShortestInterval = 0.05;  // seconds; what comes sooner says nothing about rates

constexpr double kShortestMean = 0.1;  // seconds of migration before a mean says something
// A link that is hardly faster than the guest gains less than the rates are known to: a guest that
// writes all of its working set in every pass is measured at the speed of the link, give or take.
constexpr double kNoGain = 0.95;

std::optional<double> slope(double rise, double seconds) {
  if (seconds <= 0 || rise < 0) return std::nullopt;
  return rise / seconds;
}

}  // namespace

MigrationSample read_sample(const Json& info, double time) {
  MigrationSample s;
  s.time = time;
  s.status = text_field(info, "status", "none");
  s.error = text_field(info, "error-desc");
  s.expected_downtime_ms = number_field(info, "expected-downtime");
  s.downtime_ms = number_field(info, "downtime");
  s.total_time_ms = number_field(info, "total-time");
  s.setup_time_ms = number_or_0(info, "setup-time");
  const Json& ram = field(info, "ram");
  if (!ram.is_object()) return s;
  s.ram = true;
  const double page = number_field(ram, "page-size").value_or(4096);
  s.total = number_or_0(ram, "total");
  s.sent = number_or_0(ram, "transferred");
  s.remaining = number_or_0(ram, "remaining");
  s.passes = number_or_0(ram, "dirty-sync-count");
  s.dirty_rate = number_or_0(ram, "dirty-pages-rate") * page;
  s.looks_within_passes = field(field(info, "x-tern"), "throttle").is_object();
  s.throttle = throttle_text(info);
  // A page that is zero, packed or sent as a difference is dealt with like any other: what is
  // remaining falls by it, however few bytes it took on the link.
  s.handled = page * (number_or_0(ram, "normal") + number_or_0(ram, "duplicate") +
                      number_or_0(field(info, "xbzrle-cache"), "pages") +
                      number_or_0(field(info, "compression"), "pages"));
  return s;
}

bool migration_ended(const std::string& status) noexcept {
  return status == "completed" || status == "failed" || status == "cancelled";
}

bool migration_moves(const std::string& status) noexcept {
  constexpr std::array<std::string_view, 5> kMoving = {"active", "postcopy-active",
                                                       "postcopy-recover", "device", "colo"};
  return std::find(kMoving.begin(), kMoving.end(), status) != kMoving.end();
}

Estimate Estimator::add(const MigrationSample& sample) {
  Estimate out;
  const bool fewer = !window_.empty() && sample.sent < window_.back().sent;
  if (!migration_moves(sample.status) || !sample.ram || fewer) {
    // Not under way, or another migration than before.
    window_.clear();
    ends_.clear();
    rate_.reset();
    last_ = Outlook::unknown;
  }
  if (!sample.ram) return out;
  set_rates(sample, out);
  // While the guest stands still (device) the link is no longer held back: nothing to go by.
  const bool told = sample.status == "active" || sample.status.starts_with("postcopy-");
  if (told && migration_moves(sample.status)) set_outlook(sample, out);
  return out;
}

void Estimator::set_rates(const MigrationSample& sample, Estimate& out) {
  if (sample.total_time_ms) {
    const double seconds = (*sample.total_time_ms - sample.setup_time_ms) / 1000;
    const bool early = migration_moves(sample.status) && seconds < kShortestMean;
    if (!early) out.mean_rate = slope(sample.sent, seconds);
  }
  if (!migration_moves(sample.status)) return;
  const bool early = !window_.empty() && sample.time - window_.back().time < kShortestInterval;
  if (!window_.empty() && !early) {
    const MigrationSample& before = window_.back();
    rate_ = slope(sample.sent - before.sent, sample.time - before.time);
  }
  out.rate = rate_;
  if (early) return;
  window_.push_back(sample);
  if (window_.size() > kWindow) window_.pop_front();
}

void Estimator::set_outlook(const MigrationSample& sample, Estimate& out) {
  if (sample.passes != pass_ || window_.size() < 2) pass_begun_ = sample.time;
  pass_ = sample.passes;
  if (window_.size() < kFewestSamples || sample.remaining <= 0) return;
  const MigrationSample& first = window_.front();
  const MigrationSample& last = window_.back();
  const bool pages_counted = last.handled > first.handled;
  const auto speed = slope(pages_counted ? last.handled - first.handled : last.sent - first.sent,
                           last.time - first.time);
  if (!speed || *speed <= 0) return;
  const bool guest_here = sample.status == "active";  // in postcopy it dirties nothing here
  // In the first pass nobody has counted yet what the guest dirties behind our back.
  const bool dirty_known = sample.passes > 1 && sample.dirty_rate > 0;
  const double dirty = guest_here && dirty_known ? sample.dirty_rate : 0;
  // What the guest has dirtied since this pass began comes on top; QEMU's `remaining` will only say
  // so when the next one begins.
  const double unsaid = sample.looks_within_passes ? 0 : dirty * (sample.time - pass_begun_);
  const double backlog = sample.remaining + unsaid;
  if (dirty >= *speed * kNoGain) {
    out.outlook = Outlook::never;
  } else {
    out.outlook = guest_here && !dirty_known ? Outlook::at_least : Outlook::about;
    if (out.outlook != last_) ends_.clear();
    ends_.push_back(sample.time + backlog / (*speed - dirty));
    if (ends_.size() > kPredictions) ends_.pop_front();
    const double end =
        std::accumulate(ends_.begin(), ends_.end(), 0.0) / static_cast<double>(ends_.size());
    out.seconds = std::max(0.0, end - sample.time);
  }
  last_ = out.outlook;
}

std::string outlook_text(const Estimate& estimate) {
  switch (estimate.outlook) {
    case Outlook::about:
      return "about " + human_seconds(estimate.seconds) + " left";
    case Outlook::at_least:
      return "at least " + human_seconds(estimate.seconds) + " left";
    case Outlook::never:
      return "does not converge at this rate: the guest dirties as fast as the link moves";
    case Outlook::unknown:
      break;
  }
  return {};
}

}  // namespace tern::tool
