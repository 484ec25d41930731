// SPDX-License-Identifier: Apache-2.0
//
// tern: the command-line program. A list of subcommands; what they do is theirs.
#include "tern/version.h"
#include "tools/tern/subcommands.h"

namespace {
constexpr int kUsageError = 2;
}

int main(int argc, char** argv) {
  CLI::App app{"Looks at and drives live migrations.", "tern"};
  app.set_version_flag("--version", TERN_VERSION_STRING);
  app.require_subcommand(1);
  int status = 0;
  tern::tool::add_ctl(app, status);
  tern::tool::add_demo(app, status);
  tern::tool::add_dirty_rate(app, status);
  tern::tool::add_inspect(app, status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kUsageError;
  }
  return status;
}
