// SPDX-License-Identifier: Apache-2.0
//
// One TLS connection as a machine between two byte buffers: records in, bytes out, and the other
// way. Moves nothing by itself and knows no channel. One thread at a time.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tern/result.h"
#include "transport/tls/credentials.h"

namespace tern::transport::tls {

class Session {
 public:
  /// Largest record of TLS.
  static constexpr size_t kRecordBytes = 16384;
  /// Most that is kept to be sent; what a peer can make us say without being read is bounded.
  static constexpr size_t kMaxOutputBytes = 4u << 20;
  /// New keys before AES-GCM's limit of 2^24.5 full records is near.
  static constexpr uint64_t kRekeyRecords = 1u << 24;

  /// `hostname`: whom a client with certificates expects; others ignore it. Errors:
  /// invalid_argument (no hostname where one is needed), resource_exhausted.
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<const Credentials> credentials,
                                                 const std::string& hostname) noexcept;
  virtual ~Session() = default;

  /// Goes on as far as it can. true: it is finished; false: more input is needed. Errors: channel
  /// (the peer said no), peer_protocol (what came is no TLS, or the certificate is not good). After
  /// an error output() has what the peer should still be told.
  virtual Result<bool> handshake() noexcept = 0;

  /// Bytes of the peer, which stay where they are until input_left() is 0. Only then more.
  virtual void feed(std::span<const std::byte> records) noexcept = 0;
  virtual size_t input_left() const noexcept = 0;

  struct Decrypted {
    size_t bytes = 0;    // 0: more input is needed
    bool ended = false;  // the peer said that nothing more will come
  };
  virtual Result<Decrypted> decrypt(std::span<std::byte> into) noexcept = 0;

  /// Appends records with the first bytes of the slices to output(), at most `max_bytes`; returns
  /// how many. An error means that the connection cannot be used any more.
  virtual Result<size_t> encrypt(std::span<const iovec> slices, size_t max_bytes) noexcept = 0;

  /// Appends close_notify.
  virtual void say_end() noexcept = 0;

  /// What is to be sent, in this order. The caller takes it out.
  virtual std::vector<std::byte>& output() noexcept = 0;

  /// The subject of the peer's certificate; "" without one.
  virtual std::string peer_name() const noexcept = 0;
  /// "TLS 1.3 TLS_AES_128_GCM_SHA256".
  virtual std::string protocol() const noexcept = 0;

  /// For tests: new keys after so many records.
  virtual void set_rekey_records(uint64_t records) noexcept = 0;
};

}  // namespace tern::transport::tls
