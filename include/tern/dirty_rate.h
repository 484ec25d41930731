// SPDX-License-Identifier: Apache-2.0
//
// How fast a guest dirties its memory: what QMP's calc-dirty-rate measures, for an embedder with or
// without QMP.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/clock.h"
#include "tern/machine.h"
#include "tern/result.h"
#include "tern/version.h"

namespace tern {

enum class DirtyRateMode {
  page_sampling,  ///< compares samples of pages: needs no tracker, costs the guest nothing
  dirty_ring,     ///< counts what each vCPU wrote: needs a tracker that counts_vcpus()
  dirty_bitmap,   ///< counts the different pages written: needs any other tracker
};
/// QMP's word: "page-sampling".
TERN_API std::string_view to_string(DirtyRateMode mode) noexcept;

struct DirtyRateRequest {
  static constexpr Milliseconds kMinWindow{50};
  static constexpr Milliseconds kMaxWindow{60000};
  static constexpr uint64_t kMinSamples = 128;
  static constexpr uint64_t kMaxSamples = 16384;

  Milliseconds window{1000};
  DirtyRateMode mode = DirtyRateMode::page_sampling;
  uint64_t samples_per_gib = 512;  ///< for page_sampling
};

struct DirtyRateReport {
  enum class Status { unstarted, measuring, measured };
  Status status = Status::unstarted;
  /// Of the measurement that runs or ran last.
  DirtyRateMode mode = DirtyRateMode::page_sampling;
  uint64_t samples_per_gib = 0;  ///< 0: the mode takes no samples, or nothing was asked for
  Nanoseconds start{0};          ///< since the Unix epoch
  Nanoseconds window{0};         ///< asked for while measuring, then the real one

  // ---- once measured
  /// Empty: nothing could be measured (no block is large enough to be sampled, or `error`).
  std::optional<double> bytes_per_s;
  /// Sampling only: the true rate lies between these 95 times of 100.
  double low = 0;
  double high = 0;
  std::vector<double> vcpu_bytes_per_s;   ///< dirty_ring: of each vCPU
  std::vector<double> block_bytes_per_s;  ///< dirty_bitmap: of each RAM block
  /// Why the measurement came to nothing; empty otherwise.
  std::string error;
};

/// Measures one machine, one measurement at a time, on a thread of its own ("mig/dirty-rate").
/// Migrations and meters of one machine may run at once if they share a DirtyHarvester.
/// Thread rules: any thread.
class TERN_API DirtyRateMeter {
 public:
  /// Of `machine` ram, harvester (or tracker: then a harvester of its own), clock and log are used.
  /// They outlive the meter. Errors: invalid_argument (the RAM blocks).
  static Result<std::unique_ptr<DirtyRateMeter>> create(const Machine& machine) noexcept;
  /// Ends a measurement that runs.
  virtual ~DirtyRateMeter() = default;

  /// Begins to measure; report() says `measuring` when it returns. Errors: failed_precondition (one
  /// runs), invalid_argument, unsupported (the mode, with this tracker), resource_exhausted.
  virtual Result<void> start(const DirtyRateRequest& request) noexcept = 0;
  virtual DirtyRateReport report() const noexcept = 0;
  /// Returns when no measurement runs.
  virtual void wait() const noexcept = 0;
};

}  // namespace tern
