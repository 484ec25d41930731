// SPDX-License-Identifier: Apache-2.0
//
// TLS between two threads, over real sockets and over channels that cut.
#include "transport/tls/tls_channel.h"

#include <gtest/gtest.h>

#include <future>
#include <numeric>

#include "tests/doubles/certificates.h"
#include "tests/doubles/fault_channel.h"
#include "tests/unit/transport/support.h"
#include "transport/socket_channel.h"
#include "transport/tls/securer.h"

namespace tern::transport::tls {
namespace {

using test::Pki;
constexpr Deadline kSoon{"x-handshake-timeout", Milliseconds(60000)};

struct Sides {
  std::shared_ptr<const Credentials> client;
  std::shared_ptr<const Credentials> server;
};
Sides x509(const Pki& from, const Pki& to, std::string priority = "", bool verify_client = true) {
  const auto client = Credentials::x509({.dir = from.dir, .priority = std::move(priority)});
  const auto server = Credentials::x509(
      {.dir = to.dir, .endpoint = Endpoint::server, .verify_peer = verify_client});
  EXPECT_TRUE(client) << client.error().message();
  EXPECT_TRUE(server) << server.error().message();
  return {*client, *server};
}
Sides usual() { return x509(Pki::usual(), Pki::usual()); }
Sides psk(const Pki& from, const Pki& to, std::string priority = "", std::string user = "qemu") {
  return {*Credentials::psk(
              {.dir = from.dir, .username = std::move(user), .priority = std::move(priority)}),
          *Credentials::psk({.dir = to.dir, .endpoint = Endpoint::server})};
}

/// A connection whose two ends can be handed over; handshakes run on two threads.
struct Link {
  std::unique_ptr<Channel> plain_client;
  std::unique_ptr<Channel> plain_server;
  std::unique_ptr<TlsChannel> client;
  std::unique_ptr<TlsChannel> server;

