// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/secret.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/fd.h"
#include "transport/tls/openssl.h"

namespace tern::transport::tls {
namespace {

Error bad(std::string text) noexcept { return {ErrorCode::invalid_argument, std::move(text)}; }

int digit_of(char c) noexcept {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

// White space may stand anywhere: the tools that make base64 break its lines.
Result<std::string> decode_base64(std::string_view text) noexcept {
  std::string bytes;
  uint32_t bits = 0;
  size_t digits = 0;
  size_t padding = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == ' ' || c == '\t') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    const int digit = digit_of(c);
    if (digit < 0 || padding > 0) return bad("Base64 data contains invalid characters");
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if (++digits % 4 == 0) {
      bytes +=
          {static_cast<char>(bits >> 16), static_cast<char>(bits >> 8), static_cast<char>(bits)};
    }
  }
  const size_t rest = digits % 4;
  if (rest == 1 || padding != (4 - rest) % 4) return bad("Base64 data is cut off");
  if (rest >= 2) bytes += static_cast<char>(bits >> (rest == 2 ? 4 : 10));
  if (rest == 3) bytes += static_cast<char>(bits >> 2);
  return bytes;
}

}  // namespace

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe();
    bytes_ = std::move(other.bytes_);
    other.wipe();
  }
  return *this;
}

void Secret::wipe() noexcept {
  // All of what the string owns: what was moved out of a short one is still there.
  bytes_.resize(bytes_.capacity());
  OPENSSL_cleanse(bytes_.data(), bytes_.size());
  bytes_.clear();
}

Result<Secret> Secret::from_text(std::string_view text, bool base64) noexcept {
  if (text.size() > kMaxSecretBytes) {
    return bad("a secret has at most " + std::to_string(kMaxSecretBytes) + " bytes");
  }
  if (!base64) return Secret(std::string(text));
  return Secret(TERN_TRY(decode_base64(text)));
}

Result<Secret> Secret::from_file(const std::string& path, bool base64) noexcept {
  const Secret file(TERN_TRY(read_small_file(path, kMaxSecretBytes)));
  return from_text(file.bytes(), base64);
}

Result<std::string> read_small_file(const std::string& path, size_t max_bytes) noexcept {
  const auto failed = [&path](int sys_errno) {
    return errno_error(ErrorCode::invalid_argument, "Unable to read " + path, sys_errno);
  };
  // Non-blocking: a FIFO without a writer must not hang whoever adds an object.
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return failed(errno);
  std::string bytes(max_bytes + 1, '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t n = ::read(fd.get(), bytes.data() + filled, bytes.size() - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(errno);
    if (n == 0) break;
    filled += static_cast<size_t>(n);
  }
  if (filled > max_bytes) {
    return bad("Unable to read " + path + ": more than " + std::to_string(max_bytes) + " bytes");
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace tern::transport::tls
