// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/guest_memory.h"

#include <algorithm>
#include <string>

namespace tern::vmm {
namespace {

/// Longest stretch written under the lock: hold_writes must not wait long.
constexpr uint64_t kChunkBytes = 1ull << 20;

// Guest memory changes under every reader by design, so these accesses are hidden from
// ThreadSanitizer; volatile keeps the compiler from turning them into memcpy, which it would watch.
__attribute__((no_sanitize("thread"))) void copy_out(std::byte* into, const std::byte* from,
                                                     uint64_t bytes) noexcept {
  const volatile std::byte* source = from;
  for (uint64_t i = 0; i < bytes; ++i) into[i] = source[i];
}
__attribute__((no_sanitize("thread"))) void copy_in(std::byte* into, const std::byte* from,
                                                    uint64_t bytes) noexcept {
  volatile std::byte* target = into;
  // An aligned word is written at once: a guest that runs sees the old or the new value of a
  // counter.
  if (bytes == 8 && reinterpret_cast<uintptr_t>(into) % 8 == 0) {
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; ++i) word |= static_cast<uint64_t>(from[i]) << (8 * i);
    *reinterpret_cast<volatile uint64_t*>(into) = word;
    return;
  }
  if (bytes == 4 && reinterpret_cast<uintptr_t>(into) % 4 == 0) {
    uint32_t word = 0;
    for (unsigned i = 0; i < 4; ++i) word |= static_cast<uint32_t>(from[i]) << (8 * i);
    *reinterpret_cast<volatile uint32_t*>(into) = word;
    return;
  }
  for (uint64_t i = 0; i < bytes; ++i) target[i] = from[i];
}
__attribute__((no_sanitize("thread"))) void set_bytes(std::byte* into, uint64_t bytes,
                                                      std::byte value) noexcept {
  volatile std::byte* target = into;
  for (uint64_t i = 0; i < bytes; ++i) target[i] = value;
}

std::string hex(uint64_t value) noexcept {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

void GuestMemory::set_tracker(DirtyTracker* tracker) noexcept {
  const std::lock_guard lock(mutex_);
  tracker_ = tracker;
}

GuestMemory::Place GuestMemory::find(uint64_t gpa) const noexcept {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const RamBlock& block = blocks_[i];
    if (gpa < block.gpa || gpa - block.gpa >= block.used_bytes) continue;
    return {i, gpa - block.gpa, block.used_bytes - (gpa - block.gpa)};
  }
  return {};
}

Result<void> GuestMemory::check(uint64_t gpa, uint64_t bytes) const noexcept {
  while (bytes > 0) {
    const Place place = find(gpa);
    if (place.bytes == 0) {
      return Error(ErrorCode::invalid_argument, "address " + hex(gpa) + " is not RAM");
    }
    const uint64_t step = std::min(bytes, place.bytes);
    bytes -= step;
    gpa += step;  // cannot wrap: blocks end far below 2^64
  }
  return {};
}

Result<void> GuestMemory::read(uint64_t gpa, std::span<std::byte> into) const noexcept {
  TERN_TRY(check(gpa, into.size()));
  while (!into.empty()) {
    const Place place = find(gpa);
    const uint64_t step = std::min<uint64_t>(into.size(), place.bytes);
    copy_out(into.data(), blocks_[place.block].host + place.offset, step);
    into = into.subspan(step);
    gpa += step;
  }
  return {};
}

template <typename Copy>
Result<void> GuestMemory::change(uint64_t gpa, uint64_t bytes, Copy copy) noexcept {
  TERN_TRY(check(gpa, bytes));
  uint64_t done = 0;
  while (done < bytes) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !held_ || closed_; });
    if (closed_) return Error(ErrorCode::cancelled, "the VMM ends");
    const Place place = find(gpa + done);
    const uint64_t step = std::min({bytes - done, place.bytes, kChunkBytes});
    copy(blocks_[place.block].host + place.offset, done, step);
    if (tracker_ != nullptr) tracker_->mark(place.block, place.offset, step);
    done += step;
  }
  return {};
}

Result<void> GuestMemory::write(uint64_t gpa, std::span<const std::byte> bytes) noexcept {
  return change(gpa, bytes.size(), [&](std::byte* into, uint64_t done, uint64_t step) {
    copy_in(into, bytes.data() + done, step);
  });
}

Result<void> GuestMemory::fill(uint64_t gpa, uint64_t bytes, std::byte value) noexcept {
  return change(gpa, bytes,
                [&](std::byte* into, uint64_t, uint64_t step) { set_bytes(into, step, value); });
}

void GuestMemory::hold_writes(bool hold) noexcept {
  const std::lock_guard lock(mutex_);
  held_ = hold;
  changed_.notify_all();
}

void GuestMemory::close() noexcept {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

}  // namespace tern::vmm
