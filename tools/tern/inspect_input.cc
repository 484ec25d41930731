// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_input.h"

#include <unistd.h>

#include <cerrno>
#include <vector>

namespace tern::tool {

Result<size_t> FileInput::read_some(std::span<std::byte> into) noexcept {
  for (;;) {
    const ssize_t n = ::read(fd_, into.data(), into.size());
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return errno_error(ErrorCode::channel, "reading " + name_, errno);
  }
}

Result<void> FileInput::skip(uint64_t bytes) noexcept {
  std::vector<std::byte> scrap(std::min<uint64_t>(bytes, 1u << 20));
  while (bytes > 0) {
    const size_t n =
        TERN_TRY(read_some(std::span(scrap).first(std::min<uint64_t>(bytes, scrap.size()))));
    if (n == 0) return Error(ErrorCode::channel, name_ + " ends before the offset");
    bytes -= n;
  }
  return {};
}

}  // namespace tern::tool
