// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "transport/tls/distinguished_name.h"
#include "transport/tls/openssl.h"

namespace tern::transport::tls {
namespace {

constexpr uint8_t kRecordAlert = 0x15;
constexpr uint8_t kRecordHandshake = 0x16;
// How a main stream and a multifd channel begin.
constexpr std::string_view kPlainStream = "QEVM";
constexpr std::string_view kPlainChannel = "\x11\x22\x33\x44";

/// What a peer's alert means to whoever set the connection up; "" for those that say nothing.
std::string_view advice(int alert) noexcept {
  switch (alert) {
    case SSL_AD_HANDSHAKE_FAILURE:
      return "both sides must have the same kind of tls-creds with a protocol and cipher in common";
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
      return "it does not accept our certificate";
    case SSL_AD_CERTIFICATE_REVOKED:
      return "our certificate is in its ca-crl.pem";
    case SSL_AD_CERTIFICATE_EXPIRED:
      return "our certificate has expired";
    case SSL_AD_UNKNOWN_CA:
      return "our certificate was not issued by the CA in its ca-cert.pem";
    case SSL_AD_CERTIFICATE_REQUIRED:
      return "it wants a certificate, and ours is missing";
    case SSL_AD_DECRYPT_ERROR:
      return "the shared keys differ, or its CA has the name of ours and is another one";
    case SSL_AD_UNKNOWN_PSK_IDENTITY:
      return "it does not know our PSK user";
    case SSL_AD_PROTOCOL_VERSION:
      return "no version of TLS is allowed on both sides";
    default:
      return "";
  }
}

class SslSession final : public Session {
 public:
  SslSession(std::shared_ptr<const Credentials> credentials, BioMethodPtr method) noexcept
      : credentials_(std::move(credentials)), method_(std::move(method)) {}

  Result<void> open(const std::string& hostname) noexcept;

  Result<bool> handshake() noexcept override;
  void feed(std::span<const std::byte> records) noexcept override;
  size_t input_left() const noexcept override { return input_.size(); }
  Result<Decrypted> decrypt(std::span<std::byte> into) noexcept override;
  Result<size_t> encrypt(std::span<const iovec> slices, size_t max_bytes) noexcept override;
  void say_end() noexcept override {
    ERR_clear_error();
    (void)SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }
  std::vector<std::byte>& output() noexcept override { return output_; }
  std::string peer_name() const noexcept override;
  std::string protocol() const noexcept override {
    const std::string_view version = SSL_get_version(ssl_.get());
    return "TLS " + std::string(version.substr(std::min<size_t>(version.size(), 4))) + " " +
           SSL_CIPHER_get_name(SSL_get_current_cipher(ssl_.get()));
  }
  void set_rekey_records(uint64_t records) noexcept override { rekey_records_ = records; }

