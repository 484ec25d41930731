// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/qtest_protocol.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <optional>
#include <span>
#include <vector>

#include "tools/vmm/le_bytes.h"

namespace tern::vmm {
namespace {

using Words = std::vector<std::string_view>;
using Reply = Result<std::string>;

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// No command has more words; the rest of a line is not cut.
constexpr size_t kMaxWords = 8;

Error bad(std::string what) noexcept { return Error(ErrorCode::invalid_argument, std::move(what)); }

Words split(std::string_view line) noexcept {
  Words words;
  while (words.size() <= kMaxWords) {
    const size_t from = line.find_first_not_of(" \t\r");
    if (from == std::string_view::npos) break;
    line.remove_prefix(from);
    const size_t to = std::min(line.find_first_of(" \t\r"), line.size());
    words.push_back(line.substr(0, to));
    line.remove_prefix(to);
  }
  return words;
}

Result<uint64_t> number(std::string_view text, std::string_view what) noexcept {
  std::string_view digits = text;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    digits.remove_prefix(2);
    base = 16;
  }
  uint64_t value = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (ec != std::errc() || end != digits.data() + digits.size()) {
    return bad(std::string(what) + " '" + std::string(text.substr(0, 40)) + "' is not a number");
  }
  return value;
}

Result<uint64_t> length(std::string_view text) noexcept {
  const uint64_t bytes = TERN_TRY(number(text, "length"));
  if (bytes > kQtestMaxBytes) {
    return bad("length " + std::to_string(bytes) + " is above " + std::to_string(kQtestMaxBytes));
  }
  return bytes;
}

std::string to_hex(std::span<const std::byte> bytes) noexcept {
  std::string out = "0x";
  out.reserve(2 + 2 * bytes.size());
  for (const auto byte : bytes) {
    out += kHex[static_cast<size_t>(byte) >> 4];
    out += kHex[static_cast<size_t>(byte) & 0xf];
  }
  return out;
}

Result<std::vector<std::byte>> from_hex(std::string_view text, uint64_t bytes) noexcept {
  if (!text.starts_with("0x")) return bad("data must begin with 0x");
  text.remove_prefix(2);
  if (text.size() != 2 * bytes) {
    return bad("data has " + std::to_string(text.size()) + " hex digits, " +
               std::to_string(2 * bytes) + " belong to the length");
  }
  std::vector<std::byte> out(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    uint8_t value = 0;
    const auto [end, ec] = std::from_chars(&text[2 * i], &text[2 * i] + 2, value, 16);
    if (ec != std::errc() || end != &text[2 * i] + 2) return bad("data is not hex");
    out[i] = std::byte{value};
  }
  return out;
}

std::string to_base64(std::span<const std::byte> bytes) noexcept {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < left ? static_cast<uint32_t>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += j <= left ? kBase64[group >> (18 - 6 * j) & 0x3f] : '=';
    }
  }
  return out;
}

Result<std::vector<std::byte>> from_base64(std::string_view text, uint64_t bytes) noexcept {
  if (text.size() % 4 != 0) return bad("data is not base64: its length is no multiple of 4");
  std::vector<std::byte> out;
  out.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    uint32_t group = 0;
    size_t padding = 0;
    for (size_t j = 0; j < 4; ++j) {
      const size_t digit = kBase64.find(text[i + j]);
      const bool pad = text[i + j] == '=' && j >= 2 && i + 4 == text.size();
      if ((digit == std::string_view::npos && !pad) || (padding > 0 && !pad)) {
        return bad("data is not base64");
      }
      padding += pad ? 1 : 0;
      group = group << 6 | (pad ? 0U : static_cast<uint32_t>(digit));
    }
    for (size_t j = 0; j < 3 - padding; ++j) {
      out.push_back(static_cast<std::byte>(group >> (16 - 8 * j) & 0xff));
    }
  }
  if (out.size() != bytes) {
    return bad("data has " + std::to_string(out.size()) + " bytes, the length says " +
               std::to_string(bytes));
  }
  return out;
}

/// 1, 2, 4, 8 for b, w, l, q.
size_t width(char suffix) noexcept {
  switch (suffix) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'l':
      return 4;
    default:
      return 8;
  }
}

