// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>
#include <map>

#include "tern/version.h"
#include "tools/vmm/kvm_machine.h"

namespace tern::vmm {
namespace {

constexpr uint64_t kMinRingEntries = 1024;
constexpr uint64_t kMaxRingEntries = 65536;

Error bad(std::string_view text, std::string_view why) noexcept {
  return Error(ErrorCode::invalid_argument, "'" + std::string(text) + "': " + std::string(why));
}

/// The words as they were given, before they are understood.
struct Words {
  std::string machine = "kvm";
  std::string ram = "128M";
  std::string ram_backend = "anon";
  std::string huge;
  std::string ram_id;
  std::string guest_range;
  std::string uuid;
  std::string exit_on_error = "on";
  std::string qtest;
  std::vector<std::string> qmp;
  std::string qmp_version;
  std::string dirty_ring;
  std::string write_protect = "auto";
  std::vector<std::string> nics;
  std::vector<std::string> held_devices;
  std::map<std::string_view, std::string> settings;
  int verbose = 0;
};

std::string help_of(const SettingInfo& info) {
  std::string text(info.help);
  if (!info.words.empty()) {
    text += " Values:";
    for (const std::string_view word : info.words) text += " " + std::string(word);
    text += ".";
  } else if (info.type != SettingType::boolean && info.max != UINT64_MAX) {
    text += (info.type == SettingType::string
                 ? " At most " + std::to_string(info.max) + " bytes."
                 : " " + std::to_string(info.min) + ".." + std::to_string(info.max) + ".");
  }
  const auto value = get_by_name(qmp_settings(), info.name);
  if (value && !value->empty()) text += " [" + *value + "]";
  return text;
}

/// One option for each row of the library's tables.
void declare_settings(CLI::App& app, Words& words) {
  for (const SettingInfo& info : settings_catalog()) {
    const char* group = info.capability ? "Migration capabilities" : "Migration parameters";
    std::string unit(info.unit);
    if (unit.empty()) unit = info.type == SettingType::string ? "TEXT" : "N";
    if (!info.words.empty()) unit = "WORD";
    if (info.type == SettingType::size && info.unit == "bytes") unit = "SIZE";
    app.add_option("--" + std::string(info.name), words.settings[info.name], help_of(info))
        ->type_name(info.type == SettingType::boolean ? "on|off" : unit)
        ->group(group);
  }
}

void declare(CLI::App& app, Words& words, VmmOptions& options) {
  app.set_version_flag("--version", std::string("tern-vmm ") + TERN_VERSION_STRING);
  app.add_option("--machine", words.machine,
                 "kvm: a KVM guest; threads: threads that write RAM, no KVM; none: RAM only")
      ->check(CLI::IsMember({"kvm", "threads", "none"}))
      ->capture_default_str();
  app.add_option("--ram", words.ram, "size of guest RAM (K, M, G, T)")
      ->type_name("SIZE")
      ->capture_default_str();
  app.add_option("--ram-backend", words.ram_backend, "anon, memfd or file:PATH[,share=on|off]")
      ->type_name("BACKEND")
      ->capture_default_str();
  app.add_option("--huge", words.huge,
                 "2M: back RAM with reserved huge pages of this size; thp: with transparent ones")
      ->type_name("2M|thp");
  app.add_flag("--prefault", options.ram.prefault, "all pages of RAM are there from the start");
  app.add_option("--ram-id", words.ram_id,
                 "name of the RAM block in the stream; default: m for --machine none (QEMU's "
                 "-machine none,memory-backend=m), pc.ram for the others")
      ->type_name("NAME");
  app.add_option("--vcpus", options.guest.vcpus, "number of vCPUs")
      ->check(CLI::Range(1U, kMaxVcpus))
      ->capture_default_str();
  app.add_option(
         "--boot", options.boot,
         "boot sector for --machine kvm, loaded at 0x7c00; default: the built-in test guest")
      ->type_name("FILE");
  app.add_option("--guest-range", words.guest_range,
                 "RAM the test guest writes; default: 16M from 1M on, as far as RAM goes")
      ->type_name("START:SIZE");
  app.add_option("--guest-rate", options.guest_rate,
                 "pages the test guest writes per second, all vCPUs together; 0 = full speed")
      ->type_name("PAGES")
      ->capture_default_str();
  app.add_flag("--guest-work", options.guest.as_work,
               "with --guest-rate: time in which a vCPU does not run is lost, as it is for work; "
               "otherwise the guest makes up for it");
  app.add_option("--serial", options.serial,
                 "where the guest's serial port writes to: a file or stdio")
      ->type_name("FILE|stdio");
  app.add_option("--qmp", words.qmp, "QMP socket; may be given several times")
      ->type_name("unix:PATH")
      ->expected(1)
      ->take_all();
  app.add_option("--qmp-version", words.qmp_version,
                 "version that QMP reports, for clients that decide by QEMU's")
      ->type_name("X.Y.Z");
  app.add_option("--object", options.objects,
                 "object that parameters name by its id: tls-creds-x509, tls-creds-psk, secret, "
                 "authz-simple, authz-list, authz-list-file; may be given several times")
      ->type_name("TYPE,id=ID[,NAME=VALUE...]")
      ->expected(1)
      ->take_all();
  app.add_option("--dirty-ring", words.dirty_ring,
                 "entries of each vCPU's dirty ring, a power of two from 1024 to 65536; --machine "
                 "kvm then tracks by rings and not by KVM's dirty log")
      ->type_name("N");
  app.add_option("--write-protect", words.write_protect,
                 "how --machine threads tracks writes: async is quick, sync tells which vCPU wrote "
                 "(dirty limits and rates per vCPU need that)")
      ->check(CLI::IsMember({"auto", "async", "sync"}))
      ->capture_default_str();
  app.add_option("--nic", words.nics,
                 "network device whose announcements are sent on an interface of the host; may be "
                 "given several times")
      ->type_name("INTERFACE,mac=MAC[,id=NAME]")
      ->expected(1)
      ->take_all();
  app.add_option(
         "--held-device", words.held_devices,
         "device that the guest must let go of before it migrates, and how many ms it takes "
         "to; may be given several times")
      ->type_name("ID[,after=MS|never]")
      ->expected(1)
      ->take_all();
  app.add_option("--block-migration", options.blockers,
                 "why this machine must not migrate away; may be given several times")
      ->type_name("REASON")
      ->expected(1)
      ->take_all();
  app.add_option("--qtest", words.qtest, "socket for the memory part of QEMU's qtest protocol")
      ->type_name("unix:PATH");
  app.add_option("--incoming", options.incoming,
                 "wait for a migration there, or for QMP migrate-incoming")
      ->type_name("URI|defer");
  app.add_flag("-S,--paused", options.paused, "do not start by itself");
  app.add_option("--exit-on-error", words.exit_on_error,
                 "end with status 1 when an incoming migration fails")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option("--uuid", words.uuid, "UUID of the VM")->type_name("UUID");
  app.add_option("--name", options.name, "name of the VM, for query-name");
  declare_settings(app, words);
  app.add_flag("-v,--verbose", words.verbose, "say on stderr what happens; twice: everything");
}

/// The default range goes as far as RAM does; one that was asked for is checked by the machine.
Result<void> set_guest_range(const Words& words, VmmOptions& options) noexcept {
  const GuestParams given = options.guest;
  if (!words.guest_range.empty()) {
    options.guest = TERN_TRY(parse_guest_range(words.guest_range).context("--guest-range"));
  } else {
    uint64_t end = std::min(options.ram.bytes, kDefaultRangeStart + kDefaultRangeBytes);
    if (end <= kDefaultRangeStart) end = kDefaultRangeStart;
    options.guest.pages = (end - kDefaultRangeStart) / kGuestPageBytes;
  }
  options.guest.vcpus = given.vcpus;
  options.guest.as_work = given.as_work;
  return {};
}

Result<void> take_settings(const Words& words, VmmOptions& options) noexcept {
  for (const auto& [name, value] : words.settings) {
    if (value.empty()) continue;
    if (name == "events") {
      if (value != "on" && value != "off") return bad(value, "not on or off").context("--events");
      options.events = value == "on";
      continue;
    }
    TERN_TRY(set_by_name(options.settings, name, value));
  }
  return check_settings(options.settings);
}

Result<void> set_tracking(const Words& words, VmmOptions& options) noexcept {
  options.write_protect = words.write_protect == "async"  ? WriteProtectMode::async
                          : words.write_protect == "sync" ? WriteProtectMode::sync
                                                          : WriteProtectMode::automatic;
  if (words.dirty_ring.empty()) return {};
  if (options.machine != MachineKind::kvm) {
    return Error(ErrorCode::invalid_argument, "--dirty-ring: only --machine kvm has dirty rings");
  }
  const uint64_t entries = TERN_TRY(parse_size(words.dirty_ring).context("--dirty-ring"));
  if (!std::has_single_bit(entries) || entries < kMinRingEntries || entries > kMaxRingEntries) {
    return bad(words.dirty_ring, "not a power of two from 1024 to 65536").context("--dirty-ring");
  }
  options.dirty_ring = static_cast<uint32_t>(entries);
  return {};
}

Result<void> understand(const Words& words, VmmOptions& options) noexcept {
  options.machine = words.machine == "kvm"       ? MachineKind::kvm
                    : words.machine == "threads" ? MachineKind::threads
                                                 : MachineKind::none;
  options.ram.bytes = TERN_TRY(parse_size(words.ram).context("--ram"));
  if (options.ram.bytes == 0) return bad(words.ram, "no RAM").context("--ram");
  TERN_TRY(parse_ram_backend(words.ram_backend, options.ram).context("--ram-backend"));
  if (words.huge == "thp") {
    options.ram.transparent_huge_pages = true;
  } else if (!words.huge.empty()) {
    options.ram.huge_page_bytes = TERN_TRY(parse_size(words.huge).context("--huge"));
    if (options.ram.huge_page_bytes != kHugePageBytes) {
      return bad(words.huge, "2M or thp").context("--huge");
    }
  }
  options.ram.idstr = options.machine == MachineKind::none ? "m" : "pc.ram";
  if (!words.ram_id.empty()) options.ram.idstr = words.ram_id;
  if (options.machine == MachineKind::kvm) options.ram.hole_start = kKvmHoleStart;
  TERN_TRY(set_guest_range(words, options));
  for (const auto& address : words.qmp) {
    options.qmp.push_back(TERN_TRY(parse_unix_path(address).context("--qmp")));
  }
  if (!words.qtest.empty()) {
    options.qtest = TERN_TRY(parse_unix_path(words.qtest).context("--qtest"));
  }
  if (!words.uuid.empty()) options.uuid = TERN_TRY(parse_uuid(words.uuid).context("--uuid"));
  if (!words.qmp_version.empty()) {
    options.qmp_version = TERN_TRY(parse_version(words.qmp_version).context("--qmp-version"));
  }
  TERN_TRY(set_tracking(words, options));
  for (const auto& nic : words.nics) {
    options.nics.push_back(TERN_TRY(parse_nic(nic, options.nics.size()).context("--nic")));
  }
  for (const auto& device : words.held_devices) {
    options.held_devices.push_back(TERN_TRY(parse_held_device(device).context("--held-device")));
  }
  TERN_TRY(take_settings(words, options));
  options.exit_on_error = words.exit_on_error == "on";
  if (words.verbose == 1) options.log_level = LogLevel::info;
  if (words.verbose > 1) options.log_level = LogLevel::debug;
  return {};
}

}  // namespace

std::variant<VmmOptions, ExitNow> parse_options(int argc, const char* const* argv) noexcept {
  Words words;
  VmmOptions options;
  CLI::App app(
      "The reference VMM of tern: a small real VM whose guest migrates live, driven by QMP.",
      "tern-vmm");
  declare(app, words, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ExitNow{app.exit(error) == 0 ? 0 : 2};
  }
  if (auto understood = understand(words, options); !understood) {
    std::fprintf(stderr, "tern-vmm: %s\n", understood.error().message().c_str());
    return ExitNow{2};
  }
  return options;
}

Result<uint64_t> parse_size(std::string_view text) noexcept {
  uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc()) return bad(text, "not a size");
  const std::string_view suffix(end, static_cast<size_t>(text.data() + text.size() - end));
  unsigned shift = 0;
  if (suffix == "K" || suffix == "k") {
    shift = 10;
  } else if (suffix == "M" || suffix == "m") {
    shift = 20;
  } else if (suffix == "G" || suffix == "g") {
    shift = 30;
  } else if (suffix == "T" || suffix == "t") {
    shift = 40;
  } else if (!suffix.empty()) {
    return bad(text, "not a size: the suffixes are K, M, G, T");
  }
  if (value > UINT64_MAX >> shift) return bad(text, "too large");
  return value << shift;
}

