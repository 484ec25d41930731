// SPDX-License-Identifier: Apache-2.0
//
// docgen DIRECTORY: prints the reference pages from the tables of the library.
// docgen --check DIRECTORY: compares them with the committed ones; status 1 and the name of the
// page where they differ.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "migration/objects/object_types.h"
#include "migration/params/capabilities.h"
#include "migration/params/parameters.h"
#include "migration/params/statistics.h"
#include "migration/qmp/command_table.h"
#include "migration/qmp/event_table.h"
#include "migration/state/transitions.h"

namespace {

using tern::SettingType;
using tern::params::CapabilityRow;
using tern::params::ParameterRow;

using tern::qmp::Kind;
using tern::qmp::QapiType;

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

std::string value(const ParameterRow& row, uint64_t v) {
  if (row.type == SettingType::string) return "\"\"";
  if (row.type == SettingType::enumeration) return code(row.words.words[v]);
  return tern::params::value_to_text(row, v);
}

std::string range(const ParameterRow& row) {
  if (row.type != SettingType::enumeration) {
    const bool number = row.type != SettingType::boolean && row.type != SettingType::string;
    if (!number) return range_text(row);
    const std::string max = row.max == tern::params::kAnyU64 ? "2^64-1" : std::to_string(row.max);
    return std::to_string(row.min) + ".." + max;
  }
  std::string words;
  for (const std::string_view word : row.words.words) {
    words += (words.empty() ? "" : ", ") + code(word);
  }
  return words;
}

std::string names(std::span<const std::string_view> list) {
  std::string text;
  for (const std::string_view name : list) text += (text.empty() ? "" : ", ") + code(name);
  return text.empty() ? "–" : text;
}

std::string standing(bool deprecated, bool unstable) {
  if (deprecated) return unstable ? "deprecated, unstable" : "deprecated";
  return unstable ? "unstable" : "stable";
}

// What else decides whether it can be set or acts.
std::string relations(const ParameterRow& row) {
  std::string text;
  const auto add = [&text](std::string_view what, const std::string& who) {
    text += (text.empty() ? "" : "; ") + std::string(what) + " " + who;
  };
  if (!row.needs.empty()) add("acts with", names(row.needs));
  if (!row.excludes.empty()) add("excludes", names(row.excludes));
  if (!row.not_below.empty()) add("not below", code(row.not_below));
  return text.empty() ? "–" : text;
}

std::string parameters_page() {
  std::string page =
      "# Migration parameters\n\n"
      "Printed from the rows of `migration/params/parameters.h`; a test compares this page with\n"
      "them. Set by QMP `migrate-set-parameters`, read by `query-migrate-parameters`; in C++ they\n"
      "are members of `tern::Settings` (by name: `tern/catalog.h`), in C `tern_settings_set`, on "
      "the\n"
      "command line of `tern-vmm` an option of the same name. Sizes there take K, M, G, T, P, "
      "E.\n\n"
      "A parameter may be set at any time, on both sides. A *live* one acts on a running "
      "migration\n"
      "within 100 ms; the others are read when a migration starts, at a destination when it begins "
      "to\n"
      "listen. Names that begin with `x-` are tern's own or unstable. All are checked together, "
      "and\n"
      "all or none of those given are set.\n\n"
      "| name | type | unit | range | default (C++) | default (QMP) | live | acts on | depends on "
      "| "
      "since | standing | what it does |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const ParameterRow& row : tern::params::kParameters) {
    page += "| " + code(row.name) + " | " + std::string(to_string(row.type)) + " | " +
            std::string(row.unit) + " | " + range(row) + " | " + value(row, row.api_default) +
            " | " + value(row, row.qmp_default) + " | " + (row.live ? "yes" : "no") + " | " +
            std::string(to_string(row.side)) + " | " + relations(row) + " | " +
            std::string(row.since) + " | " + standing(row.deprecated, row.unstable) + " | " +
            std::string(row.help) + " |\n";
  }
  return page;
}

