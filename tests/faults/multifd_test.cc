// SPDX-License-Identifier: Apache-2.0
//
// Whole migrations over many channels in one process: a guest that writes all the time, in every
// dialect and with every method; channels that break at every write; peers that misbehave while
// the channels are set up; and what real QEMUs sent.
#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <set>

#include "base/wire_int.h"
#include "ram/codec/page_codec.h"
#include "tests/doubles/faulty_run.h"
#include "tests/doubles/pair.h"
#include "tests/doubles/stream_maker.h"
#include "transport/connect.h"

namespace tern {
namespace {

using test::bound_uri;
using test::Cut;
using test::FaultPlan;
using test::FaultyRun;
using test::kRam;
using test::Pair;
using test::random_moment;
using test::short_deadlines;
using test::StreamMaker;
using test::Tally;
using test::TestMachine;

Settings multifd(uint32_t channels, MultifdCompression method = MultifdCompression::none) {
  Settings s;
  s.multifd = true;
  s.multifd_channels = channels;
  s.multifd_compression = method;
  return s;
}

StatsSnapshot migrate(Pair& pair, const Settings& settings) {
  pair.prepare(settings);
  pair.a.wait_rounds(3);
  pair.migrate();
  EXPECT_TRUE(pair.b.running());
  pair.b.wait_rounds(2);
  EXPECT_EQ(pair.b.check(), "");
  return pair.source->stats();
}

TEST(Multifd, a_writing_guest_moves_with_every_method_in_every_dialect) {
  for (const auto method :
       {MultifdCompression::none, MultifdCompression::zlib, MultifdCompression::zstd}) {
    for (const auto peer : {PeerVersion::tern, PeerVersion::qemu_7_2, PeerVersion::qemu_8_2,
                            PeerVersion::qemu_11_1}) {
      SCOPED_TRACE(std::string(to_string(method)) + " " + std::string(to_string(peer)));
      Pair pair;
      Settings settings = multifd(3, method);
      settings.peer_version = peer;
      settings.multifd_adaptive = false;
      const StatsSnapshot s = migrate(pair, settings);
      EXPECT_GE(s.normal, test::kGuestPages);
      ASSERT_EQ(s.channels.size(), 3u);
      uint64_t bytes = 0;
      for (const ChannelStats& channel : s.channels) {
        bytes += channel.bytes;
        EXPECT_GE(channel.syncs, 2u);
        EXPECT_EQ(channel.syncs, s.channels[0].syncs) << "every channel has every sync";
        EXPECT_EQ(channel.compressed_pages,
                  method == MultifdCompression::none ? 0 : channel.normal);
      }
      EXPECT_EQ(s.multifd_bytes, bytes);
      const StatsSnapshot d = pair.destination->stats();
      EXPECT_EQ(d.multifd_bytes, bytes) << "64 per initial packet, 1344 per packet and the payload";
      EXPECT_EQ(d.normal, s.normal);
    }
  }
}

TEST(Multifd, one_channel_and_255) {
  for (const uint32_t channels : {1u, 255u}) {
    SCOPED_TRACE(channels);
    Pair pair;
    EXPECT_EQ(migrate(pair, multifd(channels)).channels.size(), channels);
  }
}

TEST(Multifd, no_thread_is_left_behind) {
  Pair pair;
  migrate(pair, multifd(4));
  // The main threads end last, after who waits for them was woken.
  while (!pair.source->threads().empty()) std::this_thread::yield();
  while (!pair.destination->threads().empty()) std::this_thread::yield();
}

TEST(Multifd, zero_pages_travel_where_the_setting_says) {
  for (const auto where :
       {ZeroPageDetection::none, ZeroPageDetection::legacy, ZeroPageDetection::multifd}) {
    SCOPED_TRACE(to_string(where));
    Pair pair;
    // Pages that were touched and hold zeros.
    for (uint64_t p = 0; p < 64; ++p) pair.a.page(512 + p)[0] = std::byte{0};
    Settings settings = multifd(2);
    settings.zero_page_detection = where;
    const StatsSnapshot s = migrate(pair, settings);
    uint64_t in_packets = 0;
    for (const ChannelStats& channel : s.channels) in_packets += channel.zero;
    EXPECT_EQ(in_packets >= 64, where == ZeroPageDetection::multifd) << in_packets;
    if (where == ZeroPageDetection::none) {
      EXPECT_GE(s.normal, test::kGuestPages + 64);
    }
  }
}

TEST(Multifd, a_destination_without_it_says_so) {
  Pair pair;
  Settings settings;
  pair.prepare(settings);
  auto source = MigrationSource::create(pair.a.machine(), multifd(2));
  ASSERT_TRUE((*source)->start(*parse_uri(bound_uri(*pair.destination))));
  (*source)->wait();
  pair.destination->wait();
  EXPECT_EQ((*source)->stats().status, Status::failed);
  EXPECT_TRUE(pair.a.running());
  const std::string why = pair.destination->stats().error_desc;
  EXPECT_NE(why.find("multifd is on at the source"), std::string::npos) << why;
}

TEST(Multifd, the_rate_is_shared_fairly) {
  Pair pair;
  for (uint64_t p = 0; p < 1700; ++p) pair.a.page(256 + p)[0] = std::byte{1};
  Settings settings = multifd(4);
  settings.max_bandwidth = 64u << 20;
  settings.downtime_limit = 1;  // hardly anything is left for when the limit is off
  pair.prepare(settings);
  ASSERT_TRUE(pair.a.pause_all(RunState::paused).has_value());
  pair.migrate();
  const StatsSnapshot s = pair.source->stats();
  uint64_t least = UINT64_MAX;
  uint64_t most = 0;
  for (const ChannelStats& channel : s.channels) {
    least = std::min(least, channel.bytes);
    most = std::max(most, channel.bytes);
  }
  EXPECT_LE(most - least, s.multifd_bytes / 10) << least << " to " << most;
}

TEST(Multifd, cancel_ends_all_channels) {
  Pair pair;
  Settings settings = multifd(4);
  settings.max_bandwidth = 4096;
  pair.prepare(settings);
  pair.start();
  pair.a_events.wait_for("active");
  ASSERT_TRUE(pair.source->cancel());
  pair.source->wait();
  pair.destination->wait();
  EXPECT_EQ(pair.source->stats().status, Status::cancelled);
  EXPECT_TRUE(pair.a.running());
  EXPECT_FALSE(pair.b.running());
}

TEST(Multifd, a_cut_of_any_channel_at_every_write_leaves_one_guest) {
  Settings settings = short_deadlines();
  settings.multifd = true;
  constexpr uint64_t kWrites = 12;  // a whole run of this guest has about ten per channel
  Tally tally;
  for (const size_t channel : {1u, 2u}) {
    for (const Cut cut : {Cut::before, Cut::after, Cut::lost}) {
      for (uint64_t n = 1; n <= kWrites; ++n) {
        SCOPED_TRACE("channel " + std::to_string(channel) + " write " + std::to_string(n));
        FaultPlan plan{.cut_at_write = n, .cut = cut, .only_channel = channel};
        settings.channel_timeout = 300;
        FaultyRun run(settings, plan, {});
        run.wait_both();
        ++tally.runs;
        const std::string verdict = run.verdict();
        ++tally.endings[verdict];
        if (verdict == "failed, kept by the source" && cut == Cut::before) {
          const std::string why = run.source->stats().error_desc;
          EXPECT_NE(why.find("multifd channel " + std::to_string(channel - 1)), std::string::npos)
              << "the channel is named: " << why;
        }
        if (HasFailure()) return;
      }
    }
  }
  tally.print("cuts of multifd channels");
}

TEST(Multifd, random_cancels_leave_one_guest) {
  std::mt19937 random(7);
  Tally tally;
  for (int i = 0; i < 20; ++i) {
    Settings settings = short_deadlines();
    settings.multifd = true;
    FaultyRun run(settings, {}, {});
    std::this_thread::sleep_for(random_moment(random));
    run.source->cancel().ignore("it may be over");
    run.wait_both();
    ++tally.runs;
    ++tally.endings[run.verdict()];
  }
  tally.print("cancels with multifd");
}

// ---- a source made by hand

struct Wire {
  std::vector<std::unique_ptr<Channel>> channels;
  std::unique_ptr<Connector> connector;

