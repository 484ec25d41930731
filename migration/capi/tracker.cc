// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/tracker.h"

#include <algorithm>
#include <stop_token>

#include "migration/capi/error.h"
#include "migration/capi/memory.h"
#include "migration/capi/sized.h"

namespace tern::capi {
namespace {

static_assert(static_cast<int>(WriteProtectMode::sync) == TERN_WRITE_PROTECT_SYNC);
static_assert(static_cast<int>(WriteProtectMode::async) == TERN_WRITE_PROTECT_ASYNC);

Result<std::unique_ptr<LogAdapter>> optional_log(const tern_log_callbacks* given) noexcept {
  if (given == nullptr) return std::unique_ptr<LogAdapter>();
  return LogAdapter::create(given);
}

LogSink& sink_of(const std::unique_ptr<LogAdapter>& log) noexcept {
  return log != nullptr ? static_cast<LogSink&>(*log) : null_log();
}

Result<std::vector<KvmSlot>> read_slots(const tern_kvm_slot* slots, size_t count) noexcept {
  std::vector<KvmSlot> known;
  const auto given = TERN_TRY(read_array(slots, count, "slots"));
  for (const tern_kvm_slot& slot : given) {
    known.push_back({.slot = slot.slot,
                     .flags = slot.flags,
                     .block = slot.block,
                     .offset = slot.offset,
                     .bytes = slot.bytes,
                     .gpa = slot.gpa});
  }
  return known;
}

// Nothing can fail any more: from here on the callbacks are ours.
void give(tern_tracker** out, std::unique_ptr<LogAdapter> log,
          std::unique_ptr<DirtyTracker> tracker, KvmRingTracker* rings = nullptr) noexcept {
  if (log != nullptr) log->adopt();
  auto parts = std::make_shared<TrackerParts>();
  parts->log = std::move(log);
  parts->tracker = std::move(tracker);
  parts->rings = rings;
  parts->harvester = DirtyHarvester::create(*parts->tracker, sink_of(parts->log));
  *out = new tern_tracker{std::move(parts)};
}

}  // namespace

Result<std::unique_ptr<CustomTracker>> CustomTracker::create(
    const tern_tracker_callbacks* given) noexcept {
  const auto table = TERN_TRY(read_sized(given, "callbacks"));
  const bool complete = table.start != nullptr && table.harvest != nullptr &&
                        table.stop != nullptr && table.mark != nullptr;
  if (!complete) {
    return Error(ErrorCode::invalid_argument,
                 "callbacks: start, harvest, stop and mark are needed");
  }
  if ((table.run_service != nullptr) != (table.stop_service != nullptr)) {
    return Error(ErrorCode::invalid_argument,
                 "callbacks: one of run_service, stop_service is NULL");
  }
  return std::unique_ptr<CustomTracker>(new CustomTracker(table));
}

Result<void> CustomTracker::start(std::span<const RamBlock> blocks) noexcept {
  if (!blocks_.empty()) {
    return Error(ErrorCode::failed_precondition, name_ + ": tracks already");
  }
  std::vector<tern_ram_block> for_c = blocks_for_c(blocks);
  tern_error* error = nullptr;
  const int code = calls_->start(calls_.user(), for_c.data(), for_c.size(), &error);
  TERN_TRY(verdict(name_ + ": start", code, error));
  blocks_ = std::move(for_c);
  return {};
}

Result<uint64_t> CustomTracker::harvest(DirtyBitmap& into) noexcept {
  const uint64_t before = into.count();
  tern_dirty_bitmap lent{.own = {}, .lent = &into};
  tern_error* error = nullptr;
  const int code = calls_->harvest(calls_.user(), &lent, &error);
  TERN_TRY(verdict(name_ + ": harvest", code, error));
  const uint64_t after = into.count();
  return after > before ? after - before : 0;
}

Result<void> CustomTracker::stop() noexcept {
  tern_error* error = nullptr;
  const int code = calls_->stop(calls_.user(), &error);
  blocks_.clear();
  return verdict(name_ + ": stop", code, error);
}

void CustomTracker::mark(size_t block, uint64_t offset, uint64_t bytes) noexcept {
  calls_->mark(calls_.user(), block, offset, bytes);
}

Result<void> CustomTracker::run_service(std::stop_token stop) noexcept {
  if (!needs_service() || stop.stop_requested()) return {};
  const std::stop_callback end(stop, [this] { calls_->stop_service(calls_.user()); });
  tern_error* error = nullptr;
  const int code = calls_->run_service(calls_.user(), &error);
  return verdict(name_ + ": service", code, error);
}

}  // namespace tern::capi

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

int tern_kvm_dirty_ring_limit(int vm_fd, uint32_t* out, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"out", out}}));
    *out = TERN_TRY(kvm_dirty_ring_limit(vm_fd));
    return {};
  });
}

int tern_kvm_dirty_ring_enable(int vm_fd, uint32_t entries, tern_error** error) noexcept {
  return answer_of(error, [&] { return enable_kvm_dirty_ring(vm_fd, entries); });
}

int tern_tracker_kvm_ring(int vm_fd, const tern_kvm_slot* slots, size_t slot_count,
                          const int* vcpu_fds, size_t vcpu_count, uint32_t entries,
                          const tern_log_callbacks* log, tern_tracker** out,
                          tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"vcpu_fds", vcpu_fds}, {"out", out}}));
    const auto known = TERN_TRY(read_slots(slots, slot_count));
    auto sink = TERN_TRY(optional_log(log));
    auto tracker = TERN_TRY(
        make_kvm_ring_tracker({vm_fd, known}, {vcpu_fds, vcpu_count}, entries, sink_of(sink)));
    KvmRingTracker* const rings = tracker.get();
    give(out, std::move(sink), std::move(tracker), rings);
    return {};
  });
}

