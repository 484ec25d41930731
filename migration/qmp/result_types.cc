// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/result_types.h"

#include <array>

#include "migration/params/parameters.h"
#include "migration/params/statistics.h"
#include "migration/qmp/address_arg.h"

namespace tern::qmp::types {
namespace {

using params::kStatistics;
using params::StatGroup;
using Words = std::string_view;

constexpr std::array<Words, kOfferedStatuses.size()> kStatusWords = {
    "none",   "setup",          "cancelling", "cancelled",   "active", "completed",
    "failed", "pre-switchover", "device",     "wait-unplug", "failing"};

constexpr QapiType object(std::string_view name, std::span<const QapiMember> members) {
  return {.kind = Kind::object, .name = name, .members = members};
}
constexpr QapiType list_of(const QapiType& element) {
  return {.kind = Kind::array, .element = &element};
}

// ---- version, names
constexpr auto kTripleMembers =
    std::to_array<QapiMember>({{"major", &kInteger}, {"minor", &kInteger}, {"micro", &kInteger}});
constexpr QapiType kVersionTriple = object("VersionTriple", kTripleMembers);
constexpr auto kVersionMembers =
    std::to_array<QapiMember>({{"qemu", &kVersionTriple}, {"package", &kString}});
constexpr auto kNamedMembers = std::to_array<QapiMember>({{"name", &kString}});
constexpr QapiType kCommandInfo = object("CommandInfo", kNamedMembers);
constexpr QapiType kEventInfo = object("EventInfo", kNamedMembers);
constexpr auto kNameMembers = std::to_array<QapiMember>({{"name", &kString, true}});
constexpr auto kUuidMembers = std::to_array<QapiMember>({{"UUID", &kString}});
constexpr std::array<Words, 2> kArchWords = {"aarch64", "x86_64"};
constexpr QapiType kArch{.kind = Kind::enumeration, .name = "SysEmuTarget", .words = kArchWords};
constexpr auto kTargetMembers = std::to_array<QapiMember>({{"arch", &kArch}});
constexpr auto kKvmMembers =
    std::to_array<QapiMember>({{"enabled", &kBoolean}, {"present", &kBoolean}});

// ---- run state
constexpr std::array<Words, 16> kRunStateWords = {
    "debug",     "inmigrate",      "internal-error", "io-error", "paused",  "postmigrate",
    "prelaunch", "finish-migrate", "restore-vm",     "running",  "save-vm", "shutdown",
    "suspended", "watchdog",       "guest-panicked", "colo"};
constexpr QapiType kRunState{
    .kind = Kind::enumeration, .name = "RunState", .words = kRunStateWords};
constexpr auto kStatusInfoMembers = std::to_array<QapiMember>(
    {{"running", &kBoolean}, {"singlestep", &kBoolean}, {"status", &kRunState}});

// ---- query-migrate, from the statistics' rows
constexpr std::array<Words, 6> kEndingWords = {"none",    "handed-over", "kept",
                                               "unknown", "taken",       "not-taken"};
constexpr QapiType kEnding{.kind = Kind::enumeration, .name = "XTernEnding", .words = kEndingWords};

constexpr size_t count_of(StatGroup group) {
  size_t n = 0;
  for (const auto& row : kStatistics) n += row.group == group ? 1 : 0;
  return n;
}
constexpr const QapiType* type_of(const params::StatisticRow& row) {
  if (row.info.name == "status") return &kMigrationStatus;
  if (row.info.name == "x-tern.ending") return &kEnding;
  switch (row.info.type) {
    case StatisticType::integer:
      return &kUint64;
    case StatisticType::real:
      return &kNumber;
    case StatisticType::text:
      break;
  }
  return &kString;
}
// `More` is the number of members that are not statistics; the caller fills them in.
template <StatGroup Group, size_t More = 0>
constexpr auto members_of(bool optional) {
  std::array<QapiMember, count_of(Group) + More> members{};
  size_t n = 0;
  for (const auto& row : kStatistics) {
    if (row.group == Group) members[n++] = {row.leaf(), type_of(row), optional};
  }
  return members;
}
constexpr auto kRamMembers = members_of<StatGroup::ram>(false);
constexpr QapiType kMigrationStats = object("MigrationStats", kRamMembers);
constexpr auto kXbzrleMembers = members_of<StatGroup::xbzrle>(false);
constexpr QapiType kXbzrleStats = object("XBZRLECacheStats", kXbzrleMembers);
constexpr auto kCompressionMembers = members_of<StatGroup::compression>(false);
constexpr QapiType kCompressionStats = object("CompressionStats", kCompressionMembers);
constexpr auto kDowntimeMembers = members_of<StatGroup::downtime>(false);
constexpr QapiType kDowntimePhases = object("XTernDowntime", kDowntimeMembers);
constexpr auto kSwitchoverMembers = members_of<StatGroup::switchover>(false);
constexpr QapiType kSwitchover = object("XTernSwitchover", kSwitchoverMembers);
constexpr auto kThrottleStepMembers = std::to_array<QapiMember>({
    {"time", &kUint64},
    {"percentage", &kUint64},
});
constexpr QapiType kThrottleStep = object("XTernThrottleStep", kThrottleStepMembers);
constexpr QapiType kThrottleCourse = list_of(kThrottleStep);
constexpr auto kThrottleMembers = [] {
  auto members = members_of<StatGroup::throttle, 1>(false);
  members[members.size() - 1] = {"course", &kThrottleCourse};
  return members;
}();
constexpr QapiType kThrottle = object("XTernThrottle", kThrottleMembers);
constexpr auto kTernMembers = [] {
  auto members = members_of<StatGroup::tern, 3>(false);
  members[members.size() - 3] = {"downtime-ns", &kDowntimePhases};
  members[members.size() - 2] = {"switchover", &kSwitchover};
  members[members.size() - 1] = {"throttle", &kThrottle};
  return members;
}();
constexpr QapiType kTernInfo = object("XTernInfo", kTernMembers);
constexpr auto kInfoMembers = [] {
  auto members = members_of<StatGroup::info, 6>(true);
  members[members.size() - 6] = {"compression", &kCompressionStats, true, kDeprecated};
  members[members.size() - 5] = {"xbzrle-cache", &kXbzrleStats, true};
  members[members.size() - 4] = {"ram", &kMigrationStats, true};
  members[members.size() - 3] = {"socket-address", &kSocketAddresses, true};
  members[members.size() - 2] = {"blocked-reasons", &kStringList, true};
  members[members.size() - 1] = {"x-tern", &kTernInfo, true, kUnstable};
  return members;
}();

// ---- query-migrate-parameters, from the rows: as set, but a string is never null
constexpr auto kParameterEnums = [] {
  std::array<QapiType, params::kParameters.size()> enums{};
  for (size_t i = 0; i < enums.size(); ++i) {
    const params::ParameterRow& row = params::kParameters[i];
    enums[i] = {.kind = Kind::enumeration, .name = row.words.type_name, .words = row.words.words};
  }
  return enums;
}();
constexpr const QapiType* parameter_type(size_t i, bool set) {
  switch (params::kParameters[i].type) {
    case SettingType::boolean:
      return &kBoolean;
    case SettingType::uint8:
      return &kUint8;
    case SettingType::uint32:
      return &kUint32;
    case SettingType::uint64:
    case SettingType::size:
      return &kUint64;
    case SettingType::enumeration:
      return &kParameterEnums[i];
    case SettingType::string:
      break;
  }
  return set ? &kStringOrNull : &kString;
}
constexpr auto parameter_members(bool set) {
  std::array<QapiMember, params::kParameters.size()> members{};
  for (size_t i = 0; i < members.size(); ++i) {
    const params::ParameterRow& row = params::kParameters[i];
    members[i] = {row.name, parameter_type(i, set), true,
                  features_of(row.deprecated, row.unstable)};
  }
  return members;
}
constexpr auto kSetMembers = parameter_members(true);
constexpr auto kQueryMembers = parameter_members(false);

// ---- objects
constexpr auto kPropertyInfoMembers =
    std::to_array<QapiMember>({{"name", &kString}, {"type", &kString}});
constexpr QapiType kPropertyInfo = object("ObjectPropertyInfo", kPropertyInfoMembers);

// ---- threads, yank, events
constexpr auto kThreadMembers =
    std::to_array<QapiMember>({{"name", &kString}, {"thread-id", &kInteger}});
constexpr QapiType kThreadInfo = object("MigrationThreadInfo", kThreadMembers);
constexpr auto kDirtyLimitMembers = std::to_array<QapiMember>(
    {{"cpu-index", &kInteger}, {"limit-rate", &kUint64}, {"current-rate", &kUint64}});
constexpr QapiType kDirtyLimitInfo = object("DirtyLimitInfo", kDirtyLimitMembers);
constexpr std::array<Words, 3> kYankWords = {"block-node", "chardev", "migration"};
constexpr QapiType kYankType{
    .kind = Kind::enumeration, .name = "YankInstanceType", .words = kYankWords};
constexpr auto kNodeMembers = std::to_array<QapiMember>({{"node-name", &kString}});
constexpr QapiType kYankNode = object("YankInstanceBlockNode", kNodeMembers);
constexpr auto kChardevMembers = std::to_array<QapiMember>({{"id", &kString}});
constexpr QapiType kYankChardev = object("YankInstanceChardev", kChardevMembers);
constexpr auto kYankMembers = std::to_array<QapiMember>({{"type", &kYankType}});
constexpr auto kYankVariants =
    std::to_array<QapiVariant>({{"block-node", &kYankNode}, {"chardev", &kYankChardev}});
constexpr QapiType kYankInstance{.kind = Kind::flat_union,
                                 .name = "YankInstance",
                                 .members = kYankMembers,
                                 .tag = "type",
                                 .variants = kYankVariants};
constexpr auto kMigrationEventMembers = std::to_array<QapiMember>({{"status", &kMigrationStatus}});
constexpr auto kPassMembers = std::to_array<QapiMember>({{"pass", &kInteger}});
constexpr std::array<Words, 3> kCauseWords = {"host-qmp-quit", "host-signal", "guest-shutdown"};
constexpr QapiType kCause{.kind = Kind::enumeration, .name = "ShutdownCause", .words = kCauseWords};
constexpr auto kShutdownMembers =
    std::to_array<QapiMember>({{"guest", &kBoolean}, {"reason", &kCause}});
constexpr auto kUnplugMembers = std::to_array<QapiMember>({{"device-id", &kString}});

// ---- introspection's own
constexpr std::array<Words, 7> kMetaWords = {"builtin",   "enum",    "array", "object",
                                             "alternate", "command", "event"};
constexpr QapiType kMetaType{
    .kind = Kind::enumeration, .name = "SchemaMetaType", .words = kMetaWords};
constexpr std::array<Words, 8> kJsonWords = {"string", "number", "int",   "boolean",
                                             "null",   "object", "array", "value"};
constexpr QapiType kJsonType{.kind = Kind::enumeration, .name = "JSONType", .words = kJsonWords};
constexpr auto kInfoBaseMembers = std::to_array<QapiMember>(
    {{"name", &kString}, {"meta-type", &kMetaType}, {"features", &kStringList, true}});
constexpr auto kBuiltinMembers = std::to_array<QapiMember>({{"json-type", &kJsonType}});
constexpr QapiType kInfoBuiltin = object("SchemaInfoBuiltin", kBuiltinMembers);
constexpr auto kEnumMemberMembers =
    std::to_array<QapiMember>({{"name", &kString}, {"features", &kStringList, true}});
constexpr QapiType kEnumMember = object("SchemaInfoEnumMember", kEnumMemberMembers);
constexpr QapiType kEnumMemberList = list_of(kEnumMember);
constexpr auto kEnumMembers = std::to_array<QapiMember>(
    {{"members", &kEnumMemberList}, {"values", &kStringList, false, kDeprecated}});
constexpr QapiType kInfoEnum = object("SchemaInfoEnum", kEnumMembers);
constexpr auto kArrayMembers = std::to_array<QapiMember>({{"element-type", &kString}});
constexpr QapiType kInfoArray = object("SchemaInfoArray", kArrayMembers);
constexpr auto kObjectMemberMembers = std::to_array<QapiMember>({{"name", &kString},
                                                                 {"type", &kString},
                                                                 {"default", &kStringOrNull, true},
                                                                 {"features", &kStringList, true}});
constexpr QapiType kObjectMember = object("SchemaInfoObjectMember", kObjectMemberMembers);
constexpr QapiType kObjectMemberList = list_of(kObjectMember);
constexpr auto kVariantMembers =
    std::to_array<QapiMember>({{"case", &kString}, {"type", &kString}});
constexpr QapiType kVariant = object("SchemaInfoObjectVariant", kVariantMembers);
constexpr QapiType kVariantList = list_of(kVariant);
constexpr auto kObjectMembers = std::to_array<QapiMember>(
    {{"members", &kObjectMemberList}, {"tag", &kString, true}, {"variants", &kVariantList, true}});
constexpr QapiType kInfoObject = object("SchemaInfoObject", kObjectMembers);
constexpr auto kAlternateMemberMembers = std::to_array<QapiMember>({{"type", &kString}});
constexpr QapiType kAlternateMember = object("SchemaInfoAlternateMember", kAlternateMemberMembers);
constexpr QapiType kAlternateMemberList = list_of(kAlternateMember);
constexpr auto kAlternateMembers = std::to_array<QapiMember>({{"members", &kAlternateMemberList}});
constexpr QapiType kInfoAlternate = object("SchemaInfoAlternate", kAlternateMembers);
constexpr auto kCommandMembers = std::to_array<QapiMember>(
    {{"arg-type", &kString}, {"ret-type", &kString}, {"allow-oob", &kBoolean, true}});
constexpr QapiType kInfoCommand = object("SchemaInfoCommand", kCommandMembers);
constexpr auto kEventMembers = std::to_array<QapiMember>({{"arg-type", &kString}});
constexpr QapiType kInfoEvent = object("SchemaInfoEvent", kEventMembers);
constexpr auto kSchemaVariants = std::to_array<QapiVariant>({{"builtin", &kInfoBuiltin},
                                                             {"enum", &kInfoEnum},
                                                             {"array", &kInfoArray},
                                                             {"object", &kInfoObject},
                                                             {"alternate", &kInfoAlternate},
                                                             {"command", &kInfoCommand},
                                                             {"event", &kInfoEvent}});
constexpr QapiType kSchemaInfo{.kind = Kind::flat_union,
                               .name = "SchemaInfo",
                               .members = kInfoBaseMembers,
                               .tag = "meta-type",
                               .variants = kSchemaVariants};

// ---- dirty rate
constexpr std::array<Words, 2> kTimeUnitWords = {"second", "millisecond"};
constexpr std::array<Words, 3> kDirtyRateModeWords = {"page-sampling", "dirty-ring",
                                                      "dirty-bitmap"};
constexpr QapiType kDirtyRateStatus{
    .kind = Kind::enumeration, .name = "DirtyRateStatus", .words = kDirtyRateStatusWords};
constexpr auto kDirtyVcpuMembers =
    std::to_array<QapiMember>({{"id", &kInteger}, {"dirty-rate", &kInteger}});
constexpr QapiType kDirtyVcpu = object("DirtyRateVcpu", kDirtyVcpuMembers);
constexpr QapiType kDirtyVcpuList = list_of(kDirtyVcpu);
constexpr auto kDirtyBlockMembers =
    std::to_array<QapiMember>({{"id", &kString}, {"bytes-per-second", &kNumber}});
constexpr QapiType kDirtyBlock = object("XTernDirtyBlock", kDirtyBlockMembers);
constexpr QapiType kDirtyBlockList = list_of(kDirtyBlock);
constexpr auto kDirtyDetailMembers =
    std::to_array<QapiMember>({{"bytes-per-second", &kNumber, true},
                               {"low", &kNumber, true},
                               {"high", &kNumber, true},
                               {"blocks", &kDirtyBlockList, true},
                               {"error-desc", &kString, true}});
constexpr QapiType kDirtyDetails = object("XTernDirtyRate", kDirtyDetailMembers);
constexpr auto kDirtyRateMembers =
    std::to_array<QapiMember>({{"dirty-rate", &kInteger, true},
                               {"status", &kDirtyRateStatus},
                               {"start-time", &kInteger},
                               {"calc-time", &kInteger},
                               {"calc-time-unit", &kTimeUnit},
                               {"sample-pages", &kUint64},
                               {"mode", &kDirtyRateMode},
                               {"vcpu-dirty-rate", &kDirtyVcpuList, true},
                               {"x-tern", &kDirtyDetails, true, kUnstable}});

}  // namespace

const QapiType kTimeUnit{.kind = Kind::enumeration, .name = "TimeUnit", .words = kTimeUnitWords};
const QapiType kDirtyRateMode{
    .kind = Kind::enumeration, .name = "DirtyRateMeasureMode", .words = kDirtyRateModeWords};
const QapiType kDirtyRateInfo = object("DirtyRateInfo", kDirtyRateMembers);
const QapiType kMigrationStatus{
    .kind = Kind::enumeration, .name = "MigrationStatus", .words = kStatusWords};
const QapiType kVersionInfo = object("VersionInfo", kVersionMembers);
const QapiType kCommandInfoList = list_of(kCommandInfo);
const QapiType kEventInfoList = list_of(kEventInfo);
const QapiType kSchemaInfoList = list_of(kSchemaInfo);
const QapiType kStatusInfo = object("StatusInfo", kStatusInfoMembers);
const QapiType kNameInfo = object("NameInfo", kNameMembers);
const QapiType kUuidInfo = object("UuidInfo", kUuidMembers);
const QapiType kTargetInfo = object("TargetInfo", kTargetMembers);
const QapiType kKvmInfo = object("KvmInfo", kKvmMembers);
const QapiType kMigrationInfo = object("MigrationInfo", kInfoMembers);
const QapiType kMigrationParameters = object("MigrationParameters", kQueryMembers);
const QapiType kMigrateSetParameters = object("MigrateSetParameters", kSetMembers);
const QapiType kMigrationThreadInfoList = list_of(kThreadInfo);
const QapiType kDirtyLimitInfoList = list_of(kDirtyLimitInfo);
const QapiType kObjectPropertyInfoList = list_of(kPropertyInfo);
const QapiType kYankInstanceList = list_of(kYankInstance);
const QapiType kMigrationEvent = object("q_obj_MIGRATION-arg", kMigrationEventMembers);
const QapiType kPassEvent = object("q_obj_MIGRATION_PASS-arg", kPassMembers);
const QapiType kShutdownEvent = object("q_obj_SHUTDOWN-arg", kShutdownMembers);
const QapiType kUnplugEvent = object("q_obj_UNPLUG_PRIMARY-arg", kUnplugMembers);

}  // namespace tern::qmp::types
