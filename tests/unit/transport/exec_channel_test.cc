// SPDX-License-Identifier: Apache-2.0
#include "transport/exec_channel.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "tests/unit/transport/support.h"

namespace tern::transport {
namespace {

std::unique_ptr<ExecChannel> run(const std::string& command,
                                 Direction direction = Direction::outgoing,
                                 const ExecOptions& options = {}) {
  Result<std::unique_ptr<ExecChannel>> channel =
      ExecChannel::spawn({"/bin/sh", "-c", command}, direction, options);
  EXPECT_TRUE(channel);
  return std::move(channel).value();
}

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

bool no_children() { return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD; }

/// Writes until it fails.
Error write_until_error(Channel& channel) { return fill(channel); }

TEST(ExecChannelTest, what_is_written_comes_back_through_cat) {
  auto channel = run("cat");
  EXPECT_TRUE(channel->bidirectional());
  EXPECT_EQ(channel->describe(), "exec:cat");
  const std::string sent = pattern(3u << 20);
  std::thread writer([&] {
    EXPECT_TRUE(write_all(*channel, sent));
    channel->finish_writing();
  });
  Result<std::string> got = read_to_end(*channel);
  writer.join();
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, sent);
}

TEST(ExecChannelTest, destruction_lets_the_command_finish_its_file) {
  TempDir dir;
  const std::string sent = pattern(2u << 20);
  {
    auto channel = run("sleep 0.3; cat > " + dir.file("out"));
    ASSERT_TRUE(write_all(*channel, sent.substr(0, 60000)));
    ASSERT_TRUE(write_all(*channel, sent.substr(60000)));
  }
  EXPECT_EQ(contents(dir.file("out")), sent);
  EXPECT_TRUE(no_children());
}

TEST(ExecChannelTest, destruction_lets_a_command_finish_that_prints_more_than_a_pipe_holds) {
  TempDir dir;
  {
    auto channel = run("cat > " + dir.file("out") + "; head -c 3000000 /dev/zero; echo done > " +
                       dir.file("done"));
    ASSERT_TRUE(write_all(*channel, "stream"));
  }
  EXPECT_EQ(contents(dir.file("out")), "stream");
  EXPECT_EQ(contents(dir.file("done")), "done\n");
}

TEST(ExecChannelTest, destruction_does_not_wait_for_what_the_command_left_behind) {
  TempDir dir;
  {
    auto channel = run("sleep 3600 & echo $! > " + dir.file("pid") + "; cat > " + dir.file("out"),
                       Direction::outgoing, {.linger = std::chrono::hours(1)});
    ASSERT_TRUE(write_all(*channel, "stream"));
  }
  EXPECT_EQ(contents(dir.file("out")), "stream");
  ASSERT_EQ(::kill(static_cast<pid_t>(std::stol(contents(dir.file("pid")))), SIGKILL), 0);
}

TEST(ExecChannelTest, a_command_that_never_ends_is_ended) {
  {
    auto channel = run("trap '' TERM; cat > /dev/null; exec sleep 3600", Direction::outgoing,
                       {.linger = Milliseconds{30}, .patience = Milliseconds{30}});
    ASSERT_TRUE(write_all(*channel, "stream"));
  }
  EXPECT_TRUE(no_children());
}

TEST(ExecChannelTest, after_shutdown_the_command_does_not_linger) {
  auto channel = run("exec sleep 3600", Direction::outgoing, {.linger = std::chrono::hours(1)});
  channel->shutdown();
  channel->shutdown();
  Result<size_t> n = write_once(*channel, "x");
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().code(), ErrorCode::cancelled);
  channel.reset();
  EXPECT_TRUE(no_children());
}

TEST(ExecChannelTest, shutdown_wakes_a_blocked_reader_and_a_blocked_writer) {
  auto channel = run("exec sleep 3600");
  std::string text;
  Result<size_t> read = size_t{0};
  Error written(ErrorCode::internal, "not run");
  std::thread reader([&] { read = read_once(*channel, text); });
  std::thread writer([&] { written = write_until_error(*channel); });
  std::thread stopper([&] { channel->shutdown(); });
  for (std::thread* t : {&reader, &writer, &stopper}) t->join();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::cancelled);
  EXPECT_EQ(written.code(), ErrorCode::cancelled);
}

