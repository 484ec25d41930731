// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_maps.h"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "tern/ram_block.h"
#include "tools/common/json_fields.h"

namespace tern::tool {
namespace {

// Takes a number off the front of `text`, and `behind` behind it.
bool take_number(std::string_view& text, int base, char behind, uint64_t& value) noexcept {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.empty() || text.front() != behind) return false;
  text.remove_prefix(1);
  return true;
}

// "start-end perms offset major:minor inode   name"
bool parse_line(std::string_view line, Mapping& mapping) noexcept {
  if (!take_number(line, 16, '-', mapping.start) || !take_number(line, 16, ' ', mapping.end)) {
    return false;
  }
  if (mapping.start >= mapping.end || mapping.start % kTargetPageBytes != 0 ||
      mapping.end % kTargetPageBytes != 0 || line.size() < 5 || line[4] != ' ') {
    return false;
  }
  mapping.readable = line[0] == 'r';
  mapping.writable = line[1] == 'w';
  mapping.shared = line[3] == 's';
  line.remove_prefix(5);
  uint64_t major = 0;
  uint64_t minor = 0;
  if (!take_number(line, 16, ' ', mapping.offset) || !take_number(line, 16, ':', major) ||
      !take_number(line, 16, ' ', minor)) {
    return false;
  }
  // Without a name the line may end behind the inode.
  const size_t blank = std::min(line.find(' '), line.size());
  const auto [end, error] = std::from_chars(line.data(), line.data() + blank, mapping.inode);
  if (error != std::errc{} || end != line.data() + blank) return false;
  line.remove_prefix(blank);
  const size_t name = line.find_first_not_of(' ');
  mapping.name = name == line.npos ? "[anon]" : std::string(line.substr(name));
  return true;
}

bool is_device(const Mapping& mapping) noexcept {
  const std::string_view name = mapping.name;
  return name == "[vvar]" || name == "[vvar_vclock]" || name == "[vsyscall]" ||
         (name.starts_with("/dev/") && !name.starts_with("/dev/shm/") &&
          !name.starts_with("/dev/zero") && !name.starts_with("/dev/hugepages"));
}

}  // namespace

Result<std::vector<Mapping>> parse_maps(std::string_view text) noexcept {
  std::vector<Mapping> mappings;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    Mapping mapping;
    if (!parse_line(text.substr(0, end), mapping)) {
      return Error(ErrorCode::peer_protocol,
                   "line " + std::to_string(number) +
                       " of the process's mappings makes no sense: '" +
                       printable(text.substr(0, std::min<size_t>(end, 100))) + "'");
    }
    if (mappings.size() == kMaxMappings) {
      return Error(ErrorCode::resource_exhausted,
                   "the process has more than " + std::to_string(kMaxMappings) + " mappings");
    }
    // Mappings that come and go while the kernel lists them may be listed out of order.
    if (mappings.empty() || mapping.start >= mappings.back().end) {
      mappings.push_back(std::move(mapping));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return mappings;
}

void MappingChoice::Free::operator()(regex_t* regex) const noexcept {
  ::regfree(regex);
  delete regex;
}

Result<void> MappingChoice::set_regex(const std::string& text) noexcept {
  auto regex = std::make_unique<regex_t>();
  const int error = ::regcomp(regex.get(), text.c_str(), REG_EXTENDED | REG_NOSUB);
  if (error != 0) {
    char why[200];
    ::regerror(error, regex.get(), why, sizeof(why));
    return Error(ErrorCode::invalid_argument, "'" + printable(text) + "': " + why);
  }
  regex_.reset(regex.release());
  return {};
}

bool MappingChoice::wants(const Mapping& mapping) const noexcept {
  if (mapping.bytes() < min_bytes) return false;
  if (regex_ && ::regexec(regex_.get(), mapping.name.c_str(), 0, nullptr, 0) != 0) return false;
  return globs.empty() || std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) {
           return ::fnmatch(glob.c_str(), mapping.name.c_str(), 0) == 0;
         });
}

MappingsChosen choose_mappings(std::vector<Mapping> mappings,
                               const MappingChoice& choice) noexcept {
  MappingsChosen chosen;
  chosen.all = mappings.size();
  for (Mapping& mapping : mappings) {
    if (is_device(mapping)) {
      ++chosen.devices;
    } else if (!mapping.writable || !mapping.readable) {
      ++chosen.read_only;
    } else if (!choice.wants(mapping)) {
      ++chosen.unwanted;
    } else {
      chosen.mappings.push_back(std::move(mapping));
    }
  }
  return chosen;
}

}  // namespace tern::tool
