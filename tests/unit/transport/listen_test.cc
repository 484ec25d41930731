// SPDX-License-Identifier: Apache-2.0
#include "transport/listen.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>
#include <set>
#include <thread>

#include "tests/unit/transport/net_sandbox.h"
#include "tests/unit/transport/support.h"
#include "transport/connect.h"

namespace tern::transport {
namespace {

constexpr Deadline kPatient{"connect-timeout", Milliseconds{60000}};

std::unique_ptr<BoundListener> listener_on(const Address& address, ListenOptions options = {}) {
  Result<std::unique_ptr<BoundListener>> listener = make_listener(address, options);
  EXPECT_TRUE(listener) << listener.error().message();
  return std::move(listener).value();
}

Result<std::unique_ptr<Channel>> dial(const Address& address) {
  std::unique_ptr<Connector> connector = TERN_TRY(make_connector(address, {}));
  return connector->connect(kPatient);
}

InetAddress inet_of(const Address& address) { return std::get<InetAddress>(address); }

Error error_of(const Address& address) {
  Result<std::unique_ptr<BoundListener>> listener = make_listener(address, {});
  if (listener) return Error(ErrorCode::internal, "it listens");
  return std::move(listener).error();
}

void expect_conversation(Channel& near, Channel& far) {
  ASSERT_TRUE(write_all(near, "hello"));
  near.finish_writing();
  Result<std::string> got = read_to_end(far);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, "hello");
}

TEST(ListenTest, port_0_is_told_as_the_port_it_became) {
  auto listener = listener_on(InetAddress{"127.0.0.1", "0"});
  ASSERT_EQ(listener->bound().size(), 1u);
  const InetAddress bound = inet_of(listener->bound()[0]);
  EXPECT_EQ(bound.host, "127.0.0.1");
  EXPECT_NE(bound.port, "0");
  EXPECT_EQ(bound.ipv4, true);
  EXPECT_EQ(bound.ipv6, std::nullopt);
  EXPECT_TRUE(listener->accepts_many());
  for (int i = 0; i < 3; ++i) {
    Result<std::unique_ptr<Channel>> near = dial(bound);
    ASSERT_TRUE(near) << near.error().message();
    Result<std::unique_ptr<Channel>> far = listener->accept();
    ASSERT_TRUE(far);
    EXPECT_EQ((*near)->describe(), "tcp:127.0.0.1:" + bound.port);
    EXPECT_EQ((*far)->describe().substr(0, 14), "tcp:127.0.0.1:");
    expect_conversation(**near, **far);
  }
}

TEST(ListenTest, no_host_listens_on_both_families_with_a_port_each_newest_first) {
  if (!loopback_has_ipv6()) GTEST_SKIP() << "no ::1 on this machine";
  auto listener = listener_on(InetAddress{"", "0"});
  ASSERT_EQ(listener->bound().size(), 2u);
  const InetAddress six = inet_of(listener->bound()[0]);
  const InetAddress four = inet_of(listener->bound()[1]);
  EXPECT_EQ(six.host, "::");
  EXPECT_EQ(six.ipv6, true);
  EXPECT_EQ(four.host, "0.0.0.0");
  EXPECT_EQ(four.ipv4, true);
  EXPECT_NE(six.port, four.port);
  // Both are answered, whichever comes first; and the IPv6 socket takes no IPv4.
  for (const InetAddress& to : {InetAddress{"::1", six.port}, InetAddress{"127.0.0.1", four.port},
                                InetAddress{"::1", six.port}}) {
    Result<std::unique_ptr<Channel>> near = dial(to);
    ASSERT_TRUE(near) << near.error().message();
    Result<std::unique_ptr<Channel>> far = listener->accept();
    ASSERT_TRUE(far);
    expect_conversation(**near, **far);
  }
  EXPECT_FALSE(dial(InetAddress{"127.0.0.1", six.port}));
}

TEST(ListenTest, no_host_and_a_fixed_port_is_that_port_on_both) {
  if (!loopback_has_ipv6()) GTEST_SKIP() << "no ::1 on this machine";
  const std::string port = inet_of(listener_on(InetAddress{"", "0"})->bound()[0]).port;
  auto listener = listener_on(InetAddress{"", port});
  EXPECT_TRUE(dial(InetAddress{"::1", port}));
  EXPECT_TRUE(dial(InetAddress{"127.0.0.1", port}));
}

TEST(ListenTest, the_ipv6_wildcard_by_name_takes_ipv4_too_and_shows_it_as_such) {
  if (!loopback_has_ipv6()) GTEST_SKIP() << "no ::1 on this machine";
  auto listener = listener_on(InetAddress{"::", "0"});
  const std::string port = inet_of(listener->bound()[0]).port;
  Result<std::unique_ptr<Channel>> near = dial(InetAddress{"127.0.0.1", port});
  ASSERT_TRUE(near) << near.error().message();
  Result<std::unique_ptr<Channel>> far = listener->accept();
  ASSERT_TRUE(far);
  EXPECT_EQ((*far)->describe().substr(0, 14), "tcp:127.0.0.1:");
}

TEST(ListenTest, families_can_be_chosen) {
  InetAddress four{"", "0"};
  four.ipv4 = true;
  auto listener = listener_on(four);
  ASSERT_EQ(listener->bound().size(), 1u);
  EXPECT_EQ(inet_of(listener->bound()[0]).host, "0.0.0.0");
}

TEST(ListenTest, a_taken_port_is_an_error_and_to_finds_the_next) {
  auto first = listener_on(InetAddress{"127.0.0.1", "0"});
  const std::string port = inet_of(first->bound()[0]).port;
  const Error taken = error_of(InetAddress{"127.0.0.1", port});
  EXPECT_EQ(taken.sys_errno(), EADDRINUSE);
  EXPECT_EQ(taken.message(),
            "Failed to bind socket to '127.0.0.1:" + port + "': Address already in use");
  InetAddress range{"127.0.0.1", port};
  range.to = static_cast<uint16_t>(std::min(65535, std::stoi(port) + 50));
  auto second = listener_on(range);
  EXPECT_GT(std::stoi(inet_of(second->bound()[0]).port), std::stoi(port));
}

TEST(ListenTest, a_range_without_a_free_port_says_so) {
  auto first = listener_on(InetAddress{"127.0.0.1", "0"});
  const std::string port = inet_of(first->bound()[0]).port;
  InetAddress range{"127.0.0.1", port};
  range.to = static_cast<uint16_t>(std::stoi(port));
  EXPECT_EQ(error_of(range).sys_errno(), EADDRINUSE);
  range.to = 1;
  EXPECT_EQ(error_of(range).message(), "to=1 is below port " + port);
}

TEST(ListenTest, a_port_can_be_listened_on_again_right_after_connections_on_it) {
  auto listener = listener_on(InetAddress{"127.0.0.1", "0"});
  const InetAddress bound = inet_of(listener->bound()[0]);
  {
    Result<std::unique_ptr<Channel>> near = dial(bound);
    Result<std::unique_ptr<Channel>> far = listener->accept();
    ASSERT_TRUE(near && far);
    far->reset();  // closes first: the server's side keeps the port in TIME_WAIT
  }
  listener.reset();
  EXPECT_EQ(inet_of(listener_on(bound)->bound()[0]).port, bound.port);
}

TEST(ListenTest, impossible_addresses_are_errors_with_the_reason) {
  EXPECT_EQ(error_of(InetAddress{"192.0.2.1", "4444"}).message(),
            "Failed to bind socket to '192.0.2.1:4444': Cannot assign requested address");
  EXPECT_EQ(error_of(UnixAddress{"/nonexistent/x"}).message(),
            "Failed to bind socket to '/nonexistent/x': No such file or directory");
  EXPECT_EQ(error_of(InetAddress{"h", "70000"}).code(), ErrorCode::invalid_argument);
  EXPECT_EQ(error_of(FdAddress{"none"}).message(),
            "File descriptor named 'none' has not been found");
  EXPECT_EQ(error_of(ExecAddress{{"/nonexistent/program"}}).message(),
            "cannot run '/nonexistent/program': No such file or directory");
}

TEST(ListenTest, unix_replaces_a_stale_socket_and_removes_its_own) {
  TempDir dir;
  const UnixAddress address{dir.file("sock")};
  auto stale = listener_on(address);
  auto listener = listener_on(address);  // as if the first had died
  EXPECT_EQ(listener->bound(), std::vector<Address>{address});
  stale.reset();  // must not remove the file of the second
  Result<std::unique_ptr<Channel>> near = dial(address);
  ASSERT_TRUE(near) << near.error().message();
  Result<std::unique_ptr<Channel>> far = listener->accept();
  ASSERT_TRUE(far);
  EXPECT_EQ((*far)->describe(), "unix:" + address.path);
  expect_conversation(**near, **far);
  listener.reset();
  struct stat info {};
  EXPECT_EQ(::lstat(address.path.c_str(), &info), -1);
}

TEST(ListenTest, unix_does_not_remove_what_is_not_a_socket) {
  TempDir dir;
  const UnixAddress address{dir.file("precious")};
  std::ofstream(address.path) << "data";
  EXPECT_EQ(error_of(address).message(),
            "Failed to bind socket to '" + address.path + "': Address already in use");
  struct stat info {};
  ASSERT_EQ(::lstat(address.path.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 4);
}

TEST(ListenTest, unix_abstract_names_need_no_file) {
  TempDir dir;
  for (const bool tight : {true, false}) {
    const UnixAddress address{dir.file("name"), true, tight};
    auto listener = listener_on(address);
    EXPECT_EQ(listener->bound(), std::vector<Address>{address});
    Result<std::unique_ptr<Channel>> near = dial(address);
    Result<std::unique_ptr<Channel>> far = listener->accept();
    ASSERT_TRUE(near && far);
    expect_conversation(**near, **far);
  }
}

TEST(ListenTest, sixteen_channels_may_arrive_before_the_first_is_accepted) {
  TempDir dir;
  const UnixAddress address{dir.file("sock")};
  auto listener = listener_on(address);
  std::vector<std::unique_ptr<Channel>> near;
  for (int i = 0; i < 16; ++i) {
    Result<std::unique_ptr<Channel>> channel = dial(address);
    ASSERT_TRUE(channel) << channel.error().message();
    near.push_back(std::move(channel).value());
  }
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(listener->accept());
}

TEST(ListenTest, abort_wakes_a_blocked_accept_and_stays) {
  TempDir dir;
  for (const Address& address :
       {Address(InetAddress{"127.0.0.1", "0"}), Address(UnixAddress{dir.file("sock")})}) {
    auto listener = listener_on(address);
    std::thread aborter([&] {
      listener->abort();
      listener->abort();
    });
    Result<std::unique_ptr<Channel>> first = listener->accept();
    aborter.join();
    Result<std::unique_ptr<Channel>> second = listener->accept();
    ASSERT_FALSE(first);
    ASSERT_FALSE(second);
    EXPECT_EQ(first.error().code(), ErrorCode::cancelled);
    EXPECT_EQ(second.error().code(), ErrorCode::cancelled);
  }
}

TEST(ListenTest, clients_that_come_and_go_do_not_disturb_the_next) {
  auto listener = listener_on(InetAddress{"127.0.0.1", "0"});
  const InetAddress bound = inet_of(listener->bound()[0]);
  for (int i = 0; i < 10; ++i) {
    Result<std::unique_ptr<Channel>> gone = dial(bound);
    ASSERT_TRUE(gone);
  }
  Result<std::unique_ptr<Channel>> near = dial(bound);
  ASSERT_TRUE(near);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(listener->accept());
  Result<std::unique_ptr<Channel>> far = listener->accept();
  ASSERT_TRUE(far);
  expect_conversation(**near, **far);
}

TEST(ListenTest, without_descriptors_the_connection_waits_for_better_times) {
  auto listener = listener_on(InetAddress{"127.0.0.1", "0"});
  Result<std::unique_ptr<Channel>> near = dial(listener->bound()[0]);
  ASSERT_TRUE(near);
  for (size_t left = 0; left < 2; ++left) {
    FdExhaustion some(left);
    Result<std::unique_ptr<Channel>> none = listener->accept();
    ASSERT_FALSE(none) << left;
    EXPECT_EQ(none.error().code(), ErrorCode::resource_exhausted) << none.error().message();
    EXPECT_EQ(none.error().sys_errno(), EMFILE);
  }
  Result<std::unique_ptr<Channel>> far = listener->accept();
  ASSERT_TRUE(far);
  expect_conversation(**near, **far);
}

TEST(ListenTest, the_stall_timeout_is_the_first_deadline_of_accepted_channels) {
  auto listener = listener_on(InetAddress{"127.0.0.1", "0"}, {.stall_timeout_ms = 40});
  Result<std::unique_ptr<Channel>> near = dial(listener->bound()[0]);
  Result<std::unique_ptr<Channel>> far = listener->accept();
  ASSERT_TRUE(near && far);
  std::string text;
  Result<size_t> n = read_once(**far, text);
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().code(), ErrorCode::timed_out);
}

TEST(ListenTest, fd_and_exec_give_one_channel_and_then_an_error) {
  auto [read_end, write_end] = pipe_pair();
  ASSERT_EQ(::write(write_end.get(), "stream", 6), 6);
  write_end.reset();
  const FdAddress fd{std::to_string(read_end.get())};
  auto fd_listener = listener_on(fd);
  read_end.release();
  auto exec_listener = listener_on(ExecAddress{{"printf", "stream"}});
  for (BoundListener* listener : {fd_listener.get(), exec_listener.get()}) {
    EXPECT_FALSE(listener->accepts_many());
    EXPECT_TRUE(listener->bound().empty());
    Result<std::unique_ptr<Channel>> channel = listener->accept();
    ASSERT_TRUE(channel);
    Result<std::string> got = read_to_end(**channel);
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, "stream");
    Result<std::unique_ptr<Channel>> second = listener->accept();
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), ErrorCode::failed_precondition);
    listener->abort();
    EXPECT_EQ(listener->accept().error().code(), ErrorCode::cancelled);
  }
}

