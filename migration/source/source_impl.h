// SPDX-License-Identifier: Apache-2.0
//
// SourceImpl: builds the objects of one outgoing migration, owns them and its two threads.
//
//   mig/src/main    run(): the table of contents below
//   mig/src/return  ReturnListener::run, started once the connection stands
//   mig/src/send_N  those of MultifdSource
//   mig/src/throttl that of CpuThrottle
#pragma once

#include <thread>

#include "base/channel.h"
#include "base/thread_list.h"
#include "migration/security/security.h"
#include "migration/source/compress_source.h"
#include "migration/source/multifd_source.h"
#include "migration/source/precopy.h"
#include "migration/source/source_context.h"
#include "migration/source/switchover.h"
#include "migration/source/unplug.h"
#include "tern/source.h"

namespace tern {

class SourceImpl final : public MigrationSource {
 public:
  SourceImpl(const Machine& machine, const Settings& settings, GuestMemory memory) noexcept;
  ~SourceImpl() override;

  Result<void> start(const Address& address) noexcept override;
  /// The seam for tests: faults and simulated links come in as the connector.
  /// `hostname`: that of the address, for certificates.
  Result<void> start_with(std::unique_ptr<Connector> connector, std::string hostname = {}) noexcept;
  Result<void> continue_from(Status paused_at) noexcept override;
  Result<void> cancel() noexcept override;
  void yank() noexcept override;
  void update(const Settings& settings) noexcept override;
  StatsSnapshot stats() const noexcept override;
  std::vector<ThreadInfo> threads() const noexcept override;
  void wait() noexcept override;

 private:
  void thread_main() noexcept;
  Result<void> migrate() noexcept;
  Result<void> connect() noexcept;
  Result<void> connect_channels(Connector& connector, const Security& security) noexcept;
  Result<void> agree_on_packets() noexcept;
  Result<void> secure(Security::Secured& secured) noexcept;
  Result<void> start_return_thread() noexcept;
  Machine with_own_view(Machine machine) noexcept;
  void wind_down(bool completed) noexcept;
  void finish(Result<void> result) noexcept;
  void wake() noexcept TERN_EXCLUDES(mutex_);

  const Settings settings_;
  std::unique_ptr<DirtyHarvester> own_harvester_;  // for a machine that brings none
  std::unique_ptr<DirtyLimit> own_dirty_limit_;    // the same
  std::unique_ptr<DirtyConsumer> dirty_view_;      // empty: nothing tracks
  const Machine machine_;                          // with dirty_view_ as its tracker
  const PeerVersion dialect_;
  const GuestMemory memory_;
  Clock& clock_;
  LogSink& log_;
  LiveSettings live_;
  Session session_;
  Progress progress_;
  ThreadList threads_;
  ReturnListener answers_;
  CommitPoint commit_;
  std::atomic<bool> continue_asked_{false};
  std::atomic<bool> yanked_{false};
  ErrorSlot channel_failure_;
  SourceContext context_;

  std::string hostname_;  // set before the thread starts
  // Made and used by mig/src/main; wake() looks at them under the lock.
  mutable Mutex mutex_;
  std::unique_ptr<Connector> connector_ TERN_GUARDED_BY(mutex_);
  Channel* channel_ TERN_GUARDED_BY(mutex_) = nullptr;
  std::unique_ptr<SourceLink> link_;
  std::unique_ptr<MultifdSource> multifd_;    // made before the thread
  std::unique_ptr<CompressSource> compress_;  // where the capability is on
  Unplug unplug_;
  std::unique_ptr<Precopy> precopy_;
  std::unique_ptr<Switchover> switchover_;

  std::thread return_thread_;
  std::thread main_thread_;
};

}  // namespace tern
