// SPDX-License-Identifier: Apache-2.0

#include "ram/dirty/wp_sync.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "ram/dirty/block_checks.h"
#include "ram/holes.h"

namespace tern {
namespace {

/// Messages read at once; also the longest a harvest waits for the mutex, in faults.
constexpr size_t kMessages = 32;
/// Runs of dirty pages are protected in one call if no more clean pages than this lie between them:
/// those are protected already, or missing, and stay as they are.
constexpr uint64_t kMergePages = 64;

MemoryRange range_of(const RamBlock& block) noexcept { return {block.host, block.used_bytes}; }

/// Whether untouched pages of the block must be caught as MISSING.
bool needs_missing(const RamBlock& block) noexcept { return block.fd < 0 && !block.shared; }

bool is_huge(const RamBlock& block) noexcept { return block.page_bytes > kTargetPageBytes; }

}  // namespace

ReadOnlyZeros::~ReadOnlyZeros() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

Result<void> ReadOnlyZeros::reserve(uint64_t bytes) noexcept {
  if (bytes <= bytes_) return {};
  void* fresh =
      ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (fresh == MAP_FAILED) {
    return errno_error(ErrorCode::resource_exhausted, "address space for zeros", errno);
  }
  if (data_ != nullptr) ::munmap(data_, bytes_);
  data_ = static_cast<std::byte*>(fresh);
  bytes_ = bytes;
  return {};
}

WpSyncTracker::WpSyncTracker(uint64_t features, LogSink& log) noexcept
    : features_(features), log_(log), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

WpSyncTracker::~WpSyncTracker() { stop().ignore("closing the descriptor lifts all protection"); }

void WpSyncTracker::wake_service() noexcept {
  const uint64_t one = 1;
  // Fails only when the counter is full: then it is readable, which is all we want.
  const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  static_cast<void>(written);
}

Result<void> WpSyncTracker::start(std::span<const RamBlock> blocks) noexcept {
  {
    const MutexLock lock(mutex_);
    if (uffd_) return Error(ErrorCode::failed_precondition, "wp-sync: already started");
  }
  if (!wake_) return Error(ErrorCode::resource_exhausted, "wp-sync: no eventfd");
  TERN_TRY(check_blocks(blocks).context("wp-sync"));
  TERN_TRY(check_sharing(blocks).context("wp-sync"));
  Uffd uffd =
      TERN_TRY(Uffd::open(features_ & (UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                                       UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_THREAD_ID))
                   .context("wp-sync"));
  blocks_.assign(blocks.begin(), blocks.end());
  marked_.start(blocks);
  size_t registered = 0;
  Result<void> result;
  for (size_t i = 0; result && i < blocks.size(); ++i) {
    Result<uint64_t> calls = register_block(uffd, blocks[i]);
    // Only what is ours may be removed again: Linux 6.1 lets one userfaultfd remove the range of
    // another.
    registered += calls ? 1 : 0;
    result = calls ? protect_block(uffd, blocks[i], *calls) : std::move(calls).error();
    if (!result) result = std::move(result).context("wp-sync: RAM block " + blocks[i].idstr);
  }
  if (!result) {
    remove_blocks(uffd, registered).ignore("the error that matters is the one that made us stop");
    marked_.stop();
    blocks_.clear();
    return result;
  }
  const MutexLock lock(mutex_);
  const bool told_who = (features_ & UFFD_FEATURE_THREAD_ID) != 0;
  vcpu_pages_.assign(told_who ? vcpu_of_thread_.size() : 0, 0);
  uffd_.emplace(std::move(uffd));
  wake_service();
  return {};
}

Result<uint64_t> WpSyncTracker::register_block(const Uffd& uffd, const RamBlock& block) noexcept {
  const uint64_t mode =
      UFFDIO_REGISTER_MODE_WP | (needs_missing(block) ? UFFDIO_REGISTER_MODE_MISSING : 0);
  return uffd.add(range_of(block), mode);
}

Result<void> WpSyncTracker::protect_block(const Uffd& uffd, const RamBlock& block,
                                          uint64_t calls) noexcept {
  if ((calls & uint64_t{1} << _UFFDIO_WRITEPROTECT) == 0) {
    return Error(ErrorCode::unsupported,
                 "the kernel cannot write-protect this kind of memory (shared memory and huge "
                 "pages: Linux 5.19)");
  }
  if (!needs_missing(block)) return uffd.write_protect(range_of(block), true);
  if (is_huge(block)) return protect_private_huge(uffd, block);
  if ((calls & uint64_t{1} << _UFFDIO_ZEROPAGE) == 0) {
    return Error(ErrorCode::invalid_argument,
                 "its pages are not the 4096 bytes that its description says");
  }
  return uffd.write_protect(range_of(block), true);
}

// Only what is there: in huge pages the kernel would put a marker into every hole, after which
// kernels as old as 6.1 cannot tell it from a page. What is missing cannot come into being
// meanwhile: that needs our service.
Result<void> WpSyncTracker::protect_private_huge(const Uffd& uffd, const RamBlock& block) noexcept {
  TERN_TRY(zeros_.reserve(block.page_bytes));
  DirtyBitmap there({&block, 1});
  TERN_TRY(find_populated_by(PageTableMethod::read, {&block, 1}, there));
  const BlockBitmap& map = there.block(0);
  for (PageRun run = map.next_run(0, map.pages()); run.count != 0;
       run = map.next_run(run.first + run.count, map.pages())) {
    TERN_TRY(uffd.write_protect(
        {block.host + run.first * kTargetPageBytes, run.count * kTargetPageBytes}, true));
  }
  return {};
}

Result<void> WpSyncTracker::remove_blocks(const Uffd& uffd, size_t count) noexcept {
  Result<void> first;
  for (size_t i = 0; i < count; ++i) {
    Result<void> removed = uffd.remove(range_of(blocks_[i]));
    if (!removed && first) {
      first = std::move(removed).context("wp-sync: RAM block " + blocks_[i].idstr);
    }
  }
  return first;
}

Result<uint64_t> WpSyncTracker::harvest(DirtyBitmap& into) noexcept {
  {
    const MutexLock lock(mutex_);
    if (!uffd_) return Error(ErrorCode::failed_precondition, "wp-sync: not started");
  }
  TERN_TRY(check_shape(blocks_, into).context("wp-sync"));
  uint64_t added = 0;
  for (size_t block = 0; block < blocks_.size(); ++block) {
    for (uint64_t chunk = 0; chunk < marked_.chunks(block); ++chunk) {
      // Without the mutex: a write that is done had its mark set before it could go on.
      if (!marked_.chunk_may_have_marks(block, chunk)) continue;
      added += TERN_TRY(harvest_chunk(block, chunk, into.block(block))
                            .context("wp-sync: RAM block " + blocks_[block].idstr));
    }
  }
  return added;
}

Result<uint64_t> WpSyncTracker::harvest_chunk(size_t block, uint64_t chunk,
                                              BlockBitmap& into) noexcept {
  const RamBlock& ram = blocks_[block];
  const uint64_t first_page = chunk * MarkedPages::kChunkPages;
  MarkedPages::Chunk taken;
  const MutexLock lock(mutex_);
  if (!marked_.take_chunk(block, chunk, taken)) return uint64_t{0};

  // Whole pages of the mapping: mark() may have told us of a part of a huge page.
  const uint64_t step = ram.page_bytes / kTargetPageBytes;
  const uint64_t block_pages = ram.used_bytes / kTargetPageBytes;
  BlockBitmap& dirty = chunk_map_;
  dirty.clear_run({0, MarkedPages::kChunkPages});
  for (uint64_t word = 0; word < MarkedPages::kChunkWords; ++word) {
    dirty.or_word(word, taken[word]);
  }
  uint64_t added = 0;
  PageRun run = dirty.next_run(0, MarkedPages::kChunkPages);
  while (run.count != 0) {
    uint64_t end = run.first;
    const uint64_t begin = run.first;
    while (run.count != 0 && run.first <= end + kMergePages) {
      added += into.set_run({first_page + run.first, run.count});
      end = run.first + run.count;
      run = dirty.next_run(end, MarkedPages::kChunkPages);
    }
    const uint64_t from = (first_page + begin) / step * step;
    const uint64_t to = std::min((first_page + end + step - 1) / step * step, block_pages);
    TERN_TRY(uffd_->write_protect(
        {ram.host + from * kTargetPageBytes, (to - from) * kTargetPageBytes}, true));
  }
  return added;
}

Result<void> WpSyncTracker::stop() noexcept {
  std::optional<Uffd> uffd;
  {
    const MutexLock lock(mutex_);
    if (!uffd_) return {};
    uffd = std::move(uffd_);
    uffd_.reset();
    vcpu_pages_.clear();
    wake_service();
    while (polled_fd_ == uffd->fd()) polling_ended_.wait(mutex_);
  }
  Result<void> removed = remove_blocks(*uffd, blocks_.size());
  marked_.stop();
  blocks_.clear();
  return removed;
}

Result<void> WpSyncTracker::run_service(std::stop_token stop) noexcept {
  if (!wake_) return Error(ErrorCode::resource_exhausted, "wp-sync: no eventfd");
  {
    const MutexLock lock(mutex_);
    if (serving_) return Error(ErrorCode::failed_precondition, "wp-sync: already being served");
    serving_ = true;
  }
  Result<void> result;
  {
    const std::stop_callback wake_on_stop(stop, [this] { wake_service(); });
    while (result && !stop.stop_requested()) result = serve_once(stop);
  }
  const MutexLock lock(mutex_);
  serving_ = false;
  return result;
}

Result<void> WpSyncTracker::serve_once(const std::stop_token& stop) noexcept {
  std::array<pollfd, 2> wait{};
  wait[0] = {.fd = wake_.get(), .events = POLLIN, .revents = 0};
  {
    const MutexLock lock(mutex_);
    // Empty the eventfd before looking at what it announces; what is announced later makes poll
    // return.
    uint64_t ignored;
    const ssize_t drained = ::read(wake_.get(), &ignored, sizeof ignored);
    static_cast<void>(drained);
    if (stop.stop_requested()) return {};
    // A negative descriptor is one that poll does not look at.
    polled_fd_ = uffd_ ? uffd_->fd() : -1;
    wait[1] = {.fd = polled_fd_, .events = POLLIN, .revents = 0};
  }
  const int ready = ::poll(wait.data(), wait.size(), -1);
  const int error = errno;
  const MutexLock lock(mutex_);
  polled_fd_ = -1;
  polling_ended_.notify_all();
  if (ready < 0 && error != EINTR) {
    return errno_error(ErrorCode::internal, "wp-sync: waiting for faults", error);
  }
  if (!uffd_ || wait[1].fd != uffd_->fd()) return {};  // stopped, or started, meanwhile
  if ((wait[1].revents & (POLLERR | POLLNVAL)) != 0) {
    return Error(ErrorCode::internal, "wp-sync: the userfaultfd reports an error");
  }
  return ready > 0 && (wait[1].revents & POLLIN) != 0 ? serve_waiting() : Result<void>();
}

Result<void> WpSyncTracker::serve_waiting() noexcept {
  std::array<uffd_msg, kMessages> messages;
  const ssize_t got = ::read(uffd_->fd(), messages.data(), sizeof messages);
  if (got < 0) {
    // EAGAIN: the thread that faulted was woken or killed meanwhile.
    if (errno == EAGAIN || errno == EINTR) return {};
    return errno_error(ErrorCode::internal, "wp-sync: reading faults", errno);
  }
  for (size_t i = 0; i < static_cast<size_t>(got) / sizeof(uffd_msg); ++i) {
    TERN_TRY(serve(messages[i]));
  }
  return {};
}

void WpSyncTracker::set_vcpu_threads(std::span<const int> thread_ids) noexcept {
  std::vector<std::pair<uint32_t, size_t>> fresh;
  for (size_t vcpu = 0; vcpu < thread_ids.size(); ++vcpu) {
    fresh.emplace_back(static_cast<uint32_t>(thread_ids[vcpu]), vcpu);
  }
  std::ranges::sort(fresh);
  const MutexLock lock(mutex_);
  vcpu_of_thread_ = std::move(fresh);
}

bool WpSyncTracker::counts_vcpus() const noexcept {
  const MutexLock lock(mutex_);
  return (features_ & UFFD_FEATURE_THREAD_ID) != 0 && !vcpu_of_thread_.empty();
}

std::vector<uint64_t> WpSyncTracker::vcpu_dirty_pages() const noexcept {
  const MutexLock lock(mutex_);
  return vcpu_pages_;
}

void WpSyncTracker::count_writer(uint32_t thread_id, uint64_t pages) noexcept {
  const auto found =
      std::ranges::lower_bound(vcpu_of_thread_, thread_id, {}, &std::pair<uint32_t, size_t>::first);
  const bool known = found != vcpu_of_thread_.end() && found->first == thread_id;
  if (known && found->second < vcpu_pages_.size()) vcpu_pages_[found->second] += pages;
}

Result<void> WpSyncTracker::fill_with_zeros(const RamBlock& block, MemoryRange page) noexcept {
  return is_huge(block) ? uffd_->copy(page, zeros_.data()) : uffd_->zero_page(page);
}

Result<void> WpSyncTracker::serve(const uffd_msg& message) noexcept {
  if (message.event != UFFD_EVENT_PAGEFAULT) return {};
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const RamBlock& block = blocks_[i];
    const uint64_t offset = message.arg.pagefault.address - reinterpret_cast<uintptr_t>(block.host);
    if (offset >= block.used_bytes) continue;
    const uint64_t page = offset / block.page_bytes * block.page_bytes;
    const MemoryRange range{block.host + page, block.page_bytes};
    marked_.mark(i, page, block.page_bytes);
    const bool written = (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) != 0;
    const bool writes = written || (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE) != 0;
    if (writes) count_writer(message.arg.pagefault.feat.ptid, block.page_bytes / kTargetPageBytes);
    Result<void> served =
        written ? uffd_->write_protect(range, false) : fill_with_zeros(block, range);
    // ENOENT: somebody unmapped it; whoever touches it now gets the signal he asked for.
    if (served || served.error().sys_errno() == ENOENT) return {};
    return std::move(served).context("wp-sync: RAM block " + block.idstr + ", offset " +
                                     std::to_string(page));
  }
  log_.log(LogLevel::warning, "wp-sync: a fault outside all RAM blocks was ignored");
  return {};
}

}  // namespace tern
