// SPDX-License-Identifier: Apache-2.0
//
// Addresses as text. The grammar is QEMU's, with these differences, all on the side of refusing:
// ports above 65535 (QEMU takes them modulo 65536), unknown or repeated tcp options (QEMU 7.2
// ignores them), NUL bytes, empty commands.
#include "transport/address.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace tern {

namespace transport {

namespace {

Error invalid(std::string message) noexcept {
  return Error(ErrorCode::invalid_argument, std::move(message));
}

/// Bytes that can be part of no host, port or option: controls, spaces, NUL, and the separators of
/// the grammar.
bool is_plain_word(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7f && c != ',' && c != '[' && c != ']';
  });
}

bool has_nul(std::string_view text) noexcept { return text.find('\0') != std::string_view::npos; }

/// A number up to 65535 or the name of a service ("http", "iscsi-target").
Result<void> check_port(std::string_view port) noexcept {
  if (port.empty()) return invalid("the port is empty");
  if (port.size() > kMaxServiceBytes) return invalid("port " + quoted(port) + " is too long");
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (std::all_of(port.begin(), port.end(), is_digit)) {
    if (!parse_decimal(port, 65535)) {
      return invalid("port " + quoted(port) + " is above 65535");
    }
    return {};
  }
  // A name starts with a letter or digit: this also refuses "-1" and "+1", which are no names.
  const auto is_name_byte = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.' ||
           c == '+' || c == '*' || c == '/';
  };
  if (std::isalnum(static_cast<unsigned char>(port[0])) == 0 ||
      !std::all_of(port.begin(), port.end(), is_name_byte)) {
    return invalid("port " + quoted(port) + " is neither a number nor a service name");
  }
  return {};
}

Result<void> check(const InetAddress& inet) noexcept {
  if (inet.host.size() > kMaxHostBytes) {
    return invalid("host " + quoted(inet.host) + " is longer than 255 bytes");
  }
  if (!is_plain_word(inet.host)) return invalid("host " + quoted(inet.host) + " is not valid");
  if (inet.ipv4 == false && inet.ipv6 == false) {
    return invalid("Cannot disable IPv4 and IPv6 at same time");
  }
  return check_port(inet.port);
}

Result<void> check(const UnixAddress& unix_address) noexcept {
  if (unix_address.path.empty()) return invalid("invalid Unix socket address: the path is empty");
  if (unix_address.path.size() > kMaxUnixPathBytes) {
    return invalid("UNIX socket path " + quoted(unix_address.path) +
                   " is too long: paths must be less than 108 bytes");
  }
  if (has_nul(unix_address.path)) {
    return invalid("UNIX socket path " + quoted(unix_address.path) + " contains a NUL byte");
  }
  return {};
}

Result<void> check(const VsockAddress& vsock) noexcept {
  constexpr uint64_t kMax = 0xffffffff;
  if (!parse_decimal(vsock.cid, kMax)) return invalid("Failed to parse cid " + quoted(vsock.cid));
  if (!parse_decimal(vsock.port, kMax)) {
    return invalid("Failed to parse port " + quoted(vsock.port));
  }
  return {};
}

Result<void> check(const FdAddress& fd) noexcept {
  if (fd.str.empty() || fd.str.size() > kMaxFdNameBytes || has_nul(fd.str)) {
    return invalid("File descriptor named " + quoted(fd.str) + " has not been found");
  }
  return {};
}

Result<void> check(const ExecAddress& exec) noexcept {
  if (exec.args.empty() || exec.args[0].empty()) return invalid("exec: the command is empty");
  if (exec.args.size() > kMaxExecArgs) return invalid("exec: more than 1024 arguments");
  for (const std::string& arg : exec.args) {
    if (has_nul(arg)) return invalid("exec: argument " + quoted(arg) + " contains a NUL byte");
    if (arg.size() > kMaxUriBytes) return invalid("exec: an argument is longer than 128 KiB");
  }
  return {};
}

/// "", "=on", "=off" of a flag option.
Result<bool> parse_flag(std::string_view name, std::string_view value) noexcept {
  if (value.empty() || value == "=on") return true;
  if (value == "=off") return false;
  return invalid("error parsing '" + std::string(name) + "' flag " + quoted(value));
}

Result<void> parse_option(InetAddress& inet, std::string_view option) noexcept {
  const size_t equals = std::min(option.find('='), option.size());
  const std::string_view name = option.substr(0, equals);
  const std::string_view value = option.substr(equals);  // with its '='
  if (name == "to") {
    const auto to = value.empty() ? std::nullopt : parse_decimal(value.substr(1), 65535);
    if (!to) return invalid("error parsing to= argument " + quoted(value));
    if (inet.to) return invalid("Parameter 'to' is given twice");
    inet.to = static_cast<uint16_t>(*to);
    return {};
  }
  struct Flag {
    std::string_view name;
    std::optional<bool> InetAddress::*member;
  };
  static constexpr std::array<Flag, 4> kFlags{{{"ipv4", &InetAddress::ipv4},
                                               {"ipv6", &InetAddress::ipv6},
                                               {"keep-alive", &InetAddress::keep_alive},
                                               {"numeric", &InetAddress::numeric}}};
  for (const Flag& flag : kFlags) {
    if (name != flag.name) continue;
    if (inet.*flag.member) return invalid("Parameter " + quoted(name) + " is given twice");
    inet.*flag.member = TERN_TRY(parse_flag(name, value));
    return {};
  }
  return invalid("Invalid parameter " + quoted(name));
}

