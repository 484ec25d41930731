// SPDX-License-Identifier: Apache-2.0
//
// Our records of TLS 1.3 against OpenSSL's: tickets, new keys, pieces of any size.
#include "transport/tls/records.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/doubles/certificates.h"

namespace tern::transport::tls {
namespace {

using test::Pki;

/// A server that is OpenSSL alone, with its tickets, and a client of ours.
class WithOpenSsl : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string& dir = Pki::usual().dir;
    context_.reset(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_use_certificate_chain_file(context_.get(), (dir + "/server-cert.pem").c_str());
    SSL_CTX_use_PrivateKey_file(context_.get(), (dir + "/server-key.pem").c_str(),
                                SSL_FILETYPE_PEM);
    server_.reset(SSL_new(context_.get()));
    to_server_ = BIO_new(BIO_s_mem());
    from_server_ = BIO_new(BIO_s_mem());
    SSL_set_bio(server_.get(), to_server_, from_server_);
    SSL_set_accept_state(server_.get());
    client_ = *Session::create(*Credentials::x509({.dir = dir}), "localhost");
    for (bool done = false; !done;) {
      const auto step = client_->handshake();
      ASSERT_TRUE(step) << step.error().message();
      done = *step;
      carry();
      (void)SSL_do_handshake(server_.get());
      if (!done) feed(SIZE_MAX);
    }
    carry();
    (void)SSL_do_handshake(server_.get());
  }

  /// What our side has to say.
  void carry() {
    const auto bytes = client_->output().bytes();
    if (!bytes.empty()) BIO_write(to_server_, bytes.data(), static_cast<int>(bytes.size()));
    client_->output().clear();
  }
  /// At most `most` bytes of the server's.
  bool feed(size_t most) {
    wire_.resize(std::min<size_t>(most, 1 << 20));
    const int n = BIO_read(from_server_, wire_.data(), static_cast<int>(wire_.size()));
    wire_.resize(static_cast<size_t>(std::max(n, 0)));
    client_->feed(wire_);
    return n > 0;
  }
  void server_says(const std::string& text) {
    ASSERT_EQ(SSL_write(server_.get(), text.data(), static_cast<int>(text.size())),
              static_cast<int>(text.size()));
  }
  /// Everything that the server said, fed in pieces and read in pieces.
  std::string heard(size_t piece, size_t room) {
    std::string all;
    std::vector<std::byte> into(room);
    while (feed(piece)) {
      for (;;) {
        const auto got = client_->decrypt(into);
        EXPECT_TRUE(got) << got.error().message();
        if (!got || got->bytes == 0) break;
        all.append(reinterpret_cast<const char*>(into.data()), got->bytes);
      }
    }
    return all;
  }
  void client_says(const std::string& text) {
    const iovec slice{const_cast<char*>(text.data()), text.size()};
    ASSERT_EQ(*client_->encrypt({&slice, 1}, SIZE_MAX), text.size());
    carry();
  }
  std::string server_hears() {
    std::string all;
    char buffer[20000];
    for (int n = 0; (n = SSL_read(server_.get(), buffer, sizeof buffer)) > 0;) {
      all.append(buffer, static_cast<size_t>(n));
    }
    return all;
  }

  SslContextPtr context_;
  SslPtr server_;
  BIO* to_server_ = nullptr;  // of server_
  BIO* from_server_ = nullptr;
  std::unique_ptr<Session> client_;
  std::vector<std::byte> wire_;
};

TEST_F(WithOpenSsl, tickets_are_skipped_and_pieces_put_together) {
  const std::string text(50000, 'x');
  for (const auto& [piece, room] : {std::pair<size_t, size_t>{1, 100000},
                                    {7, 3},
                                    {5000, 16384},
                                    {1 << 20, 16384 + 100},
                                    {1 << 20, 1 << 20}}) {
    server_says(text);
    EXPECT_TRUE(heard(piece, room) == text) << piece << " " << room;
  }
  client_says(text);
  EXPECT_TRUE(server_hears() == text);
}

TEST_F(WithOpenSsl, new_keys_are_taken_and_given) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(SSL_key_update(server_.get(), SSL_KEY_UPDATE_REQUESTED), 1);
    server_says("new");
    EXPECT_EQ(heard(1 << 20, 100), "new");
    EXPECT_EQ(client_->output().size(), 0u) << "not before there is something to say";
    client_says("mine, too");
    EXPECT_EQ(server_hears(), "mine, too");
  }
}

TEST_F(WithOpenSsl, its_end_and_ours_are_understood) {
  client_says("all");
  client_->say_end();
  carry();
  EXPECT_EQ(server_hears(), "all");
  EXPECT_EQ(SSL_get_shutdown(server_.get()) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
  server_says("last");
  SSL_shutdown(server_.get());
  feed(SIZE_MAX);
  std::vector<std::byte> into(1000);
  const auto got = client_->decrypt(into);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->bytes, 4u);
  EXPECT_TRUE(got->ended);
}

TEST_F(WithOpenSsl, padding_is_taken_off) {
  SSL_set_block_padding(server_.get(), 512);
  server_says("x");
  EXPECT_EQ(heard(1 << 20, 100), "x");
}

TEST_F(WithOpenSsl, a_record_that_was_changed_is_refused_for_good) {
  EXPECT_EQ(heard(1 << 20, 100), "");
  server_says("good");
  server_says("bad");
  feed(SIZE_MAX);
  wire_.back() ^= std::byte{1};
  std::vector<std::byte> into(1000);
  EXPECT_EQ(client_->decrypt(into)->bytes, 4u) << "what was good comes first";
  for (int i = 0; i < 2; ++i) {
    const auto got = client_->decrypt(into);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().message(), "TLS: a record was changed on its way");
  }
}

TEST_F(WithOpenSsl, lengths_that_cannot_be_are_refused) {
  for (const auto& header : {std::array<unsigned, 5>{23, 3, 3, 0x41, 0x01},
                             {23, 3, 3, 0, 16},
                             {22, 3, 3, 0, 100},
                             {21, 3, 3, 0, 2}}) {
    SetUp();
    EXPECT_EQ(heard(1 << 20, 100), "");
    wire_.clear();
    for (const unsigned byte : header) wire_.push_back(static_cast<std::byte>(byte));
    client_->feed(wire_);
    std::vector<std::byte> into(1000);
    EXPECT_FALSE(client_->decrypt(into));
  }
}

}  // namespace
}  // namespace tern::transport::tls
