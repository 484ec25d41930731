// SPDX-License-Identifier: Apache-2.0
//
// The subject of a certificate as text: the form in which QEMU shows it to its authz objects.
#pragma once

#include <string>

using X509_NAME = struct X509_name_st;

namespace tern::transport::tls {

/// "C=GB,O=Acme\, Inc,CN=host1": in the order of the certificate, escaped as in RFC 4514.
std::string distinguished_name(const X509_NAME* name) noexcept;

}  // namespace tern::transport::tls
