// SPDX-License-Identifier: Apache-2.0
//
// The built tern-guest-check, run on images of a guest.
#include <gtest/gtest.h>

#include "tests/unit/tools/vmm/program.h"
#include "tests/unit/tools/vmm/support.h"
#include "tools/vmm/threads_machine.h"

namespace tern::vmm {
namespace {

class GuestCheck : public testing::Test {
 protected:
  struct Answer {
    int status;
    std::string text;
  };
  Answer check(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TERN_GUEST_CHECK);
    Program program(arguments, dir_.file("log"));
    const int status = program.wait();
    return {status, program.output()};
  }
  std::string dump(const std::string& name) {
    const auto memory = memory_of(*machine_);
    std::ofstream(dir_.file(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(memory.data()),
               static_cast<std::streamsize>(memory.size()));
    return dir_.file(name);
  }
  void run_rounds(size_t count) {
    must(machine_->resume_all());
    line_.read(count);
    must(machine_->pause_all(RunState::paused));
  }

  TempDir dir_;
  SerialLine line_;
  std::unique_ptr<VmMachine> machine_ = must(
      make_threads_machine(small_ram(2 << 20), {{0x100000, 16, 0, 1}}, line_.sink(), null_log()));
};

TEST_F(GuestCheck, a_consistent_guest_that_went_on_gives_status_0) {
  run_rounds(3);
  const std::string before = dump("before");
  line_.drain();
  run_rounds(3);
  const Answer text = check({dump("after"), "--after", before});
  EXPECT_EQ(text.status, 0) << text.text;
  EXPECT_EQ(text.text.rfind("consistent", 0), 0U) << text.text;
  EXPECT_NE(text.text.find("advanced"), std::string::npos);
  const Answer json = check({dump("after"), "--after", before, "--json"});
  EXPECT_EQ(json.status, 0);
  EXPECT_NE(json.text.find("\"advanced\": true"), std::string::npos) << json.text;
}

TEST_F(GuestCheck, a_guest_that_stands_still_or_lost_a_page_gives_status_1) {
  run_rounds(3);
  const std::string same = dump("same");
  EXPECT_EQ(check({same, "--after", same}).status, 1);
  machine_->ram()[0].host[0x108010] ^= std::byte{1};
  const Answer bad = check({dump("bad")});
  EXPECT_EQ(bad.status, 1);
  EXPECT_NE(bad.text.find("gpa 0x108000"), std::string::npos) << bad.text;
  const Answer json = check({dump("bad"), "--json"});
  EXPECT_EQ(json.status, 1);
  EXPECT_NE(json.text.find("\"consistent\": false"), std::string::npos) << json.text;
}

TEST_F(GuestCheck, the_range_can_be_given_where_no_block_is) {
  run_rounds(3);
  machine_->ram()[0].host[kParamsGpa] = std::byte{0};
  const std::string image = dump("image");
  EXPECT_EQ(check({image}).status, 2);
  EXPECT_EQ(check({image, "--range", "1M:64K"}).status, 0);
  EXPECT_EQ(check({image, "--range", "1M:68K"}).status, 1);
  EXPECT_EQ(check({image, "--range", "1M:2M"}).status, 2);
}

TEST_F(GuestCheck, a_question_without_sense_gives_status_2) {
  EXPECT_EQ(check({}).status, 2);
  EXPECT_EQ(check({"/no/such/file"}).status, 2);
  EXPECT_EQ(check({"/dev/null"}).status, 2);
  EXPECT_EQ(check({dump("x"), "--vcpus", "2"}).status, 2);
  EXPECT_EQ(check({"--help"}).status, 0);
  EXPECT_EQ(check({"--version"}).status, 0);
}

}  // namespace
}  // namespace tern::vmm
