// SPDX-License-Identifier: Apache-2.0
//
// A setting that is set does what it says: one test for each row of the tables of parameters and
// capabilities, in whole migrations, and a test that no row is without one.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <set>

#include "base/fd.h"
#include "tern/catalog.h"
#include "tests/doubles/devices.h"
#include "tests/doubles/pair.h"
#include "tests/doubles/stream_maker.h"

namespace tern {
namespace {

using test::CountingNetwork;
using test::HeldDevice;
using test::Pair;
using test::SlowDevice;
using test::TestMachine;
using Strings = std::vector<std::string>;

/// A TCP port of ours that does with a connection what the test wants, or nothing.
class RawPeer {
 public:
  explicit RawPeer(int backlog = 8) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_.get(), generic(address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_.get(), backlog), 0);
    socklen_t length = sizeof address_;
    EXPECT_EQ(::getsockname(fd_.get(), generic(address_), &length), 0);
  }
  Address address() const {
    return *parse_uri("tcp:127.0.0.1:" + std::to_string(ntohs(address_.sin_port)));
  }
  Fd accept() const { return Fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
  /// A connection that nobody accepts.
  Fd connect() const {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in to = address_;
    (void)::connect(fd.get(), generic(to), sizeof to);
    return fd;
  }

 private:
  static sockaddr* generic(sockaddr_in& address) {
    return static_cast<sockaddr*>(static_cast<void*>(&address));
  }
  Fd fd_;
  sockaddr_in address_{};
};

/// How a source fails that migrates to `peer` with these settings.
std::string failure_towards(const RawPeer& peer, const Settings& settings) {
  Pair pair;
  auto source = MigrationSource::create(pair.a.machine(), settings);
  EXPECT_TRUE(source.has_value());
  EXPECT_TRUE((*source)->start(peer.address()).has_value());
  (*source)->wait();
  EXPECT_EQ((*source)->stats().status, Status::failed);
  EXPECT_TRUE(pair.a.running());
  return (*source)->stats().error_desc;
}

/// How often a guest that arrives is announced before a pause of minutes, or in all.
int announcements(const AnnounceParameters& wanted, int wait_for) {
  Pair pair;
  CountingNetwork network;
  pair.adjust_b = [&](Machine& machine) { machine.announcer = &network; };
  Settings settings;
  settings.announce_initial = wanted.initial;
  settings.announce_max = wanted.max;
  settings.announce_rounds = wanted.rounds;
  settings.announce_step = wanted.step;
  pair.prepare(settings);
  pair.start();
  pair.destination->wait();
  network.wait_for(wait_for);
  pair.destination.reset();  // ends the series
  return network.count();
}

TEST(Effect, announce_initial) {
  EXPECT_EQ(announcements({.initial = 1, .max = 100000, .rounds = 3, .step = 10000}, 2), 2);
  EXPECT_EQ(announcements({.initial = 100000, .max = 100000, .rounds = 3, .step = 1}, 1), 1);
}
TEST(Effect, announce_max) {
  EXPECT_EQ(announcements({.initial = 100000, .max = 1, .rounds = 3, .step = 10000}, 3), 3);
}
TEST(Effect, announce_rounds) {
  EXPECT_EQ(announcements({.initial = 1, .max = 1, .rounds = 7, .step = 1}, 7), 7);
  EXPECT_EQ(announcements({.initial = 1, .max = 1, .rounds = 0, .step = 1}, 0), 0);
}
TEST(Effect, announce_step) {
  EXPECT_EQ(announcements({.initial = 0, .max = 100000, .rounds = 3, .step = 10000}, 2), 2);
  EXPECT_EQ(announcements({.initial = 0, .max = 100000, .rounds = 3, .step = 1}, 3), 3);
}

TEST(Effect, max_bandwidth) {
  Pair pair;
  Settings settings;
  settings.max_bandwidth = 4096;  // half an hour for this guest
  pair.prepare(settings);
  pair.start();
  pair.a_events.wait_for("active");
  pair.a.wait_rounds(20);
  EXPECT_EQ(pair.source->stats().status, Status::active);
  EXPECT_LT(pair.source->stats().normal, pair.source->stats().total / 4096);
  settings.max_bandwidth = 0;  // live
  pair.source->update(settings);
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::completed);
}

