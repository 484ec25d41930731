// SPDX-License-Identifier: Apache-2.0
#include "transport/socket_channel.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>

#include <array>
#include <csignal>
#include <thread>

#include "tests/unit/transport/support.h"

namespace tern::transport {
namespace {

std::unique_ptr<SocketChannel> channel_over(Fd fd, SocketOptions options = {}) {
  Result<std::unique_ptr<SocketChannel>> channel =
      SocketChannel::create(std::move(fd), "test:peer", options);
  EXPECT_TRUE(channel);
  return std::move(channel).value();
}

/// Both ends of a TCP connection over loopback.
std::pair<Fd, Fd> tcp_pair() {
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(listener.get(), raw, length), 0);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_EQ(::getsockname(listener.get(), raw, &length), 0);
  Fd near(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(near.get(), raw, length), 0);
  Fd far(::accept(listener.get(), nullptr, nullptr));
  return {std::move(near), std::move(far)};
}

int option_of(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  EXPECT_EQ(::getsockopt(fd, level, name, &value, &length), 0);
  return value;
}

void make_it_reset(Fd& fd) {
  const linger at_once{1, 0};
  ASSERT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  fd.reset();
}

TEST(SocketChannelTest, bytes_arrive_as_they_were_sent_in_reads_of_one_byte) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  auto far = channel_over(std::move(b));
  const std::string sent = pattern(5000);
  std::thread writer([&] {
    EXPECT_TRUE(write_all(*near, sent));
    near->finish_writing();
  });
  Result<std::string> got = read_to_end(*far, 1);
  writer.join();
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, sent);
}

TEST(SocketChannelTest, both_directions_carry_megabytes_at_once_over_tcp) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a));
  auto far = channel_over(std::move(b));
  const std::string there = pattern(8u << 20);
  const std::string back = pattern(5u << 20);
  const auto send = [](Channel& channel, const std::string& text) {
    EXPECT_TRUE(write_all(channel, text));
    channel.finish_writing();
  };
  std::thread writer([&] { send(*near, there); });
  std::thread answerer([&] { send(*far, back); });
  Result<std::string> got_back = std::string();
  std::thread reader([&] { got_back = read_to_end(*near); });
  Result<std::string> got_there = read_to_end(*far);
  writer.join();
  answerer.join();
  reader.join();
  ASSERT_TRUE(got_there && got_back);
  EXPECT_EQ(*got_there, there);
  EXPECT_EQ(*got_back, back);
}

TEST(SocketChannelTest, more_slices_than_the_kernel_takes_are_written_in_part) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  auto far = channel_over(std::move(b));
  const std::string text = pattern(3000);
  std::vector<iovec> slices(500, iovec{nullptr, 0});
  for (size_t i = 0; i < text.size(); ++i) slices.push_back(slice_of(bytes_of(text).subspan(i, 1)));
  Result<size_t> n = near->write_some(slices);
  ASSERT_TRUE(n);
  EXPECT_GE(*n, 1u);
  EXPECT_LE(*n, 1024u);
  near->finish_writing();
  Result<std::string> got = read_to_end(*far);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, text.substr(0, *n));
}

TEST(SocketChannelTest, one_call_with_gigabytes_of_slices_accepts_a_part) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  const std::string block = pattern(4u << 20);
  const std::vector<iovec> slices(1024, slice_of(bytes_of(block)));  // 4 GiB
  Result<size_t> n = near->write_some(slices);
  ASSERT_TRUE(n);
  EXPECT_GE(*n, 1u);
}

TEST(SocketChannelTest, nothing_to_read_into_or_write_is_a_mistake_of_the_caller) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  const std::vector<iovec> empty(3, iovec{nullptr, 0});
  Result<size_t> read = near->read_some({});
  Result<size_t> written = near->write_some(empty);
  ASSERT_FALSE(read);
  ASSERT_FALSE(written);
  EXPECT_EQ(read.error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(written.error().code(), ErrorCode::invalid_argument);
}

