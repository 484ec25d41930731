// SPDX-License-Identifier: Apache-2.0
//
// DestinationImpl: builds the objects of one incoming migration, owns them and its thread.
//
//   mig/dst/listen  thread_main(): accept, load, take over
//   and with multifd those of MultifdDestination
#pragma once

#include <thread>

#include "base/channel.h"
#include "base/thread_list.h"
#include "migration/destination/announcer.h"
#include "migration/destination/compress_destination.h"
#include "migration/destination/return_sender.h"
#include "migration/destination/stream_loader.h"
#include "migration/security/security.h"
#include "migration/state/session.h"
#include "stats/progress.h"
#include "tern/destination.h"

namespace tern {

class DestinationImpl final : public MigrationDestination {
 public:
  DestinationImpl(const Machine& machine, const Settings& settings, GuestMemory memory) noexcept;
  ~DestinationImpl() override;

  Result<void> listen(const Address& address) noexcept override;
  /// The seam for tests.
  Result<void> listen_with(std::unique_ptr<Listener> listener, std::vector<Address> bound) noexcept;
  std::vector<Address> listening() const noexcept override;
  void set_autostart(bool on) noexcept override { autostart_.store(on); }
  void update(const Settings& settings) noexcept override TERN_EXCLUDES(mutex_);
  void hold_switchover() noexcept override;
  void release_switchover() noexcept override;
  void yank() noexcept override TERN_EXCLUDES(mutex_);
  StatsSnapshot stats() const noexcept override;
  std::vector<ThreadInfo> threads() const noexcept override { return threads_.list(); }
  void wait() noexcept override;

 private:
  void thread_main() noexcept;
  Result<void> receive() noexcept;
  Result<void> accept_source() noexcept;
  Result<void> accept_channels() noexcept TERN_EXCLUDES(mutex_);
  Result<void> use_channel(std::unique_ptr<Channel> channel) noexcept TERN_EXCLUDES(mutex_);
  Result<void> check_no_multifd() noexcept TERN_EXCLUDES(mutex_);
  Result<bool> greet(Security::Secured& secured) noexcept;
  Result<void> return_path_opened() noexcept;
  Result<void> acknowledge_if_free() noexcept TERN_EXCLUDES(mutex_);
  Result<void> take_over(RunState source_state) noexcept;
  void announce() noexcept;
  void part_with_source() noexcept;
  void hang_up() noexcept;
  void finish(Result<void> result) noexcept;

  const Machine machine_;
  const Settings settings_;
  const GuestMemory memory_;
  Clock& clock_;
  LogSink& log_;
  Session session_;
  Progress progress_;
  ThreadList threads_;
  std::atomic<bool> autostart_{true};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> yanked_{false};

  Security security_;  // set before the thread starts
  // Made by mig/dst/listen; others look at them under the lock.
  mutable Mutex mutex_;
  std::unique_ptr<Listener> listener_ TERN_GUARDED_BY(mutex_);
  std::vector<Address> bound_ TERN_GUARDED_BY(mutex_);
  std::unique_ptr<Channel> channel_ TERN_GUARDED_BY(mutex_);
  bool taking_over_ TERN_GUARDED_BY(mutex_) = false;
  int switchover_holds_ TERN_GUARDED_BY(mutex_) = 0;
  bool ack_due_ TERN_GUARDED_BY(mutex_) = false;
  AnnounceParameters announce_ TERN_GUARDED_BY(mutex_);
  std::unique_ptr<MultifdDestination> multifd_;    // made before the thread
  std::unique_ptr<CompressDestination> compress_;  // likewise; where the capability is on
  std::unique_ptr<ReturnSender> answers_;
  std::unique_ptr<StreamLoader> loader_;

  std::unique_ptr<Announcer> announcer_;
  std::thread thread_;
};

}  // namespace tern
