// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_input.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/fd.h"
#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

struct Pipe {
  Pipe() {
    int fds[2];
    if (pipe(fds) != 0) std::abort();
    read_end = Fd(fds[0]);
    write_end = Fd(fds[1]);
  }
  Fd read_end;
  Fd write_end;
};

TEST(FileInput, a_stream_through_a_pipe_in_pieces_is_the_same_stream) {
  const auto bytes = capture("7.2-pc/conn0.to-destination.bin");
  Pipe p;
  std::thread writer([&] {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t n =
          write(p.write_end.get(), bytes.data() + at, std::min<size_t>(bytes.size() - at, 777));
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
    p.write_end.reset();
  });
  FileInput input(p.read_end.get(), "pipe");
  std::string piped;
  auto output = make_text_output([&](std::string_view part) { piped += part; });
  EXPECT_FALSE(inspect(input, {}, *output));
  writer.join();
  EXPECT_EQ(piped, inspect_text(bytes));
}

TEST(FileInput, skips_and_says_when_there_is_not_enough) {
  Pipe p;
  ASSERT_EQ(write(p.write_end.get(), "abcdef", 6), 6);
  p.write_end.reset();
  FileInput input(p.read_end.get(), "pipe");
  ASSERT_TRUE(input.skip(4));
  std::array<std::byte, 8> rest{};
  const auto n = input.read_some(rest);
  ASSERT_TRUE(n);
  EXPECT_EQ(*n, 2u);
  EXPECT_EQ(rest[0], std::byte{'e'});
  const auto more = input.skip(1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code(), ErrorCode::channel);
}

TEST(FileInput, a_descriptor_that_cannot_be_read_is_an_error_with_its_name) {
  FileInput input(-1, "nowhere");
  std::array<std::byte, 8> into{};
  const auto n = input.read_some(into);
  ASSERT_FALSE(n);
  EXPECT_NE(n.error().message().find("nowhere"), std::string::npos);
}

TEST(MemoryInput, gives_its_bytes_and_then_the_end_and_takes_none) {
  const auto bytes = bytes_of({1, 2, 3});
  MemoryInput input(bytes);
  std::array<std::byte, 2> into{};
  EXPECT_EQ(*input.read_some(into), 2u);
  EXPECT_EQ(*input.read_some(into), 1u);
  EXPECT_EQ(*input.read_some(into), 0u);
  EXPECT_FALSE(input.write_some({}));
  EXPECT_FALSE(input.bidirectional());
}

}  // namespace
}  // namespace tern::tool
