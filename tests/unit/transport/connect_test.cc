// SPDX-License-Identifier: Apache-2.0
#include "transport/connect.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "tests/unit/transport/net_sandbox.h"
#include "tests/unit/transport/support.h"
#include "transport/sockaddr.h"

namespace tern::transport {
namespace {

constexpr Deadline kPatient{"connect-timeout", Milliseconds{60000}};
constexpr Deadline kShort{"connect-timeout", Milliseconds{60}};

std::unique_ptr<Connector> connector_to(const Address& address, ConnectOptions options = {}) {
  Result<std::unique_ptr<Connector>> connector = make_connector(address, options);
  EXPECT_TRUE(connector);
  return std::move(connector).value();
}

/// A bare listening socket, so that these tests stand without listen.cc.
struct Server {
  Fd fd;
  std::string port;
};

Server serve(const InetAddress& at, int backlog = 8) {
  const Result<std::vector<SockAddr>> addresses = resolve(at, Purpose::listen);
  EXPECT_TRUE(addresses);
  const SockAddr& address = addresses->at(0);
  Server server{Fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)), ""};
  EXPECT_EQ(::bind(server.fd.get(), address.get(), address.length()), 0);
  EXPECT_EQ(::listen(server.fd.get(), backlog), 0);
  server.port = std::to_string(SockAddr::local_of(server.fd.get()).port());
  return server;
}

Fd serve_unix(const UnixAddress& at, int backlog = 8) {
  const Result<SockAddr> address = make_sockaddr(at);
  EXPECT_TRUE(address);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::bind(fd.get(), address->get(), address->length()), 0);
  EXPECT_EQ(::listen(fd.get(), backlog), 0);
  return fd;
}

