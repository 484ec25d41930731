// SPDX-License-Identifier: Apache-2.0
//
// The inner loops of RAM migration: zero-page test, XBZRLE, bitmap scan, hole finding, harvest.
// Sizes are arguments; the names that the tests run (small sizes) contain "/small". Every benchmark
// checks its result, so that it cannot get faster by doing less.

#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "ram/codec/xbzrle.h"
#include "ram/holes.h"
#include "ram/simd/page_ops.h"
#include "tern/dirty_bitmap.h"
#include "tern/dirty_tracker.h"

namespace tern {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kTiB = uint64_t{1} << 40;
constexpr uint64_t kPage = kTargetPageBytes;

/// A wrong result: the program ends with 1. (The library alone would print it and end with 0.)
bool any_wrong = false;
void wrong(benchmark::State& state, const char* what) {
  any_wrong = true;
  state.SkipWithError(what);
}

/// An error of the kernel: a feature it lacks is no failure.
void refused(benchmark::State& state, const Error& error) {
  if (error.code() != ErrorCode::unsupported) any_wrong = true;
  state.SkipWithError(error.message().c_str());
}

/// Anonymous memory of 4 KiB pages, as a RAM block.
class Ram {
 public:
  explicit Ram(uint64_t bytes) {
    void* start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return;
    ::madvise(start, bytes, MADV_NOHUGEPAGE);
    block_.idstr = "ram";
    block_.host = static_cast<std::byte*>(start);
    block_.used_bytes = bytes;
  }
  Ram(const Ram&) = delete;
  Ram& operator=(const Ram&) = delete;
  ~Ram() {
    if (block_.host != nullptr) ::munmap(block_.host, block_.used_bytes);
  }
  std::span<const RamBlock> blocks() const { return {&block_, 1}; }
  std::byte* page(uint64_t index) const { return block_.host + index * kPage; }
  uint64_t pages() const { return block_.used_bytes / kPage; }
  bool good() const { return block_.host != nullptr; }
  /// Writes one byte of every n-th page.
  void touch(uint64_t step, std::byte value) const {
    for (uint64_t i = 0; i < pages(); i += step) *static_cast<volatile std::byte*>(page(i)) = value;
  }

 private:
  RamBlock block_;
};

// ---- zero-page test, per variant

void zero_test(benchmark::State& state, const PageOps& ops, uint64_t bytes) {
  const Ram ram(bytes);
  if (!ram.good()) return wrong(state, "no memory");
  std::memset(ram.page(0), 0, bytes);
  uint64_t zero = 0;
  for (auto _ : state) {
    for (uint64_t i = 0; i < ram.pages(); ++i) zero += ops.is_zero(ram.page(i), kPage) ? 1 : 0;
  }
  const auto iterations = static_cast<uint64_t>(state.iterations());
  if (zero != iterations * ram.pages()) wrong(state, "a zero page was missed");
  state.SetBytesProcessed(static_cast<int64_t>(iterations * bytes));
}

/// Pages of a running guest: most are told from the first bytes.
void zero_test_of_data(benchmark::State& state, const PageOps& ops, uint64_t bytes) {
  const Ram ram(bytes);
  if (!ram.good()) return wrong(state, "no memory");
  ram.touch(1, std::byte{1});
  uint64_t zero = 0;
  for (auto _ : state) {
    for (uint64_t i = 0; i < ram.pages(); ++i) zero += ops.is_zero(ram.page(i), kPage) ? 1 : 0;
  }
  if (zero != 0) wrong(state, "a page of data was called zero");
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(ram.pages()));
}

// ---- XBZRLE beside memcmp: pages out of the cache of which 32 bytes changed, here and there

constexpr size_t kChangesPerPage = 4;

/// `ram` with each page changed a little, as a busy guest leaves it.
void change_lightly(const Ram& ram) {
  for (uint64_t p = 0; p < ram.pages(); ++p) {
    for (size_t i = 0; i < kChangesPerPage; ++i) {
      const uint64_t at = (p * 37 + i * 131) % (kPage / 8) * 8;
      std::memset(ram.page(p) + at, static_cast<int>(p + i) | 1, 8);
    }
  }
}

