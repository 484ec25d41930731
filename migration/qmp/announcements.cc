// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/announcements.h"

#include <utility>

#include "migration/params/validate.h"

namespace tern::qmp {

Result<void> Announcements::start(const std::string& id, const AnnounceParameters& parameters,
                                  std::vector<std::string> interfaces) noexcept {
  Settings settings;
  settings.announce_initial = parameters.initial;
  settings.announce_max = parameters.max;
  settings.announce_rounds = parameters.rounds;
  settings.announce_step = parameters.step;
  TERN_TRY(params::validate(settings));
  if (vmm_ == nullptr) return {};
  auto place = series_.find(id);
  if (place == series_.end()) {
    if (series_.size() >= kMax) {
      return Error(ErrorCode::resource_exhausted,
                   "at most " + std::to_string(kMax) + " ids of announcements");
    }
    place = series_.emplace(id, std::make_unique<Announcer>(*vmm_, "", threads_)).first;
  }
  place->second->start(parameters, std::move(interfaces));
  return {};
}

}  // namespace tern::qmp
