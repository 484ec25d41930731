// SPDX-License-Identifier: Apache-2.0
//
// QmpClient: one blocking QMP connection over a Unix socket, for tools. It knows the protocol, not
// the commands, except how to watch a migration.
#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tern/result.h"

namespace tern::tool {

using Json = nlohmann::json;

struct QmpConnectOptions {
  using Ms = std::chrono::milliseconds;
  Ms wait_for_listener{0};  // connect again for so long while nobody listens
  Ms greeting{60000};       // until the server greets; one that has a client already does not
  bool oob = false;         // enable out-of-band execution
  int stop = -1;            // a descriptor whose readability ends every wait: cancelled
};

/// One thread. Events that arrive while something else is awaited are collected in their order.
class QmpClient {
 public:
  using Ms = std::chrono::milliseconds;

  /// Connects (trying again until `deadline` while nobody listens yet) and negotiates.
  /// Errors: invalid_argument (path), timed_out, channel, peer_protocol (no QMP greeting).
  static Result<QmpClient> connect(const std::string& path, Ms deadline) noexcept;
  /// Errors as above, and unsupported: oob was asked for and is not offered. With `stop` all calls
  /// may fail with cancelled; the connection is then of no more use.
  static Result<QmpClient> connect(const std::string& path,
                                   const QmpConnectOptions& options) noexcept;
  QmpClient(QmpClient&& other) noexcept;
  QmpClient& operator=(QmpClient&&) = delete;
  ~QmpClient();

  /// How long a reply may take; 60 s unless set.
  void set_reply_deadline(Ms deadline) noexcept { reply_deadline_ = deadline; }

  /// The value of "return". A descriptor `fd` >= 0 is sent along (for getfd) and stays the
  /// caller's. Errors: failed_precondition with "command: Class: desc" of an error reply,
  /// unsupported if there is no such command; channel, timed_out, peer_protocol: the connection is
  /// then of no more use.
  Result<Json> execute(const std::string& command, Json arguments = nullptr, int fd = -1) noexcept;
  /// Sends the request as it is and gives the whole reply, error or not.
  Result<Json> execute_raw(const Json& request, int fd = -1) noexcept;

  /// The oldest event, collected or waited for up to `deadline`; null if none came.
  Result<Json> next_event(Ms deadline) noexcept;
  /// The next event of this name (a MIGRATION only with status `status`, unless that is ""); events
  /// before it are dropped. Errors: timed_out, channel, peer_protocol.
  Result<Json> wait_event(std::string_view name, std::string_view status, Ms deadline) noexcept;
  /// Events that came in so far, oldest first.
  std::vector<Json> take_events() noexcept;

  /// Asks query-migrate every `interval`, and whenever an event comes, until the status is
  /// completed, failed or cancelled; returns that answer. Each answer is shown to `progress`, which
  /// may be empty. Events are kept.
  Result<Json> watch_migration(Ms interval, Ms deadline,
                               const std::function<void(const Json&)>& progress) noexcept;

  /// {"QMP": …} as the server sent it.
  const Json& greeting() const noexcept { return greeting_; }

 private:
  using Moment = std::chrono::steady_clock::time_point;

  explicit QmpClient(int fd) noexcept : fd_(fd) {}
  Result<void> negotiate(const std::string& path, const QmpConnectOptions& options) noexcept;
  Result<Json> read_message(Moment until) noexcept;
  Result<void> send(std::string_view bytes, int fd) noexcept;
  Result<bool> wait(short events, Moment until) noexcept;

  int fd_;
  int stop_ = -1;
  Ms reply_deadline_{60000};
  std::string buffer_;
  size_t scanned_ = 0;  // bytes of buffer_ known to hold no end of line
  std::vector<Json> events_;
  Json greeting_;
};

}  // namespace tern::tool
