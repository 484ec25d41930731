// SPDX-License-Identifier: Apache-2.0
//
// Result<T>: the way every fallible function of tern reports failure. A value or an Error,
// nodiscard, never an exception: tern is called on VMM threads, often below C or Rust frames, and a
// failed link is an ordinary outcome after which the guest must run on. Member names follow
// std::expected so that Result can become an alias of it one day.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "tern/version.h"

namespace tern {

/// Says who should act on an error.
enum class ErrorCode {
  invalid_argument,     ///< the caller passed something that can never work: fix the call
  failed_precondition,  ///< right call, wrong state: try again in another state
  unsupported,          ///< this kernel, machine or peer cannot do it
  peer_protocol,        ///< the peer or file sent something malformed or hostile
  channel,              ///< the link failed: reset, closed, refused
  timed_out,            ///< a named deadline passed
  cancelled,            ///< somebody asked for it
  resource_exhausted,   ///< memory, descriptors or a limit of ours
  device,               ///< a device of the embedder refused
  outcome_unknown,      ///< the link died after the destination may have taken the guest
  internal,             ///< a bug of tern: please report
};

/// The name of a code as used in logs ("peer_protocol").
TERN_API std::string_view to_string(ErrorCode code) noexcept;

/// What went wrong: a class for programs, a sentence for people, errno where there was one.
class [[nodiscard]] TERN_API Error {
 public:
  Error(ErrorCode code, std::string message, int sys_errno = 0) noexcept
      : code_(code), sys_errno_(sys_errno), message_(std::move(message)) {}

  ErrorCode code() const noexcept { return code_; }
  /// errno of the system call that failed, 0 if none did.
  int sys_errno() const noexcept { return sys_errno_; }
  const std::string& message() const noexcept { return message_; }

  /// Returns the error with "where: " put before the message. Used as errors rise.
  Error context(std::string_view where) && noexcept {
    message_.insert(0, std::string(where) + ": ");
    return std::move(*this);
  }

 private:
  ErrorCode code_;
  int sys_errno_;
  std::string message_;
};

/// Makes an Error from errno: "what: No such file or directory".
TERN_API Error errno_error(ErrorCode code, std::string_view what, int sys_errno) noexcept;

namespace detail {
// In test builds (-DTERN_RESULT_CHECKED) a Result that dies unread ends the process.
class ReadMark {
#ifdef TERN_RESULT_CHECKED
 public:
  ReadMark() noexcept = default;
  ReadMark(ReadMark&& other) noexcept : read_(std::exchange(other.read_, true)) {}
  ReadMark& operator=(ReadMark&& other) noexcept {
    read_ = std::exchange(other.read_, true);
    return *this;
  }
  ~ReadMark() {
    if (!read_) std::abort();
  }
  void set() const noexcept { read_ = true; }

 private:
  mutable bool read_ = false;
#else
 public:
  void set() const noexcept {}
#endif
};
}  // namespace detail

template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  // NOLINTNEXTLINE(google-explicit-constructor): "return value;" and "return error;" are the point.
  template <typename U = T, typename = std::enable_if_t<std::is_convertible_v<U&&, T> &&
                                                        !std::is_same_v<std::decay_t<U>, Error>>>
  Result(U&& value) noexcept : state_(std::in_place_index<0>, std::forward<U>(value)) {}
  Result(Error error) noexcept : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const noexcept {
    mark_.set();
    return state_.index() == 0;
  }
  explicit operator bool() const noexcept { return has_value(); }

  /// Only valid if has_value(); aborts otherwise (a bug of the caller).
  T& value() & noexcept { return *checked(); }
  const T& value() const& noexcept { return *const_cast<Result*>(this)->checked(); }
  T&& value() && noexcept { return std::move(*checked()); }
  T& operator*() & noexcept { return value(); }
  const T& operator*() const& noexcept { return value(); }
  T&& operator*() && noexcept { return std::move(*this).value(); }
  T* operator->() noexcept { return checked(); }
  const T* operator->() const noexcept { return const_cast<Result*>(this)->checked(); }

  /// Only valid if !has_value(); aborts otherwise.
  Error& error() & noexcept { return *failed(); }
  const Error& error() const& noexcept { return *const_cast<Result*>(this)->failed(); }
  Error&& error() && noexcept { return std::move(*failed()); }

  template <typename U>
  T value_or(U&& other) && noexcept {
    return has_value() ? std::move(*std::get_if<0>(&state_))
                       : static_cast<T>(std::forward<U>(other));
  }

  /// Adds "where: " to the error, if there is one.
  Result context(std::string_view where) && noexcept {
    if (has_value()) return std::move(*this);
    return std::move(*std::get_if<1>(&state_)).context(where);
  }

  /// Drops the result on purpose. `reason` is for the reader and can be searched for.
  void ignore(std::string_view /*reason*/) const noexcept { mark_.set(); }

 private:
  T* checked() noexcept {
    mark_.set();
    T* p = std::get_if<0>(&state_);
    if (p == nullptr) std::abort();
    return p;
  }
  Error* failed() noexcept {
    mark_.set();
    Error* p = std::get_if<1>(&state_);
    if (p == nullptr) std::abort();
    return p;
  }
  std::variant<T, Error> state_;
  [[no_unique_address]] detail::ReadMark mark_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() noexcept = default;
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(Error error) noexcept : error_(std::move(error)), failed_(true) {}

  bool has_value() const noexcept {
    mark_.set();
    return !failed_;
  }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const noexcept {
    if (!has_value()) std::abort();
  }
  void operator*() const noexcept { value(); }
  Error& error() & noexcept {
    check_failed();
    return error_;
  }
  const Error& error() const& noexcept {
    check_failed();
    return error_;
  }
  Error&& error() && noexcept {
    check_failed();
    return std::move(error_);
  }
  Result context(std::string_view where) && noexcept {
    if (has_value()) return std::move(*this);
    return std::move(error_).context(where);
  }
  void ignore(std::string_view /*reason*/) const noexcept { mark_.set(); }

 private:
  void check_failed() const noexcept {
    if (has_value()) std::abort();
  }
  Error error_{ErrorCode::internal, {}};
  bool failed_ = false;
  [[no_unique_address]] detail::ReadMark mark_;
};

}  // namespace tern

/// Evaluates to the value of a Result, or returns its error from the enclosing function.
#define TERN_TRY(expr)                                                 \
  __extension__({                                                      \
    auto tern_try_result_ = (expr);                                    \
    if (!tern_try_result_) return std::move(tern_try_result_).error(); \
    std::move(tern_try_result_).value();                               \
  })