TEST(SocketChannelTest, a_silent_peer_ends_a_read_with_the_name_of_the_deadline) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  near->set_read_deadline({"handshake-timeout", Milliseconds{30}});
  std::string text;
  Result<size_t> n = read_once(*near, text);
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().code(), ErrorCode::timed_out);
  EXPECT_EQ(n.error().message(), "handshake-timeout: no byte moved for 30 ms (peer test:peer)");
}

TEST(SocketChannelTest, a_peer_that_stops_reading_ends_a_write_with_the_stall_timeout) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a), {.stall_timeout_ms = 50});
  const Error error = fill(*near);
  EXPECT_EQ(error.code(), ErrorCode::timed_out);
  EXPECT_EQ(error.message(), "stall-timeout: no byte moved for 50 ms (peer test:peer)");
}

TEST(SocketChannelTest, a_deadline_of_nothing_still_takes_what_is_there) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  near->set_read_deadline({"stall-timeout", Milliseconds{0}});
  ASSERT_EQ(::write(b.get(), "abc", 3), 3);
  std::string text;
  ASSERT_TRUE(read_once(*near, text));
  EXPECT_EQ(text, "abc");
  Result<size_t> n = read_once(*near, text);
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().code(), ErrorCode::timed_out);
}

TEST(SocketChannelTest, shutdown_wakes_a_blocked_reader_and_a_blocked_writer) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a));
  std::string text;
  Result<size_t> read = size_t{0};
  Error written(ErrorCode::internal, "not run");
  std::thread reader([&] { read = read_once(*near, text); });
  std::thread writer([&] { written = fill(*near); });
  std::thread first([&] { near->shutdown(); });
  std::thread second([&] { near->shutdown(); });
  for (std::thread* t : {&reader, &writer, &first, &second}) t->join();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::cancelled);
  EXPECT_EQ(written.code(), ErrorCode::cancelled);
}

TEST(SocketChannelTest, after_shutdown_nothing_moves_even_if_there_are_bytes) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  ASSERT_EQ(::write(b.get(), "abc", 3), 3);
  near->shutdown();
  std::string text;
  Result<size_t> read = read_once(*near, text);
  Result<size_t> written = write_once(*near, "x");
  ASSERT_FALSE(read);
  ASSERT_FALSE(written);
  EXPECT_EQ(read.error().code(), ErrorCode::cancelled);
  EXPECT_EQ(written.error().code(), ErrorCode::cancelled);
}

TEST(SocketChannelTest, the_peer_sees_a_shutdown_as_the_end_of_the_stream) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a));
  auto far = channel_over(std::move(b));
  near->shutdown();
  std::string text;
  Result<size_t> n = read_once(*far, text);
  ASSERT_TRUE(n);
  EXPECT_EQ(*n, 0u);
}

TEST(SocketChannelTest, a_peer_that_resets_is_a_channel_error_with_the_reason) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a));
  make_it_reset(b);
  std::string text;
  Result<size_t> n = read_once(*near, text);
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().code(), ErrorCode::channel);
  EXPECT_EQ(n.error().sys_errno(), ECONNRESET);
  EXPECT_EQ(n.error().message(), "read from test:peer: Connection reset by peer");
}

TEST(SocketChannelTest, writing_to_a_closed_peer_is_an_error_and_no_signal) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  b.reset();
  Result<size_t> n = write_once(*near, "x");
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().code(), ErrorCode::channel);
  EXPECT_EQ(n.error().message(), "write to test:peer: Broken pipe");
}

TEST(SocketChannelTest, peer_closed_is_told_while_its_bytes_are_unread) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a));
  EXPECT_FALSE(near->peer_closed());
  ASSERT_EQ(::write(b.get(), "abc", 3), 3);
  EXPECT_FALSE(near->peer_closed());
  b.reset();
  pollfd closed{near->native_handle(), POLLRDHUP, 0};
  ASSERT_EQ(::poll(&closed, 1, 10000), 1);
  EXPECT_TRUE(near->peer_closed());
  Result<std::string> rest = read_to_end(*near);
  ASSERT_TRUE(rest);
  EXPECT_EQ(*rest, "abc");
}

