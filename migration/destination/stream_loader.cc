// SPDX-License-Identifier: Apache-2.0
#include "migration/destination/stream_loader.h"

#include <algorithm>

#include "migration/device_state/globalstate.h"

namespace tern {
namespace {

// QEMU's `-machine none` and every other machine of it send this: the clock offsets. Nothing here
// uses them.
constexpr std::string_view kTimerIdstr = "timer";
constexpr uint32_t kTimerVersion = 2;

}  // namespace

StreamLoader::StreamLoader(Channel& channel, const Machine& machine, const Settings& settings,
                           const GuestMemory& memory, ReturnSender& answers, Progress& progress,
                           std::function<Result<void>()> on_return_path,
                           std::function<Result<void>()> on_ram, MultifdDestination* multifd,
                           PageUnpacker* unpacker) noexcept
    : channel_(channel),
      machine_(machine),
      settings_(settings),
      memory_(memory),
      answers_(answers),
      progress_(progress),
      log_(machine.log != nullptr ? *machine.log : null_log()),
      on_return_path_(std::move(on_return_path)),
      on_ram_(std::move(on_ram)),
      multifd_(multifd),
      unpacker_(unpacker),
      in_(channel) {}

Result<bool> StreamLoader::read_opening() noexcept {
  channel_.set_read_deadline({"x-handshake-timeout", Milliseconds(settings_.handshake_timeout)});
  if (TERN_TRY(in_.at_end())) return false;
  TERN_TRY(read_header(in_).context("stream header"));
  return true;
}

Result<RunState> StreamLoader::load() noexcept {
  TERN_TRY(check_configuration().context("configuration"));
  // A QEMU source may be silent for long, in pre-switchover for instance; a tern source pings (see
  // handle_command).
  channel_.set_read_deadline({"x-idle-timeout", Milliseconds(settings_.idle_timeout)});
  TERN_TRY(load_items());
  TERN_TRY(collect_tail());
  return load_devices(sections_);
}

Result<void> StreamLoader::check_configuration() noexcept {
  const uint8_t item = TERN_TRY(in_.u8("configuration"));
  if (item != kItemConfiguration) {
    return in_.malformed("item " + std::to_string(item) + " where the configuration must stand");
  }
  const Configuration c = TERN_TRY(read_configuration(in_));
  if (c.machine != machine_.name) {
    return in_.malformed("the source's machine is '" + c.machine + "', this one is '" +
                         machine_.name + "'");
  }
  if (c.page_bits && *c.page_bits != 12) {
    return in_.malformed("the source's pages have 2^" + std::to_string(*c.page_bits) +
                         " bytes, here 2^12");
  }
  for (const std::string& name : c.capabilities) {
    // The capabilities that must be equal on both sides; none of them exists here, so none is on.
    // Others that a sender lists do not concern the stream.
    if (name == "x-ignore-shared" || name == "mapped-ram") {
      return in_.malformed("capability '" + name + "' is on at the source and off here");
    }
    log_.log(LogLevel::debug, "the source lists capability '" + name + "'");
  }
  if (c.uuid && machine_.uuid && *c.uuid != *machine_.uuid)
    return in_.malformed("the source's UUID differs");
  if (c.uuid && !machine_.uuid)
    log_.log(LogLevel::warning, "the source has a UUID, this machine none");
  return {};
}

Result<void> StreamLoader::load_items() noexcept {
  for (;;) {
    const uint8_t item = TERN_TRY(in_.peek_u8("next item"));
    switch (item) {
      case kItemSectionStart:
      case kItemSectionPart:
      case kItemSectionEnd:
        TERN_TRY(in_.u8("item"));
        TERN_TRY(load_section(item));
        break;
      case kItemCommand:
        TERN_TRY(in_.u8("item"));
        TERN_TRY(handle_command());
        break;
      case kItemSectionFull:
      case kItemEof:
        return {};  // the tail: only the vmdescription tells where its sections end
      default:
        return in_.malformed("item " + std::to_string(item) + " cannot begin here");
    }
    progress_.transferred.set(in_.offset());
    progress_.tick();
  }
}

Result<void> StreamLoader::load_section(uint8_t item) noexcept {
  if (multifd_ != nullptr) TERN_TRY(multifd_->check_all_open());
  if (item != kItemSectionStart) {
    const uint32_t id = TERN_TRY(in_.be32("section id"));
    if (!ram_section_ || *ram_section_ != id) {
      return in_.malformed("part of section " + std::to_string(id) + ", which was not started");
    }
    return load_ram_body(id, false);
  }
  const SectionHeader h = TERN_TRY(read_section_header(in_));
  if (h.idstr != kRamIdstr || h.instance_id != 0) {
    return in_.malformed("section '" + h.idstr + "' instance " + std::to_string(h.instance_id) +
                         " is live state that this machine does not have");
  }
  if (h.version_id != kRamVersion) {
    return in_.malformed("section 'ram' has version " + std::to_string(h.version_id) +
                         ", only 4 is known");
  }
  if (on_ram_) TERN_TRY(on_ram_());
  if (!ram_) {
    DirtyBitmap populated(memory_.blocks());
    const auto method = find_populated(memory_.blocks(), populated);
    TERN_TRY(method.has_value() ? Result<void>() : Result<void>(method.error()));
    progress_.set_choice(Progress::Choice::hole_finder, std::string(*method));
    const PageOps& ops = best_page_ops();
    progress_.set_choice(Progress::Choice::page_ops, ops.name);
    target_ = std::make_unique<RamTarget>(memory_, populated, ops);
    if (multifd_ != nullptr) multifd_->begin(*target_);
    ram_ = std::make_unique<RamReceiver>(*target_, progress_.ram, multifd_, unpacker_);
  }
  ram_section_ = h.section_id;
  return load_ram_body(h.section_id, true);
}

Result<void> StreamLoader::load_ram_body(uint32_t section_id, bool start) noexcept {
  TERN_TRY(ram_->receive_body(in_, start).context("section 'ram'"));
  TERN_TRY(read_footer(in_, section_id, kRamIdstr));
  progress_.total.set(ram_->listed_bytes());
  return {};
}

Result<void> StreamLoader::handle_command() noexcept {
  const CommandHeader h = TERN_TRY(read_command_header(in_));
  switch (static_cast<Command>(h.command)) {
    case Command::open_return_path:
      if (!channel_.bidirectional()) {
        return in_.malformed("the source opens a return path, but " + channel_.describe() +
                             " has only one direction");
      }
      if (answers_.is_open()) {
        log_.log(LogLevel::warning, "the source opened the return path twice");
        return {};
      }
      answers_.open();
      return on_return_path_();
    case Command::ping:
      return answer_ping();
    case Command::switchover_start:
      return {};
    case Command::tern_dialect:
      dialect_ = TERN_TRY(read_tern_dialect(in_));
      if (multifd_ != nullptr && (dialect_.features & kFeatureMixedMethods) != 0) {
        multifd_->allow_mixed_methods();
      }
      // From now on the source pings while it has nothing else to say.
      channel_.set_read_deadline({"x-stall-timeout", Milliseconds(settings_.stall_timeout)});
      return {};
    case Command::tern_zero_run:
      if ((dialect_.features & kFeatureZeroRun) == 0)
        return in_.malformed("tern-zero-run was not agreed on");
      if (!ram_) return in_.malformed("tern-zero-run before the list of RAM blocks");
      return ram_->zero_run(in_, h.length);
    case Command::enable_colo:
      return in_.malformed(
          "ENABLE_COLO: COLO is not available here, switch x-colo off at the source");
    case Command::postcopy_advise:
      return in_.malformed(
          "POSTCOPY_ADVISE: capability postcopy-ram is on at the source and off here");
    default:
      break;
  }
  if (is_known_command(h.command)) {
    return in_.malformed("command " + command_name(h.command) + " is not possible in precopy");
  }
  log_.log(LogLevel::debug, "skipping optional " + command_name(h.command));
  for (uint16_t i = 0; i < h.length; ++i) TERN_TRY(in_.u8("payload of an optional command"));
  return {};
}

Result<void> StreamLoader::answer_ping() noexcept {
  const uint32_t value = TERN_TRY(in_.be32("ping"));
  if (!answers_.is_open()) return in_.malformed("PING before OPEN_RETURN_PATH");
  if (value == kTernPing) {
    TERN_TRY(answers_.hello());
    progress_.set_choice(Progress::Choice::peer, "tern");
  }
  return answers_.pong(value);
}

Result<void> StreamLoader::collect_tail() noexcept {
  if (in_.peek_u8("next item").has_value() && !ram_) {
    const uint8_t item = TERN_TRY(in_.peek_u8("next item"));
    if (item == kItemSectionFull) {
      TERN_TRY(in_.u8("item"));
      const SectionHeader h = TERN_TRY(read_section_header(in_));
      return in_.malformed("device section '" + h.idstr +
                           "' before RAM: where it ends cannot be known");
    }
  }
  tail_ = std::make_unique<TailSplitter>(in_.offset(), settings_.max_device_state, true);
  for (;;) {
    const auto bytes = in_.take_available(StreamReader::kBufferBytes);
    if (!bytes) return Result<void>(bytes.error()).context("device state");
    if (bytes->empty()) return tail_->why_incomplete();
    TERN_TRY(tail_->append(*bytes));
    progress_.transferred.set(in_.offset());
    if (auto sections = tail_->try_split()) {
      sections_ = std::move(*sections);
      return {};
    }
  }
}

DeviceSection* StreamLoader::find_device(const TailSection& section) const noexcept {
  for (DeviceSection* device : machine_.devices) {
    if (device->id().idstr == section.idstr && device->id().instance_id == section.instance_id)
      return device;
  }
  return nullptr;
}

Result<void> StreamLoader::check_known(const TailSection& s) const noexcept {
  uint32_t newest = 1;
  uint32_t oldest = 1;
  if (const DeviceSection* device = find_device(s)) {
    newest = device->id().version_id;
    oldest = device->id().minimum_version_id;
  } else if (s.idstr == kTimerIdstr && s.instance_id == 0) {
    newest = oldest = kTimerVersion;
  } else if (s.idstr != "globalstate" || s.instance_id != 0) {
    return Error(ErrorCode::peer_protocol, "at offset " + std::to_string(s.offset) +
                                               ": this machine has no device '" + s.idstr +
                                               "' instance " + std::to_string(s.instance_id));
  }
  if (s.version_id > newest || s.version_id < oldest) {
    return Error(ErrorCode::peer_protocol,
                 "at offset " + std::to_string(s.offset) + ": device '" + s.idstr +
                     "' has version " + std::to_string(s.version_id) + ", " +
                     std::to_string(oldest) + " to " + std::to_string(newest) + " can be loaded");
  }
  return {};
}

Result<void> StreamLoader::check_complete(const std::vector<TailSection>& sections) const noexcept {
  const uint64_t listed = ram_ ? ram_->listed_bytes() : 0;
  if (listed != memory_.total_bytes()) {
    return Error(ErrorCode::peer_protocol, "the source sent " + std::to_string(listed) +
                                               " bytes of RAM, this machine has " +
                                               std::to_string(memory_.total_bytes()));
  }
  for (const DeviceSection* device : machine_.devices) {
    const auto same = [&](const TailSection& s) {
      return s.idstr == device->id().idstr && s.instance_id == device->id().instance_id;
    };
    if (std::none_of(sections.begin(), sections.end(), same)) {
      return Error(ErrorCode::peer_protocol, "the stream has no state for device '" +
                                                 device->id().idstr + "' instance " +
                                                 std::to_string(device->id().instance_id));
    }
  }
  return {};
}

Result<RunState> StreamLoader::load_devices(const std::vector<TailSection>& sections) noexcept {
  // First everything that can be known without touching a device, so that a stream for another
  // machine changes none.
  for (const TailSection& s : sections) TERN_TRY(check_known(s));
  TERN_TRY(check_complete(sections));
  GlobalState globalstate(RunState::running);
  for (const TailSection& s : sections) {
    DeviceSection* device = find_device(s);
    if (device == nullptr && s.idstr == kTimerIdstr) continue;
    if (device == nullptr) device = &globalstate;
    DeviceReader reader(s.body, s.offset);
    TERN_TRY(device->load(reader, s.version_id).context("device '" + s.idstr + "'"));
    if (reader.left() != 0) {
      return Error(ErrorCode::peer_protocol, "device '" + s.idstr + "' left " +
                                                 std::to_string(reader.left()) +
                                                 " bytes of its section unread at offset " +
                                                 std::to_string(reader.stream_offset()));
    }
  }
  return globalstate.run_state();
}

Result<void> StreamLoader::await_go() noexcept {
  channel_.set_read_deadline({"x-final-timeout", Milliseconds(settings_.final_timeout)});
  TERN_TRY(answers_.loaded());
  for (int i = 0; i < 64; ++i) {  // pings may stand before it, not many
    const uint8_t item = TERN_TRY(in_.u8("the go of the source"));
    if (item != kItemCommand)
      return in_.malformed("item " + std::to_string(item) + " after the end of the stream");
    const CommandHeader h = TERN_TRY(read_command_header(in_));
    if (static_cast<Command>(h.command) == Command::tern_go) return {};
    if (static_cast<Command>(h.command) != Command::ping) {
      return in_.malformed("command " + command_name(h.command) + " after the end of the stream");
    }
    TERN_TRY(answer_ping());
  }
  return in_.malformed("no go, only pings");
}

}  // namespace tern
