// SPDX-License-Identifier: Apache-2.0
#include "base/mutex.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace tern {
namespace {

struct Shared {
  Mutex mutex;
  CondVar changed;
  int value TERN_GUARDED_BY(mutex) = 0;
};

TEST(Mutex, keeps_increments_of_two_threads_apart) {
  Shared shared;
  const auto count = [&] {
    for (int i = 0; i < 20000; ++i) {
      const MutexLock lock(shared.mutex);
      ++shared.value;
    }
  };
  std::thread other(count);
  count();
  other.join();
  const MutexLock lock(shared.mutex);
  EXPECT_EQ(shared.value, 40000);
}

TEST(CondVar, wait_ends_when_the_other_thread_notifies) {
  Shared shared;
  std::thread other([&] {
    const MutexLock lock(shared.mutex);
    shared.value = 1;
    shared.changed.notify_all();
  });
  {
    const MutexLock lock(shared.mutex);
    while (shared.value == 0) shared.changed.wait(shared.mutex);
    EXPECT_EQ(shared.value, 1);
  }
  other.join();
}

TEST(CondVar, wait_for_tells_that_nobody_notified) {
  Shared shared;
  const MutexLock lock(shared.mutex);
  EXPECT_FALSE(shared.changed.wait_for(shared.mutex, std::chrono::milliseconds(1)));
}

}  // namespace
}  // namespace tern
