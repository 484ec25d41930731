// SPDX-License-Identifier: Apache-2.0
//
// Addresses in QMP: the arguments `uri` and `channels` of migrate and migrate-incoming, and the
// socket-address list of query-migrate. Knows nothing of connecting.
#pragma once

#include <span>

#include "migration/qmp/json_text.h"
#include "migration/qmp/qapi_type.h"
#include "tern/address.h"
#include "tern/result.h"

namespace tern::qmp {

/// [MigrationChannel] with the transports that exist.
extern const QapiType kMigrationChannels;

/// [SocketAddress], as query-migrate shows it.
extern const QapiType kSocketAddresses;

/// The address in arguments that passed their types: exactly one of uri and channels, the latter
/// with exactly one main channel. Errors: invalid_argument.
Result<Address> address_argument(const Json& arguments) noexcept;

/// An address as text: a URI, or the JSON text of a MigrationAddress, which can say more.
/// Errors: invalid_argument.
Result<Address> address_from_text(std::string_view text) noexcept;

/// [SocketAddress]; addresses that are no sockets are left out.
Json socket_addresses(std::span<const Address> addresses) noexcept;

}  // namespace tern::qmp
