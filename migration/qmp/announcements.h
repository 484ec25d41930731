// SPDX-License-Identifier: Apache-2.0
//
// The series of announcements that commands asked for, each under an id. Knows series, not
// networks.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_list.h"
#include "migration/destination/announcer.h"
#include "tern/announce.h"
#include "tern/result.h"

namespace tern::qmp {

/// Thread rules: one thread at a time (the command lock).
class Announcements {
 public:
  static constexpr size_t kMax = 16;

  /// `vmm` may be nullptr: nobody to tell, as in a machine without a network device.
  explicit Announcements(SelfAnnouncer* vmm) noexcept : vmm_(vmm) {}

  /// Begins a series; one with the same id ends. Any numbers, as in QEMU. Errors:
  /// resource_exhausted (more series at once than kMax).
  Result<void> start(const std::string& id, const AnnounceParameters& parameters,
                     std::vector<std::string> interfaces) noexcept;

 private:
  SelfAnnouncer* const vmm_;
  ThreadList threads_;
  std::map<std::string, std::unique_ptr<Announcer>> series_;
};

}  // namespace tern::qmp
