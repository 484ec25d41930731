// SPDX-License-Identifier: Apache-2.0
//
// The border between Result and the C ABI's code plus error handle, both ways: what a function
// answers, and what a callback of the embedder answered. Knows no function of the API.
#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>

#include "tern/c/base.h"
#include "tern/result.h"

struct tern_error {
  tern::Error error;
};

namespace tern::capi {

/// enum tern_code of an error.
int code_of(ErrorCode code) noexcept;

/// Writes the outcome of a function: TERN_OK and no error, or the error and its code.
int answer(tern_error** error, Result<void> outcome) noexcept;

/// Runs `act`, which returns Result<void>, and writes its outcome.
template <typename Act>
int answer_of(tern_error** error, Act act) noexcept {
  return answer(error, act());
}

struct Argument {
  std::string_view name;
  const void* pointer;
};
/// Errors: invalid_argument, naming the first that is NULL.
Result<void> need(std::initializer_list<Argument> arguments) noexcept;

/// What a callback answered with its code and error, which is freed: "WHO: message". A code that is
/// none counts as TERN_ERROR_DEVICE.
Result<void> verdict(std::string_view who, int code, tern_error* error) noexcept;

}  // namespace tern::capi
