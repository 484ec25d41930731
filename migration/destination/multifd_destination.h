// SPDX-License-Identifier: Apache-2.0
//
// MultifdDestination: the multifd channels of an incoming migration and their threads. It takes
// connections in any order, finds out which is the main channel and which is which of the others,
// and keeps the sync points: no channel goes past its SYNC k before the main stream is at its point
// k, and the main stream does not before all channels are.
//
//   mig/dst/accept   takes connections; ends when the migration does
//   mig/dst/greet    one per connection, until it is known what it is
//   mig/dst/recv_N   the same thread afterwards, if it is channel N
//
// The first channel that fails ends them all; `on_failure` wakes whoever waits for something else.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/channel.h"
#include "base/error_slot.h"
#include "base/mutex.h"
#include "base/thread_list.h"
#include "migration/security/security.h"
#include "ram/recv/multifd_receiver.h"
#include "ram/recv/ram_receiver.h"
#include "stats/progress.h"
#include "tern/machine.h"
#include "tern/settings.h"

namespace tern {

/// Thread rules: collect, begin, pass, finish on mig/dst/listen; shut_down, failure from any
/// thread.
class MultifdDestination final : public SyncPoints {
 public:
  MultifdDestination(const Machine& machine, const Settings& settings, Progress& progress,
                     ThreadList& threads, LogSink& log, Security security,
                     std::function<void()> on_failure) noexcept;
  ~MultifdDestination() override;

  /// Waits for the main channel, which is returned, and all others. Errors: of a connection that
  /// is neither, timed_out (x-channel-timeout), cancelled.
  Result<std::unique_ptr<Channel>> collect(Listener& listener) noexcept TERN_EXCLUDES(mutex_);
  /// The memory is known; before the first pass().
  void begin(RamTarget& target) noexcept TERN_EXCLUDES(mutex_);
  /// tern's dialect: packets that are not compressed may stand between compressed ones.
  void allow_mixed_methods() noexcept { mixed_.store(true); }
  Result<void> pass() noexcept override TERN_EXCLUDES(mutex_);
  /// While the main stream goes on no channel may have ended. Errors: the one that has.
  Result<void> check_all_open() noexcept TERN_EXCLUDES(mutex_);
  /// The main stream is over: channels that wait go on to their end.
  void release() noexcept TERN_EXCLUDES(mutex_);
  /// After release: waits a little for the source to close them, then joins everything.
  void close() noexcept TERN_EXCLUDES(mutex_);
  /// Shuts every channel down, for ever. Idempotent, does not block.
  void shut_down() noexcept TERN_EXCLUDES(mutex_);
  std::optional<Error> failure() const noexcept { return failure_.get(); }
  /// Whether a channel of the migration has come.
  bool has_begun() const noexcept TERN_EXCLUDES(mutex_);

 private:
  struct Connection {
    Security::Secured secured;  // its channel goes to main_ if it is that
    std::string peer;
    std::thread thread;
    bool known = false;  // it has said what it is
    bool ended = false;
  };
  struct Lane {
    bool here = false;
    bool ended = false;
    uint64_t seen = 0;  // SYNCs
  };
  class Waiter;

  void accept_all(Listener& listener) noexcept;
  Result<void> admit(std::unique_ptr<Channel> wire) noexcept TERN_EXCLUDES(mutex_);
  /// Takes out those that are over, and the oldest that has said nothing if they are too many.
  std::vector<std::unique_ptr<Connection>> weed_out() noexcept TERN_REQUIRES(mutex_);
  Result<void> serve(Connection& connection) noexcept;
  /// Reads the first word. false: whoever it was said none.
  Result<bool> greet(Connection& connection, std::span<std::byte> magic) noexcept;
  Result<void> take_main(Connection& connection, std::vector<std::byte> magic) noexcept
      TERN_EXCLUDES(mutex_);
  Result<void> serve_lane(Connection& connection, std::span<const std::byte> magic) noexcept
      TERN_EXCLUDES(mutex_);
  Result<size_t> register_lane(Connection& connection, const MultifdInitial& initial) noexcept
      TERN_EXCLUDES(mutex_);
  Result<void> arrive(size_t index) noexcept TERN_EXCLUDES(mutex_);
  void fail(const Error& error) noexcept TERN_EXCLUDES(mutex_);
  Result<void> check() const noexcept TERN_REQUIRES(mutex_);
  void shut_all() noexcept TERN_REQUIRES(mutex_);
  bool is_complete() const noexcept TERN_REQUIRES(mutex_);
  Error missing() const noexcept TERN_REQUIRES(mutex_);
  bool some_sync_missing(uint64_t point) const noexcept TERN_REQUIRES(mutex_);

  const Machine& machine_;
  const Settings& settings_;
  Progress& progress_;
  ThreadList& threads_;
  LogSink& log_;
  const Security security_;
  const std::function<void()> on_failure_;
  ErrorSlot failure_;
  std::atomic<bool> mixed_{false};
  std::atomic<RamTarget*> target_{nullptr};
  Listener* listener_ = nullptr;

  mutable Mutex mutex_;
  CondVar changed_;
  bool shut_ TERN_GUARDED_BY(mutex_) = false;
  bool released_ TERN_GUARDED_BY(mutex_) = false;
  bool anybody_ TERN_GUARDED_BY(mutex_) = false;  // a channel of the migration has come
  bool main_came_ TERN_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Channel> main_ TERN_GUARDED_BY(mutex_);
  std::vector<Lane> lanes_ TERN_GUARDED_BY(mutex_);
  uint64_t done_ TERN_GUARDED_BY(mutex_) = 0;  // points that the main stream has passed
  std::vector<std::unique_ptr<Connection>> connections_ TERN_GUARDED_BY(mutex_);
  std::thread accept_thread_;
};

}  // namespace tern
