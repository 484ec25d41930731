// SPDX-License-Identifier: Apache-2.0
//
// The command line of `tern ctl`: what was asked for, or the text of its help.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace tern::tool {

/// Exit statuses, as documented in docs/reference/ctl.md.
enum class CtlStatus : int {
  done = 0,
  refused = 1,  // by the server; or the migration failed
  usage = 2,    // nothing was sent
  lost = 3,     // no connection, no QMP, no answer in time
};

struct CtlOptions {
  using Ms = std::chrono::milliseconds;
  std::string socket;              // a path
  std::string command;             // of the server, or one of ctl_words()
  std::vector<std::string> words;  // behind it
  bool json = false;
  bool oob = false;
  bool wait = false;
  bool until_end = false;
  bool enable_events = false;
  std::optional<Ms> timeout;
  Ms connect_timeout{0};
  Ms interval{1000};
  int fd = -1;
  std::string file;
};

struct CtlParsed {
  CtlOptions options;
  bool run = false;  // otherwise `text` is to be shown and `status` to be returned
  std::string text;
  CtlStatus status = CtlStatus::done;
};

/// Never throws; a wrong command line gives the text that says why.
CtlParsed parse_ctl(std::vector<std::string> words);

}  // namespace tern::tool
