// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/checker.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/tools/vmm/support.h"
#include "tools/vmm/le_bytes.h"

namespace tern::vmm {
namespace {

/// An image as a guest would leave it: every vCPU `rounds` rounds and `position` pages on.
class GuestImage {
 public:
  explicit GuestImage(GuestParams params) : params_(params), bytes_(2ull << 20) {
    std::ranges::copy(encode_params(params), bytes_.begin() + kParamsGpa);
  }
  GuestImage& advance(uint32_t rounds, uint64_t position) {
    for (uint32_t vcpu = 0; vcpu < params_.vcpus; ++vcpu) {
      const Slice slice = slice_of(params_, vcpu);
      set_status(vcpu, static_cast<uint32_t>(slice.pages()), rounds);
      for (uint64_t i = 0; i < slice.pages(); ++i) {
        fill(slice.first + i);
        counter(slice.first + i) = static_cast<std::byte>(rounds + (i < position ? 1 : 0));
      }
    }
    return *this;
  }
  void set_status(uint32_t vcpu, uint32_t filled, uint32_t rounds) {
    const size_t at = kParamsGpa + kParamsStatusOffset + vcpu * 8ull;
    store_le<uint32_t>(bytes_, at + kStatusFilledOffset, filled);
    store_le<uint32_t>(bytes_, at + kStatusRoundsOffset, rounds);
  }
  void fill(uint64_t page) {
    fill_page(gpa(page) / kGuestPageBytes,
              std::span(bytes_).subspan(gpa(page)).first<kGuestPageBytes>());
  }
  std::byte& counter(uint64_t page) { return bytes_[gpa(page)]; }
  std::byte& at(uint64_t page, uint64_t offset) { return bytes_[gpa(page) + offset]; }
  uint64_t gpa(uint64_t page) const { return params_.start + page * kGuestPageBytes; }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  GuestParams params_;
  std::vector<std::byte> bytes_;
};

const GuestParams kOne{0x100000, 16, 0, 1};
const GuestParams kTwo{0x100000, 17, 0, 2};

TEST(checker, a_good_guest_is_consistent_at_every_position) {
  for (const uint32_t rounds : {0U, 1U, 255U, 256U, 1000U}) {
    for (const uint64_t position : {0U, 1U, 15U, 16U}) {
      const auto verdict = must(check_guest(GuestImage(kOne).advance(rounds, position).bytes()));
      EXPECT_TRUE(verdict.consistent) << describe(verdict);
      EXPECT_EQ(verdict.slices[0].rounds, rounds);
      EXPECT_EQ(verdict.slices[0].position, position);
    }
  }
}

TEST(checker, each_vcpu_has_its_own_position) {
  GuestImage image(kTwo);
  image.advance(7, 3);
  image.set_status(1, 9, 7);
  const auto verdict = must(check_guest(image.bytes()));
  EXPECT_TRUE(verdict.consistent) << describe(verdict);
  EXPECT_EQ(verdict.slices.size(), 2U);
  EXPECT_EQ(verdict.slices[1].slice.pages(), 9U);
}

TEST(checker, a_stale_page_is_named) {
  GuestImage image(kOne);
  image.advance(9, 8);
  image.counter(5) = std::byte{9};  // its last write was lost
  const auto verdict = must(check_guest(image.bytes()));
  ASSERT_FALSE(verdict.consistent);
  // Page 6 is where the order breaks: 5 alone could have been the step.
  EXPECT_EQ(verdict.bad->gpa, image.gpa(6));
}

TEST(checker, a_page_lost_behind_the_step_is_named) {
  GuestImage image(kOne);
  image.advance(9, 8);
  image.counter(12) = std::byte{8};
  const auto verdict = must(check_guest(image.bytes()));
  ASSERT_FALSE(verdict.consistent);
  EXPECT_EQ(verdict.bad->gpa, image.gpa(12));
}

TEST(checker, a_replayed_page_is_named) {
  GuestImage image(kOne);
  image.advance(9, 8);
  image.counter(3) = std::byte{11};  // counted twice
  const auto verdict = must(check_guest(image.bytes()));
  ASSERT_FALSE(verdict.consistent);
  EXPECT_EQ(verdict.bad->gpa, image.gpa(3));
  EXPECT_NE(verdict.bad->reason.find("counter 11"), std::string::npos) << verdict.bad->reason;
}

TEST(checker, a_whole_range_of_an_earlier_round_is_found_by_the_round_count) {
  GuestImage image(kOne);
  image.advance(9, 0);
  image.set_status(0, 16, 10);  // low memory is new, the range is old
  const auto verdict = must(check_guest(image.bytes()));
  ASSERT_FALSE(verdict.consistent);
  EXPECT_EQ(verdict.bad->gpa, image.gpa(0));
}

TEST(checker, a_wrong_fill_is_named_with_its_byte) {
  GuestImage image(kOne);
  image.advance(2, 0);
  image.at(4, 4095) ^= std::byte{1};
  const auto verdict = must(check_guest(image.bytes()));
  ASSERT_FALSE(verdict.consistent);
  EXPECT_EQ(verdict.bad->gpa, image.gpa(4));
  EXPECT_NE(verdict.bad->reason.find("byte 4095"), std::string::npos) << verdict.bad->reason;
}

TEST(checker, a_page_in_the_place_of_another_is_found) {
  GuestImage image(kOne);
  image.advance(2, 0);
  for (uint64_t i = 0; i < kGuestPageBytes; ++i) image.at(4, i) = image.at(5, i);
  EXPECT_FALSE(must(check_guest(image.bytes())).consistent);
}

TEST(checker, a_guest_that_still_fills_is_consistent_and_says_so) {
  GuestImage image(kOne);
  for (uint64_t i = 0; i < 5; ++i) image.fill(i);
  image.set_status(0, 5, 0);
  const auto verdict = must(check_guest(image.bytes()));
  EXPECT_TRUE(verdict.consistent) << describe(verdict);
  EXPECT_TRUE(verdict.filling);
  image.counter(2) = std::byte{1};
  EXPECT_FALSE(must(check_guest(image.bytes())).consistent);
}

TEST(checker, without_a_block_the_range_can_be_given) {
  GuestImage image(kOne);
  image.advance(300, 7);
  const auto verdict = must(check_guest(image.bytes(), kOne));
  EXPECT_TRUE(verdict.consistent);
  EXPECT_EQ(verdict.slices[0].rounds, 300U % 256U);
  EXPECT_EQ(verdict.slices[0].position, 7U);
  image.counter(15) = std::byte{7};
  EXPECT_FALSE(must(check_guest(image.bytes(), kOne)).consistent);
}

TEST(checker, images_without_a_guest_are_errors) {
  GuestImage image(kOne);
  EXPECT_FALSE(check_guest(std::vector<std::byte>(1 << 20)));
  EXPECT_FALSE(check_guest(image.bytes().first(0x500)));
  EXPECT_FALSE(check_guest(image.bytes().first(0x100000 + 15 * kGuestPageBytes)));
}

TEST(checker, progress_is_proved_and_its_absence_named) {
  const auto before = must(check_guest(GuestImage(kTwo).advance(256, 3).bytes()));
  const auto later = must(check_guest(GuestImage(kTwo).advance(512, 3).bytes()));
  EXPECT_TRUE(check_advanced(before, later));
  const auto still = check_advanced(before, before);
  ASSERT_FALSE(still);
  EXPECT_NE(still.error().message().find("stands still"), std::string::npos);
  const auto back = check_advanced(later, before);
  ASSERT_FALSE(back);
  EXPECT_NE(back.error().message().find("went back"), std::string::npos);
  const auto other = must(check_guest(GuestImage(kOne).advance(600, 3).bytes()));
  EXPECT_FALSE(check_advanced(before, other));
}

TEST(checker, json_and_text_carry_the_verdict) {
  GuestImage image(kOne);
  image.advance(9, 8);
  image.counter(12) = std::byte{8};
  const auto verdict = must(check_guest(image.bytes()));
  const std::string json = to_json(verdict, std::nullopt, false);
  EXPECT_NE(json.find("\"consistent\": false"), std::string::npos) << json;
  EXPECT_NE(json.find("\"gpa\": " + std::to_string(image.gpa(12))), std::string::npos) << json;
  EXPECT_EQ(json.find("advanced"), std::string::npos);
  EXPECT_NE(describe(verdict).find("INCONSISTENT"), std::string::npos);
  EXPECT_NE(to_json(verdict, "why", true).find("\"advanced\": false"), std::string::npos);
}

}  // namespace
}  // namespace tern::vmm
