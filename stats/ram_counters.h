// SPDX-License-Identifier: Apache-2.0
//
// Counters of one migration. Each has one writer; readers take them at any time, unordered with
// each other.
#pragma once

#include <atomic>
#include <cstdint>

namespace tern {

/// One writer, any readers. Relaxed: a counter orders nothing, it is only looked at.
class Counter {
 public:
  void add(uint64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

/// One multifd channel. Written by its thread.
struct alignas(64) ChannelCounters {
  Counter bytes;             // on the channel, with headers
  Counter packets;           // with pages or without
  Counter syncs;             // of them those that carried SYNC
  Counter normal;            // pages with data
  Counter zero;              // pages of zeros in packets
  Counter compressed;        // of the normal ones those that went compressed
  Counter missed_zero_copy;  // syncs up to which the kernel copied everything after all
};

/// XBZRLE at a source. Written by mig/src/main.
struct alignas(64) XbzrleCounters {
  Counter cache_size;  // bytes, as asked for
  Counter bytes;       // of patches with their heads, and of the pages where one was too long
  Counter pages;       // found in the cache
  Counter cache_miss;  // not found
  Counter overflow;    // a patch would have been longer than the page
};

/// Capability compress at a source; RamCounters counts the pages. Written by mig/src/main.
struct alignas(64) CompressCounters {
  Counter busy;   // times that no thread had room for a page
  Counter bytes;  // of the compressed pages, with their lengths
};

/// Written by the thread that sends or loads RAM. On a cache line of its own, so that counting does
/// not slow others.
struct alignas(64) RamCounters {
  Counter normal;      // pages sent or received as they are
  Counter duplicate;   // zero pages, however they travelled
  Counter patched;     // as XBZRLE patches, at a source also those that needed none
  Counter compressed;  // capability compress
};

}  // namespace tern