void compare(benchmark::State& state, uint64_t bytes) {
  const Ram old(bytes);
  const Ram now(bytes);
  if (!old.good() || !now.good()) return wrong(state, "no memory");
  old.touch(1, std::byte{0});
  now.touch(1, std::byte{0});
  int different = 0;
  for (auto _ : state) {
    for (uint64_t p = 0; p < now.pages(); ++p) {
      different |= std::memcmp(old.page(p), now.page(p), kPage);
    }
  }
  if (different != 0) wrong(state, "equal pages differ");
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

void encode_lightly_changed(benchmark::State& state, const PageOps& ops, uint64_t bytes) {
  const Ram cached(bytes);
  const Ram now(bytes);
  if (!cached.good() || !now.good()) return wrong(state, "no memory");
  cached.touch(1, std::byte{0});
  change_lightly(now);
  XbzrleEncoder encoder(ops);
  uint64_t patches = 0;
  // What changed before is cached afterwards: between two passes the changes are undone.
  const auto forget = [&] {
    for (uint64_t p = 0; p < cached.pages(); ++p) {
      for (size_t i = 0; i < kChangesPerPage; ++i) {
        std::memset(cached.page(p) + (p * 37 + i * 131) % (kPage / 8) * 8, 0, 8);
      }
    }
  };
  for (auto _ : state) {
    for (uint64_t p = 0; p < now.pages(); ++p) {
      patches += encoder.encode(cached.page(p), now.page(p)) == XbzrleEncoder::Outcome::patch;
    }
    state.PauseTiming();
    forget();
    state.ResumeTiming();
  }
  if (patches != static_cast<uint64_t>(state.iterations()) * now.pages()) {
    wrong(state, "a page was not encoded");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

// ---- bitmap

enum class Fill { empty, last_page, one_percent, full };

BlockBitmap filled(uint64_t pages, Fill fill) {
  BlockBitmap map(pages);
  std::mt19937_64 random(1);
  switch (fill) {
    case Fill::empty:
      break;
    case Fill::last_page:
      map.set(pages - 1);
      break;
    case Fill::one_percent:
      for (uint64_t i = 0; i < pages / 100; ++i) map.set(random() % pages);
      break;
    case Fill::full:
      map.set_run({0, pages});
      break;
  }
  return map;
}

void bitmap_scan(benchmark::State& state, Fill fill, uint64_t guest_bytes) {
  const BlockBitmap map = filled(guest_bytes / kPage, fill);
  uint64_t seen = 0;
  uint64_t runs = 0;
  for (auto _ : state) {
    seen = 0;
    runs = 0;
    for (PageRun run = map.next_run(0, map.pages()); run.count != 0;
         run = map.next_run(run.first + run.count, map.pages())) {
      seen += run.count;
      ++runs;
    }
    benchmark::DoNotOptimize(seen);
  }
  if (seen != map.count()) wrong(state, "pages were missed");
  state.counters["runs"] = static_cast<double>(runs);
}

void bitmap_set_run(benchmark::State& state, uint64_t guest_bytes) {
  BlockBitmap map(guest_bytes / kPage);
  uint64_t changed = 0;
  for (auto _ : state) {
    changed += map.set_run({3, map.pages() - 5});
    changed += map.clear_run({3, map.pages() - 5});
  }
  if (changed != static_cast<uint64_t>(state.iterations()) * 2 * (map.pages() - 5)) {
    wrong(state, "wrong count");
  }
}

// ---- holes and harvests, with the kernel

void holes(benchmark::State& state, PageTableMethod method, uint64_t step, uint64_t bytes) {
  const Ram ram(bytes);
  if (!ram.good()) return wrong(state, "no memory");
  if (step != 0) ram.touch(step, std::byte{1});
  uint64_t found = 0;
  for (auto _ : state) {
    DirtyBitmap map(ram.blocks());
    Result<std::string_view> used = find_populated_by(method, ram.blocks(), map);
    if (!used) return refused(state, used.error());
    found = map.count();
  }
  if (found != (step == 0 ? 0 : (ram.pages() + step - 1) / step)) wrong(state, "wrong pages");
}

void harvest(benchmark::State& state, WriteProtectMode mode, uint64_t step, uint64_t bytes) {
  const Ram ram(bytes);
  if (!ram.good()) return wrong(state, "no memory");
  ram.touch(1, std::byte{1});
  Result<std::unique_ptr<DirtyTracker>> tracker = make_write_protect_tracker(mode, null_log());
  if (!tracker) return refused(state, tracker.error());
  Result<void> started = (*tracker)->start(ram.blocks());
  if (!started) return refused(state, started.error());
  DirtyBitmap map(ram.blocks());
  uint64_t expected = 0;
  uint64_t reported = 0;
  for (auto _ : state) {
    if (step != 0) {
      state.PauseTiming();
      map.block(0).clear_run({0, ram.pages()});
      ram.touch(step, std::byte{2});
      expected += (ram.pages() + step - 1) / step;
      state.ResumeTiming();
    }
    Result<uint64_t> added = (*tracker)->harvest(map);
    if (!added) return refused(state, added.error());
    reported += *added;
  }
  if (reported != expected) wrong(state, "a harvest did not report what was written");
}

void start_stop(benchmark::State& state, WriteProtectMode mode, uint64_t bytes) {
  const Ram ram(bytes);
  if (!ram.good()) return wrong(state, "no memory");
  ram.touch(1, std::byte{1});
  Result<std::unique_ptr<DirtyTracker>> tracker = make_write_protect_tracker(mode, null_log());
  if (!tracker) return refused(state, tracker.error());
  for (auto _ : state) {
    Result<void> started = (*tracker)->start(ram.blocks());
    if (!started) return refused(state, started.error());
    (*tracker)->stop().ignore("the next start tells");
  }
}

void register_all(const char* size, uint64_t ram_bytes, uint64_t guest_bytes) {
  const auto add = [&](const std::string& name, auto function) {
    benchmark::RegisterBenchmark((name + "/" + size).c_str(), function)
        ->Unit(benchmark::kMicrosecond);
  };
  for (const PageOps& ops : page_ops_list()) {
    if ((ops.features & ~cpu_features()) != 0) continue;
    // In the cache (L2) and out of it.
    add(std::string("is_zero_cached/") + ops.name,
        [&ops](benchmark::State& state) { zero_test(state, ops, kMiB / 4); });
    add(std::string("is_zero/") + ops.name,
        [&ops, ram_bytes](benchmark::State& state) { zero_test(state, ops, ram_bytes); });
    add(std::string("is_zero_of_data/") + ops.name,
        [&ops, ram_bytes](benchmark::State& state) { zero_test_of_data(state, ops, ram_bytes); });
    add(std::string("xbzrle_encode/") + ops.name, [&ops, ram_bytes](benchmark::State& state) {
      encode_lightly_changed(state, ops, ram_bytes / 2);
    });
  }
  add("memcmp", [ram_bytes](benchmark::State& state) { compare(state, ram_bytes / 2); });
  const std::pair<const char*, Fill> fills[] = {{"empty", Fill::empty},
                                                {"only_last_page", Fill::last_page},
                                                {"one_percent", Fill::one_percent},
                                                {"full", Fill::full}};
  for (const auto& [name, fill] : fills) {
    add(std::string("bitmap_scan/") + name, [fill = fill, guest_bytes](benchmark::State& state) {
      bitmap_scan(state, fill, guest_bytes);
    });
  }
  add("bitmap_set_run", [=](benchmark::State& state) { bitmap_set_run(state, guest_bytes); });
  const std::pair<const char*, PageTableMethod> methods[] = {
      {"pagemap_scan", PageTableMethod::scan}, {"pagemap", PageTableMethod::read}};
  for (const auto& [name, method] : methods) {
    for (const uint64_t step : {0u, 64u, 1u}) {
      add(std::string("find_populated/") + name + "/one_in_" + std::to_string(step),
          [method = method, step, ram_bytes](benchmark::State& state) {
            holes(state, method, step, ram_bytes);
          });
    }
  }
  for (const uint64_t step : {0u, 64u, 1u}) {
    add("harvest_wp_async/one_in_" + std::to_string(step),
        [=](benchmark::State& state) { harvest(state, WriteProtectMode::async, step, ram_bytes); });
  }
  add("start_stop_wp_async",
      [=](benchmark::State& state) { start_stop(state, WriteProtectMode::async, ram_bytes); });
  add("start_stop_wp_sync",
      [=](benchmark::State& state) { start_stop(state, WriteProtectMode::sync, ram_bytes); });
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  tern::register_all("small", 4 * tern::kMiB, tern::kGiB);
  tern::register_all("large", tern::kGiB, tern::kTiB);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return tern::any_wrong ? 1 : 0;
}