SwitchoverDecision decision_with(uint64_t bandwidth, uint64_t downtime_limit) {
  Pair pair;
  Settings settings;
  settings.avail_switchover_bandwidth = bandwidth;
  settings.downtime_limit = downtime_limit;
  pair.prepare(settings);
  pair.start();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::completed);
  return pair.source->stats().switchover;
}

TEST(Effect, avail_switchover_bandwidth) {
  EXPECT_EQ(decision_with(1ull << 40, 300).bandwidth, 1ull << 40);
  EXPECT_NE(decision_with(0, 300).bandwidth, 1ull << 40) << "measured";
}
TEST(Effect, downtime_limit) {
  for (const uint64_t limit : {300, 70}) {
    const SwitchoverDecision decision = decision_with(1000000000, limit);
    EXPECT_EQ(decision.threshold_bytes, (limit - decision.overhead_ms) * 1000000);
    EXPECT_LE(decision.overhead_ms, limit / 2);
  }
}

TEST(Effect, x_peer_version) {
  // What a client of that version knows: "failing" came with QEMU 11.
  const auto statuses = [](PeerVersion version) {
    Pair pair;
    Settings settings;
    settings.peer_version = version;
    auto source = MigrationSource::create(pair.a.machine(&pair.a_events), settings);
    EXPECT_TRUE((*source)->start(*parse_uri("unix:/no/such/socket")).has_value());
    (*source)->wait();
    return pair.a_events.all();
  };
  EXPECT_EQ(statuses(PeerVersion::qemu_7_2), (Strings{"setup", "failed"}));
  EXPECT_EQ(statuses(PeerVersion::qemu_11_1), (Strings{"setup", "failing", "failed"}));
}

TEST(Effect, x_connect_timeout) {
  const RawPeer full(0);
  std::vector<Fd> waiting;
  for (int i = 0; i < 16; ++i) waiting.push_back(full.connect());
  Settings settings;
  settings.connect_timeout = 100;
  const std::string why = failure_towards(full, settings);
  EXPECT_NE(why.find("x-connect-timeout"), std::string::npos) << why;
}
TEST(Effect, x_handshake_timeout) {
  const RawPeer silent;
  Settings settings;
  settings.handshake_timeout = 100;
  const std::string why = failure_towards(silent, settings);
  EXPECT_NE(why.find("x-handshake-timeout"), std::string::npos) << why;
}
TEST(Effect, x_stall_timeout) {
  const RawPeer deaf;
  Settings settings;
  settings.return_path = false;  // no answer is expected; but the bytes must go somewhere
  settings.peer_version = PeerVersion::qemu_7_2;
  settings.stall_timeout = 200;
  Pair pair;
  std::vector<std::byte> more(64u << 20, std::byte{1});  // more than any socket buffers
  RamBlock block{.idstr = "big", .host = more.data(), .used_bytes = more.size()};
  const auto page = reinterpret_cast<uintptr_t>(more.data()) % kTargetPageBytes;
  block.host += (kTargetPageBytes - page) % kTargetPageBytes;
  block.used_bytes -= kTargetPageBytes;
  Machine machine = pair.a.machine();
  ASSERT_TRUE(pair.a.pause_all(RunState::paused).has_value());
  machine.ram = {&block, 1};
  machine.tracker = nullptr;
  auto source = MigrationSource::create(machine, settings);
  ASSERT_TRUE((*source)->start(deaf.address()).has_value());
  (*source)->wait();
  const std::string why = (*source)->stats().error_desc;
  EXPECT_NE(why.find("x-stall-timeout"), std::string::npos) << why;
}

TEST(Effect, x_idle_timeout) {
  Pair pair;
  Settings settings;
  settings.idle_timeout = 100;
  pair.prepare(settings);
  // A source that says who it is and then nothing.
  const Address where = pair.destination->listening().at(0);
  const auto& inet = std::get<InetAddress>(where);
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(inet.port)));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const void* generic = &to;
  ASSERT_EQ(::connect(fd.get(), static_cast<const sockaddr*>(generic), sizeof to), 0);
  test::StreamMaker maker;
  maker.opening("test").ram_start("m", test::kRam);
  const std::vector<std::byte> opening = maker.take();
  ASSERT_EQ(::send(fd.get(), opening.data(), opening.size(), 0),
            static_cast<ssize_t>(opening.size()));
  pair.destination->wait();
  const std::string why = pair.destination->stats().error_desc;
  EXPECT_NE(why.find("x-idle-timeout"), std::string::npos) << why;
}

