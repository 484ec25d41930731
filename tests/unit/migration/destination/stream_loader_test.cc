// SPDX-License-Identifier: Apache-2.0
//
// Whole streams through StreamLoader: captured ones of QEMU, tern's own, and hostile ones.
#include "migration/destination/stream_loader.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "tests/doubles/stream_maker.h"

namespace tern {
namespace {

using test::bytes_of;
using test::MemoryChannel;
using test::StreamMaker;

constexpr uint64_t kRam = 1u << 20;

class Stopped final : public VcpuControl {
 public:
  RunState run_state() const noexcept override { return RunState::inmigrate; }
  Result<RunState> pause_all(RunState) noexcept override { return run_state(); }
  Result<void> resume_all() noexcept override { return {}; }
  void set_stopped_state(RunState) noexcept override {}
};

class Device final : public DeviceSection {
 public:
  const SectionId& id() const noexcept override { return id_; }
  Result<void> save(DeviceWriter&) noexcept override { return {}; }
  Result<void> load(DeviceReader& r, uint32_t version) noexcept override {
    loaded = TERN_TRY(r.get_u32("value"));
    if (version >= 2) TERN_TRY(r.get_u32("added in 2"));
    return {};
  }
  uint32_t loaded = 0;

 private:
  SectionId id_{"test/device", 0, 2, 1};
};

class StreamLoaderTest : public ::testing::Test {
 protected:
  StreamLoaderTest() {
    void* p = mmap(nullptr, kRam, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    ram_ = static_cast<std::byte*>(p);
    blocks_ = {{.idstr = "m", .host = ram_, .used_bytes = kRam}};
    machine_.name = "none";
    machine_.ram = blocks_;
    machine_.vcpus = &vcpus_;
  }
  ~StreamLoaderTest() override { munmap(ram_, kRam); }

  void with_device() {
    devices_ = {&device_};
    machine_.devices = devices_;
  }
  Result<RunState> load(std::vector<std::byte> stream) {
    channel_ = MemoryChannel(std::move(stream));
    const auto memory = GuestMemory::create(blocks_);
    ReturnSender answers(channel_);
    Progress progress(system_clock());
    StreamLoader loader(channel_, machine_, settings_, *memory, answers, progress,
                        [] { return Result<void>(); });
    const bool began = TERN_TRY(loader.read_opening());
    if (!began) return Error(ErrorCode::channel, "nothing came");
    return loader.load();
  }
  void refused(std::vector<std::byte> stream, const std::string& why) {
    const auto state = load(std::move(stream));
    ASSERT_FALSE(state) << why;
    EXPECT_NE(state.error().message().find(why), std::string::npos)
        << state.error().message() << " instead of " << why;
    EXPECT_EQ(state.error().code(), ErrorCode::peer_protocol);
  }
  static StreamMaker begun() {
    StreamMaker m;
    m.opening("none").ram_start("m", kRam);
    return m;
  }
  static DeviceWriter value(uint32_t v) {
    DeviceWriter w;
    w.put_u32("value", v);
    return w;
  }

  std::byte* ram_ = nullptr;
  std::vector<RamBlock> blocks_;
  Stopped vcpus_;
  Device device_;
  std::vector<DeviceSection*> devices_;
  Machine machine_;
  Settings settings_;
  MemoryChannel channel_;
};

TEST_F(StreamLoaderTest, captured_streams_of_qemu_give_the_ram_they_were_made_of) {
  const auto expected = test::capture("ram.bin");
  ASSERT_EQ(expected.size(), kRam);
  for (const char* name : {"7.2-plain", "7.2-return-path", "11.1-plain", "11.1-return-path"}) {
    std::memset(ram_, 0xa5, kRam);  // what was there before must not show
    const auto state = load(test::capture(std::string(name) + "/conn0.to-destination.bin"));
    ASSERT_TRUE(state) << name << ": " << state.error().message();
    EXPECT_EQ(*state, RunState::running);
    EXPECT_EQ(std::memcmp(ram_, expected.data(), kRam), 0) << name;
  }
}

TEST_F(StreamLoaderTest, a_captured_return_path_is_what_it_answers_before_the_end) {
  ASSERT_TRUE(load(test::capture("7.2-return-path/conn0.to-destination.bin")));
  EXPECT_EQ(channel_.written, bytes_of({0, 2, 0, 4, 0, 0, 0, 1}));
}

TEST_F(StreamLoaderTest, a_stream_with_multifd_is_refused_with_the_capability_named) {
  refused(test::capture("11.1-multifd-none/conn0.to-destination.bin"), "multifd is off here");
}

TEST_F(StreamLoaderTest, a_device_gets_the_layout_of_the_version_that_was_sent) {
  with_device();
  ASSERT_TRUE(load(begun().ram_end().device(2, {"test/device", 0, 1, 1}, value(77)).end().take()));
  EXPECT_EQ(device_.loaded, 77u);
}

TEST_F(StreamLoaderTest, device_state_for_another_machine_changes_no_device) {
  with_device();
  const auto stream = begun()
                          .ram_end()
                          .device(2, {"test/device", 0, 1, 1}, value(77))
                          .device(3, {"unheard-of", 0, 1, 1}, value(1))
                          .end()
                          .take();
  refused(stream, "no device 'unheard-of'");
  EXPECT_EQ(device_.loaded, 0u);
}

TEST_F(StreamLoaderTest, what_does_not_fit_the_device_is_refused) {
  with_device();
  refused(begun().ram_end().device(2, {"test/device", 0, 3, 1}, value(1)).end().take(),
          "version 3, 1 to 2 can be loaded");
  refused(begun().ram_end().device(2, {"test/device", 0, 0, 1}, value(1)).end().take(),
          "version 0");
  refused(begun().ram_end().device(2, {"test/device", 1, 1, 1}, value(1)).end().take(),
          "instance 1");
  refused(begun().ram_end().device(2, {"test/device", 0, 2, 1}, value(1)).end().take(),
          "the section has 0 left");
  DeviceWriter longer = value(1);
  longer.put_u64("more", 1);
  refused(begun().ram_end().device(2, {"test/device", 0, 1, 1}, longer).end().take(),
          "left 8 bytes");
  refused(begun().ram_end().end().take(), "no state for device 'test/device'");
}

TEST_F(StreamLoaderTest, hostile_openings_are_refused) {
  refused(StreamMaker().be32(kStreamMagic).be32(3).eos().take(),
          "where the configuration must stand");
  refused(StreamMaker().opening("pc").ram_start("m", kRam).take(), "the source's machine is 'pc'");
  Configuration c;
  c.machine = "none";
  c.capabilities = {"x-ignore-shared"};
  refused(StreamMaker().opening(c).eos().take(), "'x-ignore-shared' is on at the source");
  c.capabilities = {"xbzrle"};  // does not concern the stream
  ASSERT_TRUE(load(StreamMaker().opening(c).ram_start("m", kRam).ram_end().end().take()));
  c.page_bits = 16;
  refused(StreamMaker().opening(c).eos().take(), "2^16");
}

TEST_F(StreamLoaderTest, another_uuid_is_refused_even_if_nobody_asked_for_it) {
  machine_.uuid = Uuid{1};
  Configuration c;
  c.machine = "none";
  c.uuid = Uuid{2};
  refused(StreamMaker().opening(c).eos().take(), "UUID differs");
  c.uuid = Uuid{1};
  EXPECT_TRUE(load(StreamMaker().opening(c).ram_start("m", kRam).ram_end().end().take()));
}

TEST_F(StreamLoaderTest, items_at_the_wrong_place_are_refused) {
  for (const unsigned item : {5u, 6u, 7u, 9u, 0x7eu, 0xffu}) {
    refused(begun().u8(static_cast<uint8_t>(item)).take(),
            "item " + std::to_string(item) + " cannot begin here");
  }
  refused(StreamMaker().opening("none").part(kItemSectionPart, 0).eos().take(),
          "which was not started");
  refused(begun().part(kItemSectionEnd, 9).eos().take(), "part of section 9");
  refused(StreamMaker().opening("none").begin(kItemSectionStart, {1, "block", 0, 1}).take(),
          "'block' instance 0 is live state");
  refused(StreamMaker().opening("none").begin(kItemSectionStart, {1, "ram", 0, 3}).take(),
          "only 4 is known");
  refused(StreamMaker().opening("none").begin(kItemSectionFull, {1, "early", 0, 3}).take(),
          "'early' before RAM");
  refused(begun().part(kItemSectionPart, 1).eos().footer(2).take(), "footer of section 2");
}

TEST_F(StreamLoaderTest, commands_of_engines_that_do_not_exist_and_in_the_wrong_order_are_refused) {
  const auto with = [](Command c, const std::vector<std::byte>& payload) {
    StreamMaker m;
    return m.opening("none").command(c, payload).take();
  };
  refused(with(Command::ping, bytes_of({0, 0, 0, 1})), "PING before OPEN_RETURN_PATH");
  refused(with(Command::enable_colo, {}), "ENABLE_COLO");
  refused(with(Command::postcopy_advise, std::vector<std::byte>(16)),
          "postcopy-ram is on at the source");
  refused(with(Command::postcopy_run, {}), "not possible in precopy");
  refused(with(Command::packaged, bytes_of({0, 0, 0, 1})), "not possible in precopy");
  refused(with(Command::tern_go, {}), "not possible in precopy");
  refused(with(Command::tern_zero_run, std::vector<std::byte>(19)), "was not agreed on");
}

TEST_F(StreamLoaderTest, the_ram_list_must_be_whole) {
  refused(StreamMaker().opening("none").end().take(), "the source sent 0 bytes of RAM");
}

TEST_F(StreamLoaderTest, an_optional_command_of_a_later_tern_is_skipped) {
  const auto stream = begun().raw({8, 0x54, 0xff, 0, 3, 1, 2, 3}).ram_end().end().take();
  EXPECT_TRUE(load(stream));
}

TEST_F(StreamLoaderTest, device_state_past_the_limit_is_refused) {
  settings_.max_device_state = 1000;
  DeviceWriter large;
  large.put_buffer("x", std::vector<std::byte>(2000));
  const auto state = load(begun().ram_end().device(2, {"d", 0, 1, 1}, large).end().take());
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code(), ErrorCode::resource_exhausted);
  EXPECT_NE(state.error().message().find("x-max-device-state"), std::string::npos);
}

TEST_F(StreamLoaderTest, an_end_anywhere_before_the_end_is_an_error) {
  const auto stream = begun().ram_end().end().take();
  for (size_t n = 0; n < stream.size(); ++n) {
    EXPECT_FALSE(load({stream.begin(), stream.begin() + static_cast<ptrdiff_t>(n)})) << n;
  }
}

}  // namespace
}  // namespace tern