TEST(SocketChannelTest, our_own_end_is_not_taken_for_the_peers) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  near->finish_writing();
  EXPECT_FALSE(near->peer_closed());
  near->shutdown();
  EXPECT_FALSE(near->peer_closed());
}

TEST(SocketChannelTest, a_peer_that_had_closed_is_still_told_after_shutdown) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  b.reset();
  near->shutdown();
  near->shutdown();
  EXPECT_TRUE(near->peer_closed());
}

TEST(SocketChannelTest, finish_writing_leaves_the_answer_readable) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  auto far = channel_over(std::move(b));
  near->finish_writing();
  ASSERT_TRUE(write_all(*far, "answer"));
  far->finish_writing();
  Result<std::string> got = read_to_end(*near);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, "answer");
  Result<size_t> n = write_once(*near, "x");
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().sys_errno(), EPIPE);
}

TEST(SocketChannelTest, tcp_is_told_to_notice_a_dead_peer_within_the_stall_timeout) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a), {.stall_timeout_ms = 60000});
  const int fd = near->native_handle();
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 5);
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 60000);
}

TEST(SocketChannelTest, keep_alive_off_sends_no_probes) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a), {.stall_timeout_ms = 60000, .keep_alive = false});
  EXPECT_EQ(option_of(near->native_handle(), SOL_SOCKET, SO_KEEPALIVE), 0);
}

TEST(SocketChannelTest, the_kernel_is_not_less_patient_than_the_write_deadline) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a), {.stall_timeout_ms = 1000});
  const int fd = near->native_handle();
  near->set_write_deadline({"final-timeout", Milliseconds{120000}});
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 120000);
  near->set_write_deadline({"stall-timeout", Milliseconds{500}});
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1000);
  near->set_write_deadline({"none", Milliseconds::max()});
  EXPECT_EQ(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1000);
}

TEST(SocketChannelTest, keepalive_times_stay_within_the_kernels_limits) {
  for (const uint32_t ms : {0u, 1u, 999u, 1000u, 2500u, 60000u, 86400000u, 4294967295u}) {
    const KeepaliveTimes times = keepalive_times(ms);
    EXPECT_GE(times.idle_s, 1) << ms;
    EXPECT_LE(times.idle_s, 32767) << ms;
    EXPECT_GE(times.interval_s, 1) << ms;
    EXPECT_LE(times.interval_s, 32767) << ms;
    EXPECT_GE(times.count, 1) << ms;
    EXPECT_LE(times.count, 127) << ms;
  }
  EXPECT_EQ(keepalive_times(2000), (KeepaliveTimes{1, 1, 1, 2000}));
}

TEST(SocketChannelTest, a_storm_of_signals_loses_no_byte) {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) {};  // without SA_RESTART: every call is interrupted
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a));
  auto far = channel_over(std::move(b));
  const std::string sent = pattern(4u << 20);
  std::atomic<bool> done{false};
  Result<std::string> got = std::string();
  std::thread writer([&] {
    EXPECT_TRUE(write_all(*near, sent));
    near->finish_writing();
    while (!done.load()) std::this_thread::yield();
  });
  std::thread reader([&] {
    got = read_to_end(*far, 4096);
    done.store(true);
  });
  while (!done.load()) {
    ::pthread_kill(writer.native_handle(), SIGUSR1);
    ::pthread_kill(reader.native_handle(), SIGUSR1);
    std::this_thread::yield();
  }
  writer.join();
  reader.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, sent);
}

