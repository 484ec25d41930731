// SPDX-License-Identifier: Apache-2.0
#include "migration/device_state/globalstate.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/doubles/stream_maker.h"

namespace tern {
namespace {

Result<RunState> load(const std::vector<std::byte>& body) {
  GlobalState state(RunState::running);
  DeviceReader reader(body, 0);
  TERN_TRY(state.load(reader, 1));
  if (reader.left() != 0) return Error(ErrorCode::internal, "bytes left");
  return state.run_state();
}

std::vector<std::byte> body_with(std::string_view text, size_t fill_from = 100) {
  return test::StreamMaker()
      .be32(static_cast<uint32_t>(text.size() + 1))
      .text(text)
      .fill(std::max<size_t>(fill_from, text.size()) - text.size(), 0)
      .take();
}

TEST(GlobalState, every_run_state_goes_there_and_back) {
  for (int i = 0; i <= static_cast<int>(RunState::colo); ++i) {
    const auto state = static_cast<RunState>(i);
    GlobalState out(state);
    DeviceWriter w;
    ASSERT_TRUE(out.save(w));
    EXPECT_EQ(w.size(), 104u);
    const auto back = load({w.bytes().begin(), w.bytes().end()});
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_EQ(*back, state);
  }
}

TEST(GlobalState, the_captured_one_of_either_layout_is_read) {
  for (const char* name : {"7.2-plain", "11.1-plain", "7.2-pc"}) {
    const auto bytes = test::capture(std::string(name) + "/conn0.to-destination.bin");
    const auto word = test::bytes_of("globalstate");
    const auto found = std::search(bytes.begin(), bytes.end(), word.begin(), word.end());
    ASSERT_NE(found, bytes.end());
    const auto body = found + static_cast<ptrdiff_t>(word.size()) + 8;
    const auto state = load({body, body + 104});
    ASSERT_TRUE(state) << name << ": " << state.error().message();
    EXPECT_EQ(*state, std::string_view(name) == "7.2-pc" ? RunState::prelaunch : RunState::running);
  }
}

TEST(GlobalState, the_flags_behind_the_text_of_newer_qemus_are_not_its_text) {
  auto body = body_with("paused");
  body[4 + 32] = std::byte{1};
  EXPECT_EQ(*load(body), RunState::paused);
}

TEST(GlobalState, unknown_words_and_unterminated_ones_are_refused) {
  EXPECT_FALSE(load(body_with("sleeping")));
  EXPECT_FALSE(load(body_with("")));
  EXPECT_FALSE(load(body_with("Running")));
  const auto endless = load(body_with(std::string(100, 'r')));
  ASSERT_FALSE(endless);
  EXPECT_NE(endless.error().message().find("not NUL-terminated"), std::string::npos);
  EXPECT_FALSE(load(test::StreamMaker().be32(8).text("running").take()));
}

TEST(GlobalState, the_size_field_is_not_believed) {
  auto body = body_with("running");
  std::memset(body.data(), 0xff, 4);
  EXPECT_EQ(*load(body), RunState::running);
}

}  // namespace
}  // namespace tern
