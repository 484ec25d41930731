// SPDX-License-Identifier: Apache-2.0
#include "transport/pipe_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "tests/unit/transport/support.h"

namespace tern::transport {
namespace {

std::unique_ptr<PipeChannel> channel_over(Fd in, Fd out, uint32_t stall_timeout_ms = 60000) {
  Result<std::unique_ptr<PipeChannel>> channel =
      PipeChannel::create(std::move(in), std::move(out), "fd:9", stall_timeout_ms);
  EXPECT_TRUE(channel);
  return std::move(channel).value();
}

TEST(PipeChannelTest, bytes_arrive_as_they_were_sent) {
  auto [read_end, write_end] = pipe_pair();
  auto in = channel_over(std::move(read_end), Fd());
  auto out = channel_over(Fd(), std::move(write_end));
  const std::string sent = pattern(3u << 20);
  std::thread writer([&] {
    EXPECT_TRUE(write_all(*out, sent));
    out->finish_writing();
  });
  Result<std::string> got = read_to_end(*in, 7777);
  writer.join();
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, sent);
}

TEST(PipeChannelTest, one_pipe_is_one_way_and_two_are_both) {
  auto [r1, w1] = pipe_pair();
  auto [r2, w2] = pipe_pair();
  auto in = channel_over(std::move(r1), Fd());
  auto both = channel_over(std::move(r2), std::move(w1));
  EXPECT_FALSE(in->bidirectional());
  EXPECT_TRUE(both->bidirectional());
  EXPECT_EQ(in->describe(), "fd:9");
  Result<size_t> n = write_once(*in, "x");
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().message(), "fd:9 can only be read");
  auto out = channel_over(Fd(), std::move(w2));
  std::string text;
  Result<size_t> r = read_once(*out, text);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().message(), "fd:9 can only be written");
}

TEST(PipeChannelTest, a_reader_that_went_away_is_an_error_and_no_signal) {
  ASSERT_EQ(::signal(SIGPIPE, SIG_DFL), SIG_DFL);
  auto [read_end, write_end] = pipe_pair();
  auto out = channel_over(Fd(), std::move(write_end));
  read_end.reset();
  for (int i = 0; i < 3; ++i) {
    Result<size_t> n = write_once(*out, "x");
    ASSERT_FALSE(n);
    EXPECT_EQ(n.error().code(), ErrorCode::channel);
    EXPECT_EQ(n.error().message(), "write to fd:9: Broken pipe");
  }
  sigset_t pending;
  sigset_t mask;
  ASSERT_EQ(::sigpending(&pending), 0);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, nullptr, &mask), 0);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
  EXPECT_EQ(sigismember(&mask, SIGPIPE), 0);
}

TEST(PipeChannelTest, a_reader_that_goes_away_during_writes_never_raises_a_signal) {
  for (int round = 0; round < 200; ++round) {
    auto [read_end, write_end] = pipe_pair();
    auto out = channel_over(Fd(), std::move(write_end));
    Error error(ErrorCode::internal, "not run");
    std::thread writer([&] { error = fill(*out); });
    std::array<char, 70000> some;
    EXPECT_GT(::read(read_end.get(), some.data(), some.size()), 0);
    read_end.reset();
    writer.join();
    EXPECT_EQ(error.sys_errno(), EPIPE);
  }
}

TEST(PipeChannelTest, a_signal_that_was_pending_before_stays_pending) {
  sigset_t pipe_only;
  sigset_t before;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &pipe_only, &before), 0);
  ASSERT_EQ(::pthread_kill(::pthread_self(), SIGPIPE), 0);
  auto [read_end, write_end] = pipe_pair();
  auto out = channel_over(Fd(), std::move(write_end));
  read_end.reset();
  EXPECT_FALSE(write_once(*out, "x"));
  const timespec at_once{0, 0};
  EXPECT_EQ(::sigtimedwait(&pipe_only, nullptr, &at_once), SIGPIPE);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
}