  Link() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    plain_client = *SocketChannel::create(Fd(fds[0]), "client", {});
    plain_server = *SocketChannel::create(Fd(fds[1]), "server", {});
  }
  void secure(const Sides& sides, const std::string& hostname = "localhost",
              TlsChannel::Admission admission = {}) {
    client = *Securer(sides.client, hostname, {}).wrap(std::move(plain_client));
    server = *Securer(sides.server, "", std::move(admission)).wrap(std::move(plain_server));
  }
  /// What both said: "" for success.
  std::pair<std::string, std::string> shake() {
    const auto words = [](TlsChannel& channel) {
      const auto done = channel.handshake(kSoon);
      // As a migration that failed: the other side must not wait.
      if (!done) channel.finish_writing();
      return !done ? done.error().message() : *done ? "" : "closed";
    };
    auto other = std::async(std::launch::async, [&] { return words(*server); });
    const std::string mine = words(*client);
    return {mine, other.get()};
  }
  void up(const Sides& sides = usual()) {
    secure(sides);
    const auto [mine, its] = shake();
    ASSERT_EQ(mine, "");
    ASSERT_EQ(its, "");
  }
};

std::string pattern(size_t bytes) {
  std::string text(bytes, '\0');
  std::iota(text.begin(), text.end(), 0);
  for (size_t i = 0; i < bytes; i += 4093) text[i] = static_cast<char>(i >> 12);
  return text;
}
bool has(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

TEST(TlsChannel, carries_bytes_both_ways_and_ends_cleanly) {
  for (const Sides& sides :
       {usual(), x509(Pki::usual(), Pki::usual(), "NORMAL:-VERS-TLS1.3"),
        x509(Pki::usual(), Pki::usual(), "NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305"),
        x509(Pki::usual(), Pki::usual(), "SECURE256"), psk(Pki::usual(), Pki::usual()),
        psk(Pki::usual(), Pki::usual(), "NORMAL:-VERS-TLS1.3")}) {
    Link link;
    link.up(sides);
    const std::string there = pattern(3 << 20);
    const std::string back = pattern(1 << 20);
    auto answer = std::async(std::launch::async, [&] {
      auto writer = std::async(std::launch::async, [&] {
        EXPECT_TRUE(write_all(*link.server, back));
        link.server->finish_writing();
      });
      auto got = read_to_end(*link.server);
      writer.get();
      return got;
    });
    auto reader = std::async(std::launch::async, [&] { return read_to_end(*link.client, 1000); });
    EXPECT_TRUE(write_all(*link.client, there));
    EXPECT_FALSE(link.server->ended_cleanly());
    link.client->finish_writing();
    EXPECT_TRUE(*answer.get() == there);
    EXPECT_TRUE(*reader.get() == back);
    EXPECT_TRUE(link.server->ended_cleanly());
    EXPECT_TRUE(link.client->ended_cleanly());
    EXPECT_FALSE(write_once(*link.client, "more")) << "after its end";
  }
}

TEST(TlsChannel, gathers_slices_of_all_sizes) {
  Link link;
  link.up();
  const std::string text = pattern(1 << 20);
  auto got = std::async(std::launch::async, [&] { return read_to_end(*link.server); });
  size_t at = 0;
  for (size_t size = 1; at < text.size(); size = size * 7 % 40961) {
    std::vector<iovec> slices;
    size_t end = at;
    for (int i = 0; i < 40 && end < text.size(); ++i) {
      const size_t n = std::min(i % 2 == 0 ? 9 : size, text.size() - end);
      slices.push_back(slice_of(bytes_of(text).subspan(end, n)));
      end += n;
    }
    const auto taken = link.client->write_some(slices);
    ASSERT_TRUE(taken);
    ASSERT_LE(*taken, TlsChannel::kBatchBytes);
    ASSERT_TRUE(*taken == end - at || *taken == TlsChannel::kBatchBytes);
    at += *taken;
  }
  link.client->finish_writing();
  EXPECT_TRUE(*got.get() == text);
}

TEST(TlsChannel, tells_a_cut_from_an_end) {
  Link link;
  link.up();
  ASSERT_TRUE(write_once(*link.client, "something"));
  std::string text;
  ASSERT_TRUE(read_once(*link.server, text));
  link.client.reset();  // no close_notify
  EXPECT_EQ(*read_once(*link.server, text), 0u);
  EXPECT_FALSE(link.server->ended_cleanly());
}

TEST(TlsChannel, a_server_says_nothing_by_itself) {
  // No tickets, no answer to an end: unread bytes would turn the source's close into a reset.
  Link link;
  link.up();
  ASSERT_TRUE(write_once(*link.client, "all"));
  link.client->finish_writing();
  EXPECT_EQ(*read_to_end(*link.server), "all");
  link.server.reset();
  std::string text;
  EXPECT_EQ(*read_once(*link.client, text), 0u);
  EXPECT_FALSE(link.client->ended_cleanly());
}

TEST(TlsChannel, admission_sees_the_name_and_may_refuse) {
  Link good;
  std::string seen;
  good.secure(usual(), "localhost", [&](const std::string& name) -> Result<void> {
    seen = name;
    return {};
  });
  EXPECT_EQ(good.shake(), std::pair(std::string(), std::string()));
  EXPECT_EQ(seen, "C=GB,CN=client");
  EXPECT_EQ(good.server->peer_name(), seen);
  EXPECT_EQ(good.client->peer_name(), "CN=server");
  Link refused;
  refused.secure(usual(), "localhost", [](const std::string&) -> Result<void> {
    return Error(ErrorCode::peer_protocol, "not you");
  });
  EXPECT_EQ(refused.shake().second, "TLS handshake failed: not you");
}

/// What both sides say of a handshake that fails.
std::pair<std::string, std::string> fault(const Sides& sides,
                                          const std::string& hostname = "localhost") {
  Link link;
  link.secure(sides, hostname);
  return link.shake();
}

TEST(Handshake, names_what_is_wrong_with_the_server) {
  EXPECT_EQ(
      fault(usual(), "other.example").first,
      "TLS handshake failed: Certificate does not match the hostname other.example: it is for "
      "localhost, 127.0.0.1");
  EXPECT_EQ(fault(usual(), "127.0.0.1").first, "");
  EXPECT_TRUE(has(fault(usual(), "127.0.0.2").first, "does not match the hostname 127.0.0.2"));
  Pki other;
  const auto [mine, its] = fault(x509(other, Pki::usual(), "", false));
  EXPECT_TRUE(has(mine, "the server's certificate (CN=server) was not issued by the CA")) << mine;
  EXPECT_TRUE(has(its, "the client says: unknown CA")) << its;
  Pki late;
  late.issue("server", {.subject = {{"CN", "s"}},
                        .names = "DNS:localhost",
                        .begins_in_s = -7200,
                        .ends_in_s = -3600});
  Sides sides;
  sides.client = *Credentials::x509({.dir = late.dir});
  sides.server = *Credentials::x509(
      {.dir = late.dir, .endpoint = Endpoint::server, .verify_peer = false, .sanity_check = false});
  EXPECT_TRUE(has(fault(sides).first, "the server's certificate (CN=s) has expired on "));
  late.issue("server", {.subject = {{"CN", "s"}}, .names = "DNS:localhost"});
  late.revoke_last();
  sides.client = *Credentials::x509({.dir = late.dir});
  sides.server = *Credentials::x509(
      {.dir = late.dir, .endpoint = Endpoint::server, .verify_peer = false, .sanity_check = false});
  EXPECT_TRUE(has(fault(sides).first, "the server's certificate (CN=s) has been revoked"));
}

TEST(Handshake, names_what_is_wrong_with_the_client) {
  Pki bare;
  std::filesystem::copy_file(Pki::usual().dir + "/ca-cert.pem", bare.dir + "/ca-cert.pem",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(has(fault(x509(bare, Pki::usual())).second, "the client has no certificate"));
  Pki other;
  other.issue("client", {.subject = {{"CN", "stranger"}}});
  Sides sides = usual();
  sides.client = *Credentials::x509({.dir = other.dir, .verify_peer = false});
  EXPECT_TRUE(
      has(fault(sides).second, "the client's certificate (CN=stranger) was not issued by the CA"));
}

TEST(Handshake, names_what_is_wrong_with_shared_keys) {
  Pki other;
  other.write("keys.psk", "qemu:ff\nme:00112233\n");
  for (const char* priority : {"", "NORMAL:-VERS-TLS1.3"}) {
    EXPECT_TRUE(has(fault(psk(Pki::usual(), other, priority)).second, "TLS handshake failed"));
    EXPECT_TRUE(has(fault(psk(other, Pki::usual(), priority, "me")).second,
                    "the client is user 'me', which has no key in"));
  }
  EXPECT_TRUE(has(fault(psk(Pki::usual(), other)).second, "shared key is not the one of its user"));
  Sides mixed = psk(Pki::usual(), Pki::usual());
  mixed.server = usual().server;
  EXPECT_TRUE(has(fault(mixed).first, "shows a certificate instead of taking the shared key"));
  mixed = usual();
  mixed.server = psk(Pki::usual(), Pki::usual()).server;
  EXPECT_TRUE(has(fault(mixed).second, "both sides must have the same kind of tls-creds"));
}

TEST(Handshake, tells_peers_that_speak_no_tls) {
  const auto server_hears = [](const std::string& text) {
    Link link;
    auto server = *Securer(usual().server, "", {}).wrap(std::move(link.plain_server));
    EXPECT_TRUE(write_all(*link.plain_client, text));
    link.plain_client->finish_writing();
    const auto done = server->handshake(kSoon);
    return !done ? done.error().message() : *done ? "done" : "closed";
  };
  EXPECT_EQ(server_hears(""), "closed");
  EXPECT_TRUE(has(server_hears(std::string("QEVM\0\0\0\3", 8)), "a plain migration stream"));
  EXPECT_TRUE(has(server_hears("GET / HTTP/1.0\r\n\r\n"), "its first byte is 71"));
  EXPECT_TRUE(has(server_hears("\x16"), "closed the connection"));
  EXPECT_TRUE(has(server_hears("\x16\x03\x01" + std::string(2, '\xff')), "TLS handshake failed"));
}

TEST(Handshake, ends_with_its_deadline_or_a_shutdown) {
  Link link;
  link.secure(usual());
  const auto late = link.client->handshake({"x-handshake-timeout", Milliseconds(1)});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::timed_out);
  EXPECT_EQ(late.error().message(),
            "x-handshake-timeout: no TLS handshake with client within 1 ms");
  Link other;
  other.secure(usual());
  auto waiting = std::async(std::launch::async, [&] { return other.server->handshake(kSoon); });
  other.server->shutdown();
  EXPECT_EQ(waiting.get().error().code(), ErrorCode::cancelled);
}

TEST(Handshake, needs_a_hostname_for_certificates_only) {
  Link link;
  EXPECT_EQ(Securer(usual().client, "", {}).wrap(std::move(link.plain_client)).error().message(),
            "No hostname for certificate validation");
  Link other;
  other.secure(psk(Pki::usual(), Pki::usual()), "");
  EXPECT_EQ(other.shake(), std::pair(std::string(), std::string()));
}

/// A client whose writes are cut at the n-th after the handshake.
TEST(TlsChannel, a_write_that_is_cut_is_an_error_and_stays_one) {
  for (const test::Cut cut : {test::Cut::before, test::Cut::after, test::Cut::lost}) {
    Link link;
    std::atomic<uint64_t> writes{0};
    {
      Link counted;
      counted.plain_client = std::make_unique<test::FaultChannel>(
          std::move(counted.plain_client), test::FaultPlan{.writes = &writes});
      counted.up();
    }
    test::FaultPlan plan;
    plan.cut_at_write = writes + 2;
    plan.cut = cut;
    plan.max_write_bytes = 100000;  // so that the second is in the middle of one of ours
    link.plain_client = std::make_unique<test::FaultChannel>(std::move(link.plain_client), plan);
    link.up();
    const std::string text = pattern(TlsChannel::kBatchBytes);
    const auto first = write_once(*link.client, text);
    ASSERT_TRUE(first) << "some of it was sent";
    EXPECT_EQ(*first, text.size());
    const auto second = write_once(*link.client, text);
    ASSERT_FALSE(second);
    EXPECT_EQ(write_once(*link.client, text).error().message(), second.error().message());
    const auto got = read_to_end(*link.server);
    EXPECT_FALSE(link.server->ended_cleanly());
    if (got) {
      EXPECT_TRUE(text.starts_with(*got)) << "nothing that was not written";
    }
  }
}

TEST(TlsChannel, bytes_that_were_changed_are_refused) {
  Link link;
  std::array<int, 2> fds{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  // A relay that lets the handshake pass and then changes one bit.
  auto server_side = std::unique_ptr<Channel>(*SocketChannel::create(Fd(fds[0]), "relay", {}));
  auto relay_in = std::move(link.plain_server);
  auto relay_out = std::unique_ptr<Channel>(*SocketChannel::create(Fd(fds[1]), "relay", {}));
  link.plain_server = std::move(server_side);
  std::atomic<bool> change{false};
  const auto copy = [&change](Channel& from, Channel& to) {
    std::vector<std::byte> buffer(65536);
    for (;;) {
      const auto n = from.read_some(buffer);
      if (!n || *n == 0) break;
      if (change.load()) buffer[*n / 2] ^= std::byte{1};
      if (!write_all(to, std::span(buffer).first(*n))) break;
    }
    to.finish_writing();
  };
  auto there = std::async(std::launch::async, [&] { copy(*relay_in, *relay_out); });
  auto back = std::async(std::launch::async, [&] { copy(*relay_out, *relay_in); });
  link.up();
  change.store(true);
  ASSERT_TRUE(write_once(*link.client, pattern(5000)));
  std::string text;
  const auto got = read_once(*link.server, text);
  ASSERT_FALSE(got);
  EXPECT_TRUE(has(got.error().message(), "read from relay: ")) << got.error().message();
  link.client->shutdown();
  link.server->shutdown();
  there.get();
  back.get();
}

TEST(TlsChannel, shutdown_wakes_both_threads) {
  Link link;
  link.up();
  auto reader = std::async(std::launch::async, [&] { return read_to_end(*link.client); });
  auto writer = std::async(std::launch::async, [&] {
    const std::string text = pattern(1 << 20);
    for (;;) {
      const auto written = write_all(*link.client, text);
      if (!written) return written.error().code();
    }
  });
  link.client->shutdown();
  EXPECT_EQ(reader.get().error().code(), ErrorCode::cancelled);
  EXPECT_EQ(writer.get(), ErrorCode::cancelled);
}

/// Two sessions without channels.
struct Sessions {
  std::unique_ptr<Session> client = *Session::create(usual().client, "localhost");
  std::unique_ptr<Session> server = *Session::create(usual().server, "");

  Sessions() {
    for (bool done = false; !done;) {
      EXPECT_TRUE(client->handshake());
      carry(*client, *server);
      const auto ready = server->handshake();
      EXPECT_TRUE(ready) << ready.error().message();
      done = !ready || *ready;
      carry(*server, *client);
    }
  }
  std::vector<std::byte> wire;
  size_t carry(Session& from, Session& to) {
    wire = std::exchange(from.output(), {});
    to.feed(wire);
    return wire.size();
  }
  static Result<size_t> put(Session& session, const std::string& text) {
    const iovec slice = slice_of(bytes_of(text));
    return session.encrypt({&slice, 1}, SIZE_MAX);
  }
  static std::string get(Session& session) {
    std::string text(1 << 16, '\0');
    const auto got = session.decrypt(std::as_writable_bytes(std::span(text)));
    EXPECT_TRUE(got) << got.error().message();
    return got ? text.substr(0, got->bytes) : "";
  }
};

TEST(Session, changes_its_keys_before_their_limit) {
  Sessions s;
  s.client->set_rekey_records(3);
  for (int i = 0; i < 10; ++i) {
    const std::string text = "piece " + std::to_string(i);
    ASSERT_TRUE(Sessions::put(*s.client, text));
    s.carry(*s.client, *s.server);
    EXPECT_EQ(Sessions::get(*s.server), text);
    EXPECT_TRUE(s.server->output().empty()) << "no answer is asked for";
  }
  ASSERT_TRUE(Sessions::put(*s.server, "back"));
  s.carry(*s.server, *s.client);
  EXPECT_EQ(Sessions::get(*s.client), "back");
  EXPECT_EQ(s.client->protocol(), "TLS 1.3 TLS_AES_128_GCM_SHA256");
}

TEST(Session, any_bytes_are_an_error_and_no_more) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    Sessions s;
    ASSERT_TRUE(Sessions::put(*s.client, pattern(100)));
    auto wire = std::exchange(s.client->output(), {});
    wire[seed * 7919 % wire.size()] ^= static_cast<std::byte>(1 + seed % 255);
    s.server->feed(wire);
    std::vector<std::byte> into(200);
    const auto got = s.server->decrypt(into);
    EXPECT_TRUE(!got || got->bytes == 0) << seed;
  }
}

}  // namespace
}  // namespace tern::transport::tls
