// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/inspect_stream.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <limits>

#include "tools/tern/inspect_boundary.h"
#include "tools/tern/inspect_commands.h"
#include "tools/tern/inspect_fields.h"
#include "tools/tern/inspect_input.h"
#include "tools/tern/inspect_live.h"

namespace tern::tool {
namespace {

constexpr size_t kMaxSections = 65536;
// The one device whose state is worth showing where no description comes: the run state in a
// postcopy package.
constexpr struct {
  std::string_view idstr = "globalstate";
  size_t bytes = 104;
  size_t text_at = 4;
} kGlobalState;
constexpr uint64_t kNoEnd = std::numeric_limits<uint64_t>::max();

std::string_view item_name(uint8_t item) noexcept {
  switch (item) {
    case kItemSectionStart:
      return "section-start";
    case kItemSectionPart:
      return "section-part";
    case kItemSectionEnd:
      return "section-end";
    default:
      return "section-full";
  }
}

std::string uuid_text(const Uuid& uuid) noexcept {
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    std::array<char, 4> two{};
    std::snprintf(two.data(), two.size(), "%02x", uuid[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += two.data();
  }
  return text;
}

}  // namespace

StreamWalker::StreamWalker(StreamReader& in, InspectContext& context, bool recovery) noexcept
    : in_(in),
      context_(context),
      out_(context.out),
      ram_(context),
      recovery_(recovery),
      footers_(context.options.footers) {
  if (recovery) ram_.accept_unlisted_blocks();
}

Result<void> StreamWalker::walk() noexcept {
  Result<void> walked;
  if (!recovery_) walked = opening();
  if (walked) {
    const auto ended = items(in_, kNoEnd);
    walked = ended ? tail() : Result<void>(ended.error());
  }
  context_.summary["sections"] = section_count_;
  context_.summary["devices"] = device_count_;
  context_.summary["pages"] = ram_.totals();
  return walked;
}

Result<void> StreamWalker::opening() noexcept {
  const uint64_t at = in_.offset();
  TERN_TRY(read_header(in_));
  out_.item(at, "header", Json{{"version", kStreamVersion}});
  const uint64_t configuration_at = in_.offset();
  if (TERN_TRY(in_.peek_u8("next item")) != kItemConfiguration) return {};
  TERN_TRY(in_.u8("item"));
  const Configuration c = TERN_TRY(read_configuration(in_).context("configuration"));
  return note_configuration(c, configuration_at);
}

Result<void> StreamWalker::note_configuration(const Configuration& c, uint64_t at) noexcept {
  has_configuration_ = true;
  Json j{{"machine", c.machine}};
  if (c.page_bits) j["target_page_bits"] = *c.page_bits;
  if (!c.capabilities.empty()) j["capabilities"] = c.capabilities;
  if (c.uuid) j["uuid"] = uuid_text(*c.uuid);
  out_.item(at, "configuration", j);
  context_.summary["machine"] = c.machine;
  const auto has = [&](std::string_view name) {
    return std::find(c.capabilities.begin(), c.capabilities.end(), name) != c.capabilities.end();
  };
  ram_.conventions.mapped_ram = has("mapped-ram");
  ram_.conventions.ignore_shared = has("x-ignore-shared");
  if (!c.page_bits) return {};
  if (*c.page_bits < 12 || *c.page_bits > 16) {
    return in_.malformed("pages of 2^" + std::to_string(*c.page_bits) + " bytes");
  }
  ram_.conventions.page_bytes = 1u << *c.page_bits;
  return {};
}

// Items up to the end of the package, the tail, or the EOF byte (which is left for the tail).
Result<StreamWalker::Ended> StreamWalker::items(StreamReader& in, uint64_t end) noexcept {
  for (;;) {
    if (in.offset() == end) return Ended::at_package_end;
    if (in.offset() > end) return in.malformed("item goes past the end of its package");
    const uint8_t item = TERN_TRY(in.peek_u8("next item"));
    switch (item) {
      case kItemSectionFull:
        if (begins_tail(in)) return Ended::at_tail;
        [[fallthrough]];
      case kItemSectionStart:
        TERN_TRY(section(in, item, end));
        break;
      case kItemSectionPart:
      case kItemSectionEnd:
        TERN_TRY(part(in, item, end));
        break;
      case kItemCommand:
        TERN_TRY(command(in, end));
        break;
      case kItemEof:
        if (!in_package_) return Ended::at_eof;
        [[fallthrough]];
      default:
        return in.malformed("item " + std::to_string(item) + " cannot begin here");
    }
  }
}

// A device section after RAM: from here on the description must be found first.
bool StreamWalker::begins_tail(StreamReader& in) noexcept {
  if (in_tail_ || in_package_ || !ram_started_) return false;
  static constexpr size_t kName = 1 + 4 + 1;
  const auto head = in.peek(kName + kRamIdstr.size());
  if (!head || head->size() < kName + kRamIdstr.size()) return true;
  const bool ram = (*head)[kName - 1] == std::byte{3} &&
                   std::equal(kRamIdstr.begin(), kRamIdstr.end(), head->begin() + kName,
                              [](char c, std::byte b) { return std::byte(c) == b; });
  return !ram;
}

Result<void> StreamWalker::section(StreamReader& in, uint8_t item, uint64_t end) noexcept {
  const uint64_t at = in.offset();
  TERN_TRY(in.u8("item"));
  const SectionHeader h = TERN_TRY(read_section_header(in));
  if (h.idstr == kRamIdstr && h.version_id != kRamVersion) {
    return in.malformed("section 'ram' has version " + std::to_string(h.version_id) +
                        ", only 4 is known");
  }
  if (sections_.size() >= kMaxSections) return in.malformed("more than 65536 sections");
  sections_[h.section_id] = {h.idstr, h.instance_id};
  ++section_count_;
  out_.open(at, item_name(item),
            Json{{"section_id", h.section_id},
                 {"idstr", h.idstr},
                 {"instance_id", h.instance_id},
                 {"version_id", h.version_id}});
  const Json inside = TERN_TRY(body(in, h, item == kItemSectionFull, end));
  out_.close(inside);
  return footer(in, h);
}

Result<void> StreamWalker::part(StreamReader& in, uint8_t item, uint64_t end) noexcept {
  const uint64_t at = in.offset();
  TERN_TRY(in.u8("item"));
  SectionHeader h;
  h.section_id = TERN_TRY(in.be32("section id"));
  auto known = sections_.find(h.section_id);
  if (known == sections_.end()) {
    if (!recovery_) {
      return in.malformed("part of section " + std::to_string(h.section_id) +
                          ", which was not started");
    }
    // The section was started on the connection that was lost; in postcopy nothing but RAM goes on.
    known = sections_.emplace(h.section_id, Known{std::string(kRamIdstr), 0}).first;
  }
  h.idstr = known->second.idstr;
  h.instance_id = known->second.instance_id;
  ++section_count_;
  out_.open(at, item_name(item), Json{{"section_id", h.section_id}, {"idstr", h.idstr}});
  const Json inside = TERN_TRY(body(in, h, false, end));
  out_.close(inside);
  return footer(in, h);
}

Result<Json> StreamWalker::body(StreamReader& in, const SectionHeader& h, bool full,
                                uint64_t end) noexcept {
  if (h.idstr == kRamIdstr) {
    ram_started_ = true;
    const Result<void> walked = ram_.body(in).context("section 'ram'");
    Json summary = ram_.take_section_summary();
    if (walked) return summary;
    context_.note_failure(walked.error(), in);
    out_.close(summary);
    return walked.error();
  }
  if (h.idstr == kBlockIdstr) return walk_block_body(in, context_);
  if (h.idstr == kDirtyBitmapIdstr) return walk_dirty_bitmap_body(in, context_);
  const bool described = tail_.lengths() && tail_.lengths()->contains({h.idstr, h.instance_id});
  return full || described ? device_body(in, h, end) : live_body(in, h, end);
}

// Live state of a device: nothing describes it, and it may be long.
Result<Json> StreamWalker::live_body(StreamReader& in, const SectionHeader& h,
                                     uint64_t end) noexcept {
  if (!footers_) {
    return in.malformed("live section '" + h.idstr + "' is unknown: where it ends cannot be known");
  }
  const uint64_t bytes = TERN_TRY(
      take_to_footer(in, h.section_id, end, nullptr, 0).context("live section '" + h.idstr + "'"));
  return Json{{"bytes", bytes}, {"boundary", "guessed by the footer"}};
}

Result<Json> StreamWalker::device_body(StreamReader& in, const SectionHeader& h,
                                       uint64_t end) noexcept {
  ++device_count_;
  std::vector<std::byte> bytes;
  const uint64_t at = in.offset();
  Json j = Json::object();
  if (in_tail_ && tail_.lengths()) {
    const auto found = tail_.lengths()->find({h.idstr, h.instance_id});
    if (found == tail_.lengths()->end()) {
      return in.malformed("section '" + h.idstr + "' instance " + std::to_string(h.instance_id) +
                          " is not in the vmdescription");
    }
    const uint64_t left = tail_.start() + tail_.bytes().size() - at;
    if (found->second > left) {
      return in.malformed("section '" + h.idstr + "' is longer than the stream: " +
                          std::to_string(found->second) + " bytes by the vmdescription");
    }
    bytes.resize(found->second);
    TERN_TRY(in.read(bytes, "device section"));
    j["bytes"] = bytes.size();
  } else {
    if (!footers_) {
      return in.malformed(
          "device section '" + h.idstr +
          "' without a description and without footers: where it ends cannot be known");
    }
    TERN_TRY(take_to_footer(in, h.section_id, end, &bytes,
                            context_.options.max_device_state - early_bytes_)
                 .context("device section '" + h.idstr + "'"));
    j["bytes"] = bytes.size();
    j["boundary"] = "guessed by the footer";
  }
  if (const DescribedDevice* device = tail_.description().find(h.idstr, h.instance_id)) {
    if (!device->layout.name.empty()) j["vmsd_name"] = device->layout.name;
    j.update(decode_body(device->layout, bytes, context_.options.verbose));
  } else if (h.idstr == kGlobalState.idstr && bytes.size() == kGlobalState.bytes) {
    const char* text = reinterpret_cast<const char*>(bytes.data()) + kGlobalState.text_at;
    j["runstate"] = std::string(text, strnlen(text, bytes.size() - kGlobalState.text_at));
  }
  if (!in_tail_) {
    early_bytes_ += bytes.size();
    early_.push_back({h, at, std::move(bytes)});
  }
  return j;
}

Result<void> StreamWalker::footer(StreamReader& in, const SectionHeader& h) noexcept {
  if (!footers_) return {};
  // Machine types up to 2.3 have neither a configuration nor footers.
  if (!has_configuration_ && !recovery_ && section_count_ == 1 &&
      TERN_TRY(in.peek_u8("section footer")) != kItemFooter) {
    footers_ = false;
    return {};
  }
  return read_footer(in, h.section_id, h.idstr);
}

Result<void> StreamWalker::command(StreamReader& in, uint64_t end) noexcept {
  const uint64_t at = in.offset();
  TERN_TRY(in.u8("item"));
  const CommandHeader h = TERN_TRY(read_command_header(in));
  out_.open(at, "command", Json{{"command", command_name(h.command)}});
  const Json inside = TERN_TRY(walk_command(in, h, context_));
  const auto command = static_cast<Command>(h.command);
  if (command == Command::postcopy_advise && inside.contains("page_sizes")) {
    ram_.conventions.advised_page_sizes = inside["page_sizes"].get<uint64_t>();
  }
  if (command == Command::packaged) {
    if (end != kNoEnd) return in.malformed("package inside a package");
    TERN_TRY(package(in, inside["package_bytes"].get<uint64_t>()));
  }
  out_.close(inside);
  return {};
}

Result<void> StreamWalker::package(StreamReader& in, uint64_t bytes) noexcept {
  in_package_ = true;
  TERN_TRY(items(in, in.offset() + bytes).context("package"));
  in_package_ = false;
  return {};
}

Result<void> StreamWalker::tail() noexcept {
  TERN_TRY(tail_.collect(in_, context_.options.max_device_state));
  in_tail_ = true;
  tail_.find_description(footers_);
  MemoryInput memory(tail_.bytes());
  StreamReader in(memory, StreamReader::kBufferBytes, tail_.start());
  Result<void> walked = walk_tail(in);
  if (!walked) context_.note_failure(walked.error(), in);
  return walked;
}

Result<void> StreamWalker::walk_tail(StreamReader& in) noexcept {
  TERN_TRY(items(in, kNoEnd));
  out_.item(in.offset(), "eof", Json::object());
  TERN_TRY(in.u8("end of the stream"));
  const bool more = !TERN_TRY(in.at_end());
  context_.summary["vmdescription"] = more;
  if (!more) return {};
  if (TERN_TRY(in.peek_u8("vmdescription")) != kItemVmDescription) {
    context_.summary["vmdescription"] = false;
    return after_the_end(in);
  }
  TERN_TRY(vmdescription(in));
  return after_the_end(in);
}

Result<void> StreamWalker::vmdescription(StreamReader& in) noexcept {
  const uint64_t at = in.offset();
  TERN_TRY(in.u8("item"));
  const uint32_t n = TERN_TRY(in.be32("vmdescription length"));
  const uint64_t json_at = in.offset();
  const std::span<const std::byte> rest = tail_.bytes().subspan(json_at - tail_.start());
  if (n > rest.size()) {
    TERN_TRY(in.take(1, "vmdescription"));  // so that the place is that of the text
    return Error(ErrorCode::channel,
                 "end of stream at offset " + std::to_string(json_at + rest.size()) +
                     " while reading vmdescription of " + std::to_string(n) + " bytes");
  }
  const std::string_view json(reinterpret_cast<const char*>(rest.data()), n);
  out_.open(at, "vmdescription", Json{{"bytes", n}});
  Json j = Json::object();
  if (n > 0) {  // 0: left out by the sender
    TERN_TRY(in.peek_u8("vmdescription"));
    const auto description = parse_description(json);
    if (!description) return in.malformed(description.error().message());
    if (description->page_size) j["page_size"] = *description->page_size;
    j["devices"] = description->devices.size();
    j["configuration"] = description->has_configuration;
    if (context_.options.verbose) j["text"] = std::string(json);
    for (const EarlyDevice& e : early_) {
      const DescribedDevice* device = description->find(e.header.idstr, e.header.instance_id);
      if (device == nullptr) continue;
      Json head{{"idstr", e.header.idstr}, {"instance_id", e.header.instance_id}};
      head.update(decode_body(device->layout, e.body, context_.options.verbose));
      out_.item(e.offset, "device-state", head);
    }
  }
  out_.close(j);
  for (uint64_t left = n; left > 0;) {
    const auto got = TERN_TRY(in.take_available(left));
    left -= got.size();
  }
  return {};
}

// Nothing of QEMU's; tern's go, and the zeros behind a snapshot in a disk image.
Result<void> StreamWalker::after_the_end(StreamReader& in) noexcept {
  while (!TERN_TRY(in.at_end())) {
    const uint64_t at = in.offset();
    const uint8_t next = TERN_TRY(in.peek_u8("data after the stream"));
    if (next == kItemCommand) {
      TERN_TRY(command(in, kNoEnd));
      continue;
    }
    if (next != 0) return in.malformed("data after the end of the stream");
    while (!TERN_TRY(in.at_end()) && TERN_TRY(in.peek_u8("padding")) == 0)
      TERN_TRY(in.u8("padding"));
    out_.item(at, "padding", Json{{"bytes", in.offset() - at}});
  }
  return {};
}

}  // namespace tern::tool
