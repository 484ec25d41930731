// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/memory_save.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "base/fd.h"

namespace tern::qmp {
namespace {

using Piece = std::span<const std::byte>;

std::string hex(uint64_t value) noexcept {
  std::string out;
  for (; value != 0 || out.empty(); value >>= 4) out.insert(0, 1, "0123456789abcdef"[value & 15]);
  return "0x" + out;
}

Result<std::vector<Piece>> pieces_of(std::span<const RamBlock> ram, uint64_t address,
                                     uint64_t size) noexcept {
  std::vector<Piece> pieces;
  while (size > 0) {
    const auto block = std::find_if(ram.begin(), ram.end(), [&](const RamBlock& b) {
      return address >= b.gpa && address - b.gpa < b.used_bytes;
    });
    if (block == ram.end()) {
      return Error(ErrorCode::invalid_argument, "No RAM at guest-physical address " + hex(address));
    }
    const uint64_t offset = address - block->gpa;
    const uint64_t length = std::min(size, block->used_bytes - offset);
    pieces.emplace_back(block->host + offset, length);
    size -= length;
    address += length;  // may wrap to 0 exactly when size becomes 0
  }
  return pieces;
}

Result<void> write_all(int fd, Piece piece, const std::string& path) noexcept {
  while (!piece.empty()) {
    const ssize_t n = ::write(fd, piece.data(), std::min<size_t>(piece.size(), 1u << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(ErrorCode::channel, "cannot write '" + path + "'", errno);
    piece = piece.subspan(static_cast<size_t>(n));
  }
  return {};
}

}  // namespace

Result<void> save_physical_memory(std::span<const RamBlock> ram, uint64_t address, uint64_t size,
                                  const std::string& path) noexcept {
  const std::vector<Piece> pieces = TERN_TRY(pieces_of(ram, address, size));
  // O_NONBLOCK: opening or filling a pipe must not stop the thread that answers clients.
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0600));
  if (!file) return errno_error(ErrorCode::channel, "cannot open '" + path + "'", errno);
  for (const Piece& piece : pieces) TERN_TRY(write_all(file.get(), piece, path));
  if (::close(file.release()) != 0) {
    return errno_error(ErrorCode::channel, "cannot write '" + path + "'", errno);
  }
  return {};
}

}  // namespace tern::qmp
