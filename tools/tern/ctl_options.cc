// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

namespace tern::tool {
namespace {

constexpr double kMostSeconds = 1e7;  // some months

constexpr const char* kFooter =
    R"(Commands are the server's own; arguments are typed by its schema:
  tern ctl S query-migrate
  tern ctl S migrate-set-capabilities events=on return-path=on
  tern ctl S migrate-set-parameters max-bandwidth=1G downtime-limit=300
  tern ctl S migrate uri=tcp:host:4444 --wait
  tern ctl S object-add qom-type=memory-backend-ram id=m size=64M
  a.b=c is {"a":{"b":"c"}}, list.0=x or list=x,y a list, key:=JSON goes out unchecked.
And:
  tern ctl S watch               events and progress, until the server ends
  tern ctl S watch --until-end   the same until the migration has ended
  tern ctl S help [COMMAND]      what the server can do
  tern ctl S complete [WORDS]    candidates for the last word, for shells
  tern ctl S -                   requests from standard input, one JSON object a line
The server sends MIGRATION events only while its capability 'events' is on; watch leaves its
settings alone unless --enable-events is given. Ctrl-C ends the watching, not the migration.
Exit status: 0 done; 1 the server answered with an error, or the migration did not complete;
2 wrong usage, nothing was sent; 3 no connection, no QMP, or no answer in time.)";

// PATH, unix:PATH, and what was copied from QEMU's -qmp unix:PATH,server=on,wait=off.
std::string socket_path(const std::string& given) {
  if (!given.starts_with("unix:")) return given;
  return given.substr(5, given.find(',') == std::string::npos ? given.npos : given.find(',') - 5);
}

CtlOptions::Ms milliseconds(double seconds) {
  return CtlOptions::Ms(static_cast<int64_t>(seconds * 1000));
}

struct Seconds {
  double timeout = -1;
  double connect = 0;
  double interval = 1;
};

void add_options(CLI::App& app, CtlOptions& o, Seconds& seconds) {
  app.add_option("SOCKET", o.socket, "the QMP socket: a path, or unix:PATH")->required();
  app.add_option("COMMAND", o.command, "a command of the server; watch, help, complete or -")
      ->required();
  app.add_option("ARGUMENTS", o.words, "key=value");
  app.add_flag("--json", o.json, "JSON on one line: what the server returned, or {\"error\": …}");
  app.add_flag("--wait", o.wait,
               "after the command, show the migration's progress until it has ended");
  app.add_flag("--oob", o.oob, "execute out of band, past commands that are still at work");
  app.add_option("--timeout", seconds.timeout,
                 "seconds for an answer (60; for the greeting 10), with --wait and watch for all")
      ->check(CLI::Range(0.001, kMostSeconds));
  app.add_option("--connect-timeout", seconds.connect,
                 "seconds to go on trying while nobody listens")
      ->check(CLI::Range(0.0, kMostSeconds))
      ->capture_default_str();
  app.add_option("--interval", seconds.interval, "seconds between two looks (watch, --wait)")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  app.add_flag("--until-end", o.until_end, "watch until the migration has ended");
  app.add_flag("--enable-events", o.enable_events,
               "turn the capability 'events' on first (watch, --wait)");
  auto* fd = app.add_option("--fd", o.fd, "send this open descriptor along (getfd, add-fd)")
                 ->check(CLI::NonNegativeNumber);
  app.add_option("--file", o.file, "open this file and send its descriptor along")->excludes(fd);
}

}  // namespace

CtlParsed parse_ctl(std::vector<std::string> words) {
  CtlParsed out;
  CLI::App app{"A small QMP command line, for tern-vmm and QEMU.", "tern ctl"};
  Seconds seconds;
  add_options(app, out.options, seconds);
  app.footer(kFooter);
  std::reverse(words.begin(), words.end());
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& e) {
    std::ostringstream text;
    const bool asked_for_help = app.exit(e, text, text) == 0;
    out.text = text.str();
    out.status = asked_for_help ? CtlStatus::done : CtlStatus::usage;
    return out;
  }
  CtlOptions& o = out.options;
  o.socket = socket_path(o.socket);
  if (seconds.timeout > 0) o.timeout = milliseconds(seconds.timeout);
  o.connect_timeout = milliseconds(seconds.connect);
  o.interval = milliseconds(seconds.interval);
  if (o.command != "watch" && o.until_end) {
    out.text = "tern ctl: --until-end belongs to watch; commands take --wait\n";
  } else if (o.command == "watch" && !o.words.empty()) {
    out.text = "tern ctl: watch takes no '" + o.words[0] + "'\n";
  } else if (o.command == "-" && !o.words.empty()) {
    out.text = "tern ctl: - takes no '" + o.words[0] + "'\n";
  } else {
    out.run = true;
    if (o.command == "watch") o.until_end = o.until_end || o.wait;
    return out;
  }
  out.status = CtlStatus::usage;
  return out;
}

}  // namespace tern::tool
