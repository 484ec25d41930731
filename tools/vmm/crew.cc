// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/crew.h"

#include <pthread.h>
#include <unistd.h>

#include <string>
#include <system_error>

namespace tern::vmm {

Result<std::unique_ptr<Crew>> Crew::create(uint32_t count, Work work) noexcept {
  std::unique_ptr<Crew> crew(new Crew(std::move(work)));
  crew->threads_.reserve(count);
  for (uint32_t i = 0; i < count; ++i) crew->holds_.push_back(std::make_unique<Hold>());
  crew->thread_ids_.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    try {
      crew->threads_.emplace_back([raw = crew.get(), i] { raw->thread_main(i); });
    } catch (const std::system_error& error) {
      return Error(ErrorCode::resource_exhausted,
                   std::string("starting a vCPU thread: ") + error.what(), error.code().value());
    }
  }
  {
    // parked() is true from the first moment on: a machine may be loaded before it ever ran.
    std::unique_lock lock(crew->mutex_);
    crew->idle_.wait(lock, [&] { return crew->parked_ == count; });
  }
  return crew;
}

Crew::~Crew() {
  stop();
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
  }
  go_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Crew::thread_main(uint32_t index) noexcept {
  ::pthread_setname_np(::pthread_self(), ("vcpu-" + std::to_string(index)).c_str());
  {
    const std::lock_guard lock(mutex_);
    thread_ids_[index] = ::gettid();
  }
  uint64_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      ++parked_;
      idle_.notify_all();
      go_.wait(lock, [&] { return quit_ || (running_ && generation_ != seen); });
      if (quit_) return;
      seen = generation_;
      --parked_;
    }
    work_.run(index);
  }
}

void Crew::start() noexcept {
  const std::lock_guard lock(mutex_);
  if (running_) return;
  running_ = true;
  ++generation_;
  stopping_ = false;
  go_.notify_all();
}

void Crew::stop() noexcept {
  std::unique_lock lock(mutex_);
  running_ = false;
  stopping_ = true;
  for (uint32_t i = 0; i < threads_.size(); ++i) {
    hold(i, Nanoseconds(0));
    work_.kick(i, threads_[i]);
  }
  idle_.wait(lock, [this] { return parked_ == threads_.size(); });
}

void Crew::hold(uint32_t index, Nanoseconds time) noexcept {
  if (index >= holds_.size()) return;
  Hold& hold = *holds_[index];
  {
    const std::lock_guard lock(hold.mutex);
    hold.until = std::chrono::steady_clock::now() + time;
    hold.on = time.count() > 0 && !stopping();
    hold.over.notify_all();
  }
  if (hold.on && work_.nudge) work_.nudge(index, threads_[index]);
}

void Crew::wait_while_held(uint32_t index) const noexcept {
  Hold& hold = *holds_[index];
  std::unique_lock lock(hold.mutex);
  // stop() makes stopping() true before it takes the lock: it cannot fall between test and wait.
  while (hold.on && !stopping() && std::chrono::steady_clock::now() < hold.until) {
    hold.over.wait_until(lock, hold.until);
  }
  hold.on = false;
}

std::vector<int> Crew::thread_ids() const noexcept {
  const std::lock_guard lock(mutex_);
  return thread_ids_;
}

bool Crew::parked() const noexcept {
  const std::lock_guard lock(mutex_);
  return !running_ && parked_ == threads_.size();
}

}  // namespace tern::vmm
