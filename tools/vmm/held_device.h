// SPDX-License-Identifier: Apache-2.0
//
// A device of tern-vmm that the guest holds on to until it was asked to let go: what a
// passed-through network card of a failover pair is to a real guest. It carries no data; it is
// there so that management layers and tests can be run against wait-unplug.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "tern/clock.h"
#include "tern/unplug.h"

namespace tern::vmm {

/// --held-device ID[,after=MS|never]
struct HeldDeviceOptions {
  std::string id;
  /// How long the guest takes to let go once asked; not set: it never does.
  std::optional<Milliseconds> after = Milliseconds{100};
};

/// Errors: invalid_argument.
Result<HeldDeviceOptions> parse_held_device(std::string_view text) noexcept;

class HeldDevice final : public UnplugDevice {
 public:
  HeldDevice(HeldDeviceOptions options, Clock& clock) noexcept
      : options_(std::move(options)), clock_(clock) {}

  std::string_view id() const noexcept override { return options_.id; }
  Result<void> request_unplug() noexcept override {
    asked_ = clock_.now();
    return {};
  }
  bool unplugged() const noexcept override {
    return asked_ && options_.after && clock_.now() - *asked_ >= *options_.after;
  }
  void plug_back() noexcept override { asked_.reset(); }

 private:
  const HeldDeviceOptions options_;
  Clock& clock_;
  std::optional<Nanoseconds> asked_;
};

}  // namespace tern::vmm
