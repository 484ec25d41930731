// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <memory>
#include <string>
#include <thread>

#include "migration/qmp/result_types.h"
#include "tests/unit/migration/qmp/plane_fixture.h"

namespace tern::qmp {
namespace {

constexpr uint64_t kBytes = 16 << 20;

class DirtyCommands : public PlaneTest {
 protected:
  DirtyCommands() {
    at_ = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ram_.push_back({.idstr = "r", .host = static_cast<std::byte*>(at_), .used_bytes = kBytes});
  }
  ~DirtyCommands() override {
    plane_.reset();
    ::munmap(at_, kBytes);
  }
  std::string refusal(const Json& arguments) { return desc("calc-dirty-rate", arguments); }
  /// The clock is the test's: it stands while nobody moves it.
  Json measured(const Json& arguments = nullptr) {
    Json info = value("query-dirty-rate", arguments);
    while (info["status"] == "measuring") {
      clock_.now_ns += 10'000'000;
      std::this_thread::yield();
      info = value("query-dirty-rate", arguments);
    }
    EXPECT_TRUE(check_value(info, types::kDirtyRateInfo)) << info;
    return info;
  }
  void* at_;
  const std::unique_ptr<DirtyTracker> tracker_ = make_fed_tracker();  // outlives the plane
};

TEST_F(DirtyCommands, before_the_first_request_nothing_is_known) {
  create();
  EXPECT_EQ(value("query-dirty-rate"), Json({{"status", "unstarted"},
                                             {"start-time", 0},
                                             {"calc-time", 0},
                                             {"calc-time-unit", "second"},
                                             {"sample-pages", 0},
                                             {"mode", "page-sampling"}}));
}

TEST_F(DirtyCommands, requests_are_checked_in_qemus_order_and_words) {
  create();
  EXPECT_EQ(refusal(Json::object()), "Parameter 'calc-time' is missing");
  for (const int64_t time : {int64_t{0}, int64_t{61}, int64_t{-1}, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(refusal({{"calc-time", time}, {"sample-pages", 1}, {"mode", "dirty-ring"}}),
              "calc-time is out of range[1, 60].");
  }
  for (const int64_t time : {int64_t{49}, int64_t{60001}, INT64_MIN}) {
    EXPECT_EQ(refusal({{"calc-time", time}, {"calc-time-unit", "millisecond"}}),
              "calc-time is out of range[50, 60000] ms.");
  }
  EXPECT_EQ(refusal({{"calc-time", 1}, {"sample-pages", 1}, {"mode", "dirty-ring"}}),
            "either sample-pages or dirty-ring can be specified.");
  EXPECT_EQ(refusal({{"calc-time", 1}, {"sample-pages", 512}, {"mode", "dirty-bitmap"}}),
            "sample-pages is only for the mode page-sampling.");
  for (const int64_t pages : {int64_t{127}, int64_t{16385}, INT64_MIN}) {
    EXPECT_EQ(refusal({{"calc-time", 1}, {"sample-pages", pages}}),
              "sample-pages is out of range[128, 16384].");
  }
  EXPECT_TRUE(refusal({{"calc-time", 1}, {"mode", "dirty-ring"}})
                  .starts_with("mode dirty-ring is not enabled, use other method instead."));
  EXPECT_EQ(value("query-dirty-rate")["status"], "unstarted");
}

TEST_F(DirtyCommands, one_measurement_at_a_time_and_measuring_from_the_first_moment) {
  create();
  ASSERT_EQ(value("calc-dirty-rate", {{"calc-time", 60}}), kOk);
  const Json now = value("query-dirty-rate");
  EXPECT_EQ(now["status"], "measuring");
  EXPECT_EQ(now["calc-time"], 60);
  EXPECT_EQ(now["sample-pages"], 512);
  EXPECT_FALSE(now.contains("dirty-rate"));
  EXPECT_EQ(refusal({{"calc-time", 0}}), "the dirty rate is already being measured.");
}

TEST_F(DirtyCommands, sampling_tells_a_rate_with_its_bounds) {
  create();
  ASSERT_EQ(value("calc-dirty-rate",
                  {{"calc-time", 50}, {"calc-time-unit", "millisecond"}, {"sample-pages", 16384}}),
            kOk);
  const Json info = measured({{"calc-time-unit", "millisecond"}});
  EXPECT_EQ(info["dirty-rate"], 0);
  EXPECT_EQ(info["sample-pages"], 16384);
  EXPECT_GE(info["calc-time"], 50);
  EXPECT_EQ(info["calc-time-unit"], "millisecond");
  EXPECT_EQ(info["x-tern"]["bytes-per-second"], 0);
  EXPECT_TRUE(info["x-tern"].contains("low"));
  EXPECT_EQ(value("query-dirty-rate")["calc-time-unit"], "second");
}

TEST_F(DirtyCommands, the_bitmap_tells_a_rate_for_each_block) {
  machine_.tracker = tracker_.get();
  create();
  ASSERT_EQ(value("calc-dirty-rate",
                  {{"calc-time", 50}, {"calc-time-unit", "millisecond"}, {"mode", "dirty-bitmap"}}),
            kOk);
  const Json info = measured();
  EXPECT_EQ(info["dirty-rate"], 0);
  EXPECT_EQ(info["mode"], "dirty-bitmap");
  EXPECT_EQ(info["sample-pages"], 0);
  EXPECT_EQ(info["x-tern"]["blocks"], Json::array({{{"id", "r"}, {"bytes-per-second", 0.0}}}));
  EXPECT_FALSE(info.contains("vcpu-dirty-rate"));
}

TEST_F(DirtyCommands, no_memory_that_could_be_sampled_is_minus_one) {
  ram_.clear();
  create();
  ASSERT_EQ(value("calc-dirty-rate", {{"calc-time", 50}, {"calc-time-unit", "millisecond"}}), kOk);
  EXPECT_EQ(measured()["dirty-rate"], -1);
}

}  // namespace
}  // namespace tern::qmp
