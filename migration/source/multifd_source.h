// SPDX-License-Identifier: Apache-2.0
//
// MultifdSource: the multifd channels of an outgoing migration and their threads. The main thread
// hands it pages and says where the sync points are; each channel's thread (mig/src/send_N) packs
// and writes what it was given, in order.
//
// The first channel that fails ends them all: its error, which names it, is put into the context
// and is what every later call returns; `on_failure` wakes whoever waits for something else.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/channel.h"
#include "base/mutex.h"
#include "base/thread_list.h"
#include "migration/security/security.h"
#include "migration/source/source_context.h"
#include "ram/guest_memory.h"
#include "ram/send/multifd_sender.h"
#include "ram/send/page_batch.h"

namespace tern {

/// Thread rules: open, take, sync, set_style, close on mig/src/main; shut_down from any thread.
class MultifdSource final : public PageSink {
 public:
  MultifdSource(SourceContext& context, const GuestMemory& memory, ThreadList& threads,
                std::function<void()> on_failure) noexcept;
  ~MultifdSource() override;

  /// Makes one channel more of what was connected: its thread makes it secure and says who it is,
  /// at once. A QEMU at the other end takes no other connection before it has heard that.
  Result<void> add(Security::Secured connected) noexcept TERN_EXCLUDES(mutex_);
  /// Waits until every channel has said who it is. Errors: of the channel that could not.
  Result<void> wait_ready() noexcept TERN_EXCLUDES(mutex_);
  /// How packets are made; before the first pages.
  Result<void> set_style(const MultifdStyle& style) noexcept TERN_EXCLUDES(mutex_);

  Result<void> take(size_t block, PageRun run) noexcept override TERN_EXCLUDES(mutex_);
  /// Pages that are still in a batch go to a channel.
  Result<void> flush() noexcept TERN_EXCLUDES(mutex_);
  /// SYNC on every channel; returns when all have written it.
  Result<void> sync() noexcept TERN_EXCLUDES(mutex_);
  /// Bytes of what was handed out that no channel has got rid of yet, here or in the kernel; at
  /// most.
  uint64_t queued() const noexcept TERN_EXCLUDES(mutex_);
  /// How fast all channels together may send (bytes/s, 0: no limit), how much is handed out at a
  /// time, and how much there is to send: pieces are as large as that allows, and small enough for
  /// each channel to get some.
  void set_pace(uint64_t bytes_per_s, uint64_t chunk, uint64_t pending) noexcept;

  /// The migration succeeded: the channels end in good order. Joins the threads.
  void close() noexcept TERN_EXCLUDES(mutex_);
  /// Shuts every channel down, for ever. Idempotent, does not block.
  void shut_down() noexcept TERN_EXCLUDES(mutex_);

 private:
  // Enough to keep a channel busy while the scan looks for more; more would only make pages older
  // when they leave.
  static constexpr size_t kQueue = 4;
  struct Item {
    bool sync = false;
    PageBatch batch;
  };
  struct Lane {
    Lane(size_t i, Security::Secured s) noexcept : index(i), secured(std::move(s)) {}
    const size_t index;
    Security::Secured secured;
    // Made by its thread before it is ready.
    std::unique_ptr<MultifdSender> sender;
    // Under the mutex, but for the first item of a queue that is not empty: that is the thread's.
    bool ready = false;
    std::array<Item, kQueue> queue;
    size_t first = 0;
    size_t count = 0;
    CondVar work;
    // mig/src/main.
    std::thread thread;
  };

  Result<void> serve(Lane& lane) noexcept TERN_EXCLUDES(mutex_);
  Result<void> work(Lane& lane) noexcept TERN_EXCLUDES(mutex_);
  void fail(size_t index, const Error& error) noexcept TERN_EXCLUDES(mutex_);
  void end_threads() noexcept TERN_EXCLUDES(mutex_);
  Lane* freest_lane() noexcept TERN_REQUIRES(mutex_);
  void append(Lane& lane, bool sync) noexcept TERN_REQUIRES(mutex_);
  Result<void> check() const noexcept TERN_REQUIRES(mutex_);
  void wait() noexcept TERN_REQUIRES(mutex_);

  SourceContext& context_;
  const GuestMemory& memory_;
  ThreadList& threads_;
  const std::function<void()> on_failure_;
  std::atomic<uint64_t> packets_{0};
  std::atomic<double> floor_ns_per_byte_{0};

  // mig/src/main alone.
  PageBatch batch_;
  size_t batch_limit_ = kMultifdPages;
  size_t channels_ = 0;
  bool limited_ = false;

  mutable Mutex mutex_;
  CondVar changed_;  // room in a queue, a channel ready, a sync written, a failure
  bool main_waits_ TERN_GUARDED_BY(mutex_) = false;
  bool stopping_ TERN_GUARDED_BY(mutex_) = false;
  bool shut_ TERN_GUARDED_BY(mutex_) = false;
  size_t next_ TERN_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Lane>> lanes_ TERN_GUARDED_BY(mutex_);
};

}  // namespace tern
