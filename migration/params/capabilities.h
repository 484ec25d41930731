// SPDX-License-Identifier: Apache-2.0
//
// Every migration capability (a switch of a migration) as one row, with what it needs and what it
// excludes. A capability whose engine does not exist has no row. Knows nothing of JSON or commands.
#pragma once

#include <array>
#include <bitset>
#include <span>
#include <string_view>

#include "migration/params/parameters.h"
#include "tern/result.h"
#include "tern/settings.h"

namespace tern::params {

struct CapabilityRow {
  std::string_view name;
  /// nullptr: it belongs to the control plane itself, no migration sees it.
  bool Settings::*member;
  bool api_default;
  bool qmp_default;
  ActsOn side;
  /// A destination reads it when it begins to listen; turning it on later would have no effect and
  /// is refused.
  bool before_listening;
  std::string_view since;
  bool unstable;
  bool deprecated;
  Names needs;
  Names excludes;
  std::string_view help;
  /// What QEMU says where a parameter does not go with it; empty: a sentence that names both.
  std::string_view refusal = {};
};

inline constexpr std::array<std::string_view, 1> kNeedsReturnPath = {"return-path"};

inline constexpr std::array<std::string_view, 1> kExcludesAutoConverge = {"auto-converge"};
inline constexpr std::array<std::string_view, 1> kNeedsMultifdCapability = {"multifd"};
inline constexpr std::array<std::string_view, 1> kExcludesXbzrle = {"xbzrle"};
inline constexpr std::array<std::string_view, 2> kExcludesOtherWays = {"xbzrle", "compress"};

/// In the order in which QEMU lists them.
inline constexpr auto kCapabilities = std::to_array<CapabilityRow>({
    {"xbzrle",
     &Settings::xbzrle,
     false,
     false,
     ActsOn::source,
     false,
     "0.4",
     false,
     false,
     {},
     {},
     "Of a page that is sent again only what changed in it travels, if its copy is still in "
     "xbzrle-cache-size."},
    {"auto-converge",
     &Settings::auto_converge,
     false,
     false,
     ActsOn::source,
     false,
     "0.4",
     false,
     false,
     {},
     {},
     "Holds the vCPUs back, more and more, while the guest dirties RAM faster than it is sent."},
    {"compress",
     &Settings::compress,
     false,
     false,
     ActsOn::both,
     true,
     "0.4",
     false,
     true,
     {},
     kExcludesXbzrle,
     "Threads compress the pages of the main stream; both sides must have it on. For QEMU up to "
     "9.0; "
     "multifd-compression does the same better."},
    {"events",
     nullptr,
     false,
     false,
     ActsOn::both,
     false,
     "0.1",
     false,
     false,
     {},
     {},
     "QMP tells MIGRATION and MIGRATION_PASS on this side."},
    {"return-path",
     &Settings::return_path,
     true,
     false,
     ActsOn::source,
     false,
     "0.1",
     false,
     false,
     {},
     {},
     "The destination answers, so that the source knows that it loaded."},
    {"multifd",
     &Settings::multifd,
     false,
     false,
     ActsOn::both,
     true,
     "0.3",
     false,
     false,
     {},
     kExcludesOtherWays,
     "Pages travel over multifd-channels connections of their own."},
    {"pause-before-switchover",
     &Settings::pause_before_switchover,
     false,
     false,
     ActsOn::source,
     false,
     "0.1",
     false,
     false,
     {},
     {},
     "Stop the guest, then wait for migrate-continue before the rest is sent."},
    {"zero-copy-send",
     &Settings::zero_copy_send,
     false,
     false,
     ActsOn::source,
     false,
     "0.3",
     false,
     false,
     kNeedsMultifdCapability,
     {},
     "The channels give the kernel pages to send without a copy of them (MSG_ZEROCOPY).",
     "Zero copy only available for non-compressed non-TLS multifd migration"},
    {"validate-uuid",
     &Settings::validate_uuid,
     false,
     false,
     ActsOn::source,
     false,
     "0.1",
     false,
     false,
     {},
     {},
     "Send the machine's UUID; a destination with another one refuses."},
    {"switchover-ack",
     &Settings::switchover_ack,
     false,
     false,
     ActsOn::both,
     true,
     "0.1",
     false,
     false,
     kNeedsReturnPath,
     {},
     "The source does not switch over before the destination said that it may."},
    {"dirty-limit",
     &Settings::dirty_limit,
     false,
     false,
     ActsOn::source,
     false,
     "0.4",
     false,
     false,
     {},
     kExcludesAutoConverge,
     "Limits what each vCPU dirties to vcpu-dirty-limit while the guest dirties RAM faster than it "
     "is "
     "sent; only those above it are held back."},
});

/// One bit per row.
using CapabilitySet = std::bitset<kCapabilities.size()>;

/// Index of the row; kCapabilities.size() for an unknown name.
constexpr size_t capability_index(std::string_view name) noexcept {
  size_t i = 0;
  while (i < kCapabilities.size() && kCapabilities[i].name != name) ++i;
  return i;
}

/// The capabilities that are members of Settings; the others are off.
CapabilitySet capabilities_of(const Settings& settings) noexcept;
/// Writes the members of Settings.
void store(const CapabilitySet& on, Settings& settings) noexcept;
/// Errors: invalid_argument naming the two capabilities that do not go together.
Result<void> check(const CapabilitySet& on) noexcept;

namespace detail {
constexpr bool capabilities_are_sound() {
  for (size_t i = 0; i < kCapabilities.size(); ++i) {
    const CapabilityRow& row = kCapabilities[i];
    if (capability_index(row.name) != i || row.help.empty()) return false;
    for (std::string_view other : row.needs) {
      if (other == row.name || capability_index(other) == kCapabilities.size()) return false;
    }
    for (std::string_view other : row.excludes) {
      if (other == row.name || capability_index(other) == kCapabilities.size()) return false;
    }
  }
  return true;
}
}  // namespace detail
static_assert(detail::capabilities_are_sound(),
              "a name used twice, or needs/excludes an unknown one");

}  // namespace tern::params