Result<GuestParams> parse_guest_range(std::string_view text) noexcept {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return bad(text, "not START:SIZE");
  GuestParams params;
  params.start = TERN_TRY(parse_size(text.substr(0, colon)));
  const uint64_t bytes = TERN_TRY(parse_size(text.substr(colon + 1)));
  if (params.start % kGuestPageBytes != 0 || bytes % kGuestPageBytes != 0 || bytes == 0) {
    return bad(text, "START and SIZE must be multiples of 4096, SIZE not 0");
  }
  params.pages = bytes / kGuestPageBytes;
  return params;
}

Result<void> parse_ram_backend(std::string_view text, RamOptions& into) noexcept {
  if (text == "anon") {
    into.backend = RamBackend::anon;
    return {};
  }
  if (text == "memfd") {
    into.backend = RamBackend::memfd;
    return {};
  }
  constexpr std::string_view kFile = "file:";
  constexpr std::string_view kOn = ",share=on";
  constexpr std::string_view kOff = ",share=off";
  if (!text.starts_with(kFile)) return bad(text, "not anon, memfd or file:PATH[,share=on|off]");
  std::string_view path = text.substr(kFile.size());
  into.backend = RamBackend::file;
  into.share = !path.ends_with(kOff);
  if (path.ends_with(kOn)) path.remove_suffix(kOn.size());
  if (path.ends_with(kOff)) path.remove_suffix(kOff.size());
  if (path.empty()) return bad(text, "no path");
  if (path.find(",share=") != std::string_view::npos) return bad(text, "share is on or off");
  into.path = path;
  return {};
}

