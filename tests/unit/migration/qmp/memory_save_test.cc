// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/memory_save.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

namespace tern::qmp {
namespace {

class MemorySave : public ::testing::Test {
 protected:
  MemorySave() {
    for (size_t i = 0; i < low_.size(); ++i) low_[i] = static_cast<std::byte>(i);
    for (size_t i = 0; i < high_.size(); ++i) high_[i] = static_cast<std::byte>(0xC0 ^ i);
    ram_.push_back({.idstr = "low", .host = low_.data(), .used_bytes = low_.size(), .gpa = 0});
    ram_.push_back(
        {.idstr = "high", .host = high_.data(), .used_bytes = high_.size(), .gpa = 4096});
    ram_.push_back({.idstr = "far", .host = low_.data(), .used_bytes = 4096, .gpa = 1ull << 32});
    char name[] = "/tmp/tern-memsave-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/out";
  }
  ~MemorySave() override {
    std::remove(path_.c_str());
    std::remove(directory_.c_str());
  }
  std::vector<char> saved() {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::vector<std::byte> low_ = std::vector<std::byte>(4096);
  std::vector<std::byte> high_ = std::vector<std::byte>(4096);
  std::vector<RamBlock> ram_;
  std::string directory_;
  std::string path_;
};

TEST_F(MemorySave, a_range_over_two_blocks_is_written_without_a_seam) {
  ASSERT_TRUE(save_physical_memory(ram_, 4000, 200, path_).has_value());
  const std::vector<char> bytes = saved();
  ASSERT_EQ(bytes.size(), 200u);
  EXPECT_EQ(bytes[0], static_cast<char>(low_[4000]));
  EXPECT_EQ(bytes[95], static_cast<char>(low_[4095]));
  EXPECT_EQ(bytes[96], static_cast<char>(high_[0]));
  EXPECT_EQ(bytes[199], static_cast<char>(high_[103]));
}

TEST_F(MemorySave, the_file_belongs_to_its_user_alone) {
  ASSERT_TRUE(save_physical_memory(ram_, 0, 1, path_).has_value());
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
}

TEST_F(MemorySave, a_range_that_is_not_all_ram_touches_no_file) {
  for (uint64_t address : std::vector<uint64_t>{8192, 8191, (1ull << 32) + 4095, ~0ull}) {
    const Result<void> result = save_physical_memory(ram_, address, 2, path_);
    ASSERT_FALSE(result.has_value()) << address;
    EXPECT_EQ(result.error().code(), ErrorCode::invalid_argument);
  }
  EXPECT_TRUE(saved().empty());
}

TEST_F(MemorySave, nothing_is_an_empty_file) {
  ASSERT_TRUE(save_physical_memory(ram_, 1ull << 60, 0, path_).has_value());
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 0);
}

TEST_F(MemorySave, a_file_that_cannot_be_opened_is_an_error_with_its_reason) {
  const Result<void> result = save_physical_memory(ram_, 0, 16, directory_ + "/no/such");
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(result.error().message().find("No such file"), std::string::npos);
}

TEST_F(MemorySave, a_pipe_without_a_reader_does_not_block) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(save_physical_memory(ram_, 0, 16, path_).has_value());
}

TEST_F(MemorySave, a_full_device_is_an_error) {
  const Result<void> result = save_physical_memory(ram_, 0, 4096, "/dev/full");
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(result.error().message().find("No space left"), std::string::npos);
}

}  // namespace
}  // namespace tern::qmp
