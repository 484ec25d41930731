// SPDX-License-Identifier: Apache-2.0
#include "transport/fd_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/unit/transport/support.h"
#include "transport/pipe_channel.h"

namespace tern::transport {
namespace {

FdAddress address_of(const Fd& fd) { return {std::to_string(fd.get())}; }

TEST(FdChannelTest, a_socket_gives_a_channel_both_ways) {
  auto [near, far] = socket_pair();
  const FdAddress address = address_of(near);
  Result<std::unique_ptr<Channel>> channel = open_fd_channel(address, Direction::outgoing, {});
  ASSERT_TRUE(channel);
  near.release();
  EXPECT_TRUE((*channel)->bidirectional());
  EXPECT_EQ((*channel)->describe(), "fd:" + address.str);
  ASSERT_TRUE(write_all(**channel, "hello"));
  std::array<char, 5> got;
  ASSERT_EQ(::read(far.get(), got.data(), got.size()), 5);
}

TEST(FdChannelTest, pipes_give_a_channel_in_their_direction_and_are_taken) {
  auto [read_end, write_end] = pipe_pair();
  Result<std::unique_ptr<Channel>> out =
      open_fd_channel(address_of(write_end), Direction::outgoing, {});
  Result<std::unique_ptr<Channel>> in =
      open_fd_channel(address_of(read_end), Direction::incoming, {});
  ASSERT_TRUE(out && in);
  const int taken = write_end.release();
  read_end.release();
  EXPECT_NE(::fcntl(taken, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_FALSE((*out)->bidirectional());
  ASSERT_TRUE(write_all(**out, "hello"));
  out->reset();
  EXPECT_EQ(::fcntl(taken, F_GETFD), -1);
  Result<std::string> got = read_to_end(**in);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, "hello");
}

struct Refused {
  FdAddress address;
  Direction direction;
  std::string why;
};

TEST(FdChannelTest, what_cannot_work_is_refused_and_closed) {
  auto [read_end, write_end] = pipe_pair();
  auto [datagram, datagram_peer] = socket_pair(SOCK_DGRAM);
  Fd unconnected(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::listen(listening.get(), 1), 0);
  Fd path_only(::open("/", O_PATH | O_CLOEXEC));
  const std::vector<Refused> cases{
      {{"name"}, Direction::outgoing, "File descriptor named 'name' has not been found"},
      {{"-1"}, Direction::outgoing, "File descriptor named '-1' has not been found"},
      {{"4294967296"}, Direction::outgoing, "has not been found"},
      {{"999999"}, Direction::outgoing, "File descriptor named '999999' has not been found"},
      {address_of(read_end), Direction::outgoing, "is not open for writing"},
      {address_of(write_end), Direction::incoming, "is not open for reading"},
      {address_of(datagram), Direction::outgoing, "is not a stream socket"},
      {address_of(unconnected), Direction::outgoing, "is not a connected socket"},
      {address_of(listening), Direction::incoming, "is a listening socket"},
      {address_of(path_only), Direction::outgoing, "cannot be read or written"},
  };
  // The other ends stay, so that no number is used again meanwhile.
  std::vector<int> given;
  for (Fd* fd : {&read_end, &write_end, &datagram, &unconnected, &listening, &path_only}) {
    given.push_back(fd->release());
  }
  for (const Refused& c : cases) {
    Result<std::unique_ptr<Channel>> channel = open_fd_channel(c.address, c.direction, {});
    ASSERT_FALSE(channel) << c.address.str;
    EXPECT_EQ(channel.error().code(), ErrorCode::invalid_argument);
    EXPECT_NE(channel.error().message().find(c.why), std::string::npos)
        << channel.error().message();
  }
  for (const int fd : given) EXPECT_LT(::fcntl(fd, F_GETFD), 0) << fd << " is still open";
}

}  // namespace
}  // namespace tern::transport
