// SPDX-License-Identifier: Apache-2.0
//
// What makes TLS channels out of plain ones: one for a whole migration, all its channels alike.
#pragma once

#include <memory>
#include <string>

#include "base/channel.h"
#include "transport/tls/credentials.h"
#include "transport/tls/tls_channel.h"

namespace tern::transport::tls {

/// Immutable: any thread, several at once.
class Securer {
 public:
  /// `hostname`: whom a client expects ("" for none known). `admission`: may say no to a peer whose
  /// certificate is good; may be empty, is called on the thread of the handshake.
  Securer(std::shared_ptr<const Credentials> credentials, std::string hostname,
          TlsChannel::Admission admission) noexcept;

  /// The side is that of the credentials. Before anything else call handshake() of what comes out.
  /// Errors: invalid_argument ("No hostname for certificate validation"), resource_exhausted.
  Result<std::unique_ptr<TlsChannel>> wrap(std::unique_ptr<Channel> channel) const noexcept;

 private:
  const std::shared_ptr<const Credentials> credentials_;
  const std::string hostname_;
  const TlsChannel::Admission admission_;
};

}  // namespace tern::transport::tls
