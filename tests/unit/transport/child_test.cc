// SPDX-License-Identifier: Apache-2.0
#include "transport/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <memory>

#include "tests/unit/transport/support.h"

namespace tern::transport {
namespace {

struct Running {
  std::unique_ptr<Child> child;
  Fd to;
  Fd from;
};

Running run(const std::vector<std::string>& argv) {
  Result<Pipe> in = make_pipe();
  Result<Pipe> out = make_pipe();
  EXPECT_TRUE(in && out);
  Result<std::unique_ptr<Child>> child =
      Child::spawn(argv, std::move(in->read_end), std::move(out->write_end));
  EXPECT_TRUE(child);
  return {std::move(child).value(), std::move(in->write_end), std::move(out->read_end)};
}

Running run_shell(const std::string& command) { return run({"/bin/sh", "-c", command}); }

std::string output_of(Running& running) {
  std::string all;
  std::array<char, 4096> part;
  for (;;) {
    const ssize_t n = ::read(running.from.get(), part.data(), part.size());
    if (n <= 0) return all;
    all.append(part.data(), static_cast<size_t>(n));
  }
}

/// No child of this process is left, running or dead.
bool no_children() { return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD; }

TEST(ChildTest, it_reads_its_input_and_writes_its_output) {
  Running cat = run({"cat"});
  ASSERT_EQ(::write(cat.to.get(), "hello", 5), 5);
  cat.to.reset();
  EXPECT_EQ(output_of(cat), "hello");
  EXPECT_TRUE(cat.child->wait_exit(Milliseconds{10000}));
  EXPECT_EQ(cat.child->exit_text(), "child exited with status 0");
}

TEST(ChildTest, how_it_ended_is_known) {
  Running status = run_shell("exit 3");
  EXPECT_TRUE(status.child->wait_exit(Milliseconds{10000}));
  EXPECT_EQ(status.child->exit_text(), "child exited with status 3");
  Running killed = run_shell("kill -9 $$");
  EXPECT_TRUE(killed.child->wait_exit(Milliseconds{10000}));
  EXPECT_EQ(killed.child->exit_text(), "child was killed by signal 9");
}

TEST(ChildTest, a_running_one_has_no_exit_text) {
  Running cat = run({"cat"});
  EXPECT_FALSE(cat.child->wait_exit(Milliseconds{0}));
  EXPECT_EQ(cat.child->exit_text(), std::nullopt);
}

TEST(ChildTest, a_command_that_does_not_exist_is_an_error) {
  Result<Pipe> in = make_pipe();
  Result<Pipe> out = make_pipe();
  Result<std::unique_ptr<Child>> child =
      Child::spawn({"/nonexistent/program"}, std::move(in->read_end), std::move(out->write_end));
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().message(),
            "cannot run '/nonexistent/program': No such file or directory");
  EXPECT_TRUE(no_children());
  EXPECT_FALSE(Child::spawn({}, Fd(), Fd()));
}

TEST(ChildTest, it_inherits_nothing_but_the_standard_descriptors) {
  const Fd leak(::fcntl(STDERR_FILENO, F_DUPFD, 200));  // without close-on-exec
  Running list = run_shell("echo /proc/self/fd/*; kill -9 $$");
  list.to.reset();
  const std::string seen = output_of(list);
  EXPECT_NE(seen.find("/proc/self/fd/2"), std::string::npos);
  EXPECT_EQ(seen.find("/fd/" + std::to_string(leak.get())), std::string::npos) << seen;
}

TEST(ChildTest, signals_we_ignore_or_block_are_as_usual_in_it) {
  ASSERT_EQ(::signal(SIGPIPE, SIG_IGN), SIG_DFL);
  sigset_t term;
  sigset_t before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &term, &before), 0);
  Running plain = run_shell("kill -PIPE $$; echo survived");
  Running blocked = run_shell("kill -TERM $$; echo survived");
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  EXPECT_EQ(output_of(plain), "");
  EXPECT_EQ(output_of(blocked), "");
  EXPECT_TRUE(plain.child->wait_exit(Milliseconds{10000}));
  EXPECT_EQ(plain.child->exit_text(), "child was killed by signal 13");
}

TEST(ChildTest, one_that_does_not_listen_is_killed_and_leaves_no_zombie) {
  {
    Running deaf = run_shell("trap '' TERM; echo ready; while :; do read x; done");
    std::array<char, 16> ready;
    ASSERT_GT(::read(deaf.from.get(), ready.data(), ready.size()), 0);
    deaf.child->end(Milliseconds{20});
    EXPECT_EQ(deaf.child->exit_text(), "child was killed by signal 9");
  }
  EXPECT_TRUE(no_children());
}

TEST(ChildTest, destruction_ends_one_that_runs) {
  { Running cat = run({"cat"}); }
  EXPECT_TRUE(no_children());
}

TEST(ChildTest, one_reaped_by_somebody_else_counts_as_gone) {
  Running quick = run_shell("exit 0");
  ASSERT_GT(::waitpid(-1, nullptr, 0), 0);
  EXPECT_TRUE(quick.child->wait_exit(Milliseconds{10000}));
  EXPECT_EQ(quick.child->exit_text(), std::nullopt);
  quick.child->signal(SIGTERM);
  quick.child->end(Milliseconds{0});
}

TEST(ChildTest, a_process_that_ignores_sigchld_can_still_run_commands) {
  ASSERT_EQ(::signal(SIGCHLD, SIG_IGN), SIG_DFL);
  for (int i = 0; i < 20; ++i) {
    Running quick = run({"echo", "output"});
    EXPECT_EQ(output_of(quick), "output\n");
    EXPECT_TRUE(quick.child->wait_exit(Milliseconds{10000}));
    EXPECT_EQ(quick.child->exit_text(), std::nullopt);
  }
  ::signal(SIGCHLD, SIG_DFL);
}

TEST(ChildTest, a_pipe_is_above_the_standard_descriptors_and_closes_on_exec) {
  Fd saved(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  ::close(STDIN_FILENO);
  Result<Pipe> pipe = make_pipe();
  if (saved) ::dup2(saved.get(), STDIN_FILENO);
  ASSERT_TRUE(pipe);
  EXPECT_GT(pipe->read_end.get(), STDERR_FILENO);
  EXPECT_GT(pipe->write_end.get(), STDERR_FILENO);
  EXPECT_NE(::fcntl(pipe->read_end.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(pipe->write_end.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(ChildTest, a_process_without_descriptors_gets_an_error_and_no_child) {
  FdExhaustion none(0);
  Result<Pipe> pipe = make_pipe();
  ASSERT_FALSE(pipe);
  EXPECT_EQ(pipe.error().code(), ErrorCode::resource_exhausted);
  // Pipes are there, but the child cannot be watched.
  Result<std::unique_ptr<Child>> child = Child::spawn({"cat"}, Fd(), Fd());
  EXPECT_FALSE(child);
  EXPECT_TRUE(no_children());
}

}  // namespace
}  // namespace tern::transport
