// SPDX-License-Identifier: Apache-2.0
//
// SourceLink: the connection of a source once it stands, and the first words on it. After greet()
// it is known whom we talk to.
#pragma once

#include <memory>
#include <optional>

#include "base/channel.h"
#include "base/stream_io.h"
#include "migration/source/source_context.h"
#include "migration/stream/framing.h"

namespace tern {

/// Used by mig/src/main alone, except channel() for shutdown.
class SourceLink {
 public:
  SourceLink(std::unique_ptr<Channel> channel, SourceContext& context) noexcept;

  Channel& channel() noexcept { return *channel_; }
  StreamWriter& out() noexcept { return out_; }

  /// Whether answers come back on it.
  bool has_return_path() const noexcept { return has_return_path_; }
  /// Sends header, configuration and the opening of the return path.
  Result<void> send_opening() noexcept;
  /// With a return path and the tern dialect: waits for the peer's hello and tells it the choice.
  Result<void> agree_on_dialect() noexcept;
  bool speaks(uint32_t feature) const noexcept { return (dialect_.features & feature) != 0; }

  /// In tern's dialect: a ping every quarter of the stall timeout, and an error when no answer came
  /// for all of it.
  Result<void> keep_alive() noexcept;

 private:
  std::unique_ptr<Channel> channel_;
  SourceContext& context_;
  StreamWriter out_;
  bool has_return_path_;
  TernDialect dialect_{kTernProtocol, 0};
  Nanoseconds last_ping_{0};
  Nanoseconds last_heard_{0};
  uint64_t messages_heard_ = 0;
};

}  // namespace tern
