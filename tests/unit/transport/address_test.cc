// SPDX-License-Identifier: Apache-2.0
#include "transport/address.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

struct Good {
  const char* uri;
  Address address;
};

std::vector<Good> good_uris() {
  InetAddress all{"host.example", "http", 4450, true, false, true, true};
  InetAddress flags{"h", "1"};
  flags.ipv4 = true;
  flags.keep_alive = false;
  return {
      {"tcp:127.0.0.1:4444", InetAddress{"127.0.0.1", "4444"}},
      {"tcp::0", InetAddress{"", "0"}},
      {"tcp:[::1]:65535", InetAddress{"::1", "65535"}},
      {"tcp:[fe80::1%eth0]:1", InetAddress{"fe80::1%eth0", "1"}},
      {"tcp:host.example:http,to=4450,ipv4=on,ipv6=off,keep-alive=on,numeric=on", all},
      {"tcp:h:1,ipv4=on,keep-alive=off", flags},
      {"unix:/run/a,b:c", UnixAddress{"/run/a,b:c"}},
      {"vsock:3:4444", VsockAddress{"3", "4444"}},
      {"vsock:4294967295:0", VsockAddress{"4294967295", "0"}},
      {"fd:migration-fd", FdAddress{"migration-fd"}},
      {"fd:7", FdAddress{"7"}},
      {"exec:cat > 'a b',c", ExecAddress{{"/bin/sh", "-c", "cat > 'a b',c"}}},
  };
}

TEST(AddressTest, uris_parse_to_their_members_and_print_as_themselves) {
  for (const Good& good : good_uris()) {
    Result<Address> parsed = parse_uri(good.uri);
    ASSERT_TRUE(parsed) << good.uri << ": " << parsed.error().message();
    EXPECT_EQ(*parsed, good.address) << good.uri;
    EXPECT_EQ(to_uri(*parsed), good.uri);
  }
}

TEST(AddressTest, a_flag_without_a_value_is_on) {
  Result<Address> parsed = parse_uri("tcp:h:1,ipv6,keep-alive,numeric");
  ASSERT_TRUE(parsed);
  const auto& inet = std::get<InetAddress>(*parsed);
  EXPECT_EQ(inet.ipv6, true);
  EXPECT_EQ(inet.keep_alive, true);
  EXPECT_EQ(inet.numeric, true);
  EXPECT_EQ(inet.ipv4, std::nullopt);
}

TEST(AddressTest, brackets_are_taken_off_a_literal_that_does_not_need_them) {
  Result<Address> parsed = parse_uri("tcp:[127.0.0.1]:5");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(to_uri(*parsed), "tcp:127.0.0.1:5");
}

struct Bad {
  std::string uri;
  const char* why;
};

