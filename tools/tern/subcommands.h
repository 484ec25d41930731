// SPDX-License-Identifier: Apache-2.0
//
// The subcommands of `tern`, one file each. A subcommand adds itself to the application with a
// callback that runs it and puts its exit status into `status`.
#pragma once

#include <CLI/CLI.hpp>

namespace tern::tool {

void add_ctl(CLI::App& app, int& status);
void add_demo(CLI::App& app, int& status);
void add_dirty_rate(CLI::App& app, int& status);
void add_inspect(CLI::App& app, int& status);

}  // namespace tern::tool
