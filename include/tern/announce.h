// SPDX-License-Identifier: Apache-2.0
//
// Telling the network where the guest is now. The VMM owns the network backend and sends; tern says
// when, and builds the packet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tern/version.h"

namespace tern {

using MacAddress = std::array<uint8_t, 6>;

/// An Ethernet frame without its checksum, at Ethernet's smallest size.
inline constexpr size_t kAnnouncementBytes = 60;

/// The broadcast RARP request ("reverse request") by which QEMU, too, makes switches learn where
/// `mac` is: no IP address is needed and no host answers it.
TERN_API std::array<std::byte, kAnnouncementBytes> make_announcement(
    const MacAddress& mac) noexcept;

/// When announcements are sent, in the words of QEMU's parameters: the first at once, then after
/// `initial`, `initial + step`, `initial + 2 * step` … ms, never more than `max`, until `rounds`
/// were sent.
struct AnnounceParameters {
  uint64_t initial = 50;  ///< ms, 0..100000
  uint64_t max = 550;     ///< ms, 0..100000
  uint64_t rounds = 5;    ///< 0..1000
  uint64_t step = 100;    ///< ms, 1..10000
};

/// Sends announcements; implemented by the VMM.
///
/// Thread rules: called on tern's thread mig/announce, one call at a time for each series of
/// rounds; two series (a migration's, and announce-self with another id) may overlap.
class TERN_API SelfAnnouncer {
 public:
  virtual ~SelfAnnouncer() = default;
  /// Send one packet now for each network device of the guest, or only for those named. Failures
  /// are the VMM's to log: an announcement is a courtesy.
  virtual void announce(std::span<const std::string> interfaces) noexcept = 0;
};

}  // namespace tern