std::vector<Bad> bad_uris() {
  const std::string nul(1, '\0');
  return {
      {"", "unknown migration protocol: ''"},
      {"foo", "unknown migration protocol: 'foo'"},
      {"tcp", "unknown migration protocol: 'tcp'"},
      {"127.0.0.1:4444", "unknown migration protocol: '127.0.0.1:4444'"},
      {"TCP:h:1", "unknown migration protocol: 'TCP:h:1'"},
      {"defer", "unknown migration protocol: 'defer'"},
      {"file:/tmp/x", "unknown migration protocol: 'file:/tmp/x'"},
      {"rdma:h:1", "unknown migration protocol: 'rdma:h:1'"},
      {"x\n\x01:1", "unknown migration protocol: 'x\\x0a\\x01:1'"},
      {"tcp:", "error parsing address ''"},
      {"tcp:127.0.0.1", "error parsing address '127.0.0.1'"},
      {"tcp:127.0.0.1:", "error parsing address '127.0.0.1:'"},
      {"tcp:127.0.0.1:,to=5", "error parsing address '127.0.0.1:,to=5'"},
      {"tcp:[::1]", "error parsing IPv6 address '[::1]'"},
      {"tcp:[::1]:", "error parsing IPv6 address '[::1]:'"},
      {"tcp:[::1", "error parsing IPv6 address '[::1'"},
      {"tcp:[]:1", "error parsing IPv6 address '[]:1'"},
      {"tcp:[::1]x:1", "error parsing IPv6 address '[::1]x:1'"},
      {"tcp:::1:44", "port ':1:44' is neither a number nor a service name"},
      {"tcp:h:65536", "port '65536' is above 65535"},
      {"tcp:h:99999999999999999999", "port '99999999999999999999' is above 65535"},
      {"tcp:h:-1", "port '-1' is neither a number nor a service name"},
      {"tcp:h:+1", "port '+1' is neither a number nor a service name"},
      {"tcp:h: 1", "port ' 1' is neither a number nor a service name"},
      {"tcp:h:" + std::string(33, '1'), "is too long"},
      {"tcp:h h:1", "host 'h h' is not valid"},
      {"tcp:h" + nul + ":1", "host 'h\\x00' is not valid"},
      {"tcp:" + std::string(256, 'h') + ":1", "is longer than 255 bytes"},
      {"tcp:h:1,bogus=1", "Invalid parameter 'bogus'"},
      {"tcp:h:1,mptcp=on", "Invalid parameter 'mptcp'"},
      {"tcp:h:1,", "Invalid parameter ''"},
      {"tcp:h:1,to", "error parsing to= argument ''"},
      {"tcp:h:1,to=", "error parsing to= argument '='"},
      {"tcp:h:1,to=x", "error parsing to= argument '=x'"},
      {"tcp:h:1,to=65536", "error parsing to= argument '=65536'"},
      {"tcp:h:1,to=-1", "error parsing to= argument '=-1'"},
      {"tcp:h:1,to=2,to=3", "Parameter 'to' is given twice"},
      {"tcp:h:1,ipv4,ipv4=off", "Parameter 'ipv4' is given twice"},
      {"tcp:h:1,ipv4=maybe", "error parsing 'ipv4' flag '=maybe'"},
      {"tcp:h:1,keep-alive=", "error parsing 'keep-alive' flag '='"},
      {"tcp:h:1,ipv4=off,ipv6=off", "Cannot disable IPv4 and IPv6 at same time"},
      {"unix:", "invalid Unix socket address"},
      {"unix:/" + std::string(107, 'x'), "paths must be less than 108 bytes"},
      {"unix:/a" + nul + "b", "contains a NUL byte"},
      {"vsock:", "error parsing address ''"},
      {"vsock:3", "error parsing address '3'"},
      {"vsock::1", "Failed to parse cid ''"},
      {"vsock:a:b", "Failed to parse cid 'a'"},
      {"vsock:-1:1", "Failed to parse cid '-1'"},
      {"vsock:4294967296:1", "Failed to parse cid '4294967296'"},
      {"vsock:3:", "Failed to parse port ''"},
      {"vsock:3:4:5", "Failed to parse port '4:5'"},
      {"fd:", "File descriptor named '' has not been found"},
      {"fd:" + std::string(256, 'x'), "has not been found"},
      {"exec:", "exec: the command is empty"},
      {"exec:a" + nul + "b", "contains a NUL byte"},
      {"exec:" + std::string(transport::kMaxUriBytes, 'x'), "longer than 128 KiB"},
  };
}

TEST(AddressTest, bad_uris_are_refused_with_the_reason) {
  for (const Bad& bad : bad_uris()) {
    Result<Address> parsed = parse_uri(bad.uri);
    ASSERT_FALSE(parsed) << bad.uri;
    EXPECT_EQ(parsed.error().code(), ErrorCode::invalid_argument) << bad.uri;
    EXPECT_NE(parsed.error().message().find(bad.why), std::string::npos)
        << bad.uri << ": " << parsed.error().message();
  }
}

TEST(AddressTest, the_longest_unix_path_is_107_bytes) {
  const std::string uri = "unix:/" + std::string(106, 'x');
  Result<Address> parsed = parse_uri(uri);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(to_uri(*parsed), uri);
}

TEST(AddressTest, an_address_built_by_hand_is_checked_like_a_uri) {
  const std::string nul(1, '\0');
  const std::vector<Address> bad{
      InetAddress{"h", ""},    InetAddress{"h", "70000"},
      InetAddress{"a,b", "1"}, UnixAddress{""},
      UnixAddress{"a" + nul},  UnixAddress{std::string(108, 'x'), true},
      VsockAddress{"x", "1"},  FdAddress{""},
      ExecAddress{},           ExecAddress{{""}},
      ExecAddress{{"a", nul}}, ExecAddress{std::vector<std::string>(1025, "x")},
  };
  for (const Address& address : bad) {
    Result<void> checked = transport::validate(address);
    ASSERT_FALSE(checked) << to_uri(address);
    EXPECT_EQ(checked.error().code(), ErrorCode::invalid_argument);
  }
}

TEST(AddressTest, every_prefix_and_every_changed_byte_of_a_uri_gives_a_round_trip_or_an_error) {
  for (const Good& good : good_uris()) {
    const std::string uri = good.uri;
    for (size_t at = 0; at < uri.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string changed = uri;
        changed[at] = static_cast<char>(byte);
        Result<Address> parsed = parse_uri(changed);
        if (!parsed) continue;
        Result<Address> again = parse_uri(to_uri(*parsed));
        ASSERT_TRUE(again) << changed << " -> " << to_uri(*parsed);
        EXPECT_EQ(*again, *parsed) << changed;
      }
      Result<Address> cut = parse_uri(uri.substr(0, at));
      EXPECT_TRUE(!cut || parse_uri(to_uri(*cut)).has_value()) << uri.substr(0, at);
    }
  }
}

TEST(AddressTest, long_text_in_an_error_is_cut) {
  EXPECT_EQ(transport::quoted(std::string(300, 'x')), "'" + std::string(200, 'x') + "...'");
}

}  // namespace
}  // namespace tern
