// SPDX-License-Identifier: Apache-2.0
#include "migration/security/security.h"

#include <utility>

#include "migration/objects/registry.h"

namespace tern {
namespace {

namespace tls = transport::tls;

Deadline handshake_deadline(const Settings& settings) noexcept {
  return {"x-handshake-timeout", Milliseconds(settings.handshake_timeout)};
}

Error no_objects(const std::string& id) noexcept {
  return {ErrorCode::invalid_argument, "No TLS credentials with id '" + id + "'"};
}

tls::TlsChannel::Admission admission_by(ObjectRegistry::Authz authz) noexcept {
  return [authz = std::move(authz)](const std::string& peer) -> Result<void> {
    if (TERN_TRY(authz->allows(peer).context("tls-authz"))) return {};
    return Error(ErrorCode::peer_protocol, "TLS x509 authz check for " + peer + " is denied");
  };
}

}  // namespace

std::string hostname_of(const Address& address) noexcept {
  const auto* inet = std::get_if<InetAddress>(&address);
  return inet == nullptr ? "" : inet->host;
}

Result<Security> Security::of_source(const Machine& machine, const Settings& settings,
                                     const std::string& hostname) noexcept {
  Security security;
  if (settings.tls_creds.empty()) return security;
  if (machine.objects == nullptr) return no_objects(settings.tls_creds);
  auto credentials =
      TERN_TRY(machine.objects->registry().credentials(settings.tls_creds, tls::Endpoint::client));
  security.securer_ = std::make_shared<const tls::Securer>(
      std::move(credentials), settings.tls_hostname.empty() ? hostname : settings.tls_hostname,
      tls::TlsChannel::Admission());
  security.deadline_ = handshake_deadline(settings);
  return security;
}

Result<Security> Security::of_destination(const Machine& machine,
                                          const Settings& settings) noexcept {
  Security security;
  if (settings.tls_creds.empty()) return security;
  if (machine.objects == nullptr) return no_objects(settings.tls_creds);
  const ObjectRegistry& objects = machine.objects->registry();
  auto credentials = TERN_TRY(objects.credentials(settings.tls_creds, tls::Endpoint::server));
  tls::TlsChannel::Admission admission;
  if (!settings.tls_authz.empty()) {
    auto authz = TERN_TRY(objects.authz(settings.tls_authz));
    if (!credentials->asks_for_certificate()) {
      return Error(ErrorCode::invalid_argument,
                   "tls-authz looks at the client's certificate: tls-creds must be a "
                   "tls-creds-x509 with verify-peer on");
    }
    admission = admission_by(std::move(authz));
  }
  security.securer_ =
      std::make_shared<const tls::Securer>(std::move(credentials), "", std::move(admission));
  security.deadline_ = handshake_deadline(settings);
  return security;
}

Result<Security::Secured> Security::wrap(std::unique_ptr<Channel> channel) const noexcept {
  Secured secured;
  secured.deadline = deadline_;
  if (!securer_) {
    secured.channel = std::move(channel);
    return secured;
  }
  auto wrapped = TERN_TRY(securer_->wrap(std::move(channel)));
  secured.tls = wrapped.get();
  secured.channel = std::move(wrapped);
  return secured;
}

}  // namespace tern
