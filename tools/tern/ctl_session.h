// SPDX-License-Identifier: Apache-2.0
//
// One run of `tern ctl`: connects, does what was asked, prints what came of it. Knows the order of
// things; arguments, help, output and watching are their own files.
#pragma once

#include <cstdio>
#include <istream>

#include "tools/tern/ctl_options.h"

namespace tern::tool {

struct CtlStreams {
  std::FILE* out;
  std::FILE* err;
  std::istream& in;
};

CtlStatus run_ctl(const CtlOptions& options, const CtlStreams& streams) noexcept;

}  // namespace tern::tool
