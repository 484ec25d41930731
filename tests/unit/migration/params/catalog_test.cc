// SPDX-License-Identifier: Apache-2.0
#include "tern/catalog.h"

#include <gtest/gtest.h>

#include <set>

#include "migration/params/capabilities.h"
#include "migration/params/parameters.h"

namespace tern {
namespace {

TEST(Catalog, has_every_parameter_and_capability_once) {
  std::set<std::string> names;
  for (const SettingInfo& info : settings_catalog()) {
    EXPECT_TRUE(names.emplace(info.name).second) << info.name;
    EXPECT_EQ(find_setting(info.name), &info);
    EXPECT_FALSE(info.help.empty()) << info.name;
  }
  EXPECT_EQ(names.size(), params::kParameters.size() + params::kCapabilities.size());
  EXPECT_EQ(find_setting("max-postcopy-bandwidth"), nullptr);
}

TEST(Catalog, every_setting_can_be_read_and_set_to_what_was_read) {
  const Settings from = qmp_settings();
  Settings to;
  for (const SettingInfo& info : settings_catalog()) {
    if (info.qmp_only) continue;
    const Result<std::string> text = get_by_name(from, info.name);
    ASSERT_TRUE(text.has_value()) << info.name;
    EXPECT_TRUE(set_by_name(to, info.name, *text).has_value()) << info.name << "=" << *text;
    EXPECT_EQ(*get_by_name(to, info.name), *text);
  }
  EXPECT_EQ(to.max_bandwidth, from.max_bandwidth);
  EXPECT_EQ(to.return_path, from.return_path);
}

TEST(Catalog, names_and_values_that_do_not_exist_are_errors_that_name_them) {
  Settings settings;
  EXPECT_EQ(set_by_name(settings, "speed", "1").error().message(), "no setting 'speed'");
  EXPECT_EQ(set_by_name(settings, "return-path", "maybe").error().message(),
            "Parameter 'return-path' takes on or off, not 'maybe'");
  EXPECT_EQ(get_by_name(settings, "").error().message(), "no setting ''");
  EXPECT_EQ(set_by_name(settings, "events", "on").error().code(), ErrorCode::invalid_argument)
      << "belongs to QMP";
}

TEST(Catalog, settings_that_do_not_go_together_are_told_by_the_check) {
  Settings settings;
  EXPECT_TRUE(check_settings(settings).has_value());
  ASSERT_TRUE(set_by_name(settings, "switchover-ack", "on").has_value());
  ASSERT_TRUE(set_by_name(settings, "return-path", "off").has_value());
  EXPECT_FALSE(check_settings(settings).has_value());
}

TEST(Catalog, words_for_types_and_sides) {
  EXPECT_EQ(to_string(SettingType::boolean), "bool");
  EXPECT_EQ(to_string(SettingType::string), "str");
  EXPECT_EQ(to_string(ActsOn::destination), "destination");
  EXPECT_EQ(to_string(StatisticType::real), "number");
}

TEST(Catalog, statistics_are_read_from_a_snapshot_by_name) {
  StatsSnapshot stats;
  stats.status = Status::active;
  stats.transferred = 7;
  stats.mbps = 2.5;
  stats.tracker = "kvm-bitmap";
  stats.downtime_phases.last_pages = Nanoseconds{11};
  stats.switchover.bandwidth = 13;
  EXPECT_EQ(*statistic(stats, "status"), StatisticValue(std::string("active")));
  EXPECT_EQ(*statistic(stats, "ram.transferred"), StatisticValue(uint64_t{7}));
  EXPECT_EQ(*statistic(stats, "ram.mbps"), StatisticValue(2.5));
  EXPECT_EQ(*statistic(stats, "x-tern.tracker"), StatisticValue(std::string("kvm-bitmap")));
  EXPECT_EQ(*statistic(stats, "x-tern.downtime-ns.last-pages"), StatisticValue(uint64_t{11}));
  EXPECT_EQ(*statistic(stats, "x-tern.switchover.bandwidth"), StatisticValue(uint64_t{13}));
  EXPECT_EQ(*statistic(stats, "error-desc"), StatisticValue()) << "nothing to tell";
  EXPECT_FALSE(statistic(stats, "transferred").has_value());
}

TEST(Catalog, every_statistic_has_a_value_of_its_type_in_a_full_snapshot) {
  StatsSnapshot stats;
  stats.status = Status::completed;
  stats.error_desc = "x";
  stats.throttle.percent = 20;
  stats.xbzrle.emplace();
  stats.compression.emplace();
  for (const StatisticInfo& info : statistics_catalog()) {
    stats.throttle.dirty_limit.reset();  // excludes the other throttle
    if (info.name.starts_with("dirty-limit")) stats.throttle.dirty_limit.emplace();
    const Result<StatisticValue> value = statistic(stats, info.name);
    ASSERT_TRUE(value.has_value()) << info.name;
    switch (info.type) {
      case StatisticType::integer:
        EXPECT_TRUE(std::holds_alternative<uint64_t>(*value)) << info.name;
        break;
      case StatisticType::real:
        EXPECT_TRUE(std::holds_alternative<double>(*value)) << info.name;
        break;
      case StatisticType::text:
        EXPECT_TRUE(std::holds_alternative<std::string>(*value)) << info.name;
        break;
    }
  }
}

}  // namespace
}  // namespace tern
