// SPDX-License-Identifier: Apache-2.0
//
// tern inspect: the command line of inspect().
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "base/fd.h"
#include "tools/tern/inspect.h"
#include "tools/tern/inspect_input.h"
#include "tools/tern/subcommands.h"

namespace tern::tool {
namespace {

constexpr int kMalformed = 1;
constexpr int kUsageError = 2;

struct Arguments {
  std::string file;
  bool json = false;
  bool return_path = false;
  bool preempt = false;
  bool no_footers = false;
  InspectOptions options;
};

int fail(const std::string& name, const std::string& why) {
  std::fprintf(stderr, "tern inspect: %s: %s\n", name.c_str(), why.c_str());
  return kUsageError;
}

int run(Arguments a) {
  if (a.return_path) a.options.format = InspectFormat::return_path;
  if (a.preempt) a.options.format = InspectFormat::preempt;
  a.options.footers = !a.no_footers;
  const bool standard_input = a.file == "-";
  const std::string name = standard_input ? "standard input" : a.file;
  Fd owned;
  if (!standard_input) {
    owned = Fd(::open(a.file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!owned) return fail(name, std::strerror(errno));
  }
  const int fd = standard_input ? STDIN_FILENO : owned.get();
  struct stat about {};
  if (::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) return fail(name, "is a directory");
  FileInput input(fd, name);
  if (const auto skipped = input.skip(a.options.first_offset); !skipped) {
    return fail(name, skipped.error().message());
  }
  const auto sink = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); };
  const auto output = a.json ? make_json_output(sink) : make_text_output(sink);
  const auto failure = inspect(input, a.options, *output);
  if (std::fflush(stdout) != 0) return fail("standard output", std::strerror(errno));
  if (!failure) return 0;
  std::fprintf(stderr, "tern inspect: %s: at offset %llu: %s\n", name.c_str(),
               static_cast<unsigned long long>(failure->offset),
               json_text(Json(failure->reason)).c_str());
  return kMalformed;
}

}  // namespace

void add_inspect(CLI::App& app, int& status) {
  CLI::App* command = app.add_subcommand(
      "inspect", "Prints a migration stream, a multifd channel or a return path, piece by piece.");
  const auto a = std::make_shared<Arguments>();
  command->add_option("FILE", a->file, "what to read; - is standard input")->required();
  command->add_flag("--json", a->json, "one JSON document (docs/reference/inspect.md)");
  command->add_flag("-v,--verbose", a->options.verbose,
                    "every RAM record, whole arrays and buffers, the vmdescription's text");
  auto* back = command->add_flag("--return-path", a->return_path,
                                 "FILE is what a destination sent to its source");
  command
      ->add_flag("--preempt", a->preempt, "FILE is a postcopy-preempt channel: bare page records")
      ->excludes(back);
  command->add_flag("--no-footers", a->no_footers, "the source had send-section-footer off");
  command
      ->add_option("--ram-to", a->options.ram_directory,
                   "write the RAM that the stream adds up to into this directory, a file per block")
      ->type_name("DIRECTORY")
      ->check([](const std::string& name) {
        return name.empty() ? std::string("a directory is wanted") : std::string();
      });
  command->add_option("--offset", a->options.first_offset,
                      "where the stream begins in FILE, in bytes");
  command
      ->add_option("--max-device-state", a->options.max_device_state,
                   "bytes of device state to keep in memory")
      ->capture_default_str();
  command->footer(
      "Exit status: 0 the stream is complete, 1 it is malformed or cut off (offset and reason are "
      "on standard "
      "error), 2 usage.");
  command->callback([a, &status] { status = run(*a); });
}

}  // namespace tern::tool
