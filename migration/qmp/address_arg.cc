// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/address_arg.h"

#include <array>
#include <string>
#include <utility>

#include "transport/address.h"

namespace tern::qmp {
namespace {

constexpr auto kInetMembers = std::to_array<QapiMember>({
    {"host", &kString},
    {"port", &kString},
    {"numeric", &kBoolean, true},
    {"to", &kUint16, true},
    {"ipv4", &kBoolean, true},
    {"ipv6", &kBoolean, true},
    {"keep-alive", &kBoolean, true},
});
constexpr QapiType kInet{
    .kind = Kind::object, .name = "InetSocketAddress", .members = kInetMembers};

constexpr auto kUnixMembers = std::to_array<QapiMember>(
    {{"path", &kString}, {"abstract", &kBoolean, true}, {"tight", &kBoolean, true}});
constexpr QapiType kUnix{
    .kind = Kind::object, .name = "UnixSocketAddress", .members = kUnixMembers};

constexpr auto kVsockMembers = std::to_array<QapiMember>({{"cid", &kString}, {"port", &kString}});
constexpr QapiType kVsock{
    .kind = Kind::object, .name = "VsockSocketAddress", .members = kVsockMembers};

constexpr auto kFdMembers = std::to_array<QapiMember>({{"str", &kString}});
constexpr QapiType kFd{.kind = Kind::object, .name = "FdSocketAddress", .members = kFdMembers};

constexpr std::array<std::string_view, 4> kSocketWords = {"inet", "unix", "vsock", "fd"};
constexpr QapiType kSocketType{
    .kind = Kind::enumeration, .name = "SocketAddressType", .words = kSocketWords};
constexpr auto kSocketMembers = std::to_array<QapiMember>({{"type", &kSocketType}});
constexpr auto kSocketVariants = std::to_array<QapiVariant>(
    {{"inet", &kInet}, {"unix", &kUnix}, {"vsock", &kVsock}, {"fd", &kFd}});
constexpr QapiType kSocket{.kind = Kind::flat_union,
                           .name = "SocketAddress",
                           .members = kSocketMembers,
                           .tag = "type",
                           .variants = kSocketVariants};

constexpr auto kExecMembers = std::to_array<QapiMember>({{"args", &kStringList}});
constexpr QapiType kExec{
    .kind = Kind::object, .name = "MigrationExecCommand", .members = kExecMembers};

constexpr std::array<std::string_view, 2> kTransportWords = {"socket", "exec"};
constexpr QapiType kTransport{
    .kind = Kind::enumeration, .name = "MigrationAddressType", .words = kTransportWords};
constexpr auto kAddressMembers = std::to_array<QapiMember>({{"transport", &kTransport}});
constexpr auto kAddressVariants =
    std::to_array<QapiVariant>({{"socket", &kSocket}, {"exec", &kExec}});
constexpr QapiType kAddress{.kind = Kind::flat_union,
                            .name = "MigrationAddress",
                            .members = kAddressMembers,
                            .tag = "transport",
                            .variants = kAddressVariants};

constexpr std::array<std::string_view, 1> kChannelWords = {"main"};
constexpr QapiType kChannelType{
    .kind = Kind::enumeration, .name = "MigrationChannelType", .words = kChannelWords};
constexpr auto kChannelMembers =
    std::to_array<QapiMember>({{"channel-type", &kChannelType}, {"addr", &kAddress}});
constexpr QapiType kChannel{
    .kind = Kind::object, .name = "MigrationChannel", .members = kChannelMembers};

Error bad(std::string text) noexcept { return {ErrorCode::invalid_argument, std::move(text)}; }

const std::string& text_of(const Json& object, const char* name) noexcept {
  return object.find(name)->get_ref<const std::string&>();
}

std::optional<bool> flag_of(const Json& object, const char* name) noexcept {
  const auto found = object.find(name);
  if (found == object.end()) return std::nullopt;
  return found->get<bool>();
}

Address inet_of(const Json& addr) noexcept {
  InetAddress inet;
  inet.host = text_of(addr, "host");
  inet.port = text_of(addr, "port");
  if (const auto to = addr.find("to"); to != addr.end()) inet.to = to->get<uint16_t>();
  inet.numeric = flag_of(addr, "numeric");
  inet.ipv4 = flag_of(addr, "ipv4");
  inet.ipv6 = flag_of(addr, "ipv6");
  inet.keep_alive = flag_of(addr, "keep-alive");
  return inet;
}

Address address_of(const Json& addr) noexcept {
  if (text_of(addr, "transport") == "exec") {
    ExecAddress exec;
    for (const Json& arg : *addr.find("args")) exec.args.push_back(arg.get<std::string>());
    return exec;
  }
  const std::string& type = text_of(addr, "type");
  if (type == "inet") return inet_of(addr);
  if (type == "vsock") return VsockAddress{text_of(addr, "cid"), text_of(addr, "port")};
  if (type == "fd") return FdAddress{text_of(addr, "str")};
  UnixAddress unix_address;
  unix_address.path = text_of(addr, "path");
  unix_address.abstract = flag_of(addr, "abstract").value_or(false);
  unix_address.tight = flag_of(addr, "tight").value_or(true);
  return unix_address;
}

Json inet_json(const InetAddress& inet) noexcept {
  const bool v6 = inet.ipv6.value_or(inet.host.find(':') != std::string::npos);
  return {{"type", "inet"}, {"host", inet.host}, {"port", inet.port}, {v6 ? "ipv6" : "ipv4", true}};
}

Json unix_json(const UnixAddress& address) noexcept {
  Json out = {{"type", "unix"}, {"path", address.path}};
  if (address.abstract) {
    out["abstract"] = true;
    out["tight"] = address.tight;
  }
  return out;
}

}  // namespace

const QapiType kMigrationChannels{.kind = Kind::array, .element = &kChannel};
const QapiType kSocketAddresses{.kind = Kind::array, .element = &kSocket};

Result<Address> address_argument(const Json& arguments) noexcept {
  const auto uri = arguments.find("uri");
  const auto channels = arguments.find("channels");
  const bool have_channels = channels != arguments.end();
  if ((uri != arguments.end()) == have_channels || (have_channels && channels->empty())) {
    return bad("Give exactly one of 'uri' and 'channels', the latter not empty");
  }
  if (!have_channels) return parse_uri(uri->get_ref<const std::string&>());
  if (channels->size() > 1) return bad("Channel list has more than one entry of type 'main'");
  Address address = address_of(*channels->front().find("addr"));
  TERN_TRY(transport::validate(address).context("channels[0].addr"));
  return address;
}

Result<Address> address_from_text(std::string_view text) noexcept {
  if (!text.starts_with('{')) return parse_uri(text);
  const Json value = TERN_TRY(parse_json(text).context("address"));
  TERN_TRY(check_arguments(value, kAddress).context("address"));
  Address address = address_of(value);
  TERN_TRY(transport::validate(address));
  return address;
}

Json socket_addresses(std::span<const Address> addresses) noexcept {
  Json list = Json::array();
  for (const Address& address : addresses) {
    if (const auto* inet = std::get_if<InetAddress>(&address)) list.push_back(inet_json(*inet));
    if (const auto* local = std::get_if<UnixAddress>(&address)) list.push_back(unix_json(*local));
    if (const auto* vsock = std::get_if<VsockAddress>(&address)) {
      list.push_back({{"type", "vsock"}, {"cid", vsock->cid}, {"port", vsock->port}});
    }
  }
  return list;
}

}  // namespace tern::qmp