/// Connections that fill the queue of a server until one more finds no room.
std::vector<Fd> fill_backlog(const SockAddr& server) {
  std::vector<Fd> clients;
  for (;;) {
    Fd client(::socket(server.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int status = ::connect(client.get(), server.get(), server.length());
    pollfd one{client.get(), POLLOUT, 0};
    const bool stuck = status != 0 && (errno != EINPROGRESS || ::poll(&one, 1, 200) == 0);
    clients.push_back(std::move(client));
    if (stuck) return clients;
  }
}

void expect_conversation(Channel& near, int far) {
  ASSERT_TRUE(write_all(near, "hello"));
  std::array<char, 5> got;
  ASSERT_EQ(::recv(far, got.data(), got.size(), MSG_WAITALL), 5);
  ASSERT_EQ(::write(far, "answer", 6), 6);
  std::string text;
  ASSERT_TRUE(read_once(near, text));
  EXPECT_EQ(text, "answer");
  EXPECT_TRUE(near.bidirectional());
}

TEST(ConnectTest, tcp_reaches_its_server_again_and_again) {
  Server server = serve({"127.0.0.1", "0"});
  auto connector = connector_to(InetAddress{"127.0.0.1", server.port});
  EXPECT_EQ(connector->describe(), "tcp:127.0.0.1:" + server.port);
  for (int i = 0; i < 3; ++i) {
    Result<std::unique_ptr<Channel>> channel = connector->connect(kPatient);
    ASSERT_TRUE(channel) << channel.error().message();
    EXPECT_EQ((*channel)->describe(), "tcp:127.0.0.1:" + server.port);
    const Fd far(::accept(server.fd.get(), nullptr, nullptr));
    expect_conversation(**channel, far.get());
  }
}

TEST(ConnectTest, tcp_over_ipv6_is_described_with_brackets) {
  if (!loopback_has_ipv6()) GTEST_SKIP() << "no ::1 on this machine";
  Server server = serve({"::1", "0"});
  auto connector = connector_to(InetAddress{"::1", server.port});
  Result<std::unique_ptr<Channel>> channel = connector->connect(kPatient);
  ASSERT_TRUE(channel) << channel.error().message();
  EXPECT_EQ((*channel)->describe(), "tcp:[::1]:" + server.port);
}

TEST(ConnectTest, a_name_is_resolved_and_described_by_its_number) {
  Server server = serve({"127.0.0.1", "0"});
  InetAddress address{"localhost", server.port};
  address.ipv4 = true;
  Result<std::unique_ptr<Channel>> channel = connector_to(address)->connect(kPatient);
  ASSERT_TRUE(channel) << channel.error().message();
  EXPECT_EQ((*channel)->describe(), "tcp:127.0.0.1:" + server.port);
}

TEST(ConnectTest, unix_paths_and_abstract_names_are_reached) {
  TempDir dir;
  const UnixAddress path{dir.file("sock")};
  const UnixAddress tight{dir.file("tight"), true, true};
  const UnixAddress padded{dir.file("padded"), true, false};
  for (const UnixAddress& address : {path, tight, padded}) {
    const Fd server = serve_unix(address);
    Result<std::unique_ptr<Channel>> channel = connector_to(address)->connect(kPatient);
    ASSERT_TRUE(channel) << channel.error().message();
    const Fd far(::accept(server.get(), nullptr, nullptr));
    expect_conversation(**channel, far.get());
  }
}

struct Failure {
  Address address;
  std::string message;
};

TEST(ConnectTest, failures_name_the_address_and_the_reason_as_qemu_does) {
  TempDir dir;
  Server closed = serve({"127.0.0.1", "0"});
  closed.fd.reset();
  const UnixAddress dead{dir.file("dead")};
  serve_unix(dead).reset();
  const std::vector<Failure> cases{
      {InetAddress{"127.0.0.1", closed.port},
       "Failed to connect to '127.0.0.1:" + closed.port + "': Connection refused"},
      {InetAddress{"", "44"}, "address resolution failed for :44: Name or service not known"},
      {UnixAddress{"/nonexistent/x"},
       "Failed to connect to '/nonexistent/x': No such file or directory"},
      {dead, "Failed to connect to '" + dead.path + "': Connection refused"},
      {ExecAddress{{"/nonexistent/program"}},
       "cannot run '/nonexistent/program': No such file or directory"},
  };
  for (const Failure& c : cases) {
    Result<std::unique_ptr<Channel>> channel = connector_to(c.address)->connect(kPatient);
    ASSERT_FALSE(channel);
    EXPECT_EQ(channel.error().code(), ErrorCode::channel);
    EXPECT_EQ(channel.error().message(), c.message);
  }
}

TEST(ConnectTest, an_address_that_cannot_work_makes_no_connector) {
  for (const Address& address :
       {Address(InetAddress{"h", "70000"}), Address(UnixAddress{}), Address(ExecAddress{}),
        Address(VsockAddress{"a", "1"}), Address(FdAddress{})}) {
    Result<std::unique_ptr<Connector>> connector = make_connector(address, {});
    ASSERT_FALSE(connector);
    EXPECT_EQ(connector.error().code(), ErrorCode::invalid_argument);
  }
}

TEST(ConnectTest, a_server_that_does_not_answer_ends_with_the_name_of_the_deadline) {
  Server server = serve({"127.0.0.1", "0"}, 0);
  const std::vector<Fd> others = fill_backlog(SockAddr::local_of(server.fd.get()));
  auto connector = connector_to(InetAddress{"127.0.0.1", server.port});
  Result<std::unique_ptr<Channel>> channel = connector->connect(kShort);
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code(), ErrorCode::timed_out);
  EXPECT_EQ(channel.error().message(),
            "connect-timeout: no connection to '127.0.0.1:" + server.port + "' within 60 ms");
}

TEST(ConnectTest, a_full_unix_queue_ends_with_the_name_of_the_deadline) {
  TempDir dir;
  const UnixAddress address{dir.file("sock")};
  const Fd server = serve_unix(address, 0);
  const std::vector<Fd> others = fill_backlog(*make_sockaddr(address));
  Result<std::unique_ptr<Channel>> channel = connector_to(address)->connect(kShort);
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code(), ErrorCode::timed_out);
  EXPECT_EQ(channel.error().message(),
            "connect-timeout: no connection to '" + address.path + "' within 60 ms");
}

