// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_ram_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "ram/codec/xbzrle.h"

namespace tern::tool {
namespace {

std::string file_name(std::string_view block) noexcept {
  std::string name;
  for (const char c : block) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '@' || (c == '.' && !name.empty());
    name += plain ? c : '_';
  }
  return name;
}

Error refused(ErrorCode code, const std::string& path) noexcept {
  return Error(code, path + ": " + std::strerror(errno));
}

}  // namespace

Result<void> RamFiles::add(std::string_view block, uint64_t bytes) noexcept {
  constexpr mode_t kDirectory = 0777;  // less what umask takes, as for every file
  constexpr mode_t kFile = 0666;
  if (::mkdir(directory_.c_str(), kDirectory) != 0 && errno != EEXIST) {
    return refused(ErrorCode::invalid_argument, directory_);
  }
  std::string path = directory_ + "/" + file_name(block);
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFile));
  if (!fd) return refused(ErrorCode::invalid_argument, path);
  if (bytes > INT64_MAX) errno = EFBIG;
  if (bytes > INT64_MAX || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    return refused(ErrorCode::invalid_argument, path);
  }
  files_.push_back({std::move(path), std::move(fd)});
  return {};
}

Result<void> RamFiles::write(size_t block, uint64_t offset,
                             std::span<const std::byte> page) noexcept {
  const File& file = files_[block];
  while (!page.empty()) {
    const ssize_t n = ::pwrite(file.fd.get(), page.data(), page.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return refused(ErrorCode::channel, file.path);
    page = page.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<void> RamFiles::zero(size_t block, uint64_t offset) noexcept {
  // What was never written is a hole, which reads as zeros.
  const File& file = files_[block];
  if (::fallocate(file.fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(offset), kTargetPageBytes) == 0) {
    return {};
  }
  constexpr std::array<std::byte, kTargetPageBytes> kZeros{};
  return write(block, offset, kZeros);
}

Result<void> RamFiles::patch(size_t block, uint64_t offset,
                             std::span<const std::byte> payload) noexcept {
  std::array<std::byte, kTargetPageBytes> page{};
  const File& file = files_[block];
  if (::pread(file.fd.get(), page.data(), page.size(), static_cast<off_t>(offset)) !=
      static_cast<ssize_t>(page.size())) {
    return refused(ErrorCode::channel, file.path);
  }
  TERN_TRY(decode_xbzrle(payload, page));
  return write(block, offset, page);
}

Result<void> RamFiles::inflate(size_t block, uint64_t offset,
                               std::span<const std::byte> payload) noexcept {
  std::array<std::byte, kTargetPageBytes> page{};
  TERN_TRY(inflater_.inflate(payload, page));
  return write(block, offset, page);
}

}  // namespace tern::tool