  static int bio_read(BIO* bio, char* into, size_t size, size_t* done) noexcept;
  static int bio_write(BIO* bio, const char* from, size_t size, size_t* done) noexcept;
  static long bio_control(BIO*, int command, long, void*) noexcept {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

 private:
  Result<void> set_hostname(const std::string& hostname) noexcept;
  Error failed() noexcept;
  Error told_by_peer(int alert) const noexcept;
  Result<void> put_records(const std::byte* data, size_t size) noexcept;
  const char* other_side() const noexcept {
    return credentials_->endpoint() == Endpoint::server ? "client" : "server";
  }

  const std::shared_ptr<const Credentials> credentials_;  // before ssl_, whose context it owns
  const BioMethodPtr method_;
  HandshakeNotes notes_;
  std::span<const std::byte> input_;
  std::vector<std::byte> output_;
  std::array<std::byte, kRecordBytes> gather_;
  uint64_t rekey_records_ = kRekeyRecords;
  uint64_t records_ = 0;
  bool plain_checked_ = false;
  SslPtr ssl_;
};

int SslSession::bio_read(BIO* bio, char* into, size_t size, size_t* done) noexcept {
  auto& input = static_cast<SslSession*>(BIO_get_data(bio))->input_;
  BIO_clear_retry_flags(bio);
  *done = std::min(size, input.size());
  if (*done == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(into, input.data(), *done);
  input = input.subspan(*done);
  return 1;
}

int SslSession::bio_write(BIO* bio, const char* from, size_t size, size_t* done) noexcept {
  auto& output = static_cast<SslSession*>(BIO_get_data(bio))->output_;
  BIO_clear_retry_flags(bio);
  *done = 0;
  if (size > kMaxOutputBytes - std::min(output.size(), kMaxOutputBytes)) return 0;
  const auto* bytes = reinterpret_cast<const std::byte*>(from);
  output.insert(output.end(), bytes, bytes + size);
  *done = size;
  return 1;
}

Result<void> SslSession::open(const std::string& hostname) noexcept {
  ERR_clear_error();
  ssl_.reset(SSL_new(credentials_->context()));
  BioPtr bio(BIO_new(method_.get()));
  if (!ssl_ || !bio) return Error(ErrorCode::resource_exhausted, "TLS: " + openssl_reason());
  BIO_set_data(bio.get(), this);
  BIO_set_init(bio.get(), 1);
  (void)BIO_up_ref(bio.get());  // one for each direction
  SSL_set0_rbio(ssl_.get(), bio.get());
  SSL_set0_wbio(ssl_.get(), bio.release());
  SSL_set_app_data(ssl_.get(), &notes_);
  if (credentials_->endpoint() == Endpoint::server) {
    SSL_set_accept_state(ssl_.get());
    return {};
  }
  SSL_set_connect_state(ssl_.get());
  return credentials_->needs_hostname() ? set_hostname(hostname) : Result<void>();
}

// No SNI: QEMU sends none, and a destination has one certificate.
Result<void> SslSession::set_hostname(const std::string& hostname) noexcept {
  if (hostname.empty()) {
    return Error(ErrorCode::invalid_argument, "No hostname for certificate validation");
  }
  notes_.hostname = hostname;
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl_.get());
  if (X509_VERIFY_PARAM_set1_ip_asc(param, hostname.c_str()) == 1) return {};
  ERR_clear_error();
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (X509_VERIFY_PARAM_set1_host(param, hostname.data(), hostname.size()) == 1) return {};
  return Error(ErrorCode::invalid_argument,
               "'" + hostname + "' is no name to look for in a certificate");
}

Result<bool> SslSession::handshake() noexcept {
  ERR_clear_error();
  if (!plain_checked_ && !input_.empty()) {
    // Before OpenSSL, which would say something about a wrong version.
    plain_checked_ = true;
    const auto first = static_cast<uint8_t>(input_[0]);
    const size_t n = std::min(input_.size(), kPlainStream.size());
    if (std::memcmp(input_.data(), kPlainStream.data(), n) == 0 ||
        std::memcmp(input_.data(), kPlainChannel.data(), n) == 0) {
      return Error(ErrorCode::peer_protocol,
                   "the peer does not speak TLS but sends a plain migration stream: tls-creds is "
                   "set here and not there");
    }
    if (first != kRecordAlert && first != kRecordHandshake) {
      return Error(ErrorCode::peer_protocol,
                   "the peer does not speak TLS (its first byte is " + std::to_string(first) + ")");
    }
  }
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) return true;
  if (SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ) return false;
  return failed();
}

Error SslSession::told_by_peer(int alert) const noexcept {
  std::string text =
      std::string("the ") + other_side() + " says: " + SSL_alert_desc_string_long(alert);
  if (const std::string_view more = advice(alert); !more.empty()) text += ", " + std::string(more);
  return {ErrorCode::channel, std::move(text)};
}

Error SslSession::failed() noexcept {
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_REASON(code);
  if (!notes_.problem.empty()) {
    ERR_clear_error();
    return {ErrorCode::peer_protocol, notes_.problem};
  }
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
      reason < SSL_AD_REASON_OFFSET + 256) {
    ERR_clear_error();
    return told_by_peer(reason - SSL_AD_REASON_OFFSET);
  }
  std::string why = openssl_reason();
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    why = "the client has no certificate, and verify-peer is on here";
  } else if (reason == SSL_R_NO_SHARED_CIPHER || reason == SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM) {
    why = "nothing in common with the client (" + why +
          "): both sides must have the same kind of tls-creds";
  } else if (reason == SSL_R_BINDER_DOES_NOT_VERIFY) {
    why = "the client's shared key is not the one of its user here";
  } else if (reason == SSL_R_UNSUPPORTED_PROTOCOL) {
    why = "no version of TLS is allowed on both sides";
  }
  return {ErrorCode::peer_protocol, std::move(why)};
}

