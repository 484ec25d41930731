// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/unix_listener.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>

namespace tern::qmp {
namespace {

class UnixListenerTest : public ::testing::Test {
 protected:
  UnixListenerTest() {
    char name[] = "/tmp/tern-listen-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/qmp";
  }
  ~UnixListenerTest() override {
    std::remove(path_.c_str());
    std::remove(directory_.c_str());
  }
  Fd connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto* plain = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    if (::connect(fd.get(), plain, sizeof address) != 0) return {};
    return fd;
  }
  bool exists() {
    struct stat info {};
    return ::lstat(path_.c_str(), &info) == 0;
  }
  std::string directory_;
  std::string path_;
};

TEST_F(UnixListenerTest, the_file_is_for_its_user_only_and_goes_with_the_listener) {
  {
    const mode_t before = ::umask(0);
    Result<UnixListener> listener = UnixListener::bind(path_);
    ::umask(before);
    ASSERT_TRUE(listener.has_value());
    struct stat info {};
    ASSERT_EQ(::lstat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777u, 0600u);
  }
  EXPECT_FALSE(exists());
}

TEST_F(UnixListenerTest, clients_are_accepted_one_by_one) {
  Result<UnixListener> listener = UnixListener::bind(path_);
  ASSERT_TRUE(listener.has_value());
  EXPECT_FALSE(*listener->accept());
  const Fd first = connect();
  const Fd second = connect();
  EXPECT_TRUE(*listener->accept());
  EXPECT_TRUE(*listener->accept());
  EXPECT_FALSE(*listener->accept());
}

TEST_F(UnixListenerTest, a_stale_socket_file_is_replaced) {
  {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    const Fd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto* plain = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    ASSERT_EQ(::bind(dead.get(), plain, sizeof address), 0);
  }
  ASSERT_TRUE(exists());
  Result<UnixListener> listener = UnixListener::bind(path_);
  ASSERT_TRUE(listener.has_value());
  EXPECT_TRUE(connect());
}

TEST_F(UnixListenerTest, a_socket_in_use_is_refused_and_stays) {
  Result<UnixListener> first = UnixListener::bind(path_);
  ASSERT_TRUE(first.has_value());
  Result<UnixListener> second = UnixListener::bind(path_);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code(), ErrorCode::failed_precondition);
  EXPECT_TRUE(connect());
}

TEST_F(UnixListenerTest, a_file_that_is_no_socket_is_refused_and_stays) {
  std::ofstream(path_) << "precious";
  Result<UnixListener> listener = UnixListener::bind(path_);
  ASSERT_FALSE(listener.has_value());
  std::string word;
  std::ifstream(path_) >> word;
  EXPECT_EQ(word, "precious");
}

TEST_F(UnixListenerTest, a_file_that_is_another_ones_by_now_is_not_removed) {
  std::optional<UnixListener> first;
  {
    Result<UnixListener> bound = UnixListener::bind(path_);
    ASSERT_TRUE(bound.has_value());
    first.emplace(std::move(*bound));
  }
  ASSERT_EQ(::unlink(path_.c_str()), 0);
  Result<UnixListener> second = UnixListener::bind(path_);
  ASSERT_TRUE(second.has_value());
  first.reset();
  EXPECT_TRUE(connect());
}

TEST_F(UnixListenerTest, paths_that_no_socket_can_have_are_refused) {
  for (const std::string& path : {std::string(), std::string(108, 'p'), std::string("a\0b", 3)}) {
    Result<UnixListener> listener = UnixListener::bind(path);
    ASSERT_FALSE(listener.has_value());
    EXPECT_EQ(listener.error().code(), ErrorCode::invalid_argument);
  }
  EXPECT_FALSE(UnixListener::bind(directory_ + "/no/such").has_value());
}

}  // namespace
}  // namespace tern::qmp
