// SPDX-License-Identifier: Apache-2.0
//
// A fuzz target: one reader of hostile bytes and the promise it keeps. The same targets are driven
// by libFuzzer (libfuzzer_main.cc, with -Dfuzz=true) and by fuzz_smoke, which needs nothing but
// this build.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/result.h"

namespace tern::fuzz {

struct FuzzTarget {
  std::string_view name;
  /// Corpus files whose names begin with one of these are its seeds.
  std::vector<std::string_view> seeds;
  /// Returns what promise was broken, empty if none was. A crash is one too, and needs no words.
  std::string (*run)(std::span<const std::byte> input);
  /// How many of the runs since the last call ended in success.
  uint64_t (*take_successes)();
};

FuzzTarget stream_target();
FuzzTarget return_path_target();
FuzzTarget vmdesc_target();
FuzzTarget address_target();
FuzzTarget inspect_target();
FuzzTarget qmp_target();
FuzzTarget multifd_target();
FuzzTarget xbzrle_target();
FuzzTarget zlib_page_target();
FuzzTarget zlib_target();
FuzzTarget zstd_target();
/// Breaks its promise on purpose: proves that the harness notices.
FuzzTarget canary_target();

/// "" if the error is one that hostile bytes may cause: a sentence, and a code that blames the
/// bytes.
inline std::string check_error(const Error& error, std::initializer_list<ErrorCode> allowed) {
  if (error.message().empty()) return "an error without a message";
  for (const ErrorCode code : allowed) {
    if (error.code() == code) return {};
  }
  return "an error of code " + std::string(to_string(error.code())) + ": " + error.message();
}

}  // namespace tern::fuzz
