// SPDX-License-Identifier: Apache-2.0
//
// The vmdescription: its JSON alone, through both readers (the engine's lengths, inspect's
// layouts), and as the end of a tail that comes in pieces.
#include "migration/stream/vmdesc.h"

#include <algorithm>
#include <utility>

#include "tests/doubles/stream_maker.h"
#include "tests/fuzz/target.h"
#include "tools/tern/inspect_fields.h"

namespace tern::fuzz {
namespace {

constexpr uint64_t kMaxTail = 1u << 20;
uint64_t successes = 0;

// A tail of one section and the input as description: cut as it says, or refused.
std::string run_as_tail(std::span<const std::byte> json) {
  const std::string_view text(reinterpret_cast<const char*>(json.data()), json.size());
  test::StreamMaker maker;
  maker.begin(kItemSectionFull, {9, "d", 0, 1}).raw({1, 2, 3, 4}).footer(9);
  maker.end_with(std::string(text));
  const std::vector<std::byte> tail = maker.take();
  TailSplitter splitter(0, kMaxTail, true);
  const size_t piece = json.size() % 3 == 0 ? tail.size() : 97;
  for (size_t at = 0; at < tail.size(); at += piece) {
    const auto added =
        splitter.append(std::span(tail).subspan(at, std::min(piece, tail.size() - at)));
    if (!added) return check_error(added.error(), {ErrorCode::resource_exhausted});
    const auto sections = splitter.try_split();
    if (!sections) continue;
    if (at + piece < tail.size()) return "cut before the end";
    if (sections->size() != 1 || (*sections)[0].body.size() != 4) return "cut into something else";
    return {};
  }
  return check_error(splitter.why_incomplete(), {ErrorCode::peer_protocol});
}

std::string run(std::span<const std::byte> input) {
  const std::string_view json(reinterpret_cast<const char*>(input.data()), input.size());
  const auto lengths = parse_vmdesc(json);
  const auto description = tool::parse_description(json);
  if (!lengths) {
    if (auto wrong = check_error(lengths.error(), {ErrorCode::peer_protocol}); !wrong.empty())
      return wrong;
  }
  if (!description) {
    if (auto wrong = check_error(description.error(), {ErrorCode::peer_protocol}); !wrong.empty())
      return wrong;
  }
  if (lengths && description) {
    ++successes;
    std::vector<std::byte> body(4096, std::byte{5});
    for (const auto& device : description->devices) {
      const auto known = lengths->find({device.idstr, device.instance_id});
      if (known == lengths->end()) return "the two readers of the description disagree";
      const size_t size = std::min<uint64_t>(known->second, body.size());
      if (tool::decode_body(device.layout, std::span(body).first(size), false).empty())
        return "nothing decoded";
    }
  }
  return run_as_tail(input);
}

}  // namespace

FuzzTarget vmdesc_target() {
  return {"vmdesc", {"vmdesc-"}, run, [] { return std::exchange(successes, 0); }};
}

}  // namespace tern::fuzz