  explicit Wire(MigrationDestination& to)
      : connector(*transport::make_connector(to.listening().at(0), {5000})) {}
  Channel& open(std::span<const std::byte> first) {
    auto channel = connector->connect({"connect", Milliseconds(5000)});
    EXPECT_TRUE(channel.has_value());
    channels.push_back(std::move(*channel));
    put(*channels.back(), first);
    return *channels.back();
  }
  static void put(Channel& channel, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const iovec one{const_cast<std::byte*>(bytes.data()), bytes.size()};
      const auto n = channel.write_some({&one, 1});
      if (!n) return;
      bytes = bytes.subspan(*n);
    }
  }
};

std::vector<std::byte> initial(uint8_t id, const Uuid& uuid = {}) {
  std::vector<std::byte> bytes(kMultifdInitialBytes);
  encode(MultifdInitial{uuid, id}, std::span<std::byte, kMultifdInitialBytes>(bytes));
  return bytes;
}

std::vector<std::byte> packet_bytes(const MultifdPacket& packet) {
  std::vector<std::byte> bytes(kMultifdPacketBytes);
  encode(packet, std::span<std::byte, kMultifdPacketBytes>(bytes));
  return bytes;
}

std::vector<std::byte> sync_packet() {
  MultifdPacket packet;
  packet.flags = kMultifdSync;
  return packet_bytes(packet);
}

std::vector<std::byte> opening() { return StreamMaker().opening("test").take(); }

Settings receiving(uint32_t channels) {
  Settings s = multifd(channels);
  s.channel_timeout = 300;
  s.handshake_timeout = 2000;
  s.idle_timeout = 2000;
  s.stall_timeout = 500;
  return s;
}

std::string failure_of(Pair& pair) {
  pair.destination->wait();
  EXPECT_EQ(pair.destination->stats().status, Status::failed);
  EXPECT_FALSE(pair.b.running());
  while (!pair.destination->threads().empty()) std::this_thread::yield();  // the last is ending
  return pair.destination->stats().error_desc;
}

#define EXPECT_SAYS(text, word)                              \
  do {                                                       \
    const std::string said_ = (text);                        \
    EXPECT_NE(said_.find(word), std::string::npos) << said_; \
  } while (false)

TEST(MultifdSetup, channels_may_come_in_any_order) {
  Pair pair;
  pair.prepare(receiving(3));
  Wire wire(*pair.destination);
  wire.open(initial(2));
  wire.open(opening());
  wire.open(initial(0));
  wire.open(initial(1));
  pair.b_events.wait_for("active");
}

/// What a destination of that many channels says when these are the first words of its connections.
std::string answer_to(uint32_t channels, const std::vector<std::vector<std::byte>>& first_words) {
  Pair pair;
  pair.prepare(receiving(channels));
  Wire wire(*pair.destination);
  for (const auto& words : first_words) wire.open(words);
  return failure_of(pair);
}

TEST(MultifdSetup, what_does_not_fit_is_named) {
  EXPECT_SAYS(answer_to(3, {initial(1), initial(1)}), "multifd channel 1 came twice");
  EXPECT_SAYS(answer_to(3, {opening(), initial(1)}),
              "1 of 3 multifd channels and the main channel came");
  EXPECT_SAYS(answer_to(1, {initial(0)}), "no main channel");
  EXPECT_SAYS(answer_to(1, {opening(), opening()}), "a second main channel");
  EXPECT_SAYS(answer_to(2, {initial(2)}), "multifd channel 2, but multifd-channels is 2 here");
  EXPECT_SAYS(answer_to(2, {test::bytes_of("GET / HTTP/1.1\r\n")}),
              "unknown channel magic: 0x47455420");
}

TEST(MultifdSetup, yank_ends_the_wait_for_the_rest) {
  Pair pair;
  Settings settings = receiving(3);
  settings.channel_timeout = 3600000;
  pair.prepare(settings);
  pair.destination->yank();
  EXPECT_EQ(pair.destination->stats().status, Status::setup) << "nobody has come";
  Wire wire(*pair.destination);
  wire.open(opening());
  while (pair.destination->stats().status == Status::setup) {
    pair.destination->yank();
    std::this_thread::yield();
  }
  EXPECT_SAYS(failure_of(pair), "yank");
}

TEST(MultifdSetup, strangers_without_words_do_no_harm) {
  Pair pair;
  Settings settings = receiving(2);
  settings.channel_timeout = 5000;
  pair.prepare(settings);
  Wire silent(*pair.destination);
  for (int i = 0; i < 40; ++i) silent.open({});
  Wire gone(*pair.destination);
  gone.open({});
  gone.channels.clear();
  silent.channels.clear();
  pair.migrate();
  EXPECT_TRUE(pair.b.running());
}

TEST(MultifdSetup, one_connection_too_many_is_closed_and_the_migration_goes_on) {
  Pair pair;
  pair.prepare(receiving(1));
  Wire wire(*pair.destination);
  wire.open(opening());
  wire.open(initial(0));
  pair.b_events.wait_for("active");
  Channel& extra = wire.open(initial(0));
  std::array<std::byte, 1> byte;
  const auto got = extra.read_some(byte);
  EXPECT_TRUE(!got || *got == 0) << "closed";
  EXPECT_EQ(pair.destination->stats().status, Status::active);
}

TEST(MultifdSetup, another_machines_uuid) {
  Pair pair;
  pair.adjust_b = [](Machine& machine) { machine.uuid = Uuid{1}; };
  pair.prepare(receiving(1));
  Wire wire(*pair.destination);
  wire.open(initial(0, Uuid{2}));
  EXPECT_SAYS(failure_of(pair), "02000000-0000-0000-0000-000000000000");
}

TEST(MultifdSetup, a_first_packet_that_ends_early) {
  Pair pair;
  pair.prepare(receiving(1));
  {
    Wire wire(*pair.destination);
    const std::vector<std::byte> whole = initial(0);
    wire.open(std::span(whole).first(40));
  }
  EXPECT_SAYS(failure_of(pair), "after 36 bytes of its first words");
}

// After the set-up: one channel, its START section with a sync point, then what the test says.
struct Running {
  Pair pair;
  std::unique_ptr<Wire> wire;
  Channel* main = nullptr;
  Channel* lane = nullptr;