TEST(ExecChannelTest, a_command_that_exits_early_is_named_with_its_status) {
  auto channel = run("head -c 10 > /dev/null; exit 3");
  const Error error = write_until_error(*channel);
  EXPECT_EQ(error.code(), ErrorCode::channel);
  EXPECT_EQ(error.message(),
            "write to exec:head -c 10 > /dev/null; exit 3: Broken pipe "
            "(child exited with status 3)");
}

TEST(ExecChannelTest, a_command_the_shell_does_not_know_is_an_error_of_the_first_writes) {
  auto channel = run("nonexistent-command-of-tern 2>/dev/null");
  const Error error = write_until_error(*channel);
  EXPECT_NE(error.message().find("(child exited with status 127)"), std::string::npos)
      << error.message();
}

TEST(ExecChannelTest, a_program_that_does_not_exist_is_an_error_at_once) {
  Result<std::unique_ptr<ExecChannel>> channel =
      ExecChannel::spawn({"nonexistent-command-of-tern"}, Direction::outgoing, {});
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().message(),
            "cannot run 'nonexistent-command-of-tern': No such file or directory");
}

TEST(ExecChannelTest, arguments_reach_the_program_without_a_shell) {
  Result<std::unique_ptr<ExecChannel>> channel =
      ExecChannel::spawn({"printf", "%s|", "a b", "$HOME", "*"}, Direction::incoming, {});
  ASSERT_TRUE(channel);
  Result<std::string> got = read_to_end(**channel);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, "a b|$HOME|*|");
}

TEST(ExecChannelTest, incoming_reads_the_stream_and_answers_on_the_commands_input) {
  TempDir dir;
  {
    auto channel = run("printf stream; cat > " + dir.file("answer"), Direction::incoming);
    std::string text;
    ASSERT_TRUE(read_once(*channel, text));
    EXPECT_EQ(text, "stream");
    EXPECT_FALSE(channel->peer_closed());
    ASSERT_TRUE(write_all(*channel, "shut"));
  }
  EXPECT_EQ(contents(dir.file("answer")), "shut");
}

TEST(ExecChannelTest, the_exit_status_after_the_whole_stream_does_not_matter) {
  auto channel = run("printf stream; exit 3", Direction::incoming);
  Result<std::string> got = read_to_end(*channel);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, "stream");
}

TEST(ExecChannelTest, peer_closed_looks_at_the_direction_of_the_stream) {
  TempDir dir;
  auto to_file = run("exec cat > " + dir.file("out"));
  std::string text;
  Result<size_t> end = read_once(*to_file, text);  // its stdout goes elsewhere
  ASSERT_TRUE(end);
  EXPECT_EQ(*end, 0u);
  EXPECT_FALSE(to_file->peer_closed());
  to_file->finish_writing();

  auto early = run("exec <&-; echo x; exec sleep 3600");
  ASSERT_TRUE(read_once(*early, text));
  EXPECT_TRUE(early->peer_closed());
  early->shutdown();
}

TEST(ExecChannelTest, a_stalled_command_ends_a_write_with_the_stall_timeout) {
  auto channel = run("exec sleep 3600", Direction::outgoing,
                     {.stall_timeout_ms = 50, .linger = std::chrono::hours(1)});
  const Error error = write_until_error(*channel);
  EXPECT_EQ(error.message(), "stall-timeout: no byte moved for 50 ms (peer exec:exec sleep 3600)");
  channel.reset();  // the stream is torn: no lingering
  EXPECT_TRUE(no_children());
}

TEST(ExecChannelTest, a_long_command_is_cut_in_the_description) {
  auto channel = run("cat # " + std::string(500, 'x'));
  EXPECT_EQ(channel->describe().size(), 120u);
  channel->shutdown();
}

TEST(ExecChannelTest, a_process_without_descriptors_gets_an_error_and_no_child) {
  for (size_t left = 0; left < 6; ++left) {
    FdExhaustion some(left);
    Result<std::unique_ptr<ExecChannel>> channel =
        ExecChannel::spawn({"cat"}, Direction::outgoing, {});
    ASSERT_FALSE(channel) << left;
    EXPECT_EQ(channel.error().sys_errno(), EMFILE) << channel.error().message();
    EXPECT_TRUE(no_children());
  }
}

}  // namespace
}  // namespace tern::transport
