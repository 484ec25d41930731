// SPDX-License-Identifier: Apache-2.0
//
// The dirty rate of a machine as its own QMP server measures it: calc-dirty-rate and
// query-dirty-rate of tern, QEMU 5.2 and later. What a server can do is read from its schema.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/clock.h"
#include "tern/result.h"
#include "tools/common/qmp_client.h"

namespace tern::tool {

struct QmpRateOptions {
  std::string mode;  ///< empty: the server's default
  Nanoseconds window{};
  uint64_t sample_pages = 0;  ///< per GiB; 0: the server's default
};

struct QmpRate {
  Nanoseconds started{};            ///< since the Unix epoch, our clock
  std::optional<double> mib_per_s;  ///< none: the server found nothing to sample
  // The bounds of a sampled rate, MiB/s: only a tern tells them.
  std::optional<double> low;
  std::optional<double> high;
  std::string mode;
  uint64_t sample_pages = 0;                      ///< per GiB
  Nanoseconds window{};                           ///< that was asked of the server
  Nanoseconds interval{};                         ///< that it says it measured
  std::vector<std::pair<int64_t, double>> vcpus;  ///< id, MiB/s: only in some modes
  std::vector<std::string> notes;                 ///< what is not as it was asked for
};

/// One thread.
class QmpRateClient {
 public:
  /// Errors: kProcessGone if nobody listens, kNotAvailable without calc-dirty-rate. An error of
  /// code channel later on has kProcessGone, too. Code cancelled: `stop` became readable; it stays
  /// the caller's, for all later calls.
  static Result<QmpRateClient> connect(const std::string& path, int stop = -1) noexcept;

  /// Measures once; nothing if `stop` became readable. Errors: kNotAvailable for a mode that the
  /// server does not have, invalid_argument for a window it does not take, what it refuses.
  Result<std::optional<QmpRate>> measure(const QmpRateOptions& options) noexcept;

  /// "QEMU 7.2.0", "tern 0.3.0".
  const std::string& server() const noexcept { return server_; }
  /// The shortest unit it takes.
  bool takes_milliseconds() const noexcept { return milliseconds_; }

 private:
  explicit QmpRateClient(QmpClient client) noexcept : client_(std::move(client)) {}
  Result<void> learn() noexcept;
  Result<QmpRate> measure_to_end(const QmpRateOptions& options) noexcept;
  Result<void> allow_mode(const std::string& mode) noexcept;
  Result<Json> arguments_for(const QmpRateOptions& options, QmpRate& rate) const noexcept;

  QmpClient client_;
  std::string server_;
  bool tern_ = false;
  bool milliseconds_ = false;
  Json query_ = nullptr;  // arguments of query-dirty-rate
  bool takes_sample_pages_ = false;
  std::vector<std::string> modes_;  // empty: the server knows no modes
};

/// The figures of a reply of query-dirty-rate whose status is measured. Errors: peer_protocol.
Result<QmpRate> read_dirty_rate(const Json& reply) noexcept;

}  // namespace tern::tool