TEST(SocketChannelTest, a_process_without_descriptors_gets_an_error_and_no_channel) {
  auto [a, b] = socket_pair();
  FdExhaustion none(0);
  Result<std::unique_ptr<SocketChannel>> channel =
      SocketChannel::create(std::move(a), "test:peer", {});
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code(), ErrorCode::resource_exhausted);
  EXPECT_EQ(channel.error().message(), "test:peer: cannot create an eventfd: Too many open files");
}

TEST(SocketChannelTest, any_thread_may_ask_while_others_read_write_and_shut_down) {
  for (int round = 0; round < 50; ++round) {
    auto [a, b] = socket_pair();
    auto near = channel_over(std::move(a));
    auto far = channel_over(std::move(b));
    std::string text;
    std::thread reader([&] {
      while (read_once(*near, text)) {
      }
    });
    std::thread writer([&] { fill(*near).message(); });
    std::thread asker([&] {
      for (int i = 0; i < 100; ++i) {
        near->set_read_deadline({"stall-timeout", Milliseconds{60000 + i}});
        near->set_write_deadline({"stall-timeout", Milliseconds{60000 + i}});
        EXPECT_FALSE(near->peer_closed());
        EXPECT_EQ(near->describe(), "test:peer");
      }
      near->shutdown();
    });
    reader.join();
    writer.join();
    asker.join();
    EXPECT_TRUE(far->peer_closed());
  }
}

TEST(SocketChannelTest, reads_fill_several_pieces_in_order) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  auto far = channel_over(std::move(b));
  EXPECT_TRUE(write_all(*near, "abcdef"));
  std::array<std::byte, 2> first;
  std::array<std::byte, 10> second;
  const std::array<iovec, 3> pieces{
      {{nullptr, 0}, {first.data(), first.size()}, {second.data(), second.size()}}};
  const auto got = far->read_into(pieces);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, 6u);
  EXPECT_EQ(first[1], std::byte{'b'});
  EXPECT_EQ(second[3], std::byte{'f'});
}

TEST(SocketChannelTest, writes_without_a_copy_are_told_finished_and_arrive) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a));
  auto far = channel_over(std::move(b));
  ASSERT_TRUE(near->enable_zero_copy());
  const std::string sent = pattern(4u << 20);
  std::thread writer([&] {
    size_t at = 0;
    uint64_t writes = 0;
    while (at < sent.size()) {
      const iovec rest{const_cast<char*>(sent.data()) + at, sent.size() - at};
      const auto taken = near->write_zero_copy({&rest, 1});
      ASSERT_TRUE(taken);
      at += *taken;
      ++writes;
    }
    const auto flushed = near->flush_zero_copy();
    ASSERT_TRUE(flushed);
    EXPECT_EQ(flushed->writes, writes);
    EXPECT_EQ(flushed->copied, writes) << "loopback always copies";
    const auto again = near->flush_zero_copy();
    ASSERT_TRUE(again);
    EXPECT_EQ(again->writes, 0u);
    near->finish_writing();
  });
  const Result<std::string> got = read_to_end(*far, 1u << 16);
  writer.join();
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, sent);
}

TEST(SocketChannelTest, a_flush_ends_when_the_channel_is_shut_down) {
  auto [a, b] = tcp_pair();
  auto near = channel_over(std::move(a));
  auto far = channel_over(std::move(b));
  ASSERT_TRUE(near->enable_zero_copy());
  const std::string sent = pattern(1u << 20);  // that nobody reads
  const iovec all{const_cast<char*>(sent.data()), sent.size()};
  ASSERT_TRUE(near->write_zero_copy({&all, 1}));
  near->shutdown();
  EXPECT_FALSE(near->flush_zero_copy());
}

TEST(SocketChannelTest, zero_copy_needs_tcp) {
  auto [a, b] = socket_pair();
  auto near = channel_over(std::move(a));
  const auto enabled = near->enable_zero_copy();
  ASSERT_FALSE(enabled);
  EXPECT_EQ(enabled.error().code(), ErrorCode::unsupported);
}

}  // namespace
}  // namespace tern::transport
