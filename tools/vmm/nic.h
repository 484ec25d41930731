// SPDX-License-Identifier: Apache-2.0
//
// The network side of tern-vmm, as far as migration needs one: network devices of which only the
// announcements leave the machine, through packet sockets on interfaces of the host.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tern/announce.h"
#include "tern/log.h"
#include "tern/result.h"

namespace tern::vmm {

/// --nic INTERFACE,mac=MAC[,id=NAME]
struct NicOptions {
  std::string interface;  ///< of the host
  MacAddress mac{};
  std::string id;  ///< default: net0, net1 …
};

/// Errors: invalid_argument. `index` names a device that was given no id.
Result<NicOptions> parse_nic(std::string_view text, size_t index) noexcept;
/// "52:54:00:12:34:56". Errors: invalid_argument.
Result<MacAddress> parse_mac(std::string_view text) noexcept;

/// An announcer that sends on the hosts's interfaces; nullptr if there is no device. Errors:
/// unsupported (packet sockets need CAP_NET_RAW), invalid_argument (no such interface).
Result<std::unique_ptr<SelfAnnouncer>> make_announcer(const std::vector<NicOptions>& nics,
                                                      LogSink& log) noexcept;

}  // namespace tern::vmm
