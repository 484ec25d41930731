// SPDX-License-Identifier: Apache-2.0
//
// What the tests of transport/ share: real descriptors of all kinds, and whole reads and writes
// over a Channel.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/channel.h"
#include "base/fd.h"

namespace tern::transport {

inline std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

inline iovec slice_of(std::span<const std::byte> bytes) {
  return {const_cast<std::byte*>(bytes.data()), bytes.size()};
}

inline Result<size_t> write_once(Channel& channel, const std::string& text) {
  const iovec slice = slice_of(bytes_of(text));
  return channel.write_some(std::span<const iovec>(&slice, 1));
}

/// Writes all of it; the error of the call that failed otherwise.
inline Result<void> write_all(Channel& channel, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const iovec slice = slice_of(bytes);
    bytes = bytes.subspan(TERN_TRY(channel.write_some(std::span<const iovec>(&slice, 1))));
  }
  return {};
}

inline Result<void> write_all(Channel& channel, const std::string& text) {
  return write_all(channel, bytes_of(text));
}

inline Result<size_t> read_once(Channel& channel, std::string& into, size_t at_most = 4096) {
  std::vector<std::byte> buffer(at_most);
  const size_t n = TERN_TRY(channel.read_some(buffer));
  into.assign(reinterpret_cast<const char*>(buffer.data()), n);
  return n;
}

/// Everything until the peer closes, in pieces of at most `piece`.
inline Result<std::string> read_to_end(Channel& channel, size_t piece = 65536) {
  std::string all;
  for (;;) {
    std::string part;
    if (TERN_TRY(read_once(channel, part, piece)) == 0) return all;
    all += part;
  }
}

/// Writes until the kernel takes no more; the error that ended it.
inline Error fill(Channel& channel) {
  const std::string block(65536, 'f');
  for (;;) {
    Result<size_t> n = write_once(channel, block);
    if (!n) return std::move(n).error();
  }
}

/// Reproducible bytes that repeat at no power of two.
inline std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 31 + i / 251) & 0xff);
  return text;
}

inline std::pair<Fd, Fd> socket_pair(int type = SOCK_STREAM) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

inline std::pair<Fd, Fd> pipe_pair() {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::pipe(ends), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

/// A directory that is removed with its contents.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "tern-test-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Takes all descriptors the process may have but `left`, and gives them back at the end.
class FdExhaustion {
 public:
  explicit FdExhaustion(size_t left) {
    for (;;) {
      Fd fd(::dup(STDERR_FILENO));
      if (!fd) break;
      held_.push_back(std::move(fd));
    }
    EXPECT_GT(held_.size(), left);
    held_.resize(held_.size() - left);
  }

 private:
  std::vector<Fd> held_;
};

}  // namespace tern::transport
