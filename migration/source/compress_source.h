// SPDX-License-Identifier: Apache-2.0
//
// CompressSource: the threads that compress pages for the main stream (capability `compress`). Each
// page is a private copy: a guest that writes while zlib looks would make a stream that does not
// decode.
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
#include "migration/source/source_context.h"
#include "ram/codec/zlib_page.h"
#include "ram/send/page_packer.h"
#include "tern/ram_block.h"

namespace tern {

/// Thread rules: everything on mig/src/main; the threads are its own.
class CompressSource final : public PagePacker {
 public:
  CompressSource(SourceContext& context, ThreadList& threads) noexcept;
  /// Joins the threads; they never wait for anybody but us.
  ~CompressSource() override;

  /// Starts compress-threads of them. Errors: resource_exhausted.
  Result<void> start() noexcept;

  bool take(uint64_t page, const std::byte* data) noexcept override;
  Result<std::optional<Packed>> give(bool wait) noexcept override;
  bool waits() const noexcept override;

 private:
  struct Job {
    uint64_t page = 0;
    std::array<std::byte, kTargetPageBytes> data;
    std::array<std::byte, kTargetPageBytes> packed;
    size_t packed_bytes = 0;  // 0: it did not get shorter
    std::optional<Error> error;
  };

  void work(PageDeflater& deflater) noexcept;

  SourceContext& context_;
  ThreadList& threads_;
  WorkRing ring_;
  const std::unique_ptr<Job[]> jobs_;  // one for each place
  bool collected_ = false;             // the oldest was given and may be looked at
  std::vector<std::unique_ptr<PageDeflater>> deflaters_;
  std::vector<std::thread> workers_;
};

}  // namespace tern
