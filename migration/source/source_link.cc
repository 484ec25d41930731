// SPDX-License-Identifier: Apache-2.0
#include "migration/source/source_link.h"

#include <algorithm>

namespace tern {
namespace {

Result<void> write_ping(StreamWriter& out, uint32_t value) noexcept {
  std::byte payload[4];
  store_be(payload, value);
  return write_command(out, Command::ping, payload);
}

}  // namespace

SourceLink::SourceLink(std::unique_ptr<Channel> channel, SourceContext& context) noexcept
    : channel_(std::move(channel)),
      context_(context),
      out_(*channel_),
      has_return_path_(context.settings.return_path) {
  channel_->set_write_deadline(context.deadline("x-stall-timeout", context.settings.stall_timeout));
}

Result<void> SourceLink::send_opening() noexcept {
  if (has_return_path_ && !channel_->bidirectional()) {
    return Error(ErrorCode::unsupported,
                 "capability return-path needs a connection that works both ways, " +
                     channel_->describe() + " does not: switch return-path off");
  }
  Configuration configuration;
  configuration.machine = context_.machine.name;
  if (context_.settings.validate_uuid) configuration.uuid = context_.machine.uuid;
  TERN_TRY(write_header(out_));
  TERN_TRY(write_configuration(out_, configuration));
  if (has_return_path_) {
    TERN_TRY(write_command(out_, Command::open_return_path, {}));
    TERN_TRY(write_ping(out_, 1));
    if (context_.dialect == PeerVersion::tern) TERN_TRY(write_ping(out_, kTernPing));
  }
  return out_.flush();
}

Result<void> SourceLink::agree_on_dialect() noexcept {
  if (!has_return_path_ || context_.dialect != PeerVersion::tern) {
    context_.progress.set_choice(Progress::Choice::peer,
                                 context_.dialect == PeerVersion::tern
                                     ? "unknown"
                                     : std::string(to_string(context_.dialect)));
    return {};
  }
  // A tern destination says hello before it answers this ping, any QEMU only answers it.
  TERN_TRY(context_.answers.wait(
      context_.deadline("x-handshake-timeout", context_.settings.handshake_timeout),
      [&](const auto& said) {
        return said.pongs.contains(kTernPing) || said.error || said.shut ||
               context_.session.status() == Status::cancelling;
      }));
  TERN_TRY(context_.check());
  const auto said = context_.answers.said();
  if (!said.hello) {
    context_.progress.set_choice(Progress::Choice::peer, "qemu");
    context_.log.log(LogLevel::info,
                     "the destination is not tern: sending what every QEMU since 7.2 reads "
                     "(x-peer-version names one)");
    return {};
  }
  if (said.hello->oldest > kTernProtocol) {
    return Error(ErrorCode::peer_protocol, "the destination (tern " + said.hello->version +
                                               ") no longer speaks protocol " +
                                               std::to_string(kTernProtocol));
  }
  dialect_.protocol = std::min(said.hello->newest, kTernProtocol);
  dialect_.features = said.hello->features & kTernFeatures;
  TERN_TRY(write_tern_dialect(out_, dialect_));
  last_heard_ = last_ping_ = context_.clock.now();
  context_.progress.set_choice(Progress::Choice::peer, "tern " + said.hello->version);
  context_.log.log(LogLevel::info, "the destination is tern " + said.hello->version);
  return {};
}

Result<void> SourceLink::keep_alive() noexcept {
  if (dialect_.features == 0) return {};
  const Nanoseconds now = context_.clock.now();
  const auto stall = Milliseconds(context_.settings.stall_timeout);
  const uint64_t messages = context_.answers.said().messages;
  if (messages != messages_heard_) {
    messages_heard_ = messages;
    last_heard_ = now;
  }
  if (now - last_ping_ >= stall / 4) {
    last_ping_ = now;
    TERN_TRY(write_ping(out_, kKeepAlivePing));
    TERN_TRY(out_.flush());
  }
  if (now - last_heard_ > stall) {
    return Error(ErrorCode::timed_out, "x-stall-timeout: the destination answered no ping for " +
                                           std::to_string(stall.count()) + " ms");
  }
  return {};
}

}  // namespace tern
