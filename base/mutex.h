// SPDX-License-Identifier: Apache-2.0
//
// std::mutex with Clang's thread-safety annotations: a member marked TERN_GUARDED_BY(mutex_) cannot
// be touched without the lock where Clang compiles (-Wthread-safety).
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define TERN_TSA(x) __attribute__((x))
#else
#define TERN_TSA(x)
#endif
#define TERN_CAPABILITY(x) TERN_TSA(capability(x))
#define TERN_SCOPED_CAPABILITY TERN_TSA(scoped_lockable)
#define TERN_GUARDED_BY(x) TERN_TSA(guarded_by(x))
#define TERN_REQUIRES(...) TERN_TSA(requires_capability(__VA_ARGS__))
#define TERN_ACQUIRE(...) TERN_TSA(acquire_capability(__VA_ARGS__))
#define TERN_RELEASE(...) TERN_TSA(release_capability(__VA_ARGS__))
#define TERN_EXCLUDES(...) TERN_TSA(locks_excluded(__VA_ARGS__))

namespace tern {

class TERN_CAPABILITY("mutex") Mutex {
 public:
  void lock() noexcept TERN_ACQUIRE() { mutex_.lock(); }
  void unlock() noexcept TERN_RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class TERN_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) noexcept TERN_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() TERN_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Waits are written as loops around wait() under a MutexLock of the same Mutex.
class CondVar {
 public:
  void notify_all() noexcept { cv_.notify_all(); }
  void wait(Mutex& mutex) noexcept TERN_REQUIRES(mutex) { cv_.wait(mutex); }
  /// Returns false when `d` passed without a notification.
  template <typename Duration>
  bool wait_for(Mutex& mutex, Duration d) noexcept TERN_REQUIRES(mutex) {
    return cv_.wait_for(mutex, d) == std::cv_status::no_timeout;
  }

 private:
  std::condition_variable_any cv_;
};

}  // namespace tern
