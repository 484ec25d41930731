// SPDX-License-Identifier: Apache-2.0
//
// Dirty-rate measurement for C: thin, DirtyRateMeter does the work.
#include "tern/dirty_rate.h"

#include <algorithm>
#include <cmath>

#include "migration/capi/error.h"
#include "migration/capi/machine.h"
#include "migration/capi/sized.h"
#include "migration/capi/text.h"
#include "tern/c/migration.h"

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

static_assert(static_cast<int>(DirtyRateMode::dirty_bitmap) == TERN_DIRTY_RATE_DIRTY_BITMAP);
static_assert(static_cast<int>(DirtyRateMode::dirty_ring) == TERN_DIRTY_RATE_DIRTY_RING);
static_assert(static_cast<int>(DirtyRateReport::Status::measured) == TERN_DIRTY_RATE_MEASURED);

struct tern_dirty_rate_meter {
  std::shared_ptr<MachineParts> machine;  // outlives the engine
  std::unique_ptr<DirtyRateMeter> engine;
};

namespace {

int64_t whole(double rate) noexcept {
  return std::isfinite(rate) ? static_cast<int64_t>(std::llround(rate)) : -1;
}

size_t fill(const std::vector<double>& known, int64_t* rates, size_t count) noexcept {
  if (rates != nullptr) {
    std::transform(known.begin(), known.begin() + static_cast<long>(std::min(count, known.size())),
                   rates, whole);
  }
  return known.size();
}

}  // namespace

int tern_dirty_rate_meter_create(tern_machine* machine, tern_dirty_rate_meter** out,
                                 tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"machine", machine}, {"out", out}}));
    auto engine = TERN_TRY(DirtyRateMeter::create(machine->parts->machine()));
    *out = new tern_dirty_rate_meter{machine->parts, std::move(engine)};
    return {};
  });
}

void tern_dirty_rate_meter_free(tern_dirty_rate_meter* meter) noexcept { delete meter; }

int tern_dirty_rate_meter_start(tern_dirty_rate_meter* meter,
                                const tern_dirty_rate_request* request,
                                tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"meter", meter}}));
    DirtyRateRequest wanted;
    if (request != nullptr) {
      const auto given = TERN_TRY(read_sized(request, "request"));
      if (given.mode < 0 || given.mode > TERN_DIRTY_RATE_DIRTY_BITMAP || given.reserved != 0) {
        return Error(
            ErrorCode::invalid_argument,
            "request: no mode has number " + std::to_string(given.mode) + ", or reserved is not 0");
      }
      wanted.mode = static_cast<DirtyRateMode>(given.mode);
      if (given.window_ms != 0) wanted.window = Milliseconds(given.window_ms);
      if (given.samples_per_gib != 0) wanted.samples_per_gib = given.samples_per_gib;
    }
    return meter->engine->start(wanted);
  });
}

void tern_dirty_rate_meter_wait(const tern_dirty_rate_meter* meter) noexcept {
  if (meter != nullptr) meter->engine->wait();
}

int tern_dirty_rate_meter_report(const tern_dirty_rate_meter* meter, tern_dirty_rate_report* report,
                                 tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"meter", meter}, {"report", report}}));
    const DirtyRateReport now = meter->engine->report();
    tern_dirty_rate_report filled{};
    filled.status = static_cast<int32_t>(now.status);
    filled.mode = static_cast<int32_t>(now.mode);
    filled.start_ns = now.start.count();
    filled.window_ns = now.window.count();
    filled.bytes_per_s = now.bytes_per_s ? whole(*now.bytes_per_s) : -1;
    const bool bounds = now.bytes_per_s && now.mode == DirtyRateMode::page_sampling;
    filled.low = bounds ? whole(now.low) : -1;
    filled.high = bounds ? whole(now.high) : -1;
    return write_sized(filled, report, "report");
  });
}

size_t tern_dirty_rate_meter_vcpus(const tern_dirty_rate_meter* meter, int64_t* rates,
                                   size_t count) noexcept {
  return meter != nullptr ? fill(meter->engine->report().vcpu_bytes_per_s, rates, count) : 0;
}

size_t tern_dirty_rate_meter_blocks(const tern_dirty_rate_meter* meter, int64_t* rates,
                                    size_t count) noexcept {
  return meter != nullptr ? fill(meter->engine->report().block_bytes_per_s, rates, count) : 0;
}

int tern_dirty_rate_meter_error(const tern_dirty_rate_meter* meter, char** text,
                                tern_error** error) noexcept {
  if (text != nullptr) *text = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"meter", meter}, {"text", text}}));
    return give_text(text, meter->engine->report().error);
  });
}
