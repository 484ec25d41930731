// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect.h"

#include "migration/stream/framing.h"
#include "tools/tern/inspect_multifd.h"
#include "tools/tern/inspect_ram.h"
#include "tools/tern/inspect_return_path.h"
#include "tools/tern/inspect_stream.h"

namespace tern::tool {
namespace {

Result<void> walk_preempt(StreamReader& in, InspectContext& context) noexcept {
  RamWalker ram(context);
  ram.accept_unlisted_blocks();
  context.out.open(in.offset(), "ram-records", Json::object());
  const Result<void> walked = ram.channel(in);
  context.out.close(ram.take_section_summary());
  context.summary["pages"] = ram.totals();
  return walked.has_value() ? Result<void>() : Result<void>(walked.error());
}

Result<void> walk(StreamReader& in, InspectContext& context) noexcept {
  InspectOutput& out = context.out;
  if (context.options.format == InspectFormat::return_path) {
    out.begin("return-path");
    return walk_return_path(in, context);
  }
  if (context.options.format == InspectFormat::preempt) {
    out.begin("preempt-channel");
    return walk_preempt(in, context);
  }
  const auto head = in.peek(4);
  const uint32_t magic = head && head->size() == 4 ? load_be<uint32_t>(head->data()) : 0;
  if (magic == kMultifdMagic) {
    out.begin("multifd-channel");
    return walk_multifd(in, context);
  }
  // A recovered postcopy goes on on a new connection, without a header: its first item is a
  // command.
  const bool recovery = head && head->size() == 4 && (*head)[0] == std::byte{kItemCommand};
  out.begin("migration-stream");
  TERN_TRY(head.has_value() ? Result<void>() : Result<void>(head.error()));
  return StreamWalker(in, context, recovery).walk();
}

}  // namespace

void InspectContext::note_failure(const Error& error, const StreamReader& in) noexcept {
  if (failure) return;
  const bool cut = error.code() == ErrorCode::channel;
  const uint64_t offset = cut ? in.received() : in.field_offset();
  std::string reason = error.message();
  // The offset has a place of its own.
  const std::string place = "at offset " + std::to_string(offset) + ": ";
  if (const size_t at = reason.find(place); at != std::string::npos) reason.erase(at, place.size());
  failure = Failure{offset, std::move(reason)};
}

std::optional<Failure> inspect(Channel& channel, const InspectOptions& options,
                               InspectOutput& out) noexcept {
  InspectContext context{options, out, Json::object(), std::nullopt};
  StreamReader in(channel, StreamReader::kBufferBytes, options.first_offset);
  const Result<void> walked = walk(in, context);
  if (!walked) context.note_failure(walked.error(), in);
  context.summary["bytes"] = in.received() - options.first_offset;
  context.summary["complete"] = !context.failure.has_value();
  out.end(context.summary, context.failure);
  return context.failure;
}

}  // namespace tern::tool