std::string capabilities_page() {
  std::string page =
      "# Migration capabilities\n\n"
      "Printed from the rows of `migration/params/capabilities.h`; a test compares this page with\n"
      "them. Set by QMP `migrate-set-capabilities` while no migration runs, read by\n"
      "`query-migrate-capabilities`; in C++ members of `tern::Settings`, on the command line of\n"
      "`tern-vmm` an option of the same name (`on` or `off`). One that must be set *before "
      "listening*\n"
      "cannot be turned on at a destination that listens.\n\n"
      "| name | default (C++) | default (QMP) | acts on | needs | excludes | before listening | "
      "since "
      "| standing | what it does |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n";
  for (const CapabilityRow& row : tern::params::kCapabilities) {
    page += "| " + code(row.name) + " | " + (row.api_default ? "on" : "off") + " | " +
            (row.qmp_default ? "on" : "off") + " | " + std::string(to_string(row.side)) + " | " +
            names(row.needs) + " | " + names(row.excludes) + " | " +
            (row.before_listening ? "yes" : "no") + " | " + std::string(row.since) + " | " +
            standing(row.deprecated, row.unstable) + " | " + std::string(row.help) + " |\n";
  }
  return page;
}

std::string type_name(const QapiType& type) {
  switch (type.kind) {
    case Kind::string:
      return "string";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::number:
      return "number";
    case Kind::string_or_null:
      return "string or null";
    case Kind::uint8:
      return "uint8";
    case Kind::uint16:
      return "uint16";
    case Kind::uint32:
      return "uint32";
    case Kind::uint64:
      return "uint64";
    case Kind::enumeration:
      return std::string(type.name);
    case Kind::array:
      return "[" + type_name(*type.element) + "]";
    case Kind::object:
    case Kind::flat_union:
      return std::string(type.name);
  }
  return {};
}

std::string members(const QapiType& type) {
  // The settings have a page of their own.
  if (type.name == "MigrateSetParameters") return "the [parameters](parameters.md), all optional";
  std::string text;
  for (const auto& member : type.members) {
    text += (text.empty() ? "" : ", ") +
            code(std::string(member.name) + (member.optional ? "?" : "")) + " " +
            type_name(*member.type);
  }
  return text.empty() ? "–" : text;
}

std::string result(const QapiType& type) {
  if (type.kind == Kind::object && type.members.empty()) return "–";
  return type_name(type);
}

std::string features(tern::qmp::Features features) {
  return standing((features & tern::qmp::kDeprecated) != 0, (features & tern::qmp::kUnstable) != 0);
}

std::string states(tern::StatusMask mask) {
  if (mask == tern::kAnyStatus) return "any";
  std::string text;
  for (int i = 0; i < tern::kStatusCount; ++i) {
    const auto status = static_cast<tern::Status>(i);
    if ((mask & tern::bit(status)) == 0) continue;
    text += (text.empty() ? "" : ", ") + std::string(to_string(status));
  }
  return text;
}

std::string commands_page() {
  std::string page =
      "# QMP commands\n\n"
      "Printed from the rows of `migration/qmp/command_table.cc`; a test compares this page with\n"
      "them. `?` marks an optional argument. *States* are those of the outgoing migration in "
      "which\n"
      "the command is accepted. The types are those of `query-qmp-schema`. How answers differ "
      "from\n"
      "QEMU's is in [qmp-differences.md](qmp-differences.md).\n\n"
      "| command | arguments | result | states | out of band | since | standing | what it does |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const auto& row : tern::qmp::command_table()) {
    page += "| " + code(row.name) + " | " + members(*row.arguments) + " | " + result(*row.returns) +
            " | " + states(row.permitted) + " | " + (row.allow_oob ? "yes" : "no") + " | " +
            std::string(row.since) + " | " + features(row.features) + " | " +
            std::string(row.help) + " |\n";
  }
  return page;
}

