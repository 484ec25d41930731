// SPDX-License-Identifier: Apache-2.0
//
// CompressDestination: the threads that unpack compressed pages of the main stream (capability
// `compress`), while mig/dst/listen reads on. A page is placed when it is known to be sound.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/thread_list.h"
#include "base/work_ring.h"
#include "ram/codec/zlib_page.h"
#include "ram/recv/ram_receiver.h"
#include "ram/wire/ram_record.h"
#include "tern/settings.h"

namespace tern {

/// Thread rules: everything on mig/dst/listen; the threads are its own.
class CompressDestination final : public PageUnpacker {
 public:
  CompressDestination(const Settings& settings, ThreadList& threads) noexcept;
  ~CompressDestination() override;

  /// Starts decompress-threads of them. Errors: resource_exhausted.
  Result<void> start() noexcept;
  /// No page is written any more once it returns. Idempotent.
  void stop() noexcept;

  Result<void> take(std::byte* to, std::span<const std::byte> payload,
                    uint64_t offset) noexcept override;
  Result<void> settle(const std::byte* to) noexcept override;
  Result<void> finish() noexcept override;

 private:
  struct Job {
    std::byte* to = nullptr;
    uint64_t offset = 0;  // in the stream, for the message
    std::array<std::byte, kMaxCompressedPage> payload;
    size_t payload_bytes = 0;
    std::optional<Error> error;
  };

  void work() noexcept;
  Result<void> retire(size_t place) noexcept;

  const Settings& settings_;
  ThreadList& threads_;
  WorkRing ring_;
  const std::unique_ptr<Job[]> jobs_;      // one for each place
  std::vector<const std::byte*> targets_;  // of the pages that are out, by place; nullptr: none
  std::vector<std::thread> workers_;
};

}  // namespace tern