TEST(PipeChannelTest, a_file_takes_the_stream_from_where_its_offset_is) {
  TempDir dir;
  Fd file(::open(dir.file("out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::write(file.get(), "head", 4), 4);
  auto out = channel_over(Fd(), std::move(file));
  const std::string sent = pattern(10u << 20);
  EXPECT_FALSE(out->peer_closed());
  ASSERT_TRUE(write_all(*out, sent));
  out->finish_writing();
  Fd back(::open(dir.file("out").c_str(), O_RDONLY | O_CLOEXEC));
  auto in = channel_over(std::move(back), Fd());
  Result<std::string> got = read_to_end(*in);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, "head" + sent);
}

TEST(PipeChannelTest, the_file_size_limit_is_an_error_and_no_signal) {
  TempDir dir;
  Fd file(::open(dir.file("out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  auto out = channel_over(Fd(), std::move(file));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{100000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Error error = fill(*out);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(error.message(), "write to fd:9: File too large");
}

TEST(PipeChannelTest, a_full_device_is_an_error_with_the_reason) {
  Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  auto out = channel_over(Fd(), std::move(full));
  Result<size_t> n = write_once(*out, "x");
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().sys_errno(), ENOSPC);
}

TEST(PipeChannelTest, silence_and_a_full_pipe_end_with_the_name_of_the_deadline) {
  auto [r1, w1] = pipe_pair();
  auto [r2, w2] = pipe_pair();
  auto channel = channel_over(std::move(r1), std::move(w2), 40);
  std::string text;
  Result<size_t> n = read_once(*channel, text);
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().message(), "stall-timeout: no byte moved for 40 ms (peer fd:9)");
  channel->set_write_deadline({"final-timeout", Milliseconds{30}});
  EXPECT_EQ(fill(*channel).message(), "final-timeout: no byte moved for 30 ms (peer fd:9)");
}

TEST(PipeChannelTest, shutdown_wakes_a_blocked_reader_and_a_blocked_writer_and_closes_both) {
  auto [r1, w1] = pipe_pair();
  auto [r2, w2] = pipe_pair();
  auto channel = channel_over(std::move(r1), std::move(w2));
  std::string text;
  Result<size_t> read = size_t{0};
  Error written(ErrorCode::internal, "not run");
  std::thread reader([&] { read = read_once(*channel, text); });
  std::thread writer([&] { written = fill(*channel); });
  std::thread stopper([&] { channel->shutdown(); });
  for (std::thread* t : {&reader, &writer, &stopper}) t->join();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::cancelled);
  EXPECT_EQ(written.code(), ErrorCode::cancelled);
  pollfd gone{w1.get(), POLLOUT, 0};
  ASSERT_EQ(::poll(&gone, 1, 0), 1);
  EXPECT_NE(gone.revents & POLLERR, 0);
  EXPECT_FALSE(write_once(*channel, "x"));
}

TEST(PipeChannelTest, writing_after_the_end_is_refused) {
  auto [read_end, write_end] = pipe_pair();
  auto out = channel_over(Fd(), std::move(write_end));
  out->finish_writing();
  Result<size_t> n = write_once(*out, "x");
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(n.error().message(), "write to fd:9 after its end");
}

TEST(PipeChannelTest, peer_closed_tells_of_the_other_end_and_not_of_ours) {
  auto [read_end, write_end] = pipe_pair();
  auto out = channel_over(Fd(), std::move(write_end));
  EXPECT_FALSE(out->peer_closed());
  read_end.reset();
  EXPECT_TRUE(out->peer_closed());
  out->finish_writing();
  EXPECT_FALSE(out->peer_closed());
  auto [r2, w2] = pipe_pair();
  auto in = channel_over(std::move(r2), Fd());
  ASSERT_EQ(::write(w2.get(), "x", 1), 1);
  EXPECT_FALSE(in->peer_closed());
  w2.reset();
  EXPECT_TRUE(in->peer_closed());
}

TEST(PipeChannelTest, the_flags_of_a_shared_descriptor_are_put_back) {
  auto [read_end, write_end] = pipe_pair();
  Fd shared(::dup(write_end.get()));
  {
    auto out = channel_over(Fd(), std::move(write_end));
    EXPECT_NE(::fcntl(shared.get(), F_GETFL) & O_NONBLOCK, 0);
  }
  EXPECT_EQ(::fcntl(shared.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(PipeChannelTest, drain_tells_when_nothing_more_can_come) {
  auto [read_end, write_end] = pipe_pair();
  auto [also_read, also_write] = pipe_pair();
  auto in = channel_over(std::move(read_end), Fd());
  std::array<std::byte, 16> waste;
  ASSERT_EQ(::write(write_end.get(), "abc", 3), 3);
  EXPECT_TRUE(in->drain(waste, also_read.get(), Milliseconds{10000}));
  EXPECT_TRUE(in->drain(waste, also_read.get(), Milliseconds{1}));
  ASSERT_EQ(::write(also_write.get(), "x", 1), 1);
  EXPECT_TRUE(in->drain(waste, also_read.get(), Milliseconds{10000}));
  write_end.reset();
  EXPECT_FALSE(in->drain(waste, also_read.get(), Milliseconds{10000}));
  in->shutdown();
  EXPECT_FALSE(in->drain(waste, also_read.get(), Milliseconds{10000}));
}

TEST(PipeChannelTest, a_channel_without_a_descriptor_is_refused) {
  Result<std::unique_ptr<PipeChannel>> channel = PipeChannel::create(Fd(), Fd(), "fd:9", 1);
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code(), ErrorCode::internal);
}

TEST(PipeChannelTest, any_thread_may_ask_and_end_it_while_others_read_and_write) {
  for (int round = 0; round < 100; ++round) {
    auto [r1, w1] = pipe_pair();
    auto [r2, w2] = pipe_pair();
    auto channel = channel_over(std::move(r1), std::move(w2));
    std::string text;
    std::thread reader([&] {
      while (read_once(*channel, text)) {
      }
    });
    std::thread writer([&] { fill(*channel).message(); });
    std::thread asker([&] {
      for (int i = 0; i < 20; ++i) EXPECT_FALSE(channel->peer_closed());
      channel->finish_writing();
      channel->shutdown();
    });
    for (std::thread* t : {&reader, &writer, &asker}) t->join();
    EXPECT_FALSE(channel->peer_closed());
  }
}

}  // namespace
}  // namespace tern::transport
