// SPDX-License-Identifier: Apache-2.0
//
// ProcessMemory: the pages of a process that are measured, found without touching any. What is
// swapped out or was never touched is not read: reading would bring it in.
//
// Where pages are found, per mapping:
//
// private: the page tables. A page of the file behind it, or the page of zeros, is not the
// process's own: a write gives it a page of its own, which is then new.
//
// shared memory (tmpfs, memfd, anonymous): the file itself, by /proc/PID/map_files and SEEK_DATA.
// So pages count that other processes write, whether or not this one has them mapped.
//
// shared, but a file on a disk, or one that we may not open: what the process has mapped.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ram/measure/page_sample.h"
#include "tools/tern/dirty_rate_maps.h"
#include "tools/tern/dirty_rate_pages.h"
#include "tools/tern/dirty_rate_process.h"

namespace tern::tool {

/// What measuring has cost besides time of the CPU.
struct ReadCost {
  uint64_t bytes_copied = 0;
  uint64_t pages_hashed = 0;
};

/// How the pages of one mapping are found and read.
struct Area {
  enum class Kind { own, file, mapped };
  Mapping mapping;
  Kind kind = Kind::own;
  std::shared_ptr<Fd> file;  ///< of `file`; shared by the looks at different moments
};

/// The memory at one moment.
struct Census {
  Nanoseconds at{};
  PageRuns populated;  ///< that are measured
  PageRuns countable;  ///< of these, those whose coming means that they were written
  PageRuns swapped;    ///< out
  uint64_t mapped_bytes = 0;
  size_t too_large = 0;  ///< mappings that this kernel cannot be asked about in bounded time
};

/// One thread.
class ProcessMemory {
 public:
  /// `choice` outlives it.
  ProcessMemory(Process& process, const MappingChoice& choice) noexcept;

  /// Looks at the mappings and page tables of now. Errors: kNothingThere if nothing is chosen,
  /// those of Process.
  Result<Census> census() noexcept;
  /// Pages that were written since the bits were cleared, in `populated` and `countable` alike.
  Result<Census> soft_dirty_census() noexcept;

  /// Of the last census.
  const std::vector<Area>& areas() const noexcept { return areas_; }
  const MappingsChosen& chosen() const noexcept { return chosen_; }
  const Area* area_at(uint64_t address) const noexcept;
  /// Bytes of mappings that came or went between the first census and the last one.
  uint64_t remapped_bytes() const noexcept { return remapped_bytes_; }
  /// Shared mappings that only count as far as this process has them mapped.
  bool partly_seen() const noexcept;

  Process& process() noexcept { return process_; }
  ReadCost& cost() noexcept { return cost_; }

 private:
  enum class Want { own, mapped, swapped, soft_dirty };
  Result<void> read_mappings() noexcept;
  void find_file(Area& area) noexcept;
  template <typename Report>
  Result<void> find(Want want, uint64_t start, uint64_t end, Report&& report) noexcept;
  template <typename Report>
  Result<void> find_now(Want want, uint64_t start, uint64_t end, Report&& report) noexcept;
  template <typename Report>
  Result<void> find_data(const Area& area, Report&& report) noexcept;
  bool too_large(const Area& area) const noexcept;
  friend class ProcessLooker;

  Process& process_;
  const MappingChoice& choice_;
  std::string maps_;
  std::vector<Area> areas_;
  MappingsChosen chosen_;
  PageRuns first_mapped_;
  bool first_ = true;
  uint64_t remapped_bytes_ = 0;
  uint64_t zero_frame_;  // frame number of the page of zeros, or ~0
  ReadCost cost_;
};

/// Looks at pages of a census, by their numbers in `populated`; there is one block.
class ProcessLooker final : public PageLooker {
 public:
  /// Both outlive it.
  ProcessLooker(ProcessMemory& memory, const PageRuns& pages) noexcept;
  Result<void> look(size_t block, std::span<const uint64_t> pages,
                    std::span<PageLook> looks) noexcept override;

 private:
  Result<void> look_in(const Area& area, std::span<const uint64_t> addresses,
                       std::span<PageLook> looks) noexcept;
  Result<void> look_in_file(const Area& area, std::span<const uint64_t> addresses,
                            std::span<PageLook> looks) noexcept;

  ProcessMemory& memory_;
  const PageRuns& pages_;
  std::vector<std::byte> buffer_;
};

}  // namespace tern::tool