int tern_tracker_ring_full(tern_tracker* tracker, uint32_t vcpu, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"tracker", tracker}}));
    if (tracker->parts->rings != nullptr) return tracker->parts->rings->ring_full(vcpu);
    return Error(ErrorCode::invalid_argument, "tracker: it has no dirty rings");
  });
}

uint64_t tern_tracker_ring_full_exits(const tern_tracker* tracker, uint32_t vcpu) noexcept {
  if (tracker == nullptr || tracker->parts->rings == nullptr) return 0;
  return tracker->parts->rings->ring_full_exits(vcpu);
}

int tern_tracker_counts_vcpus(const tern_tracker* tracker) noexcept {
  return tracker != nullptr && tracker->parts->tracker->counts_vcpus() ? 1 : 0;
}

int tern_tracker_set_vcpu_threads(tern_tracker* tracker, const int* thread_ids, size_t count,
                                  tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"tracker", tracker}, {"thread_ids", thread_ids}}));
    tracker->parts->tracker->set_vcpu_threads({thread_ids, count});
    return {};
  });
}

size_t tern_tracker_vcpu_dirty_pages(const tern_tracker* tracker, uint64_t* pages,
                                     size_t count) noexcept {
  if (tracker == nullptr) return 0;
  const std::vector<uint64_t> known = tracker->parts->tracker->vcpu_dirty_pages();
  if (pages != nullptr) std::copy_n(known.begin(), std::min(count, known.size()), pages);
  return known.size();
}

int tern_tracker_kvm_bitmap(int vm_fd, const tern_kvm_slot* slots, size_t slot_count,
                            const tern_log_callbacks* log, tern_tracker** out,
                            tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"out", out}}));
    const auto known = TERN_TRY(read_slots(slots, slot_count));
    auto sink = TERN_TRY(optional_log(log));
    auto tracker = TERN_TRY(make_kvm_bitmap_tracker({vm_fd, known}, sink_of(sink)));
    give(out, std::move(sink), std::move(tracker));
    return {};
  });
}

int tern_tracker_write_protect(int mode, const tern_log_callbacks* log, tern_tracker** out,
                               tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"out", out}}));
    if (mode < TERN_WRITE_PROTECT_AUTOMATIC || mode > TERN_WRITE_PROTECT_SYNC) {
      return Error(ErrorCode::invalid_argument,
                   "no way to write-protect has number " + std::to_string(mode));
    }
    auto sink = TERN_TRY(optional_log(log));
    auto tracker =
        TERN_TRY(make_write_protect_tracker(static_cast<WriteProtectMode>(mode), sink_of(sink)));
    give(out, std::move(sink), std::move(tracker));
    return {};
  });
}

int tern_tracker_fed(tern_tracker** out, tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"out", out}}));
    give(out, nullptr, make_fed_tracker());
    return {};
  });
}

int tern_tracker_custom(const tern_tracker_callbacks* callbacks, tern_tracker** out,
                        tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"out", out}}));
    auto tracker = TERN_TRY(CustomTracker::create(callbacks));
    tracker->adopt();
    give(out, nullptr, std::move(tracker));
    return {};
  });
}

void tern_tracker_free(tern_tracker* tracker) noexcept { delete tracker; }

const char* tern_tracker_name(const tern_tracker* tracker) noexcept {
  // Literals of the trackers, or the custom one's std::string: all end with NUL.
  return tracker != nullptr ? tracker->parts->tracker->name().data() : "";
}

void tern_tracker_mark(tern_tracker* tracker, size_t block, uint64_t offset,
                       uint64_t bytes) noexcept {
  if (tracker != nullptr) tracker->parts->tracker->mark(block, offset, bytes);
}

int tern_tracker_start(tern_tracker* tracker, const tern_ram_block* blocks, size_t count,
                       tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"tracker", tracker}}));
    auto known = TERN_TRY(read_blocks(blocks, count));
    TERN_TRY(tracker->parts->tracker->start(known));
    tracker->parts->blocks = std::move(known);  // moved, so the elements stay where they are
    return {};
  });
}

int tern_tracker_harvest(tern_tracker* tracker, tern_dirty_bitmap* into, uint64_t* added,
                         tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"tracker", tracker}, {"into", into}}));
    const uint64_t fresh = TERN_TRY(tracker->parts->tracker->harvest(into->map()));
    if (added != nullptr) *added = fresh;
    return {};
  });
}

int tern_tracker_stop(tern_tracker* tracker, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"tracker", tracker}}));
    TERN_TRY(tracker->parts->tracker->stop());
    tracker->parts->blocks.clear();
    return {};
  });
}

int tern_tracker_needs_service(const tern_tracker* tracker) noexcept {
  return tracker != nullptr && tracker->parts->tracker->needs_service() ? 1 : 0;
}

tern_stop* tern_stop_new() noexcept { return new tern_stop{}; }
void tern_stop_request(tern_stop* stop) noexcept {
  if (stop != nullptr) stop->source.request_stop();
}
void tern_stop_free(tern_stop* stop) noexcept { delete stop; }

int tern_tracker_run_service(tern_tracker* tracker, const tern_stop* stop,
                             tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"tracker", tracker}, {"stop", stop}}));
    return tracker->parts->tracker->run_service(stop->source.get_token());
  });
}
