// SPDX-License-Identifier: Apache-2.0
//
// StreamWalker: the main migration stream, item by item. Frames are parsed by
// migration/stream/framing; bodies by the walkers beside this file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/stream_io.h"
#include "migration/stream/framing.h"
#include "tools/tern/inspect.h"
#include "tools/tern/inspect_ram.h"
#include "tools/tern/inspect_tail.h"

namespace tern::tool {

class StreamWalker {
 public:
  /// `recovery`: the stream of a recovered postcopy, which has no header and no block list.
  StreamWalker(StreamReader& in, InspectContext& context, bool recovery) noexcept;

  Result<void> walk() noexcept;

 private:
  enum class Ended { at_package_end, at_tail, at_eof };
  struct Known {
    std::string idstr;
    uint32_t instance_id = 0;
  };
  struct EarlyDevice {
    SectionHeader header;
    uint64_t offset = 0;
    std::vector<std::byte> body;
  };

  Result<void> opening() noexcept;
  Result<void> note_configuration(const Configuration& c, uint64_t at) noexcept;
  Result<Ended> items(StreamReader& in, uint64_t end) noexcept;
  Result<void> section(StreamReader& in, uint8_t item, uint64_t end) noexcept;
  Result<void> part(StreamReader& in, uint8_t item, uint64_t end) noexcept;
  Result<Json> body(StreamReader& in, const SectionHeader& header, bool full,
                    uint64_t end) noexcept;
  Result<Json> live_body(StreamReader& in, const SectionHeader& header, uint64_t end) noexcept;
  Result<Json> device_body(StreamReader& in, const SectionHeader& header, uint64_t end) noexcept;
  Result<void> footer(StreamReader& in, const SectionHeader& header) noexcept;
  Result<void> command(StreamReader& in, uint64_t end) noexcept;
  Result<void> package(StreamReader& in, uint64_t bytes) noexcept;
  Result<void> tail() noexcept;
  Result<void> walk_tail(StreamReader& in) noexcept;
  Result<void> vmdescription(StreamReader& in) noexcept;
  Result<void> after_the_end(StreamReader& in) noexcept;
  bool begins_tail(StreamReader& in) noexcept;

  StreamReader& in_;
  InspectContext& context_;
  InspectOutput& out_;
  RamWalker ram_;
  const bool recovery_;
  bool has_configuration_ = false;
  bool footers_;
  bool in_package_ = false;
  bool ram_started_ = false;
  std::map<uint32_t, Known> sections_;
  InspectTail tail_;
  bool in_tail_ = false;
  std::vector<EarlyDevice> early_;
  uint64_t early_bytes_ = 0;
  uint64_t section_count_ = 0;
  uint64_t device_count_ = 0;
};

}  // namespace tern::tool