struct DevicePair : Pair {
  explicit DevicePair(size_t bytes) : here(bytes), there(bytes) {
    adjust_a = [this](Machine& machine) { machine.devices = a_devices; };
    adjust_b = [this](Machine& machine) { machine.devices = b_devices; };
  }
  SlowDevice here;
  SlowDevice there;
  std::array<DeviceSection*, 2> a_devices{&a, &here};
  std::array<DeviceSection*, 2> b_devices{&b, &there};
};

TEST(Effect, x_final_timeout) {
  DevicePair pair(16);
  pair.there.hold();
  Settings settings;
  settings.final_timeout = 100;
  pair.prepare(settings);
  pair.start();
  pair.source->wait();
  const std::string why = pair.source->stats().error_desc;
  EXPECT_NE(why.find("x-final-timeout"), std::string::npos) << why;
  EXPECT_TRUE(pair.a.running());
  pair.there.let_go();
  pair.destination->wait();
  EXPECT_FALSE(pair.b.running());
}

struct WaitingPair : Pair {
  HeldDevice held;
  std::array<UnplugDevice*, 1> devices{&held};
  WaitingPair() {
    adjust_a = [this](Machine& machine) { machine.unplug = devices; };
  }
  std::set<std::string> source_threads(const Settings& settings) {
    prepare(settings);
    start();
    a_events.wait_for("wait-unplug");
    std::set<std::string> names;
    for (const ThreadInfo& thread : source->threads()) names.insert(thread.name);
    held.gone = true;
    source->wait();
    return names;
  }
};

TEST(Effect, x_unplug_timeout) {
  WaitingPair pair;
  Settings settings;
  settings.unplug_timeout = 1;
  pair.prepare(settings);
  pair.start();
  pair.source->wait();
  EXPECT_NE(pair.source->stats().error_desc.find("x-unplug-timeout"), std::string::npos);
}

TEST(Effect, x_max_device_state) {
  const auto ending = [](uint64_t limit) {
    DevicePair pair(2u << 20);
    Settings settings;
    settings.max_device_state = limit;
    pair.prepare(settings);
    pair.start();
    pair.source->wait();
    pair.destination->wait();
    return pair.destination->stats();
  };
  EXPECT_EQ(ending(4u << 20).status, Status::completed);
  const StatsSnapshot refused = ending(1u << 20);
  EXPECT_EQ(refused.status, Status::failed);
  EXPECT_NE(refused.error_desc.find("x-max-device-state"), std::string::npos) << refused.error_desc;
}

TEST(Effect, x_thread_prefix) {
  WaitingPair pair;
  Settings settings;
  settings.thread_prefix = "v1:";
  EXPECT_TRUE(pair.source_threads(settings).contains("v1:mig/src/main"));
}

// ---- many channels

/// Over multifd channels; `fill` writes what the guest, which then stands still, holds beside its
/// own pages.
StatsSnapshot over_channels(Settings settings, const std::function<void(TestMachine&)>& fill = {}) {
  settings.multifd = true;
  Pair pair;
  if (fill) {
    fill(pair.a);
    EXPECT_TRUE(pair.a.pause_all(RunState::paused).has_value());
  }
  pair.prepare(settings);
  pair.migrate();
  return pair.source->stats();
}

TEST(Effect, multifd) {
  EXPECT_GT(over_channels({}).multifd_bytes, 0u);
  Pair pair;
  pair.prepare({});
  pair.start();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().multifd_bytes, 0u);
}
TEST(Effect, multifd_channels) {
  Settings settings;
  settings.multifd_channels = 5;
  EXPECT_EQ(over_channels(settings).channels.size(), 5u);
}

