// SPDX-License-Identifier: Apache-2.0
//
// /proc/PID/maps: which mappings a process has, and which of them are measured. Text in, mappings
// out; opens nothing.
#pragma once

#include <regex.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tern/result.h"

namespace tern::tool {

struct Mapping {
  uint64_t start = 0;
  uint64_t end = 0;
  bool readable = false;
  bool writable = false;
  bool shared = false;
  uint64_t offset = 0;  ///< in the file
  uint64_t inode = 0;
  std::string name;  ///< a path, "[heap]", or "[anon]" where the kernel says nothing

  uint64_t bytes() const noexcept { return end - start; }
};

/// The kernel allows 65530 mappings unless vm.max_map_count was raised.
inline constexpr size_t kMaxMappings = size_t{1} << 20;

/// Sorted as the kernel does. Errors: peer_protocol naming the line.
Result<std::vector<Mapping>> parse_maps(std::string_view text) noexcept;

/// Which mappings are wanted. All of what is set must hold.
class MappingChoice {
 public:
  MappingChoice() = default;

  uint64_t min_bytes = 0;
  /// Globs for the whole name (`*` matches `/` too); one must match, if there are any.
  std::vector<std::string> globs;
  /// An extended regular expression that is searched for in the name. Errors: invalid_argument.
  Result<void> set_regex(const std::string& text) noexcept;

  bool wants(const Mapping& mapping) const noexcept;

 private:
  struct Free {
    void operator()(regex_t* regex) const noexcept;
  };
  std::unique_ptr<regex_t, Free> regex_;
};

/// What became of the mappings of a process.
struct MappingsChosen {
  std::vector<Mapping> mappings;
  size_t all = 0;
  size_t read_only = 0;  ///< cannot be dirtied, or not be read
  size_t devices = 0;    ///< memory of devices: reading it may do something
  size_t unwanted = 0;   ///< by the choice
};

MappingsChosen choose_mappings(std::vector<Mapping> mappings, const MappingChoice& choice) noexcept;

}  // namespace tern::tool
