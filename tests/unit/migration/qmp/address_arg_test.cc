// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/address_arg.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace tern::qmp {
namespace {

constexpr auto kMembers =
    std::to_array<QapiMember>({{"uri", &kString, true}, {"channels", &kMigrationChannels, true}});
constexpr QapiType kArguments{.kind = Kind::object, .members = kMembers};

tern::Result<Address> address(const Json& arguments) {
  TERN_TRY(check_arguments(arguments, kArguments));
  return address_argument(arguments);
}

Json channels(const Json& addr) {
  return {{"channels", Json::array({{{"channel-type", "main"}, {"addr", addr}}})}};
}

std::string fault(const Json& arguments) {
  const tern::Result<Address> parsed = address(arguments);
  return parsed.has_value() ? "" : parsed.error().message();
}

TEST(AddressArg, a_uri_is_parsed) {
  EXPECT_EQ(*address({{"uri", "tcp:[::1]:4444"}}), parse_uri("tcp:[::1]:4444").value());
}

TEST(AddressArg, each_transport_has_its_members) {
  InetAddress inet;
  inet.host = "::1";
  inet.port = "4444";
  inet.to = 65535;
  inet.numeric = true;
  inet.ipv4 = false;
  inet.ipv6 = true;
  inet.keep_alive = true;
  EXPECT_EQ(*address(channels({{"transport", "socket"},
                               {"type", "inet"},
                               {"host", "::1"},
                               {"port", "4444"},
                               {"to", 65535},
                               {"numeric", true},
                               {"ipv4", false},
                               {"ipv6", true},
                               {"keep-alive", true}})),
            Address(inet));
  EXPECT_EQ(*address(channels({{"transport", "socket"},
                               {"type", "unix"},
                               {"path", "/tmp/x,y"},
                               {"abstract", true},
                               {"tight", false}})),
            Address(UnixAddress{"/tmp/x,y", true, false}));
  EXPECT_EQ(*address(channels(
                {{"transport", "socket"}, {"type", "vsock"}, {"cid", "3"}, {"port", "99"}})),
            Address(VsockAddress{"3", "99"}));
  EXPECT_EQ(*address(channels({{"transport", "socket"}, {"type", "fd"}, {"str", "mig"}})),
            Address(FdAddress{"mig"}));
  EXPECT_EQ(*address(channels({{"transport", "exec"}, {"args", {"/bin/cat", "-u"}}})),
            Address(ExecAddress{{"/bin/cat", "-u"}}));
}

TEST(AddressArg, exactly_one_of_uri_and_channels_is_needed) {
  const Json unix_addr = {{"transport", "socket"}, {"type", "unix"}, {"path", "/x"}};
  Json both = channels(unix_addr);
  both["uri"] = "unix:/x";
  EXPECT_NE(fault(Json::object()), "");
  EXPECT_NE(fault(both), "");
  EXPECT_NE(fault({{"channels", Json::array()}}), "");
  Json two = channels(unix_addr);
  two["channels"].push_back(two["channels"][0]);
  EXPECT_NE(fault(two), "");
}

TEST(AddressArg, errors_name_the_path_of_the_member) {
  EXPECT_EQ(fault(channels({{"transport", "socket"}, {"type", "inet"}, {"host", "h"}})),
            "Parameter 'channels[0].addr.port' is missing");
  EXPECT_EQ(
      fault(channels({{"transport", "socket"}, {"type", "inet"}, {"host", "h"}, {"port", 4444}})),
      "Invalid parameter type for 'channels[0].addr.port', expected: string");
  EXPECT_EQ(fault(channels({{"transport", "socket"}, {"type", "smoke"}})),
            "Parameter 'type' does not accept value 'smoke'");
  EXPECT_EQ(fault(channels({{"transport", "exec"}, {"args", {"a"}}, {"path", "x"}})),
            "Parameter 'channels[0].addr.path' is unexpected");
}

TEST(AddressArg, transports_without_an_engine_are_unknown) {
  EXPECT_EQ(fault(channels({{"transport", "file"}, {"filename", "x"}, {"offset", 0}})),
            "Parameter 'transport' does not accept value 'file'");
  EXPECT_EQ(fault(channels({{"transport", "rdma"}, {"host", "h"}, {"port", "1"}})),
            "Parameter 'transport' does not accept value 'rdma'");
}

TEST(AddressArg, values_that_can_never_work_are_refused) {
  const auto inet = [](const char* port) {
    return channels({{"transport", "socket"}, {"type", "inet"}, {"host", "h"}, {"port", port}});
  };
  EXPECT_NE(fault(inet("65536")), "");
  EXPECT_NE(fault(inet("")), "");
  EXPECT_NE(fault(channels({{"transport", "exec"}, {"args", Json::array()}})), "");
  EXPECT_NE(
      fault(channels({{"transport", "socket"}, {"type", "unix"}, {"path", std::string(108, 'p')}})),
      "");
  for (const char* uri : {"", "foo", "tcp", "TCP:h:1", "defer", "tcp:[::1]", "tcp:127.0.0.1",
                          "unix:", "vsock:3", "fd:", "tcp:h:70000"}) {
    EXPECT_NE(fault({{"uri", uri}}), "") << uri;
  }
}

TEST(AddressArg, bound_addresses_are_shown_as_qemu_shows_them) {
  InetAddress v6;
  v6.host = "::";
  v6.port = "4444";
  InetAddress v4;
  v4.host = "0.0.0.0";
  v4.port = "4445";
  const std::array<Address, 5> bound = {v6, v4, UnixAddress{"/tmp/m"}, VsockAddress{"2", "7"},
                                        FdAddress{"3"}};
  EXPECT_EQ(socket_addresses(bound),
            Json::parse(R"([{"type":"inet","host":"::","port":"4444","ipv6":true},
                            {"type":"inet","host":"0.0.0.0","port":"4445","ipv4":true},
                            {"type":"unix","path":"/tmp/m"},
                            {"type":"vsock","cid":"2","port":"7"}])"));
}

}  // namespace
}  // namespace tern::qmp
