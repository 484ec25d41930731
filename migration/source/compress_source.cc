// SPDX-License-Identifier: Apache-2.0
#include "migration/source/compress_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "migration/source/start_thread.h"
#include "ram/simd/page_ops.h"

namespace tern {
namespace {

// So that a thread that is done has another page at once.
constexpr size_t kPagesPerThread = 2;

TERN_RACY_READS void copy_page(std::byte* to, const std::byte* guest) noexcept {
  std::memcpy(to, guest, kTargetPageBytes);
}

}  // namespace

CompressSource::CompressSource(SourceContext& context, ThreadList& threads) noexcept
    : context_(context),
      threads_(threads),
      ring_(kPagesPerThread * context.settings.compress_threads),
      jobs_(std::make_unique<Job[]>(kPagesPerThread * context.settings.compress_threads)) {}

CompressSource::~CompressSource() {
  ring_.stop();
  for (std::thread& worker : workers_) worker.join();
}

Result<void> CompressSource::start() noexcept {
  for (uint32_t i = 0; i < context_.settings.compress_threads; ++i) {
    deflaters_.push_back(TERN_TRY(make_page_deflater(context_.settings.compress_level)));
    PageDeflater* const deflater = deflaters_.back().get();
    workers_.push_back(TERN_TRY(start_thread([this, deflater] {
      const auto listed = threads_.enter(context_.settings.thread_prefix, "compress");
      work(*deflater);
    })));
  }
  return {};
}

void CompressSource::work(PageDeflater& deflater) noexcept {
  while (const auto place = ring_.take()) {
    Job& job = jobs_[*place];
    const auto packed = deflater.deflate(job.data);
    job.error.reset();
    job.packed_bytes = 0;
    if (!packed) {
      job.error = packed.error();
    } else {
      job.packed_bytes = packed->size();
      // Empty (it would not get shorter) has no address to copy from.
      std::copy(packed->begin(), packed->end(), job.packed.begin());
    }
    ring_.done(*place);
  }
}

bool CompressSource::take(uint64_t page, const std::byte* data) noexcept {
  const auto place = ring_.free_place();
  if (!place) return false;
  jobs_[*place].page = page;
  copy_page(jobs_[*place].data.data(), data);
  ring_.submit();
  return true;
}

Result<std::optional<PagePacker::Packed>> CompressSource::give(bool wait) noexcept {
  if (std::exchange(collected_, false)) ring_.retire();
  const auto place = ring_.oldest_done(wait);
  if (!place) return std::optional<Packed>();
  collected_ = true;
  const Job& job = jobs_[*place];
  if (job.error) return *job.error;
  if (job.packed_bytes == 0) return std::optional<Packed>({job.page, job.data, false});
  return std::optional<Packed>({job.page, std::span(job.packed).first(job.packed_bytes), true});
}

bool CompressSource::waits() const noexcept {
  return context_.live.compress_wait_thread.load(std::memory_order_relaxed);
}

}  // namespace tern
