// SPDX-License-Identifier: Apache-2.0
#include "migration/source/precopy.h"

#include <algorithm>
#include <utility>

#include "migration/stream/framing.h"
#include "ram/wire/ram_record.h"

namespace tern {
namespace {

constexpr uint64_t kChunkBytes = 2u << 20;           // between two looks at cancel, rate and errors
constexpr uint64_t kPartBytes = 64u << 20;           // a section is at most this long,
constexpr Nanoseconds kPartTime = Milliseconds(50);  // or this (QEMU's limit for one iteration)
constexpr Nanoseconds kIdleWait = Milliseconds(10);  // nothing to send, not yet allowed to switch
constexpr uint64_t kFewBytes = 64 * kTargetPageBytes;
constexpr Nanoseconds kShortestPoll{50'000};
constexpr uint64_t kDrained = 64 * 1024;  // in a socket's queue: what is left is on its way
constexpr size_t kRunsPerCommand = 2048;  // 32 KiB of payload, half of what be16 allows

/// QEMU up to 8.0 waits for the channels at the end of every section.
bool syncs_per_section(PeerVersion peer) noexcept {
  return peer != PeerVersion::tern && peer <= PeerVersion::qemu_8_0;
}

}  // namespace

ZeroPageDetection zero_page_place(const SourceContext& context, bool multifd) noexcept {
  const ZeroPageDetection asked = context.settings.zero_page_detection;
  if (asked != ZeroPageDetection::multifd) return asked;
  // An older QEMU overlooks zero pages in packets, and keeps what the page held before.
  const bool packets_name_them =
      context.dialect == PeerVersion::tern || context.dialect >= PeerVersion::qemu_9_0;
  return multifd && packets_name_them ? asked : ZeroPageDetection::legacy;
}

Precopy::Precopy(SourceContext& context, SourceLink& link, const GuestMemory& memory,
                 const PageOps& ops, MultifdSource* multifd, PagePacker* packer,
                 ThreadList& threads) noexcept
    : context_(context),
      link_(link),
      memory_(memory),
      multifd_(multifd),
      sync_per_section_(syncs_per_section(context.dialect)),
      xbzrle_(context.settings.xbzrle
                  ? std::make_unique<XbzrleStage>(memory, context.progress.xbzrle, ops)
                  : nullptr),
      sender_(memory, link.out(), context.progress.ram, ops,
              {zero_page_place(context, multifd != nullptr) == ZeroPageDetection::legacy, multifd,
               xbzrle_.get(), packer, &context.progress.compress}),
      convergence_(context, threads),
      next_(memory.blocks()),
      found_(memory.blocks()),
      found_before_(memory.blocks()),
      holes_(memory.blocks()) {}

Precopy::~Precopy() {
  if (tracking_) context_.machine.tracker->stop().ignore("nothing depends on it any more");
}

Result<void> Precopy::start_tracking() noexcept {
  DirtyTracker* tracker = context_.machine.tracker;
  if (tracker == nullptr) {
    if (context_.machine.vcpus->run_state() == RunState::running) {
      return Error(ErrorCode::failed_precondition,
                   "the guest runs and nothing tracks what it writes");
    }
    return {};
  }
  TERN_TRY(tracker->start(memory_.blocks()).context("starting the dirty tracker"));
  tracking_ = true;
  context_.progress.set_choice(Progress::Choice::tracker, std::string(tracker->name()));
  context_.log.log(LogLevel::info, "dirty tracker: " + std::string(tracker->name()));
  return {};
}

Result<void> Precopy::find_holes() noexcept {
  // Tracking is on already: a page touched after this look is dirty in the next harvest.
  const std::string_view method = TERN_TRY(find_populated(memory_.blocks(), sender_.dirty()));
  uint64_t pages = 0;
  for (size_t b = 0; b < memory_.count(); ++b) {
    const BlockBitmap& populated = sender_.dirty().block(b);
    BlockBitmap& holes = holes_.block(b);
    pages += holes.set_run({0, memory_.pages(b)});
    for (PageRun run = populated.next_run(0, UINT64_MAX); run.count != 0;
         run = populated.next_run(run.first + run.count, UINT64_MAX)) {
      pages -= holes.clear_run(run);
    }
  }
  context_.progress.set_never_touched(pages * kTargetPageBytes);
  context_.progress.set_choice(Progress::Choice::hole_finder, std::string(method));
  context_.log.log(LogLevel::info, "never touched: " + std::to_string(pages) + " pages, found by " +
                                       std::string(method));
  return {};
}

Result<void> Precopy::set_up_xbzrle() noexcept {
  if (!xbzrle_) return {};
  TERN_TRY(
      xbzrle_->set_cache_size(context_.settings.xbzrle_cache_size).context("capability xbzrle"));
  cache_size_tried_ = context_.settings.xbzrle_cache_size;
  context_.progress.show_xbzrle();
  return {};
}

// Between two sections, when nothing waits to be sent.
void Precopy::follow_cache_size() noexcept {
  if (!xbzrle_) return;
  const uint64_t wanted = context_.live.xbzrle_cache_size.load(std::memory_order_relaxed);
  if (wanted == cache_size_tried_) return;
  cache_size_tried_ = wanted;
  const auto resized = xbzrle_->set_cache_size(wanted);
  if (resized) return;
  // The migration does without: a larger cache is a wish.
  context_.log.log(LogLevel::warning, "xbzrle-cache-size stays at " +
                                          std::to_string(xbzrle_->cache_size()) + ": " +
                                          resized.error().message());
}

Result<void> Precopy::set_up() noexcept {
  TERN_TRY(convergence_.prepare());
  TERN_TRY(set_up_xbzrle());
  TERN_TRY(start_tracking());
  TERN_TRY(find_holes());
  StreamWriter& out = link_.out();
  TERN_TRY(write_section_header(out, kItemSectionStart,
                                {kRamSectionId, std::string(kRamIdstr), 0, kRamVersion}));
  TERN_TRY(sender_.send_block_list());
  if (multifd_ != nullptr && !sync_per_section_) TERN_TRY(sync_channels());
  TERN_TRY(end_section());
  context_.progress.total.set(memory_.total_bytes());
  // Until something is known, what was asked for.
  context_.progress.set_expected_downtime(
      Milliseconds(context_.live.downtime_limit_ms.load(std::memory_order_relaxed)));
  context_.progress.dirty_sync_count.add(1);
  context_.session.tell(PassStarted{1});
  convergence_.begin();
  pending_at_look_ = pending_bytes();
  account();
  return {};
}

Result<void> Precopy::send_holes() noexcept {
  if (link_.speaks(kFeatureZeroRun)) return send_hole_runs();
  // To QEMU every page goes in the first pass, holes as zero records; nothing is read for that. All
  // of them before the first dirty page: a zero record must never come after data of the same page.
  StreamWriter& out = link_.out();
  for (size_t b = 0; b < memory_.count(); ++b) {
    std::string_view name = memory_.blocks()[b].idstr;
    BlockBitmap& holes = holes_.block(b);
    while (holes.count() != 0) {
      const uint64_t begin = out.offset();
      TERN_TRY(write_section_part(out, kItemSectionPart, kRamSectionId));
      PageRun run = holes.next_run(0, 1u << 17);
      while (run.count != 0 && out.offset() - begin < kChunkBytes) {
        for (uint64_t p = run.first; p < run.first + run.count; ++p) {
          TERN_TRY(write_record_head(out, RecordKind::zero, p * kTargetPageBytes, name));
          TERN_TRY(out.put_u8(0));
          name = {};
        }
        context_.progress.ram.duplicate.add(run.count);
        holes.clear_run(run);
        run = holes.next_run(run.first, 1u << 17);
      }
      TERN_TRY(end_section());
      sender_.forget_named_block();
      account();
      TERN_TRY(context_.check());
      TERN_TRY(wait_for_rate());
    }
  }
  return {};
}

Result<void> Precopy::send_hole_runs() noexcept {
  StreamWriter& out = link_.out();
  for (size_t b = 0; b < memory_.count(); ++b) {
    const std::string& name = memory_.blocks()[b].idstr;
    BlockBitmap& holes = holes_.block(b);
    while (holes.count() != 0) {
      std::vector<std::byte> payload;
      payload.push_back(static_cast<std::byte>(name.size()));
      const auto text = std::as_bytes(std::span(name));
      payload.insert(payload.end(), text.begin(), text.end());
      for (size_t i = 0; i < kRunsPerCommand && holes.count() != 0; ++i) {
        const PageRun run = holes.next_run(0, UINT64_MAX);
        std::byte entry[16];
        store_be(entry, run.first * kTargetPageBytes);
        store_be(entry + 8, run.count * kTargetPageBytes);
        payload.insert(payload.end(), entry, entry + sizeof entry);
        holes.clear_run(run);
        context_.progress.ram.duplicate.add(run.count);
      }
      TERN_TRY(write_command(out, Command::tern_zero_run, payload));
      TERN_TRY(out.flush());
      account();
      TERN_TRY(context_.check());
    }
  }
  return {};
}

// The channels' point k and ours: what was put on any of them before is placed before what comes
// after it.
Result<void> Precopy::sync_channels() noexcept {
  TERN_TRY(multifd_->sync());
  if (!sync_per_section_) TERN_TRY(write_multifd_flush(link_.out()));
  return link_.out().flush();
}

// In front of the first page that may have been sent before.
Result<void> Precopy::begin_round() noexcept {
  if (!round_begins_) return {};
  round_begins_ = false;
  return multifd_ != nullptr && !sync_per_section_ ? sync_channels() : Result<void>();
}

Result<void> Precopy::end_section() noexcept {
  if (multifd_ != nullptr) {
    TERN_TRY(sync_per_section_ ? sync_channels() : multifd_->flush());
  }
  TERN_TRY(sender_.end_body());
  TERN_TRY(write_footer(link_.out(), kRamSectionId));
  return link_.out().flush();
}

uint64_t Precopy::bytes_put() const noexcept {
  return link_.out().offset() + context_.progress.multifd_bytes();
}

void Precopy::account() noexcept {
  const uint64_t offset = link_.out().accepted();
  const uint64_t bytes = offset - offset_accounted_;
  offset_accounted_ = offset;
  Progress& p = context_.progress;
  p.transferred.set(offset);
  (limited_ && context_.machine.vcpus->run_state() == RunState::running ? p.precopy_bytes
                                                                        : p.downtime_bytes)
      .add(bytes);
  p.remaining.set(pending_bytes() + holes_.count() * kTargetPageBytes);
  p.tick();
}

uint64_t Precopy::pending_bytes() const noexcept {
  return sender_.pending_bytes() + next_.count() * kTargetPageBytes;
}

Result<void> Precopy::harvest() noexcept {
  if (!tracking_) return {};
  std::swap(found_, found_before_);
  found_.clear_all();
  TERN_TRY(context_.machine.tracker->harvest(found_).context("dirty sync"));
  DirtyBitmap& unsent = sender_.dirty();
  next_.or_maps(found_);
  next_.clear_maps(unsent);
  LookedPages pages;
  pages.dirty = unsent.count() + next_.count();
  pages.hot = found_before_.count();
  pages.found = found_.count();
  pages.hot_again = found_.count_common(found_before_);
  if (!postpone_found(pages)) return {};
  unsent.clear_maps(found_);
  next_.or_maps(found_);
  return {};
}

void Precopy::begin_pass() noexcept {
  if (sender_.pending_bytes() == 0) {
    std::swap(sender_.dirty(), next_);
  } else {
    sender_.dirty().or_maps(next_);
    next_.clear_all();
  }
  round_begins_ = true;
  if (xbzrle_) xbzrle_->begin_round();
  Progress& p = context_.progress;
  p.dirty_sync_count.add(1);
  context_.session.tell(PassStarted{p.dirty_sync_count.get()});
}

Result<void> Precopy::look() noexcept {
  const Nanoseconds start = context_.clock.now();
  const uint64_t before = pending_bytes();
  TERN_TRY(harvest());
  Convergence::Look look;
  look.new_bytes = pending_bytes() - before;
  look.found_bytes = found_.count() * kTargetPageBytes;
  look.took = context_.clock.now() - start;
  look.sent_bytes = bytes_put();
  if (sender_.pending_bytes() == 0 || !convergence_.looks_within_passes()) begin_pass();
  pending_at_look_ = pending_bytes();
  context_.progress.remaining.set(pending_at_look_);
  return convergence_.looked(look);
}

Result<void> Precopy::send_part() noexcept {
  Progress& progress = context_.progress;
  const Nanoseconds start = context_.clock.now();
  const uint64_t begin = bytes_put();
  follow_cache_size();
  TERN_TRY(write_section_part(link_.out(), kItemSectionPart, kRamSectionId));
  TERN_TRY(begin_round());
  while (sender_.pending_bytes() != 0) {
    const uint64_t rate = context_.live.max_bandwidth.load(std::memory_order_relaxed);
    // A hundredth of a second at a time when limited: short bursts, at least one page.
    const uint64_t chunk =
        rate == 0 ? kChunkBytes : std::clamp<uint64_t>(rate / 100, 1, kChunkBytes);
    if (multifd_ != nullptr) multifd_->set_pace(rate, chunk, sender_.pending_bytes());
    const Nanoseconds before = context_.clock.now();
    const uint64_t pages = progress.pages();
    const uint64_t zeros = progress.zero_pages();
    TERN_TRY(sender_.send_dirty(chunk));
    TERN_TRY(link_.out().flush());
    if (rate != 0) wait_until_drained(Nanoseconds(chunk * 1000 / rate * 1000000 + 1000000));
    const uint64_t of_zeros = progress.zero_pages() - zeros;
    convergence_.sent(
        {progress.pages() - pages - of_zeros, of_zeros, context_.clock.now() - before});
    account();
    TERN_TRY(context_.check());
    TERN_TRY(wait_for_rate());
    if (bytes_put() - begin >= kPartBytes || context_.clock.now() - start >= kPartTime) break;
  }
  return end_section();
}

// With a limit every piece fits into the socket's buffer, which takes it at the speed of memory:
// how fast the link is shows only when the kernel has got rid of it. We would wait anyway.
void Precopy::wait_until_drained(Nanoseconds at_most) noexcept {
  const Nanoseconds start = context_.clock.now();
  Nanoseconds step = kShortestPoll;  // a fast link is not to look like one that takes a millisecond
  while (queued() > kDrained && context_.clock.now() - start < at_most) {
    context_.answers.sleep(step);
    step = std::min<Nanoseconds>(2 * step, Milliseconds(1));
  }
}

uint64_t Precopy::queued() const noexcept {
  return link_.channel().queued() + (multifd_ != nullptr ? multifd_->queued() : 0);
}

Result<void> Precopy::wait_for_rate() noexcept {
  limiter_.set_rate(context_.live.max_bandwidth.load(std::memory_order_relaxed));
  // What the channels have written since the last look is charged with the rest, whenever it was
  // handed to them: on the average no byte is left out.
  const uint64_t put = bytes_put();
  Nanoseconds wait = limiter_.charge(put - charged_, context_.clock.now());
  charged_ = put;
  while (wait.count() > 0) {
    // Looks up now and then: the rate may be changed while a tiny one makes us wait for minutes.
    context_.answers.sleep(std::min<Nanoseconds>(wait, Milliseconds(50)));
    TERN_TRY(context_.check());
    context_.progress.tick();
    limiter_.set_rate(context_.live.max_bandwidth.load(std::memory_order_relaxed));
    wait = limiter_.charge(0, context_.clock.now());
  }
  return {};
}

Result<void> Precopy::iterate() noexcept {
  TERN_TRY(send_holes());
  for (;;) {
    TERN_TRY(context_.check());
    TERN_TRY(link_.keep_alive());
    const SwitchoverVerdict verdict =
        convergence_.decide({pending_bytes(), sender_.pending_bytes(), bytes_put()});
    if (verdict.action == SwitchoverAction::switch_over) {
      decision_ = convergence_.believed();
      context_.progress.set_decision(decision_);
      return {};
    }
    if (verdict.action == SwitchoverAction::look) {
      // A guest that dirties a page now and then must not cause a look per page.
      const Nanoseconds since = convergence_.since_look();
      if (since < kIdleWait && pending_at_look_ <= kFewBytes) {
        context_.answers.sleep(kIdleWait - since);
      }
      TERN_TRY(look());
    } else if (sender_.pending_bytes() == 0) {
      context_.answers.sleep(kIdleWait);
    } else {
      TERN_TRY(send_part());
    }
  }
}

// The guest waits: nothing is thought about, everything that is found is sent.
Result<void> Precopy::final_sync() noexcept {
  if (tracking_) {
    TERN_TRY(context_.machine.tracker->harvest(sender_.dirty()).context("dirty sync"));
  }
  begin_pass();
  decision_.final_dirty_bytes = sender_.pending_bytes();
  context_.progress.remaining.set(decision_.final_dirty_bytes);
  context_.progress.set_decision(decision_);
  return {};
}

Result<void> Precopy::send_rest() noexcept {
  limited_ = false;
  if (xbzrle_) xbzrle_->begin_last_round();
  if (multifd_ != nullptr) multifd_->set_pace(0, kChunkBytes, sender_.pending_bytes());
  const Nanoseconds start = context_.clock.now();
  TERN_TRY(write_section_part(link_.out(), kItemSectionEnd, kRamSectionId));
  TERN_TRY(begin_round());
  while (sender_.pending_bytes() != 0) {
    TERN_TRY(sender_.send_dirty(kChunkBytes).context("last pages"));
    TERN_TRY(link_.out().flush());
    account();
    TERN_TRY(context_.check());
  }
  if (multifd_ != nullptr && !sync_per_section_) TERN_TRY(sync_channels());
  TERN_TRY(end_section());
  account();
  const Nanoseconds took = context_.clock.now() - start;
  if (took.count() > 0) {
    decision_.measured_bandwidth = static_cast<uint64_t>(
        static_cast<double>(decision_.final_dirty_bytes) * 1e9 / static_cast<double>(took.count()));
    context_.progress.set_decision(decision_);
  }
  return {};
}

}  // namespace tern
