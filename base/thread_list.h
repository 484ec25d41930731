// SPDX-License-Identifier: Apache-2.0
//
// The threads that run for one migration, with their kernel ids. A thread enters the list when it
// begins and leaves when its Entry ends; the list starts and joins nothing.
#pragma once

#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "tern/thread_info.h"

namespace tern {

/// Thread rules: any thread. Outlives its entries.
class ThreadList {
 public:
  class Entry {
   public:
    Entry(ThreadList& list, ThreadInfo info) noexcept;
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    ThreadList& list_;
    const int thread_id_;
  };

  /// Names the calling thread prefix + name (cut at the kernel's 15 characters) and lists it while
  /// the entry lives.
  [[nodiscard]] Entry enter(std::string_view prefix, std::string_view name) noexcept;

  /// In the order in which they began.
  std::vector<ThreadInfo> list() const noexcept TERN_EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::vector<ThreadInfo> threads_ TERN_GUARDED_BY(mutex_);
};

}  // namespace tern
