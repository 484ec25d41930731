// SPDX-License-Identifier: Apache-2.0
#include "tools/vmm/options.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/vmm/support.h"

namespace tern::vmm {
namespace {

std::variant<VmmOptions, ExitNow> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "tern-vmm");
  return parse_options(static_cast<int>(words.size()), words.data());
}
VmmOptions parsed(std::vector<const char*> words) {
  return std::get<VmmOptions>(parse(std::move(words)));
}

TEST(options, without_any_there_is_a_kvm_guest_with_128_mib) {
  const VmmOptions options = parsed({});
  EXPECT_EQ(options.machine, MachineKind::kvm);
  EXPECT_EQ(options.ram.bytes, 128U << 20);
  EXPECT_EQ(options.ram.idstr, "pc.ram");
  EXPECT_EQ(options.guest, GuestParams{});
  EXPECT_TRUE(options.exit_on_error);
  EXPECT_FALSE(options.paused);
  EXPECT_EQ(options.log_level, LogLevel::warning);
}

TEST(options, every_one_arrives) {
  const VmmOptions options = parsed({"--machine",
                                     "threads",
                                     "--ram",
                                     "64M",
                                     "--ram-backend",
                                     "file:/tmp/x,y,share=off",
                                     "--huge",
                                     "2M",
                                     "--prefault",
                                     "--ram-id",
                                     "r",
                                     "--vcpus",
                                     "3",
                                     "--boot",
                                     "b",
                                     "--serial",
                                     "stdio",
                                     "--qmp",
                                     "unix:/q1",
                                     "--qmp",
                                     "unix:/q2",
                                     "--qtest",
                                     "unix:/t",
                                     "--incoming",
                                     "defer",
                                     "-S",
                                     "--uuid",
                                     "01234567-89ab-cdef-0123-456789ABCDEF",
                                     "--name",
                                     "n",
                                     "--guest-range",
                                     "2M:4M",
                                     "--guest-rate",
                                     "100",
                                     "-vv",
                                     "--exit-on-error",
                                     "off"});
  EXPECT_EQ(options.machine, MachineKind::threads);
  EXPECT_EQ(options.ram.backend, RamBackend::file);
  EXPECT_EQ(options.ram.path, "/tmp/x,y");
  EXPECT_FALSE(options.ram.share);
  EXPECT_EQ(options.ram.huge_page_bytes, 2U << 20);
  EXPECT_FALSE(options.ram.transparent_huge_pages);
  EXPECT_TRUE(options.ram.prefault);
  EXPECT_EQ(options.ram.idstr, "r");
  EXPECT_EQ(options.guest, (GuestParams{2 << 20, 1024, 0, 3}));
  EXPECT_EQ(options.guest_rate, 100U);
  EXPECT_EQ(options.boot, "b");
  EXPECT_EQ(options.serial, "stdio");
  EXPECT_EQ(options.qmp, (std::vector<std::string>{"/q1", "/q2"}));
  EXPECT_EQ(options.qtest, "/t");
  EXPECT_EQ(options.incoming, "defer");
  EXPECT_EQ(options.name, "n");
  EXPECT_EQ((*options.uuid)[0], 0x01);
  EXPECT_EQ((*options.uuid)[15], 0xef);
  EXPECT_TRUE(options.paused);
  EXPECT_FALSE(options.exit_on_error);
  EXPECT_EQ(options.log_level, LogLevel::debug);
}

TEST(options, the_default_range_ends_with_ram_and_none_names_its_block_as_qemu_does) {
  EXPECT_EQ(parsed({"--ram", "8M"}).guest.pages, 7U * 256);
  EXPECT_EQ(parsed({"--machine", "none"}).ram.idstr, "m");
  EXPECT_EQ(parsed({"--machine", "none", "--ram", "4K"}).ram.bytes, 4096U);
}

TEST(options, transparent_huge_pages_are_not_reserved_ones) {
  const VmmOptions options = parsed({"--huge", "thp"});
  EXPECT_TRUE(options.ram.transparent_huge_pages);
  EXPECT_EQ(options.ram.huge_page_bytes, 0U);
  EXPECT_FALSE(options.ram.prefault);
}

