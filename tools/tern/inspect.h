// SPDX-License-Identifier: Apache-2.0
//
// inspect(): reads any channel of a migration and tells an InspectOutput what is in it, to the last
// byte or to the first malformed one. It loads nothing and owns no format: the parsers are those of
// migration/stream and ram/wire, what the engine does not speak (compressed pages, block migration,
// multifd packets …) is parsed in files of its own here.
//
// Memory: one buffer of 1 MiB, what is kept of device state (max_device_state) and its description.
// Works on pipes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/channel.h"
#include "base/stream_io.h"
#include "tools/tern/inspect_output.h"

namespace tern::tool {

enum class InspectFormat {
  automatic,    // by the first four bytes: main stream, multifd channel, main stream of a postcopy
                // recovery
  return_path,  // destination to source
  preempt,      // postcopy-preempt channel: page records and nothing else
};

struct InspectOptions {
  InspectFormat format = InspectFormat::automatic;
  bool verbose = false;                     // every RAM record, every array element and byte
  bool footers = true;                      // false: a stream with send-section-footer off
  uint64_t max_device_state = 64ull << 20;  // bytes of device state and description kept in memory
  std::string ram_directory;                // not empty: where the RAM of a main stream is written
  uint64_t first_offset = 0;                // where the channel's first byte stands in the file
};

/// What the walkers of the formats share.
struct InspectContext {
  const InspectOptions& options;
  InspectOutput& out;
  Json summary = Json::object();
  std::optional<Failure> failure;

  /// Notes where an error stands, if a reader further inside has not done it before.
  void note_failure(const Error& error, const StreamReader& in) noexcept;
};

/// Returns the failure, if there was one; it was also given to `out`.
std::optional<Failure> inspect(Channel& channel, const InspectOptions& options,
                               InspectOutput& out) noexcept;

}  // namespace tern::tool
