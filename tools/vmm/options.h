// SPDX-License-Identifier: Apache-2.0
//
// The command line of tern-vmm as values. Knows the words and their meaning, starts nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tern/catalog.h"
#include "tern/dirty_tracker.h"
#include "tern/log.h"
#include "tern/machine.h"
#include "tern/qmp.h"
#include "tern/result.h"
#include "tools/vmm/guest_params.h"
#include "tools/vmm/held_device.h"
#include "tools/vmm/nic.h"
#include "tools/vmm/ram.h"

namespace tern::vmm {

enum class MachineKind { kvm, threads, none };

struct VmmOptions {
  MachineKind machine = MachineKind::kvm;
  RamOptions ram;
  GuestParams guest;        ///< vcpus included, ticks not
  uint64_t guest_rate = 0;  ///< pages per second, all vCPUs together; 0 = full speed
  std::string boot;
  std::string serial;
  std::vector<std::string> qmp;  ///< socket paths
  std::string qtest;             ///< socket path
  std::string incoming;
  std::string name;
  std::optional<Uuid> uuid;
  Settings settings = qmp_settings();  ///< parameters and capabilities that QMP starts from
  bool events = false;                 ///< the capability that is QMP's own
  std::optional<QmpVersion> qmp_version;
  std::vector<std::string> objects;  ///< as ObjectStore::add_text takes them
  std::vector<NicOptions> nics;
  std::vector<HeldDeviceOptions> held_devices;
  std::vector<std::string> blockers;  ///< reasons why it must not migrate
  uint32_t dirty_ring = 0;            ///< entries per vCPU; 0: dirty log
  WriteProtectMode write_protect = WriteProtectMode::automatic;  ///< of the threads machine
  bool paused = false;
  bool exit_on_error = true;
  LogLevel log_level = LogLevel::warning;
};

/// What the process ends with when there is nothing to run: 0 after --help and --version, 2 after a
/// usage error, which was printed.
struct ExitNow {
  int status;
};

std::variant<VmmOptions, ExitNow> parse_options(int argc, const char* const* argv) noexcept;

/// "64K", "128M", "4G", "1T", plain bytes. Errors: invalid_argument.
Result<uint64_t> parse_size(std::string_view text) noexcept;
/// "START:SIZE", both sizes, page-aligned. One vCPU. Errors: invalid_argument.
Result<GuestParams> parse_guest_range(std::string_view text) noexcept;
/// "anon", "memfd", "file:PATH[,share=on|off]" into backend, path and share. Errors:
/// invalid_argument.
Result<void> parse_ram_backend(std::string_view text, RamOptions& into) noexcept;
/// "unix:PATH" gives PATH. Errors: invalid_argument.
Result<std::string> parse_unix_path(std::string_view text) noexcept;
Result<Uuid> parse_uuid(std::string_view text) noexcept;
/// "8.2.0". Errors: invalid_argument.
Result<QmpVersion> parse_version(std::string_view text) noexcept;

}  // namespace tern::vmm
