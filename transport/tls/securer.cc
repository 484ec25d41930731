// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/securer.h"

#include <utility>

namespace tern::transport::tls {

Securer::Securer(std::shared_ptr<const Credentials> credentials, std::string hostname,
                 TlsChannel::Admission admission) noexcept
    : credentials_(std::move(credentials)),
      hostname_(std::move(hostname)),
      admission_(std::move(admission)) {}

Result<std::unique_ptr<TlsChannel>> Securer::wrap(std::unique_ptr<Channel> channel) const noexcept {
  auto session = TERN_TRY(Session::create(credentials_, hostname_));
  return std::make_unique<TlsChannel>(std::move(channel), std::move(session), admission_);
}

}  // namespace tern::transport::tls
