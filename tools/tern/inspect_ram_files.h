// SPDX-License-Identifier: Apache-2.0
//
// RamFiles: the RAM that a main stream adds up to, a sparse file for each block: pages as they are,
// zeros, XBZRLE patches and compressed pages, in the order in which they stand. Memory: two pages.
//
// A block's name comes from the stream: what is no letter, digit, dot, dash, underscore or at sign
// becomes an underscore in the name of its file, and no file is written that exists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "ram/codec/zlib_page.h"
#include "tern/ram_block.h"
#include "tern/result.h"

namespace tern::tool {

class RamFiles {
 public:
  /// Made if it does not exist.
  explicit RamFiles(std::string directory) noexcept : directory_(std::move(directory)) {}

  /// The next block, numbered from 0. Errors: invalid_argument naming the file.
  Result<void> add(std::string_view block, uint64_t bytes) noexcept;
  /// `offset`: inside the block. Errors: channel naming the file; peer_protocol for a payload.
  Result<void> write(size_t block, uint64_t offset, std::span<const std::byte> page) noexcept;
  Result<void> zero(size_t block, uint64_t offset) noexcept;
  Result<void> patch(size_t block, uint64_t offset, std::span<const std::byte> payload) noexcept;
  Result<void> inflate(size_t block, uint64_t offset, std::span<const std::byte> payload) noexcept;

 private:
  struct File {
    std::string path;
    Fd fd;
  };
  std::string directory_;
  std::vector<File> files_;
  PageInflater inflater_;
};

}  // namespace tern::tool