void SslSession::feed(std::span<const std::byte> records) noexcept { input_ = records; }

Result<Session::Decrypted> SslSession::decrypt(std::span<std::byte> into) noexcept {
  ERR_clear_error();
  Decrypted all;
  while (all.bytes < into.size()) {
    size_t n = 0;
    const int got = SSL_read_ex(ssl_.get(), into.data() + all.bytes, into.size() - all.bytes, &n);
    if (got == 1) {
      all.bytes += n;
      continue;
    }
    const int why = SSL_get_error(ssl_.get(), got);
    if (why == SSL_ERROR_WANT_READ) break;
    all.ended = why == SSL_ERROR_ZERO_RETURN;
    // What was good before the fault is given out first; the fault stays and is met again.
    if (all.ended || all.bytes > 0) break;
    return failed();
  }
  return all;
}

Result<void> SslSession::put_records(const std::byte* data, size_t size) noexcept {
  records_ += (size + kRecordBytes - 1) / kRecordBytes;
  if (records_ >= rekey_records_ && SSL_version(ssl_.get()) == TLS1_3_VERSION) {
    records_ = 0;
    (void)SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
  }
  size_t done = 0;
  if (SSL_write_ex(ssl_.get(), data, size, &done) == 1 && done == size) return {};
  return failed();
}

Result<size_t> SslSession::encrypt(std::span<const iovec> slices, size_t max_bytes) noexcept {
  ERR_clear_error();
  size_t taken = 0;
  size_t gathered = 0;
  for (const iovec& slice : slices) {
    const auto* data = static_cast<const std::byte*>(slice.iov_base);
    size_t left = std::min(slice.iov_len, max_bytes - taken);
    taken += left;
    while (left > 0) {
      // Whole records straight from where they are; headers and pages together.
      if (gathered == 0 && left >= kRecordBytes) {
        const size_t whole = left - left % kRecordBytes;
        TERN_TRY(put_records(data, whole));
        data += whole;
        left -= whole;
        continue;
      }
      const size_t n = std::min(left, kRecordBytes - gathered);
      std::memcpy(gather_.data() + gathered, data, n);
      gathered += n;
      data += n;
      left -= n;
      if (gathered < kRecordBytes) continue;
      TERN_TRY(put_records(gather_.data(), gathered));
      gathered = 0;
    }
    if (taken == max_bytes) break;
  }
  if (gathered > 0) TERN_TRY(put_records(gather_.data(), gathered));
  return taken;
}

std::string SslSession::peer_name() const noexcept {
  const X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  return certificate == nullptr ? "" : distinguished_name(X509_get_subject_name(certificate));
}

}  // namespace

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Credentials> credentials,
                                                 const std::string& hostname) noexcept {
  BioMethodPtr method(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tern"));
  const bool made = method && BIO_meth_set_read_ex(method.get(), SslSession::bio_read) == 1 &&
                    BIO_meth_set_write_ex(method.get(), SslSession::bio_write) == 1 &&
                    BIO_meth_set_ctrl(method.get(), SslSession::bio_control) == 1;
  if (!made) return Error(ErrorCode::resource_exhausted, "TLS: " + openssl_reason());
  auto session = std::make_unique<SslSession>(std::move(credentials), std::move(method));
  TERN_TRY(session->open(hostname));
  return std::unique_ptr<Session>(std::move(session));
}

}  // namespace tern::transport::tls