TEST(ConnectTest, a_full_unix_queue_is_waited_for) {
  TempDir dir;
  const UnixAddress address{dir.file("sock")};
  const Fd server = serve_unix(address, 0);
  const std::vector<Fd> others = fill_backlog(*make_sockaddr(address));
  std::thread acceptor([&] { const Fd first(::accept(server.get(), nullptr, nullptr)); });
  Result<std::unique_ptr<Channel>> channel = connector_to(address)->connect(kPatient);
  acceptor.join();
  EXPECT_TRUE(channel) << channel.error().message();
}

TEST(ConnectTest, abort_wakes_a_blocked_connect_and_stays) {
  TempDir dir;
  Server server = serve({"127.0.0.1", "0"}, 0);
  const UnixAddress path{dir.file("sock")};
  const Fd unix_server = serve_unix(path, 0);
  const std::vector<Fd> others = fill_backlog(SockAddr::local_of(server.fd.get()));
  const std::vector<Fd> unix_others = fill_backlog(*make_sockaddr(path));
  for (const Address& address : {Address(InetAddress{"127.0.0.1", server.port}), Address(path)}) {
    auto connector = connector_to(address);
    std::thread aborter([&] {
      connector->abort();
      connector->abort();
    });
    Result<std::unique_ptr<Channel>> first = connector->connect(kPatient);
    aborter.join();
    Result<std::unique_ptr<Channel>> second = connector->connect(kPatient);
    ASSERT_FALSE(first);
    ASSERT_FALSE(second);
    EXPECT_EQ(first.error().code(), ErrorCode::cancelled);
    EXPECT_EQ(second.error().code(), ErrorCode::cancelled);
  }
}

TEST(ConnectTest, abort_counts_for_every_scheme) {
  auto [read_end, write_end] = pipe_pair();
  const int given = write_end.release();
  for (const Address& address :
       {Address(FdAddress{std::to_string(given)}), Address(ExecAddress{{"cat"}}),
        Address(VsockAddress{"1", "1"}), Address(InetAddress{"127.0.0.1", "1"})}) {
    auto connector = connector_to(address);
    connector->abort();
    Result<std::unique_ptr<Channel>> channel = connector->connect(kPatient);
    ASSERT_FALSE(channel);
    EXPECT_EQ(channel.error().code(), ErrorCode::cancelled);
  }
  EXPECT_LT(::fcntl(given, F_GETFD), 0) << "an aborted connector closes what it was given";
}

TEST(ConnectTest, fd_to_a_file_takes_the_stream_once) {
  TempDir dir;
  Fd file(::open(dir.file("out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  auto connector = connector_to(FdAddress{std::to_string(file.get())});
  Result<std::unique_ptr<Channel>> channel = connector->connect(kPatient);
  ASSERT_TRUE(channel);
  (void)file.release();
  EXPECT_FALSE((*channel)->bidirectional());
  ASSERT_TRUE(write_all(**channel, "stream"));
  channel->reset();
  std::ifstream in(dir.file("out"));
  std::ostringstream out;
  out << in.rdbuf();
  EXPECT_EQ(out.str(), "stream");
  Result<std::unique_ptr<Channel>> second = connector->connect(kPatient);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::failed_precondition);
}

TEST(ConnectTest, exec_runs_the_command) {
  const Result<Address> address = parse_uri("exec:tr a-z A-Z");
  ASSERT_TRUE(address);
  Result<std::unique_ptr<Channel>> channel = connector_to(*address)->connect(kPatient);
  ASSERT_TRUE(channel);
  ASSERT_TRUE(write_all(**channel, "hello"));
  (*channel)->finish_writing();
  Result<std::string> got = read_to_end(**channel);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, "HELLO");
}

TEST(ConnectTest, the_stall_timeout_is_the_first_deadline_of_the_channel) {
  Server server = serve({"127.0.0.1", "0"});
  auto connector = connector_to(InetAddress{"127.0.0.1", server.port}, {.stall_timeout_ms = 40});
  Result<std::unique_ptr<Channel>> channel = connector->connect(kPatient);
  ASSERT_TRUE(channel);
  std::string text;
  Result<size_t> n = read_once(**channel, text);
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().message(),
            "stall-timeout: no byte moved for 40 ms (peer tcp:127.0.0.1:" + server.port + ")");
}

