// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "migration/qmp/result_types.h"
#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

/// Says what it was asked.
class NotedLimit final : public DirtyLimit {
 public:
  Result<void> available() const noexcept override {
    if (possible) return {};
    return Error(ErrorCode::unsupported, "nobody knows who wrote");
  }
  Result<void> set(std::optional<uint32_t> vcpu, uint64_t rate) noexcept override {
    TERN_TRY(available());
    if (vcpu && *vcpu > 3) return Error(ErrorCode::invalid_argument, "no such vCPU");
    asked.push_back((vcpu ? std::to_string(*vcpu) : "all") + ":" + std::to_string(rate));
    return {};
  }
  Result<void> cancel(std::optional<uint32_t> vcpu) noexcept override { return set(vcpu, 0); }
  std::vector<VcpuDirtyLimit> query() const noexcept override { return {{2, 5, 7}}; }
  DirtyLimitFigures figures() const noexcept override { return {}; }
  std::vector<ThreadInfo> threads() const noexcept override { return {}; }
  Result<void> begin_migration() noexcept override { return {}; }
  Result<void> limit_all(uint64_t, uint32_t) noexcept override { return {}; }
  void end_migration() noexcept override {}

  bool possible = true;
  std::vector<std::string> asked;
};

struct DirtyLimitCommands : PlaneTest {
  void create_with_limit() {
    machine_.dirty_limit = &limit;
    create();
  }
  NotedLimit limit;
};

TEST_F(DirtyLimitCommands, go_to_the_machines_limits) {
  create_with_limit();
  EXPECT_EQ(value("set-vcpu-dirty-limit", {{"dirty-rate", 9}}), Json::object());
  EXPECT_EQ(value("set-vcpu-dirty-limit", {{"dirty-rate", 8}, {"cpu-index", 1}}), Json::object());
  EXPECT_EQ(value("cancel-vcpu-dirty-limit", {{"cpu-index", 3}}), Json::object());
  EXPECT_EQ(value("cancel-vcpu-dirty-limit"), Json::object());
  EXPECT_EQ(limit.asked, (std::vector<std::string>{"all:9", "1:8", "3:0", "all:0"}));
  const Json limits = value("query-vcpu-dirty-limit");
  EXPECT_EQ(limits, Json::parse(R"([{"cpu-index":2,"limit-rate":5,"current-rate":7}])"));
  EXPECT_TRUE(check_value(limits, types::kDirtyLimitInfoList));
}

TEST_F(DirtyLimitCommands, a_number_that_is_no_vcpu_is_refused) {
  create_with_limit();
  EXPECT_EQ(desc("set-vcpu-dirty-limit", {{"dirty-rate", 9}, {"cpu-index", 4}}), "no such vCPU");
  for (const int64_t index : {int64_t{-1}, INT64_MIN, INT64_MAX, int64_t{1} << 32}) {
    const std::string message = "there is no vCPU " + std::to_string(index);
    EXPECT_EQ(desc("set-vcpu-dirty-limit", {{"dirty-rate", 9}, {"cpu-index", index}}), message);
    EXPECT_EQ(desc("cancel-vcpu-dirty-limit", {{"cpu-index", index}}), message);
  }
  EXPECT_TRUE(limit.asked.empty());
}

TEST_F(DirtyLimitCommands, where_there_can_be_none_only_set_is_an_error) {
  limit.possible = false;
  create_with_limit();
  EXPECT_EQ(desc("set-vcpu-dirty-limit", {{"dirty-rate", 0}}), "nobody knows who wrote");
  EXPECT_EQ(value("cancel-vcpu-dirty-limit", {{"cpu-index", 99}}), Json::object());
  const Json capability = Json::array({{{"capability", "dirty-limit"}, {"state", true}}});
  EXPECT_EQ(desc("migrate-set-capabilities", {{"capabilities", capability}}),
            "nobody knows who wrote");
}

TEST_F(DirtyLimitCommands, without_vcpus_that_can_be_held_there_are_no_limits) {
  create();
  EXPECT_NE(desc("set-vcpu-dirty-limit", {{"dirty-rate", 5}}).find("tells which of them wrote"),
            std::string::npos);
  EXPECT_EQ(value("cancel-vcpu-dirty-limit"), Json::object());
  EXPECT_EQ(value("query-vcpu-dirty-limit"), Json::array());
}

}  // namespace
}  // namespace tern::qmp
