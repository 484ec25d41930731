// SPDX-License-Identifier: Apache-2.0
#include "transport/sockaddr.h"

#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

namespace tern::transport {
namespace {

std::vector<std::string> texts(const Result<std::vector<SockAddr>>& addresses) {
  std::vector<std::string> out;
  EXPECT_TRUE(addresses) << addresses.error().message();
  for (const SockAddr& address : *addresses) {
    out.push_back(std::get<InetAddress>(address.to_address()).host + " " +
                  std::to_string(address.port()));
  }
  return out;
}

using Texts = std::vector<std::string>;

TEST(SockAddrTest, literals_are_themselves) {
  EXPECT_EQ(texts(resolve({"127.0.0.1", "4444"}, Purpose::connect)), Texts{"127.0.0.1 4444"});
  EXPECT_EQ(texts(resolve({"::1", "65535"}, Purpose::connect)), Texts{"::1 65535"});
  EXPECT_EQ(texts(resolve({"0", "1"}, Purpose::listen)), Texts{"0.0.0.0 1"});
}

TEST(SockAddrTest, flags_that_contradict_a_literal_say_nothing) {
  EXPECT_EQ(texts(resolve({"127.0.0.1", "1", {}, {}, true}, Purpose::connect)),
            Texts{"127.0.0.1 1"});
  EXPECT_EQ(texts(resolve({"::1", "1", {}, true}, Purpose::connect)), Texts{"::1 1"});
}

TEST(SockAddrTest, no_host_is_every_address_to_listen_on) {
  EXPECT_EQ(texts(resolve({"", "0"}, Purpose::listen)), (Texts{"0.0.0.0 0", ":: 0"}));
  EXPECT_EQ(texts(resolve({"", "0", {}, true}, Purpose::listen)), Texts{"0.0.0.0 0"});
  EXPECT_EQ(texts(resolve({"", "0", {}, false}, Purpose::listen)), Texts{":: 0"});
  EXPECT_EQ(texts(resolve({"", "0", {}, {}, true}, Purpose::listen)), Texts{":: 0"});
  EXPECT_EQ(texts(resolve({"", "0", {}, {}, false}, Purpose::listen)), Texts{"0.0.0.0 0"});
  EXPECT_EQ(texts(resolve({"", "0", {}, true, true}, Purpose::listen)),
            (Texts{"0.0.0.0 0", ":: 0"}));
}

TEST(SockAddrTest, no_host_cannot_be_connected_to) {
  const Result<std::vector<SockAddr>> none = resolve({"", "44"}, Purpose::connect);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), ErrorCode::channel);
  EXPECT_EQ(none.error().message(), "address resolution failed for :44: Name or service not known");
}

TEST(SockAddrTest, a_service_has_a_number) {
  if (::getservbyname("http", "tcp") == nullptr) GTEST_SKIP() << "no /etc/services here";
  EXPECT_EQ(texts(resolve({"127.0.0.1", "http"}, Purpose::connect)), Texts{"127.0.0.1 80"});
  EXPECT_FALSE(resolve({"127.0.0.1", "no-such-service"}, Purpose::connect));
}

TEST(SockAddrTest, numeric_asks_no_name_server) {
  InetAddress named{"localhost", "1"};
  EXPECT_TRUE(resolve(named, Purpose::connect));
  named.numeric = true;
  EXPECT_FALSE(resolve(named, Purpose::connect));
  InetAddress service{"127.0.0.1", "http"};
  service.numeric = true;
  EXPECT_FALSE(resolve(service, Purpose::connect));
  service.port = "80";
  EXPECT_EQ(texts(resolve(service, Purpose::connect)), Texts{"127.0.0.1 80"});
}

TEST(SockAddrTest, no_address_comes_twice) {
  const Result<std::vector<SockAddr>> found = resolve({"localhost", "1"}, Purpose::connect);
  std::vector<std::string> all = texts(found);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
}

TEST(SockAddrTest, an_ipv4_address_inside_ipv6_is_shown_as_what_it_is) {
  const Result<std::vector<SockAddr>> found = resolve({"::ffff:10.1.2.3", "77"}, Purpose::connect);
  ASSERT_TRUE(found);
  InetAddress expected{"10.1.2.3", "77"};
  expected.ipv4 = true;
  EXPECT_EQ(found->at(0).to_address(), Address(expected));
}

TEST(SockAddrTest, a_port_can_be_changed) {
  Result<std::vector<SockAddr>> found = resolve({"::1", "1"}, Purpose::connect);
  ASSERT_TRUE(found);
  const SockAddr before = found->at(0);
  found->at(0).set_port(4660);
  EXPECT_EQ(found->at(0).port(), 4660);
  EXPECT_FALSE(before == found->at(0));
}

TEST(SockAddrTest, unix_names_have_the_length_that_was_meant) {
  constexpr socklen_t kPath = offsetof(sockaddr_un, sun_path);
  const Result<SockAddr> path = make_sockaddr(UnixAddress{"/a"});
  const Result<SockAddr> tight = make_sockaddr(UnixAddress{"ab", true, true});
  const Result<SockAddr> padded = make_sockaddr(UnixAddress{"ab", true, false});
  ASSERT_TRUE(path && tight && padded);
  EXPECT_EQ(path->length(), kPath + 3);
  EXPECT_EQ(tight->length(), kPath + 3);
  EXPECT_EQ(padded->length(), sizeof(sockaddr_un));
  const auto* bytes = reinterpret_cast<const char*>(tight->get());
  EXPECT_EQ(std::memcmp(bytes + kPath, "\0ab", 3), 0);
  EXPECT_FALSE(make_sockaddr(UnixAddress{std::string(108, 'x')}));
}

TEST(SockAddrTest, vsock_numbers_come_back) {
  const VsockAddress any{"4294967295", "4444"};
  const Result<SockAddr> address = make_sockaddr(any);
  ASSERT_TRUE(address);
  EXPECT_EQ(address->to_address(), Address(any));
  EXPECT_FALSE(make_sockaddr(VsockAddress{"3", "x"}));
}

TEST(SockAddrTest, what_is_no_socket_has_no_address) {
  EXPECT_EQ(SockAddr::local_of(-1).length(), 0u);
  EXPECT_EQ(SockAddr::peer_of(-1).length(), 0u);
}

}  // namespace
}  // namespace tern::transport
