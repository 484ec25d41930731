// SPDX-License-Identifier: Apache-2.0
//
// ReplayChannel: a channel over a channel.
#include <gtest/gtest.h>

#include "base/replay_channel.h"
#include "tests/doubles/memory_channel.h"

namespace tern {
namespace {

using test::bytes_of;
using test::MemoryChannel;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
// All that comes, in reads of `piece` bytes.
std::string read_all(Channel& channel, size_t piece) {
  std::string text;
  std::vector<std::byte> buffer(piece);
  for (;;) {
    const auto got = channel.read_some(buffer);
    if (!got || *got == 0) return text;
    text += text_of(std::span(buffer).first(*got));
  }
}

TEST(ReplayChannel, gives_what_was_read_before_once_more_and_then_the_rest) {
  for (const size_t piece : {1, 2, 3, 4, 5, 100}) {
    ReplayChannel channel(bytes_of("QEVM"),
                          std::make_unique<MemoryChannel>(bytes_of(", and more")));
    EXPECT_EQ(read_all(channel, piece), "QEVM, and more") << piece;
  }
}

TEST(ReplayChannel, nothing_read_before_is_nothing_to_give) {
  ReplayChannel channel({}, std::make_unique<MemoryChannel>(bytes_of("all")));
  EXPECT_EQ(read_all(channel, 7), "all");
}

TEST(ReplayChannel, several_pieces_are_filled_in_order) {
  ReplayChannel channel(bytes_of("QEVM"), std::make_unique<MemoryChannel>(bytes_of("abcdef")));
  std::array<std::byte, 3> first;
  std::array<std::byte, 20> second;
  std::string text;
  for (;;) {
    first.fill(std::byte{'-'});
    second.fill(std::byte{'-'});
    const iovec pieces[] = {{first.data(), first.size()}, {second.data(), second.size()}};
    const auto got = channel.read_into(pieces);
    ASSERT_TRUE(got);
    if (*got == 0) break;
    text += (text_of(first) + text_of(second)).substr(0, *got);
  }
  EXPECT_EQ(text, "QEVMabcdef");
}

TEST(ReplayChannel, an_error_comes_behind_the_bytes_that_were_read) {
  auto inner = std::make_unique<MemoryChannel>();
  inner->read_error = Error(ErrorCode::channel, "connection reset");
  ReplayChannel channel(bytes_of("QEVM"), std::move(inner));
  std::array<std::byte, 10> buffer;
  EXPECT_EQ(*channel.read_some(buffer), 4u);
  const auto failed = channel.read_some(buffer);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(), "connection reset");
}

// A layer is asked what the channel below is asked.
template <class Layer, class Inner>
void expect_passed_on(Layer& layer, Inner& inner) {
  auto hello = bytes_of("hello");
  const iovec slice{hello.data(), hello.size()};
  EXPECT_EQ(*layer.write_some(std::span(&slice, 1)), 5u);
  EXPECT_EQ(inner.written, hello);
  layer.set_read_deadline({"read", Milliseconds(1)});
  layer.set_write_deadline({"write", Milliseconds(2)});
  layer.finish_writing();
  layer.shutdown();
  EXPECT_EQ(inner.calls, "read write finish shutdown ");
  EXPECT_TRUE(layer.peer_closed());
  EXPECT_TRUE(layer.bidirectional());
  EXPECT_EQ(layer.describe(), "noting");
}

// Notes what it is asked.
class NotingChannel final : public Channel {
 public:
  Result<size_t> read_some(std::span<std::byte>) noexcept override { return size_t{1}; }
  Result<size_t> read_into(std::span<const iovec>) noexcept override { return size_t{2}; }
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override {
    const auto* p = static_cast<const std::byte*>(slices[0].iov_base);
    written.assign(p, p + slices[0].iov_len);
    return slices[0].iov_len;
  }
  void set_read_deadline(Deadline d) noexcept override { calls += d.name + std::string(" "); }
  void set_write_deadline(Deadline d) noexcept override { calls += d.name + std::string(" "); }
  void shutdown() noexcept override { calls += "shutdown "; }
  void finish_writing() noexcept override { calls += "finish "; }
  bool peer_closed() noexcept override { return true; }
  bool bidirectional() const noexcept override { return true; }
  std::string describe() const noexcept override { return "noting"; }

  std::vector<std::byte> written;
  std::string calls;
};

TEST(ReplayChannel, passes_on_everything_else) {
  auto owned = std::make_unique<NotingChannel>();
  NotingChannel& inner = *owned;
  ReplayChannel channel(bytes_of("x"), std::move(owned));
  expect_passed_on(channel, inner);
}

}  // namespace
}  // namespace tern