TEST(ListenTest, a_command_that_nobody_accepted_is_ended_at_once) {
  auto listener = listener_on(ExecAddress{{"sleep", "3600"}});
  listener.reset();
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

TEST(ListenTest, vsock_tells_the_port_it_was_given) {
  Result<std::unique_ptr<BoundListener>> listener =
      make_listener(VsockAddress{"4294967295", "4294967295"}, {});
  if (!listener) GTEST_SKIP() << listener.error().message();
  const VsockAddress bound = std::get<VsockAddress>((*listener)->bound().at(0));
  EXPECT_EQ(bound.cid, "4294967295");
  EXPECT_NE(bound.port, "4294967295");
}

TEST(ListenTest, vsock_carries_a_conversation_over_the_local_cid) {
  Result<std::unique_ptr<BoundListener>> listener =
      make_listener(VsockAddress{"4294967295", "4294967295"}, {});
  if (!listener) GTEST_SKIP() << listener.error().message();
  VsockAddress to = std::get<VsockAddress>((*listener)->bound().at(0));
  to.cid = "1";
  Result<std::unique_ptr<Connector>> connector = make_connector(to, {});
  ASSERT_TRUE(connector);
  Result<std::unique_ptr<Channel>> near = (*connector)->connect({"probe", Milliseconds{500}});
  if (!near) GTEST_SKIP() << "no vsock loopback: " << near.error().message();
  Result<std::unique_ptr<Channel>> far = (*listener)->accept();
  ASSERT_TRUE(far);
  EXPECT_EQ((*near)->describe(), "vsock:1:" + to.port);
  EXPECT_EQ((*far)->describe().substr(0, 6), "vsock:");
  expect_conversation(**near, **far);
}

}  // namespace
}  // namespace tern::transport