TEST(ConnectTest, a_process_without_descriptors_gets_an_error) {
  Server server = serve({"127.0.0.1", "0"});
  auto connector = connector_to(InetAddress{"127.0.0.1", server.port});
  for (size_t left = 0; left < 2; ++left) {
    FdExhaustion some(left);
    Result<std::unique_ptr<Channel>> channel = connector->connect(kPatient);
    ASSERT_FALSE(channel) << left;
    EXPECT_EQ(channel.error().code(), ErrorCode::resource_exhausted);
    EXPECT_EQ(channel.error().sys_errno(), EMFILE);
  }
  EXPECT_TRUE(connector->connect(kPatient));
}

TEST(ConnectTest, a_connection_that_reached_only_itself_is_refused) {
  NetSandbox::run([](NetSandbox& net) {
    if (!net.ready()) GTEST_SKIP() << net.why_not();
    ASSERT_TRUE(net.set_ephemeral_ports("40000 40001"));
    for (const char* port : {"40000", "40001"}) {
      auto connector = connector_to(InetAddress{"127.0.0.1", port});
      Result<std::unique_ptr<Channel>> channel = connector->connect(kPatient);
      ASSERT_FALSE(channel) << port;
      EXPECT_EQ(channel.error().sys_errno(), ECONNREFUSED) << channel.error().message();
    }
  });
}

TEST(ConnectTest, a_peer_that_vanishes_without_a_word_is_noticed_by_reader_and_writer) {
  NetSandbox::run([](NetSandbox& net) {
    if (!net.ready()) GTEST_SKIP() << net.why_not();
    Server server = serve({"127.0.0.1", "0"});
    auto connector =
        connector_to(InetAddress{"127.0.0.1", server.port}, {.stall_timeout_ms = 1000});
    Result<std::unique_ptr<Channel>> reads = connector->connect(kPatient);
    Result<std::unique_ptr<Channel>> writes = connector->connect(kPatient);
    ASSERT_TRUE(reads && writes);
    // Deadlines of ours are out of the way: what ends the calls is the kernel's detection.
    (*reads)->set_read_deadline({"none", Milliseconds::max()});
    (*writes)->set_write_deadline({"none", Milliseconds::max()});
    ASSERT_TRUE(net.set_loopback(false));
    std::string text;
    Result<size_t> n = read_once(**reads, text);
    ASSERT_FALSE(n);
    EXPECT_EQ(n.error().code(), ErrorCode::channel) << n.error().message();
    EXPECT_EQ(fill(**writes).code(), ErrorCode::channel);
    EXPECT_TRUE((*reads)->peer_closed());
  });
}

TEST(ConnectTest, vsock_to_nobody_is_an_error_that_names_it) {
  auto connector = connector_to(VsockAddress{"77", "4444"});
  Result<std::unique_ptr<Channel>> channel = connector->connect(kShort);
  ASSERT_FALSE(channel);
  EXPECT_NE(channel.error().message().find("'77:4444'"), std::string::npos)
      << channel.error().message();
}

}  // namespace
}  // namespace tern::transport