Settings compressing(MultifdCompression method) {
  Settings settings;
  settings.multifd_compression = method;
  settings.multifd_adaptive = false;
  settings.multifd_channels = 1;
  // A guest that writes all the time waits for no lucky moment behind a slow level.
  settings.avail_switchover_bandwidth = uint64_t{1} << 40;
  return settings;
}
/// How many depends on what the guest wrote meanwhile.
uint64_t bytes_per_page(const StatsSnapshot& s) { return s.multifd_bytes / s.normal; }

TEST(Effect, multifd_compression) {
  EXPECT_GE(bytes_per_page(over_channels(compressing(MultifdCompression::none))), 4096u);
  EXPECT_LT(bytes_per_page(over_channels(compressing(MultifdCompression::zlib))), 2048u);
  EXPECT_LT(bytes_per_page(over_channels(compressing(MultifdCompression::zstd))), 2048u);
}
TEST(Effect, multifd_zlib_level) {
  Settings settings = compressing(MultifdCompression::zlib);
  settings.multifd_zlib_level = 0;
  EXPECT_GE(bytes_per_page(over_channels(settings)), 4096u) << "stored";
  settings.multifd_zlib_level = 9;
  EXPECT_LT(bytes_per_page(over_channels(settings)), 2048u);
}
TEST(Effect, multifd_zstd_level) {
  // The same 2 MiB twice: too far apart for the window of level 1, not for that of level 10.
  const auto twice = [](TestMachine& machine) {
    std::mt19937 random(1);
    std::vector<uint32_t> noise((2u << 20) / 4);
    for (uint32_t& word : noise) word = static_cast<uint32_t>(random());
    std::memcpy(machine.page(512), noise.data(), 2u << 20);
    std::memcpy(machine.page(1024), noise.data(), 2u << 20);
  };
  Settings settings = compressing(MultifdCompression::zstd);
  EXPECT_GT(over_channels(settings, twice).multifd_bytes, 4u << 20);
  settings.multifd_zstd_level = 10;
  EXPECT_LT(over_channels(settings, twice).multifd_bytes, 3u << 20);
}
TEST(Effect, zero_page_detection) {
  const auto zeros = [](TestMachine& machine) {
    for (uint64_t p = 0; p < 64; ++p) machine.page(512 + p)[0] = std::byte{0};
  };
  const auto normal = [&](ZeroPageDetection where) {
    Settings settings;
    settings.zero_page_detection = where;
    const StatsSnapshot s = over_channels(settings, zeros);
    uint64_t in_packets = 0;
    for (const ChannelStats& channel : s.channels) in_packets += channel.zero;
    EXPECT_EQ(in_packets >= 64, where == ZeroPageDetection::multifd);
    return s.duplicate;
  };
  const uint64_t none = normal(ZeroPageDetection::none);
  EXPECT_GE(normal(ZeroPageDetection::legacy), none + 64);
  EXPECT_GE(normal(ZeroPageDetection::multifd), none + 64);
}
TEST(Effect, zero_copy_send) {
  Settings settings;
  EXPECT_EQ(over_channels(settings).dirty_sync_missed_zero_copy, 0u);
  settings.zero_copy_send = true;
  EXPECT_GT(over_channels(settings).dirty_sync_missed_zero_copy, 0u) << "loopback always copies";
}
TEST(Effect, x_channel_timeout) {
  Pair pair;
  Settings settings;
  settings.multifd = true;
  settings.channel_timeout = 100;
  pair.prepare(settings);
  // A source that has fewer channels than are expected.
  settings.multifd_channels = 1;
  auto source = MigrationSource::create(pair.a.machine(), settings);
  ASSERT_TRUE((*source)->start(*parse_uri(test::bound_uri(*pair.destination))));
  (*source)->wait();
  pair.destination->wait();
  const std::string why = pair.destination->stats().error_desc;
  EXPECT_NE(why.find("x-channel-timeout"), std::string::npos) << why;
}
TEST(Effect, x_multifd_adaptive) {
  Settings settings;
  settings.multifd_compression = MultifdCompression::zlib;
  settings.multifd_zlib_level = 9;
  settings.multifd_channels = 1;
  // A guest large enough for the first trial of each way.
  const auto plain_pages = [&](bool adaptive) {
    settings.multifd_adaptive = adaptive;
    const StatsSnapshot s = over_channels(settings, [](TestMachine& machine) {
      for (uint64_t p = 0; p < 1500; ++p) machine.page(256 + p)[0] = std::byte{1};
    });
    return s.channels.at(0).normal - s.channels.at(0).compressed_pages;
  };
  EXPECT_EQ(plain_pages(false), 0u);
  EXPECT_GT(plain_pages(true), 0u);
}

