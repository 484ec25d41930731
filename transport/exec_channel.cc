// SPDX-License-Identifier: Apache-2.0
//
// A Channel through a command of the user.
#include "transport/exec_channel.h"

#include <fcntl.h>

#include <array>
#include <csignal>

#include "tern/address.h"

namespace tern::transport {

namespace {

constexpr size_t kMaxDescriptionBytes = 120;
/// More than the default 64 KiB: fewer switches between us and the child. Refused to users over
/// their quota.
constexpr int kPipeBytes = 1 << 20;
/// A child closes its pipe a moment before it can be reaped; so long an error waits to say how it
/// ended.
constexpr Milliseconds kExitTextWait{100};

std::string describe_command(const std::vector<std::string>& argv) noexcept {
  std::string text = to_uri(Address(ExecAddress{argv}));
  if (text.size() > kMaxDescriptionBytes)
    text.replace(kMaxDescriptionBytes - 3, text.size(), "...");
  return text;
}

}  // namespace

Result<std::unique_ptr<ExecChannel>> ExecChannel::spawn(const std::vector<std::string>& argv,
                                                        Direction direction,
                                                        const ExecOptions& options) noexcept {
  std::string description = describe_command(argv);
  Pipe to_child = TERN_TRY(make_pipe().context(description));
  Pipe from_child = TERN_TRY(make_pipe().context(description));
  (void)::fcntl(to_child.write_end.get(), F_SETPIPE_SZ, kPipeBytes);
  (void)::fcntl(from_child.read_end.get(), F_SETPIPE_SZ, kPipeBytes);
  // The channel first: what can fail for want of a descriptor fails before there is a child.
  std::unique_ptr<PipeChannel> pipes =
      TERN_TRY(PipeChannel::create(std::move(from_child.read_end), std::move(to_child.write_end),
                                   std::move(description), options.stall_timeout_ms));
  std::unique_ptr<Child> child =
      TERN_TRY(Child::spawn(argv, std::move(to_child.read_end), std::move(from_child.write_end)));
  return std::unique_ptr<ExecChannel>(
      new ExecChannel(std::move(pipes), std::move(child), direction, options));
}

ExecChannel::ExecChannel(std::unique_ptr<PipeChannel> pipes, std::unique_ptr<Child> child,
                         Direction direction, const ExecOptions& options) noexcept
    : pipes_(std::move(pipes)),
      child_(std::move(child)),
      direction_(direction),
      options_(options) {}

ExecChannel::~ExecChannel() {
  if (!broken_.load()) let_finish();
  pipes_->shutdown();
  child_->end(options_.patience);
}

void ExecChannel::let_finish() noexcept {
  pipes_->finish_writing();
  // What the child still prints is thrown away: closing its stdout instead would kill it (SIGPIPE)
  // before it is done, and leaving it unread would block it.
  const TimePoint until = time_after(options_.linger);
  std::array<std::byte, 4096> waste;
  bool more = true;
  while (more && !child_->wait_exit(Milliseconds{0})) {
    const auto left = std::chrono::ceil<Milliseconds>(until - std::chrono::steady_clock::now());
    if (left <= Milliseconds{0}) return;
    more = pipes_->drain(waste, child_->exit_fd(), left);
  }
  const auto left = std::chrono::ceil<Milliseconds>(until - std::chrono::steady_clock::now());
  child_->wait_exit(left);
}

Result<size_t> ExecChannel::explain(Result<size_t> result) noexcept {
  if (result) return result;
  Error error = std::move(result).error();
  const bool misuse =
      error.code() == ErrorCode::invalid_argument || error.code() == ErrorCode::failed_precondition;
  if (!misuse) broken_.store(true);
  if (error.sys_errno() != EPIPE || !child_->wait_exit(kExitTextWait)) return error;
  const std::optional<std::string> text = child_->exit_text();
  if (!text) return error;
  return Error(error.code(), error.message() + " (" + *text + ")", error.sys_errno());
}

Result<size_t> ExecChannel::read_some(std::span<std::byte> into) noexcept {
  return explain(pipes_->read_some(into));
}

Result<size_t> ExecChannel::write_some(std::span<const iovec> slices) noexcept {
  return explain(pipes_->write_some(slices));
}

void ExecChannel::shutdown() noexcept {
  broken_.store(true);
  pipes_->shutdown();
  child_->signal(SIGTERM);
}

bool ExecChannel::peer_closed() noexcept {
  // `cat > file` never held its stdout: outgoing, only what takes the stream counts, and the other
  // way round.
  const bool lost =
      direction_ == Direction::outgoing ? pipes_->reader_gone() : pipes_->writer_gone();
  return lost || child_->wait_exit(Milliseconds{0});
}

}  // namespace tern::transport