Result<std::vector<std::byte>> read_bytes(GuestMemory& memory, const Words& words) noexcept {
  const uint64_t address = TERN_TRY(number(words[1], "address"));
  std::vector<std::byte> bytes(TERN_TRY(length(words[2])));
  TERN_TRY(memory.read(address, bytes));
  return bytes;
}

Reply do_read(GuestMemory& memory, const Words& words) noexcept {
  return "OK " + to_hex(TERN_TRY(read_bytes(memory, words)));
}
Reply do_b64read(GuestMemory& memory, const Words& words) noexcept {
  return "OK " + to_base64(TERN_TRY(read_bytes(memory, words)));
}
Reply do_write(GuestMemory& memory, const Words& words) noexcept {
  const uint64_t address = TERN_TRY(number(words[1], "address"));
  const uint64_t wanted = TERN_TRY(length(words[2]));
  const auto bytes = TERN_TRY(from_hex(words[3], wanted));
  TERN_TRY(memory.write(address, bytes));
  return std::string("OK");
}
Reply do_b64write(GuestMemory& memory, const Words& words) noexcept {
  const uint64_t address = TERN_TRY(number(words[1], "address"));
  const uint64_t wanted = TERN_TRY(length(words[2]));
  const auto bytes = TERN_TRY(from_base64(words[3], wanted));
  TERN_TRY(memory.write(address, bytes));
  return std::string("OK");
}
Reply do_memset(GuestMemory& memory, const Words& words) noexcept {
  const uint64_t address = TERN_TRY(number(words[1], "address"));
  const uint64_t bytes = TERN_TRY(number(words[2], "length"));
  const uint64_t value = TERN_TRY(number(words[3], "value"));
  TERN_TRY(memory.fill(address, bytes, static_cast<std::byte>(value & 0xff)));
  return std::string("OK");
}
Reply do_read_word(GuestMemory& memory, const Words& words) noexcept {
  std::array<std::byte, 8> bytes{};
  const uint64_t address = TERN_TRY(number(words[1], "address"));
  TERN_TRY(memory.read(address, std::span(bytes).first(width(words[0].back()))));
  char text[32];
  std::snprintf(text, sizeof text, "OK 0x%016llx",
                static_cast<unsigned long long>(load_le<uint64_t>(bytes)));
  return std::string(text);
}
Reply do_write_word(GuestMemory& memory, const Words& words) noexcept {
  std::array<std::byte, 8> bytes{};
  const uint64_t address = TERN_TRY(number(words[1], "address"));
  store_le<uint64_t>(bytes, 0, TERN_TRY(number(words[2], "value")));
  TERN_TRY(memory.write(address, std::span(bytes).first(width(words[0].back()))));
  return std::string("OK");
}
Reply do_endianness(GuestMemory&, const Words&) noexcept { return std::string("OK little"); }

struct Command {
  std::string_view name;
  size_t arguments;
  Reply (*execute)(GuestMemory&, const Words&) noexcept;
};
constexpr Command kCommands[] = {
    {"read", 2, do_read},         {"write", 3, do_write},       {"b64read", 2, do_b64read},
    {"b64write", 3, do_b64write}, {"memset", 3, do_memset},     {"endianness", 0, do_endianness},
    {"readb", 1, do_read_word},   {"readw", 1, do_read_word},   {"readl", 1, do_read_word},
    {"readq", 1, do_read_word},   {"writeb", 2, do_write_word}, {"writew", 2, do_write_word},
    {"writel", 2, do_write_word}, {"writeq", 2, do_write_word},
};

}  // namespace

std::string qtest_execute(GuestMemory& memory, std::string_view line) noexcept {
  const Words words = split(line);
  const std::string_view name = words.empty() ? std::string_view() : words.front();
  for (const Command& command : kCommands) {
    if (command.name != name) continue;
    if (words.size() != command.arguments + 1) {
      return "FAIL " + std::string(name) + " takes " + std::to_string(command.arguments) +
             " arguments";
    }
    auto reply = command.execute(memory, words);
    return reply ? std::move(*reply) : "FAIL " + reply.error().message();
  }
  return "FAIL Unknown command '" + std::string(name.substr(0, 80)) + "'";
}

}  // namespace tern::vmm
