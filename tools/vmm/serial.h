// SPDX-License-Identifier: Apache-2.0
//
// A 16550 without interrupts: registers, one byte of transmit room, a descriptor the bytes go to.
// Enough for firmware and test guests that poll the line status. Knows nothing of KVM.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "tern/device_section.h"
#include "tools/vmm/fd.h"

namespace tern::vmm {

/// Where the bytes go; -1 drops them. Not owned if it is stdout.
struct SerialSink {
  UniqueFd owned;
  int fd = -1;
  /// "" drops, "stdio" is stdout, else a file. `append`: keep what the file has (an incoming guest
  /// goes on where the source wrote). Errors: invalid_argument.
  static Result<SerialSink> open(const std::string& where, bool append) noexcept;
};

/// Thread-safe. A byte that the descriptor cannot take now waits in the transmitter (line status
/// says so) and migrates with it, so no byte is lost or printed twice.
class Serial final : public DeviceSection {
 public:
  static constexpr uint16_t kBasePort = 0x3f8;
  static constexpr uint16_t kPorts = 8;

  Serial(std::string idstr, SerialSink sink) noexcept;

  void write(uint16_t reg, uint8_t value) noexcept;
  uint8_t read(uint16_t reg) noexcept;
  /// Transmits one byte if there is room.
  bool try_put(uint8_t value) noexcept;
  /// What to poll for POLLOUT when try_put says no.
  int sink_fd() const noexcept { return sink_.fd; }

  const SectionId& id() const noexcept override { return id_; }
  Result<void> save(DeviceWriter& writer) noexcept override;
  Result<void> load(DeviceReader& reader, uint32_t version_id) noexcept override;

 private:
  void flush() noexcept;  // mutex_ held
  bool put(uint8_t value) noexcept;

  const SectionId id_;
  const SerialSink sink_;
  std::mutex mutex_;
  // ---- guarded by mutex_
  std::optional<uint8_t> waiting_;   ///< transmitter holding register, not yet out
  std::optional<uint8_t> received_;  ///< only loopback fills it
  uint8_t ier_ = 0;
  uint8_t fcr_ = 0;
  uint8_t lcr_ = 0;
  uint8_t mcr_ = 0;
  uint8_t scr_ = 0;
  uint16_t divisor_ = 12;  ///< 9600 baud, what a PC starts with
};

}  // namespace tern::vmm
