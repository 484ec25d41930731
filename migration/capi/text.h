// SPDX-License-Identifier: Apache-2.0
//
// Texts and lists of texts as they leave through the C ABI. Owns the handles of lists; knows
// nothing of what the texts say.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tern/c/base.h"
#include "tern/result.h"
#include "tern/thread_info.h"

struct tern_strings {
  std::vector<std::string> texts;
};
struct tern_threads {
  std::vector<tern::ThreadInfo> threads;
};

namespace tern::capi {

/// Sets an output to a copy that tern_free_string frees. Errors: resource_exhausted.
Result<void> give_text(char** out, std::string_view text) noexcept;

/// The word of a number between 0 and count - 1; "unknown" for another. T is an enumeration with
/// to_string, whose words are literals and so end with NUL.
template <typename T>
const char* word_of(int number, int count) noexcept {
  return number >= 0 && number < count ? to_string(static_cast<T>(number)).data() : "unknown";
}

}  // namespace tern::capi
