// SPDX-License-Identifier: Apache-2.0
//
// A secret: bytes that are wiped when they are dropped, given in a text or in a file, raw or in
// base64. Knows nothing of what they protect.
#pragma once

#include <string>
#include <string_view>

#include "tern/result.h"

namespace tern::transport::tls {

/// Most bytes of a secret, and of the file it comes from.
inline constexpr size_t kMaxSecretBytes = 64u << 10;

class Secret {
 public:
  Secret() noexcept = default;
  explicit Secret(std::string bytes) noexcept : bytes_(std::move(bytes)) {}
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) { other.wipe(); }
  Secret& operator=(Secret&& other) noexcept;
  ~Secret() { wipe(); }

  /// Errors: invalid_argument (no base64, too long).
  static Result<Secret> from_text(std::string_view text, bool base64) noexcept;
  /// The whole file, a newline at its end included, as QEMU takes it. Errors: invalid_argument.
  static Result<Secret> from_file(const std::string& path, bool base64) noexcept;

  std::string_view bytes() const noexcept { return bytes_; }

 private:
  void wipe() noexcept;
  std::string bytes_;
};

/// A file of a bounded size. Errors: invalid_argument ("Unable to read PATH: why").
Result<std::string> read_small_file(const std::string& path, size_t max_bytes) noexcept;

}  // namespace tern::transport::tls
