// SPDX-License-Identifier: Apache-2.0
//
// inspect() of bytes in memory, as text and as JSON, for tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/doubles/stream_maker.h"
#include "tools/tern/inspect.h"
#include "tools/tern/inspect_input.h"

namespace tern::tool::test {

using tern::test::bytes_of;
#ifdef TERN_TEST_DATA
using tern::test::capture;
#endif
using tern::test::StreamMaker;

struct Inspected {
  Json json;
  std::optional<Failure> failure;

  /// The n-th item of that name; null if there is none.
  Json item(std::string_view name, size_t n = 0) const { return find(json["items"], name, n); }
  /// The FULL section of that device.
  Json device(std::string_view idstr) const {
    for (const Json& i : json["items"]) {
      if (i["item"] == "section-full" && i["idstr"] == idstr) return i;
    }
    return nullptr;
  }
  static Json find(const Json& items, std::string_view name, size_t n) {
    for (const Json& i : items) {
      if (i["item"] == name && n-- == 0) return i;
    }
    return nullptr;
  }
  /// "OFFSET: reason", or "".
  std::string error() const {
    return failure ? std::to_string(failure->offset) + ": " + failure->reason : "";
  }
};

inline Inspected inspect_bytes(const std::vector<std::byte>& bytes,
                               const InspectOptions& options = {}) {
  std::string text;
  auto output = make_json_output([&](std::string_view part) { text += part; });
  MemoryInput input(bytes);
  Inspected result;
  result.failure = inspect(input, options, *output);
  result.json = Json::parse(text, nullptr, false);
  return result;
}

inline std::string inspect_text(const std::vector<std::byte>& bytes,
                                const InspectOptions& options = {}) {
  std::string text;
  auto output = make_text_output([&](std::string_view part) { text += part; });
  MemoryInput input(bytes);
  inspect(input, options, *output);
  return text;
}

/// The field of that name in {"fields": …}.
inline Json field(const Json& holder, std::string_view name, size_t n = 0) {
  for (const Json& f : holder["fields"]) {
    if (f["name"] == name && n-- == 0) return f;
  }
  return nullptr;
}

}  // namespace tern::tool::test
