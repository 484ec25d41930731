// SPDX-License-Identifier: Apache-2.0
//
// Whether and how the channels of one migration are secured: the settings tls-creds, tls-hostname
// and tls-authz made into something that turns plain channels into TLS ones. One for a migration;
// every channel of it, the first and all further ones, goes through it alike:
//
//   auto secured = TERN_TRY(security.wrap(std::move(plain)));  // never blocks
//   … make secured.channel.get() known to whoever may have to shut it down …
//   TERN_TRY(secured.handshake());                             // blocks, x-handshake-timeout
//
// Without tls-creds the channel stays what it is and handshake() does nothing.
#pragma once

#include <memory>
#include <string>

#include "base/channel.h"
#include "tern/address.h"
#include "tern/machine.h"
#include "tern/settings.h"
#include "transport/tls/securer.h"

namespace tern {

/// Immutable: any thread, several at once.
class Security {
 public:
  /// Plain.
  Security() noexcept = default;

  /// `hostname`: the host of the address, "" if it has none. Errors: invalid_argument (no such
  /// credentials, those of the other side).
  static Result<Security> of_source(const Machine& machine, const Settings& settings,
                                    const std::string& hostname) noexcept;
  /// Errors: as of_source; no such authz object, or nothing to check by it.
  static Result<Security> of_destination(const Machine& machine, const Settings& settings) noexcept;

  bool on() const noexcept { return securer_ != nullptr; }

  class Secured {
   public:
    std::unique_ptr<Channel> channel;
    /// What `channel` is with TLS; nullptr without: its peer_name() and ended_cleanly().
    transport::tls::TlsChannel* tls = nullptr;
    Deadline deadline{};

    /// false: the peer closed before it said anything. `channel` may have been moved from: it must
    /// live. Both deadlines of the channel have changed afterwards if TLS is on. Errors: those of
    /// TlsChannel::handshake.
    Result<bool> handshake() const noexcept {
      return tls == nullptr ? Result<bool>(true) : tls->handshake(deadline);
    }
  };
  Result<Secured> wrap(std::unique_ptr<Channel> channel) const noexcept;

 private:
  std::shared_ptr<const transport::tls::Securer> securer_;
  Deadline deadline_{};
};

/// What the server's certificate must be for, unless tls-hostname says otherwise.
std::string hostname_of(const Address& address) noexcept;

}  // namespace tern
