// SPDX-License-Identifier: Apache-2.0
//
// QmpClient: one blocking QMP connection over a Unix socket, for tools. It knows the protocol, not the commands.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tern/result.h"

namespace tern::tool {

using Json = nlohmann::json;

/// One thread.
class QmpClient {
 public:
  using Ms = std::chrono::milliseconds;

  /// Connects (trying again until `deadline` while nobody listens yet) and negotiates. Errors: channel, timed_out.
  static Result<QmpClient> connect(const std::string& path, Ms deadline) noexcept;
  QmpClient(QmpClient&& other) noexcept;
  QmpClient& operator=(QmpClient&&) = delete;
  ~QmpClient();

  /// The value of "return". Errors: failed_precondition with "Class: desc" of an error reply; channel, timed_out.
  Result<Json> execute(const std::string& command, Json arguments = nullptr) noexcept;
  /// Sends the text as it is and gives the whole reply, error or not.
  Result<Json> execute_raw(const Json& request) noexcept;
  /// Waits up to `deadline` for one more event; null if none came.
  Result<Json> next_event(Ms deadline) noexcept;
  /// Events that came in so far, oldest first.
  std::vector<Json> take_events() noexcept;
  const Json& greeting() const noexcept { return greeting_; }

 private:
  explicit QmpClient(int fd) noexcept : fd_(fd) {}
  Result<Json> read_message(Ms deadline) noexcept;
  Result<void> send(const std::string& text) noexcept;

  int fd_;
  std::string buffer_;
  std::vector<Json> events_;
  Json greeting_;
};

}  // namespace tern::tool