std::string events_page() {
  std::string page =
      "# QMP events\n\n"
      "Printed from the rows of `migration/qmp/event_table.cc`; a test compares this page with "
      "them.\n"
      "Events go to every client that has negotiated. Those that name a *capability* are told "
      "only\n"
      "while it is on at that side. In C++: `tern::EventSink`.\n\n"
      "| event | data | capability | since | when |\n|---|---|---|---|---|\n";
  for (const auto& row : tern::qmp::event_table()) {
    page += "| " + code(row.name) + " | " + members(*row.data) + " | " +
            (row.capability.empty() ? "–" : code(row.capability)) + " | " + std::string(row.since) +
            " | " + std::string(row.when) + " |\n";
  }
  return page;
}

std::string objects_page() {
  std::string page =
      "# Objects\n\n"
      "Printed from the rows of `migration/objects/object_types.h`; a test compares this page "
      "with\n"
      "them. Objects are made by QMP's `object-add`, by `tern-vmm --object "
      "TYPE,id=ID,NAME=VALUE…`,\n"
      "and by `ObjectStore`; [TLS](../tls.md) shows them at work.\n";
  const auto table = [&page](std::span<const tern::objects::PropertyRow> rows) {
    page += "\n| property | values | mandatory | meaning |\n|---|---|---|---|\n";
    for (const auto& row : rows) {
      using enum tern::objects::PropertyKind;
      const std::string values = row.kind == boolean ? "on, off"
                                 : row.kind == word  ? names(row.words)
                                 : row.kind == rules ? "list of rules"
                                                     : "text";
      page += "| " + code(row.name) + " | " + values + " | " + (row.required ? "yes" : "no") +
              " | " + std::string(row.help) + " |\n";
    }
  };
  for (const auto& type : tern::objects::kObjectTypes) {
    page += "\n## " + std::string(type.name) + "\n\n" + std::string(type.help) + "\n";
    table(type.properties);
  }
  page += "\n## Rules of authz-list\n\nOn a command line: `rules.0.match=…,rules.0.policy=…`.\n";
  table(tern::objects::kRuleRows);
  return page;
}

std::string statistics_page() {
  std::string page =
      "# Statistics\n\n"
      "Printed from the rows of `migration/params/statistics.h`; a test compares this page with\n"
      "them. The names are paths in the answer of QMP `query-migrate`; in C++ they are members of\n"
      "`tern::StatsSnapshot` (by name: `tern/catalog.h`), in C `tern_stats_*`. *States* are those "
      "of\n"
      "the outgoing migration in which `query-migrate` has the member, once it is known; "
      "*incoming*:\n"
      "an incoming migration shows it, too.\n\n"
      "| name | type | unit | states | incoming | since | what it is |\n"
      "|---|---|---|---|---|---|---|\n";
  for (const auto& row : tern::params::kStatistics) {
    const bool always = row.shown == (tern::kAnyStatus & ~tern::bit(tern::Status::none));
    page += "| " + code(row.info.name) + " | " + std::string(to_string(row.info.type)) + " | " +
            std::string(row.info.unit) + " | " + (always ? "all but none" : states(row.shown)) +
            " | " + (row.incoming ? "yes" : "no") + " | " + std::string(row.info.since) + " | " +
            std::string(row.info.help) + " |\n";
  }
  return page;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

}  // namespace

int main(int argc, char** argv) {
  const bool check = argc == 3 && std::string_view(argv[1]) == "--check";
  if (argc != 2 && !check) {
    std::fprintf(stderr, "usage: docgen [--check] DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path directory = argv[argc - 1];
  const std::vector<std::pair<const char*, std::string>> pages = {
      {"capabilities.md", capabilities_page()},
      {"commands.md", commands_page()},
      {"events.md", events_page()},
      {"objects.md", objects_page()},
      {"parameters.md", parameters_page()},
      {"states.md", tern::states_page()},
      {"statistics.md", statistics_page()}};
  int status = 0;
  for (const auto& [name, text] : pages) {
    if (!check) {
      std::ofstream(directory / name, std::ios::binary) << text;
    } else if (read(directory / name) != text) {
      std::fprintf(stderr, "%s is not what the tables say: run docgen %s\n", name,
                   directory.c_str());
      status = 1;
    }
  }
  return status;
}
