// SPDX-License-Identifier: Apache-2.0
#include "base/thread_list.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "base/thread_name.h"

namespace tern {

ThreadList::Entry::Entry(ThreadList& list, ThreadInfo info) noexcept
    : list_(list), thread_id_(info.thread_id) {
  const MutexLock lock(list_.mutex_);
  list_.threads_.push_back(std::move(info));
}

ThreadList::Entry::~Entry() {
  const MutexLock lock(list_.mutex_);
  std::erase_if(list_.threads_, [this](const ThreadInfo& t) { return t.thread_id == thread_id_; });
}

ThreadList::Entry ThreadList::enter(std::string_view prefix, std::string_view name) noexcept {
  return Entry(*this, {name_this_thread(prefix, name), ::gettid()});
}

std::vector<ThreadInfo> ThreadList::list() const noexcept {
  const MutexLock lock(mutex_);
  return threads_;
}

}  // namespace tern
