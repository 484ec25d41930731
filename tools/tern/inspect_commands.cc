// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_commands.h"

#include <string>

namespace tern::tool {
namespace {

constexpr size_t kRangeBytes = 16;

// {be64 start, be64 length}+ in what is left of the payload.
Result<void> ranges(StreamReader& in, size_t bytes, InspectContext& context, Json& j) noexcept {
  if (bytes == 0 || bytes % kRangeBytes != 0) {
    return in.malformed("ranges of " + std::to_string(bytes) + " bytes");
  }
  uint64_t total = 0;
  for (size_t i = 0; i < bytes / kRangeBytes; ++i) {
    const uint64_t at = in.offset();
    const uint64_t start = TERN_TRY(in.be64("range start"));
    const uint64_t length = TERN_TRY(in.be64("range length"));
    uint64_t end = 0;
    if (__builtin_add_overflow(start, length, &end) ||
        __builtin_add_overflow(total, length, &total)) {
      return in.malformed("range ends past 64 bits");
    }
    if (context.options.verbose) {
      context.out.record(at, Json{{"record", "range"}, {"start", start}, {"length", length}});
    }
  }
  j["ranges"] = bytes / kRangeBytes;
  j["bytes"] = total;
  return {};
}

Result<Json> discard(StreamReader& in, size_t length, InspectContext& context) noexcept {
  const uint8_t version = TERN_TRY(in.u8("discard version"));
  if (version != 0) return in.malformed("discard version " + std::to_string(version));
  Json j = Json::object();
  const std::string name = TERN_TRY(in.counted_string("RAM block name"));
  j["block"] = name;
  const size_t head = 3 + name.size();
  if (length <= head) return in.malformed("discard of " + std::to_string(length) + " bytes");
  if (TERN_TRY(in.u8("end of the block name")) != 0)
    return in.malformed("no 0 after the block name");
  TERN_TRY(ranges(in, length - head, context, j));
  return j;
}

Result<Json> zero_run(StreamReader& in, size_t length, InspectContext& context) noexcept {
  const std::string name = TERN_TRY(in.counted_string("RAM block name"));
  Json j{{"block", name}};
  const size_t head = 1 + name.size();
  if (length <= head) return in.malformed("tern-zero-run of " + std::to_string(length) + " bytes");
  TERN_TRY(ranges(in, length - head, context, j));
  return j;
}

Result<Json> ping(StreamReader& in) noexcept {
  const uint32_t value = TERN_TRY(in.be32("ping"));
  Json j{{"value", value}};
  if (value == kTernPing) j["meaning"] = "asks whether the peer is tern";
  if (value == kKeepAlivePing) j["meaning"] = "keep-alive of tern";
  return j;
}

}  // namespace

Result<Json> walk_command(StreamReader& in, const CommandHeader& header,
                          InspectContext& context) noexcept {
  Json j = Json::object();
  switch (static_cast<Command>(header.command)) {
    case Command::open_return_path:
    case Command::postcopy_listen:
    case Command::postcopy_run:
    case Command::enable_colo:
    case Command::postcopy_resume:
    case Command::switchover_start:
    case Command::tern_go:
      return j;
    case Command::ping:
      return ping(in);
    case Command::postcopy_advise:
      if (header.length == 0) return j;
      j["page_sizes"] = TERN_TRY(in.be64("host page sizes"));
      j["target_page_size"] = TERN_TRY(in.be64("target page size"));
      return j;
    case Command::postcopy_ram_discard:
      return discard(in, header.length, context);
    case Command::packaged:
      j["package_bytes"] = TERN_TRY(in.be32("package length"));
      return j;
    case Command::recv_bitmap: {
      j["block"] = TERN_TRY(in.counted_string("RAM block name"));
      const size_t length = 1 + j["block"].get_ref<const std::string&>().size();
      if (length != header.length) return in.malformed("block name does not fill the command");
      return j;
    }
    case Command::tern_zero_run:
      return zero_run(in, header.length, context);
    case Command::tern_dialect: {
      const TernDialect dialect = TERN_TRY(read_tern_dialect(in));
      j["protocol"] = dialect.protocol;
      j["zero_run"] = (dialect.features & kFeatureZeroRun) != 0;
      j["go"] = (dialect.features & kFeatureGo) != 0;
      return j;
    }
  }
  // Optional, of a later tern: to be skipped.
  TERN_TRY(in.take(header.length, "payload of an optional command"));
  j["payload_bytes"] = header.length;
  return j;
}

}  // namespace tern::tool