// ---- XBZRLE

/// Passes over a guest that writes all the time, until `enough`; then to the end.
StatsSnapshot in_passes(Settings settings, const std::function<bool(const StatsSnapshot&)>& enough,
                        const std::function<void(Settings&)>& change = {}) {
  Pair pair;
  settings.switchover_ack = true;
  pair.prepare(settings);
  pair.destination->hold_switchover();
  pair.start();
  pair.a_events.wait_for("active");
  if (change) {
    pair.a.wait_rounds(5);
    change(settings);
    pair.source->update(settings);
  }
  while (pair.source->stats().status == Status::active && !enough(pair.source->stats())) {
    pair.a.wait_rounds(1);
  }
  pair.destination->release_switchover();
  pair.source->wait();
  pair.destination->wait();
  EXPECT_EQ(pair.destination->stats().status, Status::completed)
      << pair.destination->stats().error_desc;
  EXPECT_EQ(pair.b.check(), "");
  return pair.source->stats();
}

TEST(Effect, xbzrle) {
  Settings settings;
  EXPECT_FALSE(
      in_passes(settings, [](const auto& s) { return s.dirty_sync_count > 5; }).xbzrle.has_value());
  settings.xbzrle = true;
  const StatsSnapshot end = in_passes(settings, [](const auto& s) {
    return s.xbzrle && s.xbzrle->pages - s.xbzrle->overflow > 100 && s.dirty_sync_count > 5;
  });
  EXPECT_LT(end.transferred, (end.normal + end.xbzrle->pages) * 4096);
}
TEST(Effect, xbzrle_cache_size) {
  Settings settings;
  settings.xbzrle = true;
  settings.xbzrle_cache_size = 4096;  // one page: all others miss
  const auto many_misses = [](const auto& s) { return s.xbzrle && s.xbzrle->cache_miss > 2000; };
  const StatsSnapshot small = in_passes(settings, many_misses);
  EXPECT_EQ(small.xbzrle->cache_size, 4096u);
  EXPECT_LT(small.xbzrle->pages, small.xbzrle->cache_miss);
  // Live: the cache that was too small becomes large enough.
  const StatsSnapshot grown = in_passes(
      settings, [](const auto& s) { return s.xbzrle && s.xbzrle->pages > 2000; },
      [](Settings& s) { s.xbzrle_cache_size = 4u << 20; });
  EXPECT_EQ(grown.xbzrle->cache_size, 4u << 20);
}

// ---- compress

/// A guest that stands still, with 1500 pages of text.
StatsSnapshot compressed(Settings settings, Pair& pair) {
  settings.compress = true;
  for (uint64_t p = 0; p < 1500; ++p) pair.a.page(256 + p)[p] = std::byte{1};
  EXPECT_TRUE(pair.a.pause_all(RunState::paused).has_value());
  pair.prepare(settings);
  pair.migrate();
  EXPECT_EQ(std::memcmp(pair.a.page(0), pair.b.page(0), 1756 * 4096), 0);
  return pair.source->stats();
}
StatsSnapshot compressed(const Settings& settings) {
  Pair pair;
  return compressed(settings, pair);
}
/// How many threads of a name there are while pages travel.
std::pair<int, int> packers(Settings settings) {
  Pair pair;
  settings.compress = true;
  settings.switchover_ack = true;
  pair.prepare(settings);
  pair.destination->hold_switchover();
  pair.start();
  const auto under_way = [&] {
    const auto compression = pair.source->stats().compression;
    return compression && compression->pages > 0;
  };
  while (!under_way() && pair.a.running()) pair.a.wait_rounds(1);
  const auto count = [](const auto& threads, const char* name) {
    return static_cast<int>(std::count_if(threads.begin(), threads.end(),
                                          [&](const auto& thread) { return thread.name == name; }));
  };
  return {count(pair.source->threads(), "compress"),
          count(pair.destination->threads(), "decompress")};
}

