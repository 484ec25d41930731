// SPDX-License-Identifier: Apache-2.0
//
// StreamLoader: reads one main migration stream into a machine, up to the point where the guest
// could run. It does not run it. Needs no thread of its own, so the fuzzers and the simulator drive
// it directly.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "base/stream_io.h"
#include "migration/destination/multifd_destination.h"
#include "migration/destination/return_sender.h"
#include "migration/stream/framing.h"
#include "migration/stream/vmdesc.h"
#include "ram/guest_memory.h"
#include "ram/recv/ram_receiver.h"
#include "stats/progress.h"
#include "tern/machine.h"
#include "tern/settings.h"

namespace tern {

/// One thread.
class StreamLoader {
 public:
  /// `on_return_path`: called when the source opened the return path. `on_ram`: when its RAM
  /// begins; the channels of multifd have mostly come by then. `multifd`: those channels, nullptr
  /// where it is off; `unpacker` likewise for compress.
  StreamLoader(Channel& channel, const Machine& machine, const Settings& settings,
               const GuestMemory& memory, ReturnSender& answers, Progress& progress,
               std::function<Result<void>()> on_return_path,
               std::function<Result<void>()> on_ram = {}, MultifdDestination* multifd = nullptr,
               PageUnpacker* unpacker = nullptr) noexcept;

  /// The first eight bytes; false: the peer closed without a word.
  Result<bool> read_opening() noexcept;
  /// Everything up to the end of the stream, devices included. Returns the run state of the
  /// source's guest.
  Result<RunState> load() noexcept;
  /// tern's dialect: whether the source gives the go.
  bool go_is_needed() const noexcept { return (dialect_.features & kFeatureGo) != 0; }
  /// Waits for the go. Errors: the source will not give it; the guest must not run.
  Result<void> await_go() noexcept;
  uint64_t offset() const noexcept { return in_.offset(); }

 private:
  Result<void> check_configuration() noexcept;
  Result<void> load_items() noexcept;
  Result<void> load_section(uint8_t item) noexcept;
  Result<void> load_ram_body(uint32_t section_id, bool start) noexcept;
  Result<void> handle_command() noexcept;
  Result<void> answer_ping() noexcept;
  Result<void> collect_tail() noexcept;
  Result<RunState> load_devices(const std::vector<TailSection>& sections) noexcept;
  Result<void> check_known(const TailSection& section) const noexcept;
  Result<void> check_complete(const std::vector<TailSection>& sections) const noexcept;
  DeviceSection* find_device(const TailSection& section) const noexcept;

  Channel& channel_;
  const Machine& machine_;
  const Settings& settings_;
  const GuestMemory& memory_;
  ReturnSender& answers_;
  Progress& progress_;
  LogSink& log_;
  std::function<Result<void>()> on_return_path_;
  std::function<Result<void>()> on_ram_;
  MultifdDestination* const multifd_;
  PageUnpacker* const unpacker_;
  StreamReader in_;
  std::unique_ptr<RamTarget> target_;
  std::unique_ptr<RamReceiver> ram_;
  std::optional<uint32_t> ram_section_;
  TernDialect dialect_{kTernProtocol, 0};
  std::unique_ptr<TailSplitter> tail_;
  std::vector<TailSection> sections_;
};

}  // namespace tern
