// SPDX-License-Identifier: Apache-2.0
//
// What a command answers: a JSON value or one of QMP's error classes with a sentence.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "migration/qmp/json_text.h"
#include "tern/result.h"

namespace tern::qmp {

/// All that QMP has. CommandNotFound only for unknown commands and before negotiation: clients
/// probe with it.
enum class ErrorClass {
  generic_error,
  command_not_found,
  device_not_active,
  device_not_found,
  kvm_missing_cap
};

constexpr std::string_view to_string(ErrorClass error_class) noexcept {
  switch (error_class) {
    case ErrorClass::generic_error:
      return "GenericError";
    case ErrorClass::command_not_found:
      return "CommandNotFound";
    case ErrorClass::device_not_active:
      return "DeviceNotActive";
    case ErrorClass::device_not_found:
      return "DeviceNotFound";
    case ErrorClass::kvm_missing_cap:
      return "KVMMissingCap";
  }
  return "GenericError";
}

struct QmpError {
  ErrorClass error_class;
  std::string desc;
};

class [[nodiscard]] Outcome {
 public:
  // NOLINTBEGIN(google-explicit-constructor): "return value;" and "return error;" are the point.
  Outcome(Json value) noexcept : state_(std::in_place_index<0>, std::move(value)) {}
  Outcome(QmpError error) noexcept : state_(std::in_place_index<1>, std::move(error)) {}
  /// Whatever went wrong inside is a GenericError to a client.
  Outcome(Error error) noexcept
      : state_(std::in_place_index<1>, QmpError{ErrorClass::generic_error, error.message()}) {}
  // NOLINTEND(google-explicit-constructor)

  bool ok() const noexcept { return state_.index() == 0; }
  const Json& value() const noexcept { return *std::get_if<0>(&state_); }
  const QmpError& error() const noexcept { return *std::get_if<1>(&state_); }

 private:
  std::variant<Json, QmpError> state_;
};

/// The reply of a command without a result.
inline Json no_result() noexcept { return Json::object(); }

inline QmpError generic_error(std::string desc) noexcept {
  return {ErrorClass::generic_error, std::move(desc)};
}

}  // namespace tern::qmp