TEST(Effect, compress) {
  const StatsSnapshot s = compressed({});
  ASSERT_TRUE(s.compression.has_value());
  EXPECT_GT(s.compression->pages, 1500u);
  EXPECT_LT(s.transferred, s.compression->pages * 1024);
  EXPECT_GT(s.compression->compressed_size, s.compression->pages * 4);
}
TEST(Effect, compress_level) {
  Settings settings;
  settings.compress_level = 0;
  EXPECT_EQ(compressed(settings).compression->pages, 0u) << "nothing gets shorter";
  settings.compress_level = 9;
  EXPECT_GT(compressed(settings).compression->pages, 1500u);
}
TEST(Effect, compress_threads) {
  Settings settings;
  settings.compress_threads = 3;
  EXPECT_EQ(packers(settings).first, 3);
}
TEST(Effect, decompress_threads) {
  Settings settings;
  settings.decompress_threads = 5;
  EXPECT_EQ(packers(settings).second, 5);
}
TEST(Effect, compress_wait_thread) {
  Settings settings;
  settings.compress_threads = 1;
  settings.compress_level = 9;
  const uint64_t waiting = compressed(settings).normal;
  settings.compress_wait_thread = false;
  const StatsSnapshot s = compressed(settings);
  EXPECT_GT(s.normal, waiting) << "what nobody had time for went as it was";
  EXPECT_GE(s.compression->busy, s.normal - waiting);
}

// Without it QMP tells nothing: tests/interop/events_test.py has that side.
TEST(Effect, events) {
  const SettingInfo* info = find_setting("events");
  ASSERT_NE(info, nullptr);
  EXPECT_TRUE(info->qmp_only);
}

TEST(Effect, return_path) {
  Settings settings;
  EXPECT_EQ(WaitingPair().source_threads(settings),
            (std::set<std::string>{"mig/src/main", "mig/src/return"}));
  settings.return_path = false;
  EXPECT_EQ(WaitingPair().source_threads(settings), std::set<std::string>{"mig/src/main"});
}

TEST(Effect, pause_before_switchover) {
  Pair pair;
  Settings settings;
  settings.pause_before_switchover = true;
  pair.prepare(settings);
  pair.start();
  pair.a_events.wait_for("pre-switchover");
  EXPECT_FALSE(pair.a.running());
  ASSERT_TRUE(pair.source->continue_from(Status::pre_switchover).has_value());
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::completed);
}

TEST(Effect, validate_uuid) {
  const auto ending = [](bool validate) {
    Pair pair;
    pair.adjust_a = [](Machine& machine) { machine.uuid = Uuid{1}; };
    pair.adjust_b = [](Machine& machine) { machine.uuid = Uuid{2}; };
    Settings settings;
    settings.validate_uuid = validate;
    pair.prepare(settings);
    pair.start();
    pair.source->wait();
    pair.destination->wait();
    return pair.destination->stats().status;
  };
  EXPECT_EQ(ending(true), Status::failed);
  EXPECT_EQ(ending(false), Status::completed);
}

TEST(Effect, switchover_ack) {
  Pair pair;
  Settings settings;
  settings.switchover_ack = true;
  pair.prepare(settings);
  pair.destination->hold_switchover();
  pair.start();
  pair.a_events.wait_for("active");
  pair.a.wait_rounds(20);
  EXPECT_EQ(pair.source->stats().status, Status::active) << "it waits for the word";
  pair.destination->release_switchover();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::completed);
}

TEST(EveryEffect, has_a_test) {
  std::set<std::string> tests;
  const ::testing::UnitTest& all = *::testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const ::testing::TestSuite& suite = *all.GetTestSuite(i);
    if (std::string_view(suite.name()) != "Effect") continue;
    for (int k = 0; k < suite.total_test_count(); ++k) tests.insert(suite.GetTestInfo(k)->name());
  }
  for (const SettingInfo& info : settings_catalog()) {
    std::string name(info.name);
    std::replace(name.begin(), name.end(), '-', '_');
    EXPECT_EQ(tests.erase(name), 1u) << info.name << " is set and nothing shows what it does";
  }
  EXPECT_EQ(tests, std::set<std::string>{}) << "tests of settings that do not exist";
}

}  // namespace
}  // namespace tern