Result<std::string> parse_unix_path(std::string_view text) noexcept {
  constexpr std::string_view kUnix = "unix:";
  if (!text.starts_with(kUnix) || text.size() == kUnix.size()) return bad(text, "not unix:PATH");
  return std::string(text.substr(kUnix.size()));
}

Result<Uuid> parse_uuid(std::string_view text) noexcept {
  // 8-4-4-4-12 hex digits.
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  if (text.size() != kForm.size()) return bad(text, "not a UUID");
  Uuid uuid{};
  size_t byte = 0;
  for (size_t i = 0; i < kForm.size(); i += 2) {
    if (kForm[i] == '-') {
      if (text[i] != '-') return bad(text, "not a UUID");
      ++i;
    }
    const auto [end, ec] = std::from_chars(&text[i], &text[i] + 2, uuid[byte++], 16);
    if (ec != std::errc() || end != &text[i] + 2) return bad(text, "not a UUID");
  }
  return uuid;
}

Result<QmpVersion> parse_version(std::string_view text) noexcept {
  QmpVersion version;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  for (uint32_t* number : {&version.major, &version.minor, &version.micro}) {
    const auto [next, error] = std::from_chars(at, end, *number);
    const bool last = number == &version.micro;
    if (error != std::errc() || (last ? next != end : next == end || *next != '.')) {
      return bad(text, "not X.Y.Z");
    }
    at = last ? next : next + 1;
  }
  return version;
}

}  // namespace tern::vmm
