// SPDX-License-Identifier: Apache-2.0
#include "transport/wait.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <array>
#include <csignal>
#include <thread>

#include "tests/unit/transport/support.h"

namespace tern::transport {
namespace {

Fd eventfd_or_die() {
  Result<Fd> fd = make_eventfd();
  EXPECT_TRUE(fd);
  return std::move(fd).value();
}

TEST(WaitTest, a_readable_descriptor_is_ready) {
  Interrupt interrupt(eventfd_or_die());
  auto [read_end, write_end] = pipe_pair();
  ASSERT_EQ(::write(write_end.get(), "x", 1), 1);
  Result<Wait> wait = wait_ready(read_end.get(), POLLIN, interrupt, TimePoint::max());
  ASSERT_TRUE(wait);
  EXPECT_EQ(*wait, Wait::ready);
}

TEST(WaitTest, the_end_of_the_time_is_told) {
  Interrupt interrupt(eventfd_or_die());
  auto [read_end, write_end] = pipe_pair();
  Result<Wait> wait = wait_ready(read_end.get(), POLLIN, interrupt, time_after(Milliseconds{20}));
  ASSERT_TRUE(wait);
  EXPECT_EQ(*wait, Wait::timed_out);
}

TEST(WaitTest, an_interruption_wins_over_readiness_and_stays) {
  Interrupt interrupt(eventfd_or_die());
  auto [read_end, write_end] = pipe_pair();
  ASSERT_EQ(::write(write_end.get(), "x", 1), 1);
  interrupt.raise();
  interrupt.raise();
  for (int i = 0; i < 2; ++i) {
    Result<Wait> wait = wait_ready(read_end.get(), POLLIN, interrupt, TimePoint::max());
    ASSERT_TRUE(wait);
    EXPECT_EQ(*wait, Wait::interrupted);
  }
}

TEST(WaitTest, an_interruption_wakes_a_wait_for_nothing) {
  Interrupt interrupt(eventfd_or_die());
  std::thread raiser([&] { interrupt.raise(); });
  Result<Wait> wait = wait_until(interrupt, TimePoint::max());
  raiser.join();
  ASSERT_TRUE(wait);
  EXPECT_EQ(*wait, Wait::interrupted);
}

TEST(WaitTest, of_many_descriptors_the_ready_one_is_marked) {
  Interrupt interrupt(eventfd_or_die());
  auto [quiet_read, quiet_write] = pipe_pair();
  auto [read_end, write_end] = pipe_pair();
  ASSERT_EQ(::write(write_end.get(), "x", 1), 1);
  std::array<pollfd, 2> fds{{{quiet_read.get(), POLLIN, 0}, {read_end.get(), POLLIN, 0}}};
  Result<Wait> wait = wait_ready(fds, interrupt, TimePoint::max());
  ASSERT_TRUE(wait);
  EXPECT_EQ(fds[0].revents, 0);
  EXPECT_EQ(fds[1].revents, POLLIN);
}

TEST(WaitTest, more_descriptors_than_there_is_room_for_is_an_error) {
  Interrupt interrupt(eventfd_or_die());
  std::array<pollfd, 65> fds{};
  Result<Wait> wait = wait_ready(fds, interrupt, TimePoint::max());
  ASSERT_FALSE(wait);
  EXPECT_EQ(wait.error().code(), ErrorCode::internal);
}

TEST(WaitTest, an_endless_deadline_does_not_overflow) {
  EXPECT_EQ(time_after(Milliseconds::max()), TimePoint::max());
  const TimePoint past = time_after(Milliseconds::min());
  EXPECT_LE(past, std::chrono::steady_clock::now());
}

TEST(WaitTest, errors_of_our_own_limits_are_told_from_those_of_the_link) {
  EXPECT_EQ(code_of_errno(EMFILE), ErrorCode::resource_exhausted);
  EXPECT_EQ(code_of_errno(EAFNOSUPPORT), ErrorCode::unsupported);
  EXPECT_EQ(code_of_errno(ECONNRESET), ErrorCode::channel);
}

TEST(WaitTest, a_storm_of_signals_neither_ends_nor_prolongs_a_wait) {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  Interrupt interrupt(eventfd_or_die());
  const auto pipe = pipe_pair();
  std::atomic<bool> done{false};
  Result<Wait> timed = Wait::ready;
  std::thread waiter([&] {
    timed = wait_ready(pipe.first.get(), POLLIN, interrupt, time_after(Milliseconds{100}));
    done.store(true);
  });
  while (!done.load()) {
    ::pthread_kill(waiter.native_handle(), SIGUSR1);
    std::this_thread::yield();
  }
  waiter.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  ASSERT_TRUE(timed);
  EXPECT_EQ(*timed, Wait::timed_out);
}

TEST(WaitTest, a_process_without_descriptors_is_told_so) {
  FdExhaustion none(0);
  Result<Fd> fd = make_eventfd();
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code(), ErrorCode::resource_exhausted);
  EXPECT_EQ(fd.error().sys_errno(), EMFILE);
}

}  // namespace
}  // namespace tern::transport
