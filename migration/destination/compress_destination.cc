// SPDX-License-Identifier: Apache-2.0
#include "migration/destination/compress_destination.h"

#include <algorithm>
#include <string>

#include "migration/source/start_thread.h"

namespace tern {
namespace {

// So that a thread that is done has another page at once.
constexpr size_t kPagesPerThread = 2;

}  // namespace

CompressDestination::CompressDestination(const Settings& settings, ThreadList& threads) noexcept
    : settings_(settings),
      threads_(threads),
      ring_(kPagesPerThread * settings.decompress_threads),
      jobs_(std::make_unique<Job[]>(kPagesPerThread * settings.decompress_threads)),
      targets_(kPagesPerThread * settings.decompress_threads) {}

CompressDestination::~CompressDestination() { stop(); }

Result<void> CompressDestination::start() noexcept {
  for (uint32_t i = 0; i < settings_.decompress_threads; ++i) {
    workers_.push_back(TERN_TRY(start_thread([this] {
      const auto listed = threads_.enter(settings_.thread_prefix, "decompress");
      work();
    })));
  }
  return {};
}

void CompressDestination::stop() noexcept {
  ring_.stop();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void CompressDestination::work() noexcept {
  PageInflater inflater;
  while (const auto place = ring_.take()) {
    Job& job = jobs_[*place];
    const auto placed = inflater.inflate(std::span(job.payload).first(job.payload_bytes),
                                         {job.to, kTargetPageBytes});
    job.error.reset();
    if (!placed) job.error = placed.error();
    ring_.done(*place);
  }
}

Result<void> CompressDestination::retire(size_t place) noexcept {
  ring_.retire();
  targets_[place] = nullptr;
  const Job& job = jobs_[place];
  if (!job.error) return {};
  return Error(job.error->code(),
               "at offset " + std::to_string(job.offset) + ": " + job.error->message());
}

Result<void> CompressDestination::take(std::byte* to, std::span<const std::byte> payload,
                                       uint64_t offset) noexcept {
  auto place = ring_.free_place();
  if (!place) {
    const auto oldest = ring_.oldest_done(true);
    if (!oldest) return Error(ErrorCode::cancelled, "the threads that unpack pages were stopped");
    TERN_TRY(retire(*oldest));
    place = ring_.free_place();
  }
  Job& job = jobs_[*place];
  job.to = to;
  job.offset = offset;
  job.payload_bytes = payload.size();
  std::copy(payload.begin(), payload.end(), job.payload.begin());  // may be empty
  targets_[*place] = to;
  ring_.submit();
  return {};
}

Result<void> CompressDestination::settle(const std::byte* to) noexcept {
  const bool out = std::find(targets_.begin(), targets_.end(), to) != targets_.end();
  return out ? finish() : Result<void>();
}

Result<void> CompressDestination::finish() noexcept {
  while (const auto oldest = ring_.oldest_done(true)) TERN_TRY(retire(*oldest));
  return {};
}

}  // namespace tern
