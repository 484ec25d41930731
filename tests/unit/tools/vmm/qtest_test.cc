// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/qtest.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "tests/unit/tools/vmm/support.h"
#include "tools/vmm/qtest_protocol.h"

namespace tern::vmm {
namespace {

class Client {
 public:
  explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    connected_ =
        ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  bool connected() const { return connected_; }
  void send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) std::abort();
      text.remove_prefix(static_cast<size_t>(n));
    }
  }
  /// The next line; "" when the server hung up.
  std::string line() {
    std::string text;
    char c = 0;
    while (::recv(fd_.get(), &c, 1, 0) == 1 && c != '\n') text += c;
    return text;
  }

 private:
  UniqueFd fd_;
  bool connected_ = false;
};

class Qtest : public testing::Test {
 protected:
  ~Qtest() override { memory_.close(); }
  TempDir dir_;
  std::string path_ = dir_.file("qtest");
  Ram ram_ = small_ram(1 << 20);
  GuestMemory memory_{ram_.blocks()};
};

TEST_F(Qtest, lines_are_answered_however_they_are_cut) {
  const auto server = must(QtestServer::create(path_, memory_, null_log()));
  Client client(path_);
  ASSERT_TRUE(client.connected());
  client.send("writeb 0 5\nreadb 0\nend");
  EXPECT_EQ(client.line(), "OK");
  EXPECT_EQ(client.line(), "OK 0x0000000000000005");
  client.send("ian");
  client.send("ness\n");
  EXPECT_EQ(client.line(), "OK little");
}

TEST_F(Qtest, the_largest_write_fits_into_a_line) {
  const Ram ram = small_ram(kQtestMaxBytes);
  GuestMemory memory(ram.blocks());
  const auto server = must(QtestServer::create(path_, memory, null_log()));
  Client client(path_);
  client.send("write 0x0 0x1000000 0x" + std::string(2 * kQtestMaxBytes, '5') + "\n");
  EXPECT_EQ(client.line(), "OK");
  EXPECT_EQ(ram.blocks()[0].host[kQtestMaxBytes - 1], std::byte{0x55});
  memory.close();
}

TEST_F(Qtest, a_line_without_end_is_refused_and_the_next_one_answered) {
  const auto server = must(QtestServer::create(path_, memory_, null_log()));
  Client client(path_);
  const std::string chunk(1 << 20, 'x');
  for (size_t sent = 0; sent <= kQtestMaxLine + chunk.size(); sent += chunk.size()) {
    client.send(chunk);
  }
  client.send("\nreadb 0\n");
  EXPECT_EQ(client.line(), "FAIL line above " + std::to_string(kQtestMaxLine) + " bytes");
  EXPECT_EQ(client.line(), "OK 0x0000000000000000");
}

TEST_F(Qtest, one_client_comes_after_the_other) {
  const auto server = must(QtestServer::create(path_, memory_, null_log()));
  for (int i = 0; i < 3; ++i) {
    Client client(path_);
    client.send("endianness\n");
    EXPECT_EQ(client.line(), "OK little");
  }
}

TEST_F(Qtest, ending_the_server_ends_a_connection_that_waits) {
  auto server = must(QtestServer::create(path_, memory_, null_log()));
  Client client(path_);
  client.send("endianness\n");
  EXPECT_EQ(client.line(), "OK little");
  server.reset();
  EXPECT_EQ(client.line(), "");
  EXPECT_FALSE(Client(path_).connected());
}

TEST_F(Qtest, a_held_write_is_answered_after_the_release) {
  const auto server = must(QtestServer::create(path_, memory_, null_log()));
  memory_.hold_writes(true);
  Client client(path_);
  client.send("writeb 0 9\n");
  EXPECT_EQ(ram_.blocks()[0].host[0], std::byte{0});
  memory_.hold_writes(false);
  EXPECT_EQ(client.line(), "OK");
}

TEST_F(Qtest, the_socket_is_private_a_stale_one_is_replaced_a_live_one_not) {
  auto server = must(QtestServer::create(path_, memory_, null_log()));
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_FALSE(QtestServer::create(path_, memory_, null_log()));
  server.reset();
  {
    const UniqueFd stale(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    ASSERT_EQ(::bind(stale.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  server = must(QtestServer::create(path_, memory_, null_log()));
  EXPECT_TRUE(Client(path_).connected());
  EXPECT_FALSE(QtestServer::create("", memory_, null_log()));
  EXPECT_FALSE(QtestServer::create(std::string(200, 'x'), memory_, null_log()));
}

}  // namespace
}  // namespace tern::vmm
