// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/error.h"

#include <memory>
#include <string>

namespace tern::capi {
namespace {

constexpr int kCodes = TERN_ERROR_INTERNAL;
static_assert(static_cast<int>(ErrorCode::invalid_argument) + 1 == TERN_ERROR_INVALID_ARGUMENT);
static_assert(static_cast<int>(ErrorCode::failed_precondition) + 1 ==
              TERN_ERROR_FAILED_PRECONDITION);
static_assert(static_cast<int>(ErrorCode::unsupported) + 1 == TERN_ERROR_UNSUPPORTED);
static_assert(static_cast<int>(ErrorCode::peer_protocol) + 1 == TERN_ERROR_PEER_PROTOCOL);
static_assert(static_cast<int>(ErrorCode::channel) + 1 == TERN_ERROR_CHANNEL);
static_assert(static_cast<int>(ErrorCode::timed_out) + 1 == TERN_ERROR_TIMED_OUT);
static_assert(static_cast<int>(ErrorCode::cancelled) + 1 == TERN_ERROR_CANCELLED);
static_assert(static_cast<int>(ErrorCode::resource_exhausted) + 1 == TERN_ERROR_RESOURCE_EXHAUSTED);
static_assert(static_cast<int>(ErrorCode::device) + 1 == TERN_ERROR_DEVICE);
static_assert(static_cast<int>(ErrorCode::outcome_unknown) + 1 == TERN_ERROR_OUTCOME_UNKNOWN);
static_assert(static_cast<int>(ErrorCode::internal) + 1 == TERN_ERROR_INTERNAL);

ErrorCode code_from(int code) noexcept {
  return code >= 1 && code <= kCodes ? static_cast<ErrorCode>(code - 1) : ErrorCode::device;
}

}  // namespace

int code_of(ErrorCode code) noexcept { return static_cast<int>(code) + 1; }

int answer(tern_error** error, Result<void> outcome) noexcept {
  if (outcome) {
    if (error != nullptr) *error = nullptr;
    return TERN_OK;
  }
  const int code = code_of(outcome.error().code());
  if (error != nullptr) *error = new tern_error{std::move(outcome).error()};
  return code;
}

Result<void> need(std::initializer_list<Argument> arguments) noexcept {
  for (const Argument& argument : arguments) {
    if (argument.pointer == nullptr) {
      return Error(ErrorCode::invalid_argument, std::string(argument.name) + " is NULL");
    }
  }
  return {};
}

Result<void> verdict(std::string_view who, int code, tern_error* error) noexcept {
  const std::unique_ptr<tern_error> given(error);
  if (code == TERN_OK) return {};
  if (given == nullptr) {
    return Error(code_from(code), std::string(who) + ": failed with code " + std::to_string(code));
  }
  return Error(code_from(code), given->error.message(), given->error.sys_errno()).context(who);
}

}  // namespace tern::capi

using namespace tern;  // NOLINT(google-build-using-namespace): the functions below are C's

tern_error* tern_error_new(int code, const char* message, int sys_errno) noexcept {
  return new tern_error{Error(capi::code_from(code), message != nullptr ? message : "", sys_errno)};
}

void tern_error_free(tern_error* error) noexcept { delete error; }

int tern_error_code(const tern_error* error) noexcept {
  return error != nullptr ? capi::code_of(error->error.code()) : TERN_OK;
}

const char* tern_error_message(const tern_error* error) noexcept {
  return error != nullptr ? error->error.message().c_str() : "";
}

int tern_error_errno(const tern_error* error) noexcept {
  return error != nullptr ? error->error.sys_errno() : 0;
}

const char* tern_code_name(int code) noexcept {
  if (code == TERN_OK) return "ok";
  if (code < 1 || code > capi::kCodes) return "unknown";
  return to_string(capi::code_from(code)).data();
}
