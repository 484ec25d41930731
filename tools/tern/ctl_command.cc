// SPDX-License-Identifier: Apache-2.0
//
// tern ctl: hands its words to parse_ctl() and run_ctl(). They are not parsed by the application's
// own parser, which would take a socket or argument that is called like a subcommand for one.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "tools/common/json_fields.h"
#include "tools/tern/ctl_session.h"
#include "tools/tern/subcommands.h"

namespace tern::tool {
namespace {

int run(const std::vector<std::string>& words) {
  const CtlParsed parsed = parse_ctl(words);
  const bool json = std::find(words.begin(), words.end(), "--json") != words.end();
  if (!parsed.run && json && parsed.status != CtlStatus::done) {
    const std::string why = parsed.text.substr(0, parsed.text.find('\n'));
    std::puts(json_line({{"error", {{"class", "Usage"}, {"desc", why}}}}).c_str());
    return static_cast<int>(parsed.status);
  }
  if (!parsed.run) {
    std::fputs(parsed.text.c_str(), parsed.status == CtlStatus::done ? stdout : stderr);
    return static_cast<int>(parsed.status);
  }
  return static_cast<int>(run_ctl(parsed.options, {stdout, stderr, std::cin}));
}

}  // namespace

void add_ctl(CLI::App& app, int& status) {
  CLI::App* ctl = app.add_subcommand(
      "ctl", "talks to a QMP server (tern-vmm, QEMU): commands, watching a migration");
  ctl->set_help_flag();
  ctl->prefix_command();
  ctl->callback([ctl, &status] { status = run(ctl->remaining()); });
}

}  // namespace tern::tool
