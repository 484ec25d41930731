// SPDX-License-Identifier: Apache-2.0
//
// The types of what commands answer and events carry. Those that have rows (statistics, parameters,
// capabilities) are made from the rows.
#pragma once

#include <array>

#include "migration/qmp/qapi_type.h"
#include "tern/events.h"

namespace tern::qmp::types {

/// The states that migrations of this program can be in; a later engine adds its own.
inline constexpr std::array kOfferedStatuses = {
    Status::none,   Status::setup,       Status::cancelling, Status::cancelled,
    Status::active, Status::completed,   Status::failed,     Status::pre_switchover,
    Status::device, Status::wait_unplug, Status::failing};

extern const QapiType kMigrationStatus;
extern const QapiType kTimeUnit;
extern const QapiType kDirtyRateMode;
extern const QapiType kDirtyRateInfo;
/// In the order of DirtyRateReport::Status.
inline constexpr std::array<std::string_view, 3> kDirtyRateStatusWords = {"unstarted", "measuring",
                                                                          "measured"};
extern const QapiType kVersionInfo;
extern const QapiType kCommandInfoList;
extern const QapiType kEventInfoList;
extern const QapiType kSchemaInfoList;
extern const QapiType kStatusInfo;
extern const QapiType kNameInfo;
extern const QapiType kUuidInfo;
extern const QapiType kTargetInfo;
extern const QapiType kKvmInfo;
extern const QapiType kMigrationInfo;
extern const QapiType kMigrationParameters;
extern const QapiType kMigrateSetParameters;
extern const QapiType kMigrationThreadInfoList;
extern const QapiType kDirtyLimitInfoList;
extern const QapiType kObjectPropertyInfoList;
extern const QapiType kYankInstanceList;
/// Of events.
extern const QapiType kMigrationEvent;
extern const QapiType kPassEvent;
extern const QapiType kShutdownEvent;
extern const QapiType kUnplugEvent;

}  // namespace tern::qmp::types