  explicit Running(const Settings& settings = receiving(1)) {
    pair.prepare(settings);
    wire = std::make_unique<Wire>(*pair.destination);
    main = &wire->open(opening());
    lane = &wire->open(initial(0));
  }
  void start(bool synced = true) {
    StreamMaker maker;
    Wire::put(*main, maker.ram_start("m", kRam).take());  // its EOS is point 1, as in QEMU 7.2
    if (synced) Wire::put(*lane, sync_packet());
  }
  static MultifdPacket pages(std::vector<uint64_t> offsets, uint32_t zero = 0) {
    MultifdPacket packet;
    packet.block = "m";
    packet.pages_alloc = kMultifdPages;
    packet.zero = zero;
    packet.normal = static_cast<uint32_t>(offsets.size()) - zero;
    packet.payload_bytes = packet.normal * kTargetPageBytes;
    std::copy(offsets.begin(), offsets.end(), packet.offsets.begin());
    return packet;
  }
  /// Ends it, so that the memory may be looked at.
  const std::byte* ram() {
    pair.destination.reset();
    return pair.b.block().host;
  }
  void send(const MultifdPacket& packet, size_t payload = 0) {
    auto bytes = packet_bytes(packet);
    bytes.resize(bytes.size() + payload, std::byte{7});
    Wire::put(*lane, bytes);
  }
};

TEST(MultifdPackets, pages_before_the_list_of_blocks) {
  Running run;
  run.send(Running::pages({0}), 4096);
  EXPECT_SAYS(failure_of(run.pair), "multifd channel 0: at offset 64: pages before the list");
}

TEST(MultifdPackets, an_unknown_block) {
  Running run;
  run.start();
  MultifdPacket packet = Running::pages({0});
  packet.block = "other";
  run.send(packet, 4096);
  EXPECT_SAYS(failure_of(run.pair), "unknown RAM block 'other'");
}

TEST(MultifdPackets, a_page_outside_its_block) {
  Running run;
  run.start();
  run.send(Running::pages({kRam}), 4096);
  EXPECT_SAYS(failure_of(run.pair), "is outside RAM block 'm'");
}

TEST(MultifdPackets, another_method) {
  Running run;
  run.start();
  MultifdPacket packet = Running::pages({0});
  packet.flags = kMultifdZlib;
  run.send(packet, 4096);
  EXPECT_SAYS(failure_of(run.pair), "multifd-compression must be equal");
}

TEST(MultifdPackets, device_state) {
  Running run;
  run.start();
  std::vector<std::byte> head(12);
  store_be(head.data(), kMultifdMagic);
  store_be(head.data() + 4, uint32_t{1});
  store_be(head.data() + 8, kMultifdDeviceState);
  Wire::put(*run.lane, head);
  EXPECT_SAYS(failure_of(run.pair), "device state on a multifd channel");
}

TEST(MultifdPackets, a_channel_that_ends_inside_a_page) {
  Running run;
  run.start();
  run.send(Running::pages({0}), 100);
  run.lane->finish_writing();
  EXPECT_SAYS(failure_of(run.pair), "inside the pages of a packet");
}

TEST(MultifdPackets, a_sync_that_never_comes) {
  Running run;
  run.start(false);
  EXPECT_SAYS(failure_of(run.pair), "waits for the SYNC of a multifd channel");
}

TEST(MultifdPackets, a_channel_that_ends_before_its_sync) {
  Running run;
  run.start(false);
  run.lane->finish_writing();
  EXPECT_SAYS(failure_of(run.pair), "multifd channel 0 ended");
}

TEST(MultifdPackets, a_channel_that_ends_while_the_main_stream_goes_on) {
  Running run;
  run.start();
  while (run.pair.destination->stats().channels.at(0).syncs == 0) std::this_thread::yield();
  run.lane->finish_writing();
  while (run.pair.destination->threads().size() > 2) std::this_thread::yield();
  StreamMaker maker;
  Wire::put(*run.main, maker.part(kItemSectionPart, StreamMaker::kRamSection).take());
  EXPECT_SAYS(failure_of(run.pair), "multifd channel 0 ended");
}

TEST(MultifdPackets, what_a_7_2_source_does) {
  // Pages and SYNC in one packet, then one without either whose payload field is a leftover.
  Running run;
  run.start();
  MultifdPacket both = Running::pages({8192, 4096});
  both.flags = kMultifdSync;
  run.send(both, 8192);
  auto leftover = packet_bytes({});
  store_be(leftover.data() + 20, uint32_t{8192});
  Wire::put(*run.lane, leftover);
  StreamMaker maker;
  Wire::put(*run.main, maker.part(kItemSectionPart, StreamMaker::kRamSection)
                           .eos()
                           .footer(StreamMaker::kRamSection)
                           .take());
  // The next pages are applied only behind point 2.
  run.send(Running::pages({4096}, 1));
  while (run.pair.destination->stats().duplicate == 0) std::this_thread::yield();
  EXPECT_EQ(run.pair.destination->stats().normal, 2u);
  const std::byte* ram = run.ram();
  EXPECT_EQ(ram[8192], std::byte{7});
  EXPECT_EQ(ram[4096], std::byte{0}) << "a zero page clears what was there";
}

TEST(MultifdPackets, newer_data_waits_for_the_sync_point) {
  Running run;
  run.start();
  run.send(Running::pages({4096}), 4096);
  Wire::put(*run.lane, sync_packet());
  run.send(Running::pages({4096}, 1));  // newer, behind SYNC 2
  while (run.pair.destination->stats().channels.at(0).syncs < 2) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(run.pair.destination->stats().duplicate, 0u) << "the main stream is not there yet";
  StreamMaker maker;
  Wire::put(*run.main, maker.part(kItemSectionPart, StreamMaker::kRamSection)
                           .eos()
                           .footer(StreamMaker::kRamSection)
                           .take());
  while (run.pair.destination->stats().duplicate == 0) std::this_thread::yield();
  EXPECT_EQ(run.ram()[4096], std::byte{0});
}

// ---- what real QEMUs sent

class Captured : public ::testing::TestWithParam<std::string> {};

TEST_P(Captured, loads_to_the_same_ram) {
  const std::vector<std::byte> ram = test::capture("ram.bin");
  TestMachine machine(ram.size(), 1, RunState::inmigrate);
  Settings settings = receiving(2);
  settings.channel_timeout = 5000;
  if (GetParam().ends_with("zlib")) settings.multifd_compression = MultifdCompression::zlib;
  if (GetParam().ends_with("zstd")) settings.multifd_compression = MultifdCompression::zstd;
  Machine m = machine.machine();
  m.name = "none";
  m.devices = {};
  std::memset(m.ram[0].host, 0xaa, ram.size());
  auto destination = MigrationDestination::create(m, settings);
  (*destination)->set_autostart(false);
  ASSERT_TRUE((*destination)->listen(*parse_uri("tcp:127.0.0.1:0")));
  Wire wire(**destination);
  std::vector<std::thread> senders;
  for (int i = 0; i < 3; ++i) {
    const auto bytes =
        test::capture(GetParam() + "/conn" + std::to_string(i) + ".to-destination.bin");
    Channel& channel = wire.open({});
    senders.emplace_back([&channel, bytes, i] {
      Wire::put(channel, bytes);
      std::vector<std::byte> sink(4096);
      if (i != 0) channel.finish_writing();
      for (;;) {
        const auto got = channel.read_some(sink);
        if (!got || *got == 0) break;
      }
      channel.finish_writing();
    });
  }
  (*destination)->wait();
  for (auto& sender : senders) sender.join();
  EXPECT_EQ((*destination)->stats().status, Status::completed)
      << (*destination)->stats().error_desc;
  EXPECT_TRUE(std::equal(ram.begin(), ram.end(), m.ram[0].host)) << "the RAM differs";
}

INSTANTIATE_TEST_SUITE_P(Multifd, Captured,
                         ::testing::Values("7.2-multifd-none", "7.2-multifd-zlib",
                                           "7.2-multifd-zstd", "11.1-multifd-none",
                                           "11.1-multifd-zlib", "11.1-multifd-zstd"),
                         [](const auto& which) {
                           std::string name = which.param;
                           for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace tern
