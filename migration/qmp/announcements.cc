// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/announcements.h"

#include <utility>

namespace tern::qmp {

Result<void> Announcements::start(const std::string& id, const AnnounceParameters& parameters,
                                  std::vector<std::string> interfaces) noexcept {
  if (vmm_ == nullptr) return {};
  auto place = series_.find(id);
  if (place == series_.end()) {
    std::erase_if(series_, [](const auto& entry) { return entry.second->idle(); });
    if (series_.size() >= kMax) {
      return Error(ErrorCode::resource_exhausted,
                   "at most " + std::to_string(kMax) + " series of announcements at once");
    }
    place = series_.emplace(id, std::make_unique<Announcer>(*vmm_, "", threads_)).first;
  }
  return place->second->start(parameters, std::move(interfaces));
}

}  // namespace tern::qmp
