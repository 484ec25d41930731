// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/sized.h"

#include <gtest/gtest.h>

#include <array>

#include "tern/c/tern.h"

namespace tern::capi {
namespace {

struct Options {  // what this tern knows
  size_t size;
  uint64_t first;
  uint64_t second;
};
struct OlderOptions {
  size_t size;
  uint64_t first;
};
struct NewerOptions {
  size_t size;
  uint64_t first;
  uint64_t second;
  uint64_t third;
};

template <typename T>
Result<Options> read_as(const T& given) {
  return read_sized(reinterpret_cast<const Options*>(&given), "options");
}

TEST(Sized, a_struct_of_the_same_version_is_read_as_it_is) {
  const auto read = read_as(Options{sizeof(Options), 1, 2});
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->first, 1u);
  EXPECT_EQ(read->second, 2u);
}

TEST(Sized, an_older_caller_gets_the_default_for_what_it_does_not_know) {
  const std::array<OlderOptions, 2> with_neighbour = {{{sizeof(OlderOptions), 1}, {99, 99}}};
  const auto read = read_as(with_neighbour[0]);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->first, 1u);
  EXPECT_EQ(read->second, 0u) << "what stands behind an older struct is not looked at";
  EXPECT_EQ(read->size, sizeof(Options));
}

TEST(Sized, a_newer_caller_is_served_unless_it_asks_for_what_is_not_known) {
  EXPECT_TRUE(read_as(NewerOptions{sizeof(NewerOptions), 1, 2, 0}).has_value());
  const auto refused = read_as(NewerOptions{sizeof(NewerOptions), 1, 2, 3});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), ErrorCode::unsupported);
}

TEST(Sized, a_size_that_was_never_set_is_named) {
  for (const size_t size : {size_t{0}, size_t{7}, size_t{20}, kMaxStructBytes + 8, ~size_t{0}}) {
    const auto read = read_as(Options{size, 1, 2});
    ASSERT_FALSE(read.has_value()) << size;
    EXPECT_EQ(read.error().code(), ErrorCode::invalid_argument);
    EXPECT_NE(read.error().message().find("options.size is"), std::string::npos);
  }
  EXPECT_EQ(read_sized<Options>(nullptr, "options").error().message(), "options is NULL");
}

TEST(Sized, an_output_is_filled_as_far_as_the_callers_struct_goes) {
  std::array<OlderOptions, 2> older = {{{sizeof(OlderOptions), 0}, {77, 77}}};
  ASSERT_TRUE(
      write_sized(Options{0, 1, 2}, reinterpret_cast<Options*>(older.data()), "o").has_value());
  EXPECT_EQ(older[0].size, sizeof(OlderOptions));
  EXPECT_EQ(older[0].first, 1u);
  EXPECT_EQ(older[1].size, 77u);

  NewerOptions newer{sizeof(NewerOptions), 9, 9, 9};
  ASSERT_TRUE(write_sized(Options{0, 1, 2}, reinterpret_cast<Options*>(&newer), "o").has_value());
  EXPECT_EQ(newer.second, 2u);
  EXPECT_EQ(newer.third, 0u) << "what tern does not know reads as the default";
}

TEST(Sized, an_array_is_stepped_through_by_the_size_of_its_elements) {
  const std::array<NewerOptions, 3> newer = {{{sizeof(NewerOptions), 1, 2, 0},
                                              {sizeof(NewerOptions), 3, 4, 0},
                                              {sizeof(NewerOptions), 5, 6, 0}}};
  const auto read = read_array(reinterpret_cast<const Options*>(newer.data()), 3, "list");
  ASSERT_TRUE(read.has_value());
  ASSERT_EQ(read->size(), 3u);
  EXPECT_EQ((*read)[2].first, 5u);
}

TEST(Sized, an_array_with_a_fault_names_the_element) {
  std::array<Options, 2> list = {{{sizeof(Options), 1, 2}, {sizeof(OlderOptions), 1, 2}}};
  EXPECT_EQ(read_array(list.data(), 2, "list").error().message(),
            "list[1].size differs from that of the first");
  EXPECT_EQ(read_array<Options>(nullptr, 1, "list").error().message(), "list is NULL");
  EXPECT_EQ(read_array(list.data(), kMaxElements + 1, "list").error().code(),
            ErrorCode::invalid_argument);
  EXPECT_TRUE(read_array<Options>(nullptr, 0, "list").has_value());
}

// check_layout has no holes proved for each at compile time; here is that all go through it.
TEST(Sized, the_structs_of_the_api_can_grow) {
  detail::check_layout<tern_ram_block>();
  detail::check_layout<tern_kvm_slot>();
  detail::check_layout<tern_tracker_callbacks>();
  detail::check_layout<tern_device_section>();
  detail::check_layout<tern_vcpu_callbacks>();
  detail::check_layout<tern_unplug_device>();
  detail::check_layout<tern_announcer_callbacks>();
  detail::check_layout<tern_event>();
  detail::check_layout<tern_event_callbacks>();
  detail::check_layout<tern_machine_options>();
  detail::check_layout<tern_log_callbacks>();
  detail::check_layout<tern_clock_callbacks>();
  detail::check_layout<tern_setting_info>();
  detail::check_layout<tern_statistic_info>();
  detail::check_layout<tern_qmp_vm>();
  detail::check_layout<tern_qmp_dispatcher>();
  detail::check_layout<tern_qmp_version>();
  detail::check_layout<tern_control_plane_options>();
}

}  // namespace
}  // namespace tern::capi
