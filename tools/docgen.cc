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

#include "migration/params/capabilities.h"
#include "migration/params/parameters.h"
#include "migration/qmp/command_table.h"
#include "migration/state/transitions.h"

namespace {

using tern::params::CapabilityRow;
using tern::params::ParameterRow;
using tern::params::ValueType;
using tern::qmp::ArgType;
using tern::qmp::Kind;

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

std::string value(const ParameterRow& row, uint64_t v) {
  if (row.type == ValueType::enumeration) return code(row.words.words[v]);
  return std::to_string(v);
}

std::string range(const ParameterRow& row) {
  if (row.type == ValueType::enumeration) {
    std::string words;
    for (const std::string_view word : row.words.words) {
      words += (words.empty() ? "" : ", ") + code(word);
    }
    return words;
  }
  const std::string max = row.max == tern::params::kAnyU64 ? "2^64-1" : std::to_string(row.max);
  return std::to_string(row.min) + ".." + max;
}

std::string parameters_page() {
  std::string page =
      "# Migration parameters\n\n"
      "Printed from the rows of `migration/params/parameters.h`; a test compares this page with\n"
      "them. Set by QMP `migrate-set-parameters`, read by `query-migrate-parameters`; in C++ they "
      "are\n"
      "members of `tern::Settings`. A *live* one acts on a running migration within 100 ms; the "
      "others\n"
      "are read when a migration starts. Names that begin with `x-` are tern's own or unstable.\n\n"
      "| name | type | unit | range | default (C++) | default (QMP) | live | acts on | since | "
      "what it does |\n|---|---|---|---|---|---|---|---|---|---|\n";
  for (const ParameterRow& row : tern::params::kParameters) {
    page += "| " + code(row.name) + " | " + std::string(to_string(row.type)) + " | " +
            std::string(row.unit) + " | " + range(row) + " | " + value(row, row.api_default) +
            " | " + value(row, row.qmp_default) + " | " + (row.live ? "yes" : "no") + " | " +
            std::string(to_string(row.side)) + " | " + std::string(row.since) + " | " +
            std::string(row.help) + " |\n";
  }
  return page;
}

std::string names(std::span<const std::string_view> list) {
  std::string text;
  for (const std::string_view name : list) text += (text.empty() ? "" : ", ") + code(name);
  return text.empty() ? "–" : text;
}

std::string capabilities_page() {
  std::string page =
      "# Migration capabilities\n\n"
      "Printed from the rows of `migration/params/capabilities.h`; a test compares this page with\n"
      "them. Set by QMP `migrate-set-capabilities` while no migration runs, read by\n"
      "`query-migrate-capabilities`.\n\n"
      "| name | default (C++) | default (QMP) | acts on | needs | excludes | since | what it does "
      "|\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const CapabilityRow& row : tern::params::kCapabilities) {
    page += "| " + code(row.name) + " | " + (row.api_default ? "on" : "off") + " | " +
            (row.qmp_default ? "on" : "off") + " | " + std::string(to_string(row.side)) + " | " +
            names(row.needs) + " | " + names(row.excludes) + " | " + std::string(row.since) +
            " | " + std::string(row.help) + " |\n";
  }
  return page;
}

std::string type_name(const ArgType& type) {
  switch (type.kind) {
    case Kind::string:
      return "string";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
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

std::string arguments(const ArgType& type) {
  std::string text;
  for (const auto& member : type.members) {
    text += (text.empty() ? "" : ", ") +
            code(std::string(member.name) + (member.optional ? "?" : "")) + " " +
            type_name(*member.type);
  }
  return text.empty() ? "–" : text;
}

std::string states(tern::qmp::StatusMask mask) {
  if (mask == tern::qmp::kAnyStatus) return "any";
  std::string text;
  for (int i = 0; i < tern::kStatusCount; ++i) {
    const auto status = static_cast<tern::Status>(i);
    if ((mask & tern::qmp::bit(status)) == 0) continue;
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
      "the command is accepted.\n\n"
      "| command | arguments | states | out of band | since | what it does |\n"
      "|---|---|---|---|---|---|\n";
  for (const auto& row : tern::qmp::command_table()) {
    page += "| " + code(row.name) + " | " + arguments(*row.arguments) + " | " +
            states(row.permitted) + " | " + (row.allow_oob ? "yes" : "no") + " | " +
            std::string(row.since) + " | " + std::string(row.help) + " |\n";
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
      {"parameters.md", parameters_page()},
      {"states.md", tern::states_page()}};
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