TEST(options, every_setting_of_the_library_is_an_option_of_its_name) {
  for (const SettingInfo& info : settings_catalog()) {
    const std::string option = "--" + std::string(info.name);
    if (info.qmp_only) {
      EXPECT_TRUE(parsed({option.c_str(), "on"}).events);
      continue;
    }
    const std::string value = *get_by_name(qmp_settings(), info.name);
    if (value.empty()) continue;
    const VmmOptions options = parsed({option.c_str(), value.c_str()});
    EXPECT_EQ(*get_by_name(options.settings, info.name), value);
  }
  EXPECT_EQ(parsed({"--max-bandwidth", "1G"}).settings.max_bandwidth, 1U << 30);
  EXPECT_TRUE(parsed({"--return-path", "on"}).settings.return_path);
  EXPECT_FALSE(parsed({}).settings.return_path) << "QEMU's defaults, as QMP shows them";
}

TEST(options, devices_blockers_and_the_reported_version) {
  const VmmOptions options = parsed(
      {"--nic", "eth0,mac=52:54:00:12:34:56", "--nic", "eth1,mac=52:54:00:12:34:57,id=x",
       "--held-device", "net0,after=5", "--block-migration", "a reason", "--qmp-version", "8.2.0"});
  ASSERT_EQ(options.nics.size(), 2U);
  EXPECT_EQ(options.nics[1].id, "x");
  ASSERT_EQ(options.held_devices.size(), 1U);
  EXPECT_EQ(options.blockers, std::vector<std::string>{"a reason"});
  ASSERT_TRUE(options.qmp_version.has_value());
  EXPECT_EQ(options.qmp_version->minor, 2U);
}

TEST(options, how_writes_are_tracked) {
  EXPECT_EQ(parsed({}).dirty_ring, 0U);
  EXPECT_EQ(parsed({"--dirty-ring", "65536"}).dirty_ring, 65536U);
  EXPECT_EQ(parsed({"--dirty-ring", "1K"}).dirty_ring, 1024U);
  EXPECT_EQ(parsed({}).write_protect, WriteProtectMode::automatic);
  EXPECT_EQ(parsed({"--write-protect", "sync"}).write_protect, WriteProtectMode::sync);
  EXPECT_EQ(parsed({"--write-protect", "async"}).write_protect, WriteProtectMode::async);
}

TEST(options, what_makes_no_sense_ends_with_status_2) {
  const std::vector<std::vector<const char*>> cases = {
      {"--machine", "pc"},
      {"--max-bandwidth", "fast"},
      {"--downtime-limit", "2000001"},
      {"--return-path", "1"},
      {"--events", "maybe"},
      {"--switchover-ack", "on"},  // needs return-path
      {"--x-peer-version", "qemu-1.0"},
      {"--qmp-version", "8.2"},
      {"--qmp-version", "8.2.0.1"},
      {"--nic", "eth0"},
      {"--held-device", ",after=1"},
      {"--ram", "1X"},
      {"--ram", "0"},
      {"--ram", ""},
      {"--ram-backend", "shm"},
      {"--ram-backend", "file:"},
      {"--ram-backend", "file:x,share=maybe"},
      {"--huge", "1G"},
      {"--dirty-ring", "1000"},
      {"--dirty-ring", "512"},
      {"--dirty-ring", "131072"},
      {"--dirty-ring", "x"},
      {"--dirty-ring", "4096", "--machine", "threads"},
      {"--write-protect", "kvm"},
      {"--vcpus", "0"},
      {"--vcpus", "65"},
      {"--qmp", "tcp:1"},
      {"--qtest", "unix:"},
      {"--uuid", "123"},
      {"--guest-range", "1M"},
      {"--guest-range", "1M:1"},
      {"--exit-on-error", "1"},
      {"--nonsense"},
      {"extra"},
      {"--uuid", "01234567x89ab-cdef-0123-456789ABCDEF"},
  };
  for (const auto& words : cases) {
    const auto result = parse(words);
    ASSERT_TRUE(std::holds_alternative<ExitNow>(result)) << words[0] << " " << words.back();
    EXPECT_EQ(std::get<ExitNow>(result).status, 2) << words[0] << " " << words.back();
  }
}

TEST(options, help_and_version_end_with_status_0) {
  for (const char* word : {"--help", "-h", "--version"}) {
    EXPECT_EQ(std::get<ExitNow>(parse({word})).status, 0) << word;
  }
}

TEST(options, sizes_know_their_suffixes_and_their_limits) {
  EXPECT_EQ(must(parse_size("4096")), 4096U);
  EXPECT_EQ(must(parse_size("3k")), 3072U);
  EXPECT_EQ(must(parse_size("2G")), 2ull << 30);
  EXPECT_EQ(must(parse_size("1T")), 1ull << 40);
  for (const char* text : {"", "M", "1MB", "-1", "1 M", "99999999999999999999", "16777216T"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

}  // namespace
}  // namespace tern::vmm
