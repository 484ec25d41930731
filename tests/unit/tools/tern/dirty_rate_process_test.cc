// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cstring>
#include <future>
#include <string>
#include <thread>

#include "tests/unit/tools/tern/dirty_rate_child.h"

namespace tern::tool {
namespace {

using test::Child;
using test::ChildMemory;

TEST(DirtyRateProcess, memory_is_copied_up_to_what_cannot_be_read) {
  const ChildMemory memory(4);
  std::memcpy(memory.page(1), "hello", 5);
  const Child child([](int) {});
  Result<Process> process = Process::open(child.pid());
  ASSERT_TRUE(process) << process.error().message();
  std::array<std::byte, 20> into{};
  const std::array ranges{MemoryRange{memory.page(1), 5}, MemoryRange{memory.page(1), 5},
                          MemoryRange{nullptr, 5}, MemoryRange{memory.page(1), 5}};
  EXPECT_EQ(*process->copy(ranges, into), 10u);
  EXPECT_EQ(std::memcmp(into.data(), "hellohello\0", 11), 0);
  EXPECT_TRUE(process->check());
}

TEST(DirtyRateProcess, one_that_is_not_there_is_said_so) {
  Child child([](int) {});
  const pid_t pid = child.pid();
  child.end();
  for (const pid_t none : {pid, 0, -1, 1 << 30}) {
    const Result<Process> process = Process::open(none);
    ASSERT_FALSE(process) << none;
    EXPECT_EQ(process.error().sys_errno(), kProcessGone) << process.error().message();
  }
}

TEST(DirtyRateProcess, a_thread_is_told_from_a_process) {
  std::promise<pid_t> tid;
  std::promise<void> done;
  std::thread thread([&] {
    tid.set_value(static_cast<pid_t>(::syscall(SYS_gettid)));
    done.get_future().wait();
  });
  const Result<Process> process = Process::open(tid.get_future().get());
  done.set_value();
  thread.join();
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code(), ErrorCode::invalid_argument);
  EXPECT_NE(process.error().message().find("a thread of process " + std::to_string(::getpid())),
            std::string::npos)
      << process.error().message();
}

TEST(DirtyRateProcess, one_without_memory_is_a_kernel_thread) {
  char name[16] = {};
  const int comm = ::open("/proc/2/comm", O_RDONLY | O_CLOEXEC);
  const ssize_t got = comm < 0 ? -1 : ::read(comm, name, sizeof(name) - 1);
  ::close(comm);
  if (got <= 0 || std::string(name) != "kthreadd\n" || ::geteuid() != 0) {
    GTEST_SKIP() << "needs root, outside a container: else there is no kernel thread to be seen";
  }
  const Result<Process> process = Process::open(2);
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().sys_errno(), kNothingThere) << process.error().message();
}

TEST(DirtyRateProcess, one_that_is_stopped_is_seen) {
  const Child child([](int) {});
  Result<Process> process = Process::open(child.pid());
  ASSERT_TRUE(process);
  EXPECT_FALSE(process->stopped());
  ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
  ASSERT_EQ(::waitpid(child.pid(), nullptr, WUNTRACED), child.pid());
  EXPECT_TRUE(process->stopped());
  EXPECT_EQ(state_in_stat("7 (a) R (b)) t 1 2"), 't');
  EXPECT_EQ(state_in_stat("7 (a"), '?');
}

TEST(DirtyRateProcess, its_end_is_told_by_every_call) {
  Child child([](int) {});
  Result<Process> process = Process::open(child.pid());
  ASSERT_TRUE(process);
  const Nanoseconds far = system_clock().now() + std::chrono::hours(1);
  child.end();
  const Result<bool> waited = process->wait(far, -1);
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().sys_errno(), kProcessGone);
  EXPECT_EQ(process->check().error().sys_errno(), kProcessGone);
  EXPECT_EQ(process->read("maps").error().sys_errno(), kProcessGone);
  std::byte byte{};
  const MemoryRange range{&byte, 1};
  EXPECT_EQ(process->copy(std::span(&range, 1), std::span(&byte, 1)).error().sys_errno(),
            kProcessGone);
}

TEST(DirtyRateProcess, another_program_in_its_place_is_not_it) {
  const Child child([](int) { ::execl("/bin/sleep", "sleep", "1000", nullptr); });
  Result<Process> process = Process::open(child.pid());
  ASSERT_TRUE(process);
  EXPECT_TRUE(process->check());
  EXPECT_FALSE(child.step());  // the pipe closes as the program starts
  const Result<void> checked = process->check();
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().sys_errno(), kProgramReplaced) << checked.error().message();
}

TEST(DirtyRateProcess, children_are_counted) {
  const Child child([](int) {
    const pid_t parent = ::getpid();
    if (::fork() != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // it shall not outlive the test
    while (::getppid() == parent) ::poll(nullptr, 0, 1000);
    ::_exit(0);
  });
  Result<Process> process = Process::open(child.pid());
  ASSERT_TRUE(process);
  EXPECT_EQ(process->children(), 0u);
  ASSERT_TRUE(child.step());
  EXPECT_EQ(process->children(), 1u);
}

TEST(DirtyRateProcess, a_stop_ends_the_waiting) {
  const Child child([](int) {});
  Result<Process> process = Process::open(child.pid());
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  EXPECT_FALSE(*process->wait(system_clock().now(), pipe[0]));
  ASSERT_EQ(::write(pipe[1], "", 1), 1);
  EXPECT_TRUE(*process->wait(system_clock().now() + std::chrono::hours(1), pipe[0]));
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(DirtyRateProcess, a_refusal_says_who_may) {
  EXPECT_NE(refusal_text(7, 1000, 1001, 0).find("belongs to user 1000, we are user 1001"),
            std::string::npos);
  EXPECT_NE(refusal_text(7, 1000, 1000, 1).find("ptrace_scope is 1, which lets only a parent"),
            std::string::npos);
  EXPECT_NE(refusal_text(7, 1000, 1000, 3).find("forbids it to all"), std::string::npos);
  EXPECT_NE(refusal_text(7, 1000, 1000, 0).find("not dumpable"), std::string::npos);
  EXPECT_NE(refusal_text(7, 0, 0, 0).find("user namespace above ours"), std::string::npos);
}

TEST(DirtyRateProcess, the_owner_is_the_real_user) {
  EXPECT_EQ(owner_in_status("Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t5\n", 7), 1000u);
  EXPECT_EQ(owner_in_status("Name:\tx\n", 7), 7u);
  EXPECT_EQ(owner_in_status("Name:\tx\nUid:\tnobody\n", 7), 7u);
}

}  // namespace
}  // namespace tern::tool
