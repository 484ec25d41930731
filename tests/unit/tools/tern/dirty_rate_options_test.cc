// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_options.h"

#include <gtest/gtest.h>

#include <functional>

namespace tern::tool {
namespace {

using Ms = std::chrono::milliseconds;

DirtyRateArguments of_pid() {
  DirtyRateArguments arguments;
  arguments.pid = 1;
  return arguments;
}
DirtyRateArguments of_qmp() {
  DirtyRateArguments arguments;
  arguments.qmp = "/qmp";
  return arguments;
}
// The refusal of what `change` makes of the arguments.
std::string refused(DirtyRateArguments arguments,
                    const std::function<void(DirtyRateArguments&)>& change) {
  change(arguments);
  const Result<DirtyRateOptions> options = check_arguments(arguments);
  if (options) return "taken";
  EXPECT_EQ(status_of(options.error()), DirtyRateStatus::usage);
  return options.error().message();
}

TEST(DirtyRateOptions, durations) {
  EXPECT_EQ(parse_duration("250ms"), Ms(250));
  EXPECT_EQ(parse_duration("1.5s"), Ms(1500));
  EXPECT_EQ(parse_duration("0.1"), Ms(100));
  EXPECT_EQ(parse_duration("2m"), Ms(120000));
  EXPECT_EQ(parse_duration("0"), Ms(0));
  for (const char* text : {"", "s", "-1s", "1 s", "1d", "nan", "inf", "1e300s", "0x10", "1s1"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(DirtyRateOptions, sizes) {
  EXPECT_EQ(parse_size("4096"), 4096u);
  EXPECT_EQ(parse_size("64K"), 65536u);
  EXPECT_EQ(parse_size("1.5MiB"), 1572864u);
  EXPECT_EQ(parse_size("2G"), uint64_t{2} << 30);
  for (const char* text : {"", "G", "-1", "1 M", "1X", "1e30", "nan"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(DirtyRateOptions, one_window_or_a_curve_of_them) {
  DirtyRateArguments arguments = of_pid();
  EXPECT_EQ(check_arguments(arguments)->measure.windows, (std::vector<Nanoseconds>{Ms(1000)}));
  arguments.curve = kDefaultCurve;
  EXPECT_EQ(check_arguments(arguments)->measure.windows,
            (std::vector<Nanoseconds>{Ms(100), Ms(200), Ms(500), Ms(1000), Ms(2000), Ms(5000)}));
  arguments.curve = "2s,100ms,2s";
  EXPECT_EQ(check_arguments(arguments)->measure.windows,
            (std::vector<Nanoseconds>{Ms(100), Ms(2000)}));
}

TEST(DirtyRateOptions, what_does_not_go_together_is_refused_by_name) {
  using A = DirtyRateArguments;
  EXPECT_NE(refused({}, [](A&) {}).find("--pid and --qmp"), std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.qmp = "/x"; }).find("--pid and --qmp"),
            std::string::npos);
  EXPECT_NE(refused(of_qmp(), [](A& a) { a.curve = "1"; }).find("--curve"), std::string::npos);
  EXPECT_NE(refused(of_qmp(), [](A& a) { a.globs = {"x"}; }).find("--match"), std::string::npos);
  EXPECT_NE(refused(of_qmp(), [](A& a) { a.mode = "soft-dirty"; }).find("--mode"),
            std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.mode = "dirty-ring"; }).find("--mode"),
            std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.pid = -5; }).find("--pid '-5'"), std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.pid = 0; }).find("--pid '0'"), std::string::npos);
  EXPECT_NE(refused(of_pid(),
                    [](A& a) {
                      a.window = "1s";
                      a.curve = kDefaultCurve;
                    })
                .find("--window and --curve"),
            std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.window = "0"; }).find("--window"), std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.window = "25h"; }).find("--window"), std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.curve = "1,,2"; }).find("--curve"), std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.regex = "("; }).find("--regex"), std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.precision = 0; }).find("--precision"),
            std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.max_samples = 0; }).find("--max-samples"),
            std::string::npos);
  EXPECT_NE(refused(of_pid(), [](A& a) { a.min_region = "big"; }).find("--min-region"),
            std::string::npos);
  EXPECT_NE(refused(of_pid(),
                    [](A& a) {
                      a.samples = 5;
                      a.sample_pages = 5;
                    })
                .find("--samples and --sample-pages"),
            std::string::npos);
  EXPECT_NE(refused(of_pid(),
                    [](A& a) {
                      a.json = true;
                      a.csv = true;
                    })
                .find("--json and --csv"),
            std::string::npos);
}

TEST(DirtyRateOptions, numbers_beyond_their_bounds_are_refused) {
  using A = DirtyRateArguments;
  const std::pair<const char*, int64_t A::*> numbers[] = {
      {"--count", &A::count},
      {"--samples", &A::samples},
      {"--sample-pages", &A::sample_pages},
      {"--max-samples", &A::max_samples},
      {"--regions", &A::regions},
  };
  for (const auto& [option, number] : numbers) {
    for (const int64_t value : {int64_t{-1}, int64_t{1'000'000'000'000}}) {
      const std::string told = refused(of_pid(), [&, n = number](A& a) { a.*n = value; });
      EXPECT_NE(told.find(option + (" '" + std::to_string(value) + "': must be ")), told.npos)
          << told;
    }
  }
  EXPECT_NE(refused(of_pid(), [](A& a) { a.seed = -1; }).find("--seed"), std::string::npos);
}

TEST(DirtyRateOptions, modes_of_a_server_are_its_own) {
  DirtyRateArguments arguments = of_qmp();
  EXPECT_EQ(check_arguments(arguments)->qmp_mode, "");
  arguments.mode = "dirty-ring";
  EXPECT_EQ(check_arguments(arguments)->qmp_mode, "dirty-ring");
  EXPECT_EQ(check_arguments(arguments)->qmp, "/qmp");
  arguments.qmp = "unix:/qmp";
  EXPECT_EQ(check_arguments(arguments)->qmp, "/qmp");
}

TEST(DirtyRateOptions, each_end_has_its_exit_status_and_help_lists_them) {
  const auto status = [](int error) {
    return status_of(Error(ErrorCode::failed_precondition, "", error));
  };
  EXPECT_EQ(status(kProcessGone), DirtyRateStatus::gone);
  EXPECT_EQ(status(kNotPermitted), DirtyRateStatus::not_permitted);
  EXPECT_EQ(status(kProgramReplaced), DirtyRateStatus::replaced);
  EXPECT_EQ(status(kNothingThere), DirtyRateStatus::nothing);
  EXPECT_EQ(status(kNotAvailable), DirtyRateStatus::unavailable);
  EXPECT_EQ(status(0), DirtyRateStatus::failed);
  const std::string help = exit_status_help();
  for (const int i : {0, 1, 2, 3, 4, 5, 6, 7, 130, 143}) {
    EXPECT_NE(help.find("\n  " + std::to_string(i) + "  "), std::string::npos) << i;
  }
}

}  // namespace
}  // namespace tern::tool