Result<Address> parse_tcp(std::string_view rest) noexcept {
  InetAddress inet;
  const bool bracketed = rest.starts_with('[');
  const std::string what = bracketed ? "error parsing IPv6 address " : "error parsing address ";
  size_t colon = rest.find(':');
  if (bracketed) {
    const size_t close = rest.find(']');
    if (close == std::string_view::npos || close == 1) return invalid(what + quoted(rest));
    inet.host = rest.substr(1, close - 1);
    colon = close + 1;
  } else if (colon != std::string_view::npos) {
    inet.host = rest.substr(0, colon);
  }
  if (colon >= rest.size() || rest[colon] != ':') return invalid(what + quoted(rest));
  std::string_view tail = rest.substr(colon + 1);
  size_t comma = std::min(tail.find(','), tail.size());
  inet.port = tail.substr(0, comma);
  if (inet.port.empty()) return invalid(what + quoted(rest));
  while (comma < tail.size()) {
    tail.remove_prefix(comma + 1);
    comma = std::min(tail.find(','), tail.size());
    TERN_TRY(parse_option(inet, tail.substr(0, comma)));
  }
  return Address(std::move(inet));
}

Result<Address> parse_vsock(std::string_view rest) noexcept {
  const size_t colon = rest.find(':');
  if (colon == std::string_view::npos) return invalid("error parsing address " + quoted(rest));
  return Address(
      VsockAddress{std::string(rest.substr(0, colon)), std::string(rest.substr(colon + 1))});
}

Result<Address> parse_unchecked(std::string_view uri) noexcept {
  const size_t colon = std::min(uri.find(':'), uri.size());
  const std::string_view scheme = uri.substr(0, colon);
  if (colon == uri.size()) return invalid("unknown migration protocol: " + quoted(uri));
  const std::string_view rest = uri.substr(colon + 1);
  if (scheme == "tcp") return parse_tcp(rest);
  if (scheme == "unix") return Address(UnixAddress{std::string(rest)});
  if (scheme == "vsock") return parse_vsock(rest);
  if (scheme == "fd") return Address(FdAddress{std::string(rest)});
  if (scheme == "exec") {
    if (rest.empty()) return invalid("exec: the command is empty");
    return Address(ExecAddress{{"/bin/sh", "-c", std::string(rest)}});
  }
  return invalid("unknown migration protocol: " + quoted(uri));
}

void append_flag(std::string& uri, std::string_view name, std::optional<bool> value) noexcept {
  if (!value) return;
  uri += ',';
  uri += name;
  uri += *value ? "=on" : "=off";
}

struct UriWriter {
  std::string operator()(const InetAddress& inet) const noexcept {
    const bool literal6 = inet.host.find(':') != std::string::npos;
    std::string uri = "tcp:" + (literal6 ? "[" + inet.host + "]" : inet.host) + ":" + inet.port;
    if (inet.to) uri += ",to=" + std::to_string(*inet.to);
    append_flag(uri, "ipv4", inet.ipv4);
    append_flag(uri, "ipv6", inet.ipv6);
    append_flag(uri, "keep-alive", inet.keep_alive);
    append_flag(uri, "numeric", inet.numeric);
    return uri;
  }
  std::string operator()(const UnixAddress& unix_address) const noexcept {
    return "unix:" + std::string(unix_address.abstract ? "@" : "") + unix_address.path;
  }
  std::string operator()(const VsockAddress& vsock) const noexcept {
    return "vsock:" + vsock.cid + ":" + vsock.port;
  }
  std::string operator()(const FdAddress& fd) const noexcept { return "fd:" + fd.str; }
  std::string operator()(const ExecAddress& exec) const noexcept {
    const bool shell = exec.args.size() == 3 && exec.args[0] == "/bin/sh" && exec.args[1] == "-c";
    if (shell) return "exec:" + exec.args[2];
    std::string uri = "exec:";
    for (size_t i = 0; i < exec.args.size(); ++i) uri += (i == 0 ? "" : " ") + exec.args[i];
    return uri;
  }
};

}  // namespace

Result<void> validate(const Address& address) noexcept {
  return std::visit([](const auto& a) noexcept { return check(a); }, address);
}

std::optional<uint64_t> parse_decimal(std::string_view text, uint64_t max) noexcept {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value > max) {
    return std::nullopt;
  }
  return value;
}

std::string quoted(std::string_view text) noexcept {
  constexpr size_t kMaxShown = 200;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "'";
  for (const char c : text.substr(0, kMaxShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  if (text.size() > kMaxShown) out += "...";
  return out + "'";
}

}  // namespace transport

Result<Address> parse_uri(std::string_view uri) noexcept {
  if (uri.size() > transport::kMaxUriBytes) {
    return Error(ErrorCode::invalid_argument, "the address is longer than 128 KiB");
  }
  Address address = TERN_TRY(transport::parse_unchecked(uri));
  TERN_TRY(transport::validate(address));
  return address;
}

std::string to_uri(const Address& address) noexcept {
  return std::visit(transport::UriWriter{}, address);
}

}  // namespace tern
