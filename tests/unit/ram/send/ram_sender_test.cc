// SPDX-License-Identifier: Apache-2.0
#include "ram/send/ram_sender.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "ram/codec/zlib_page.h"
#include "ram/recv/ram_receiver.h"
#include "tests/doubles/guarded_pages.h"
#include "tests/doubles/memory_channel.h"

namespace tern {
namespace {

using test::bytes_of;
using test::MemoryChannel;

constexpr uint64_t kPage = kTargetPageBytes;
constexpr uint64_t kPages = 16;

// Blocks "small" of 4 pages and "large" of 12, none dirty.
class RamSenderTest : public ::testing::Test {
 protected:
  RamSenderTest() : out_(channel_) {
    void* p =
        mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    ram_ = static_cast<std::byte*>(p);
    blocks_ = {{.idstr = "small", .host = ram_, .used_bytes = 4 * kPage},
               {.idstr = "large", .host = ram_ + 4 * kPage, .used_bytes = 12 * kPage}};
    memory_ = std::make_unique<GuestMemory>(*GuestMemory::create(blocks_));
    sender_ = std::make_unique<RamSender>(*memory_, out_, counters_, best_page_ops());
  }
  ~RamSenderTest() override { munmap(ram_, kPages * kPage); }

  void write(uint64_t page, unsigned value) {
    std::memset(ram_ + page * kPage, static_cast<int>(value), kPage);
    sender_->dirty().block(page < 4 ? 0 : 1).set(page < 4 ? page : page - 4);
  }
  std::vector<std::byte> sent() {
    EXPECT_TRUE(out_.flush());
    return std::exchange(channel_.written, {});
  }

  MemoryChannel channel_;
  StreamWriter out_;
  std::byte* ram_ = nullptr;
  std::vector<RamBlock> blocks_;
  std::unique_ptr<GuestMemory> memory_;
  RamCounters counters_;
  std::unique_ptr<RamSender> sender_;
};

TEST_F(RamSenderTest, the_block_list_adds_up_to_its_total_largest_first) {
  ASSERT_TRUE(sender_->send_block_list());
  ASSERT_TRUE(sender_->end_body());
  EXPECT_EQ(sent(), bytes_of({0, 0, 0, 0, 0,    1,    0, 4, 5,   'l', 'a', 'r', 'g', 'e', 0,
                              0, 0, 0, 0, 0,    0xc0, 0, 5, 's', 'm', 'a', 'l', 'l', 0,   0,
                              0, 0, 0, 0, 0x40, 0,    0, 0, 0,   0,   0,   0,   0,   0x10}));
}

TEST_F(RamSenderTest, only_dirty_pages_are_sent_and_then_they_are_clean) {
  write(1, 5);
  write(6, 6);
  ASSERT_TRUE(sender_->send_dirty(UINT64_MAX));
  EXPECT_EQ(counters_.normal.get(), 2u);
  EXPECT_EQ(sender_->pending_bytes(), 0u);
  EXPECT_EQ(sent().size(), (8 + 6 + kPage) + (8 + 6 + kPage));
}

TEST_F(RamSenderTest, a_block_is_named_once_and_then_continued) {
  write(4, 1);
  write(5, 1);
  ASSERT_TRUE(sender_->send_dirty(UINT64_MAX));
  EXPECT_EQ(sent().size(), (8 + 6 + kPage) + (8 + kPage));
  write(6, 1);
  ASSERT_TRUE(sender_->send_dirty(UINT64_MAX));
  EXPECT_EQ(sent().size(), 8 + kPage);  // continues across the end of a body too
  sender_->forget_named_block();
  write(6, 1);
  ASSERT_TRUE(sender_->send_dirty(UINT64_MAX));
  EXPECT_EQ(sent().size(), 8 + 6 + kPage);
}

TEST_F(RamSenderTest, a_page_of_zeros_takes_nine_bytes) {
  write(0, 1);
  write(1, 0);
  ASSERT_TRUE(sender_->send_dirty(UINT64_MAX));
  EXPECT_EQ(sent().size(), (8 + 6 + kPage) + 9);
  EXPECT_EQ(counters_.normal.get(), 1u);
  EXPECT_EQ(counters_.duplicate.get(), 1u);
}

TEST_F(RamSenderTest, it_stops_at_the_limit_goes_on_there_and_sends_at_least_one_page) {
  for (uint64_t page = 0; page < kPages; ++page) write(page, 3);
  for (int calls = 0; sender_->pending_bytes() > 0; ++calls) {
    ASSERT_LT(calls, 100);
    const uint64_t before = sender_->pending_bytes();
    ASSERT_TRUE(sender_->send_dirty(1));
    EXPECT_EQ(before - sender_->pending_bytes(), kPage);
  }
  EXPECT_EQ(counters_.normal.get(), kPages);
}

TEST_F(RamSenderTest, behind_the_last_block_it_goes_on_with_the_first) {
  write(10, 1);
  ASSERT_TRUE(sender_->send_dirty(1));
  write(2, 1);  // behind the scan
  ASSERT_TRUE(sender_->send_dirty(1));
  EXPECT_EQ(sender_->pending_bytes(), 0u);
  EXPECT_EQ(counters_.normal.get(), 2u);
}

TEST_F(RamSenderTest, nothing_dirty_sends_nothing) {
  ASSERT_TRUE(sender_->send_dirty(UINT64_MAX));
  EXPECT_TRUE(sent().empty());
}

// Takes the pages and remembers them.
class Pages final : public PageSink {
 public:
  Result<void> take(size_t block, PageRun run) noexcept override {
    if (full) return Error(ErrorCode::channel, "channel 1 is gone");
    for (uint64_t i = 0; i < run.count; ++i) taken.emplace_back(block, run.first + i);
    return {};
  }
  std::vector<std::pair<size_t, uint64_t>> taken;
  bool full = false;
};

TEST_F(RamSenderTest, with_a_sink_only_pages_of_zeros_stay_on_the_main_stream) {
  Pages sink;
  RamSender sender(*memory_, out_, counters_, best_page_ops(), {.sink = &sink});
  write(1, 5);
  write(5, 6);
  for (const uint64_t page : {1, 2}) sender.dirty().block(0).set(page);
  sender.dirty().block(1).set(1);
  ASSERT_TRUE(sender.send_dirty(UINT64_MAX));
  EXPECT_EQ(sender.pending_bytes(), 0u);
  EXPECT_EQ(sink.taken, (std::vector<std::pair<size_t, uint64_t>>{{0, 1}, {1, 1}}));
  EXPECT_EQ(sent().size(), 8 + 6 + 1u);
  EXPECT_EQ(counters_.normal.get(), 0u);  // whoever sends them counts them
}

TEST_F(RamSenderTest, a_sink_that_finds_zeros_itself_gets_every_page_and_no_more_than_asked_for) {
  Pages sink;
  RamSender sender(*memory_, out_, counters_, best_page_ops(),
                   {.find_zeros = false, .sink = &sink});
  for (uint64_t page = 0; page < 12; ++page) sender.dirty().block(1).set(page);
  ASSERT_TRUE(sender.send_dirty(5 * kPage));
  EXPECT_EQ(sink.taken.size(), 5u);
  ASSERT_TRUE(sender.send_dirty(1));
  EXPECT_EQ(sink.taken.size(), 6u);
  ASSERT_TRUE(sender.send_dirty(UINT64_MAX));
  EXPECT_EQ(sink.taken.size(), 12u);
  EXPECT_EQ(sender.pending_bytes(), 0u);
  EXPECT_TRUE(sent().empty());
}

TEST_F(RamSenderTest, what_a_sink_refuses_stays_dirty) {
  Pages sink;
  sink.full = true;
  RamSender sender(*memory_, out_, counters_, best_page_ops(),
                   {.find_zeros = false, .sink = &sink});
  sender.dirty().block(0).set(1);
  const auto done = sender.send_dirty(UINT64_MAX);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message(), "channel 1 is gone");
  EXPECT_EQ(sender.pending_bytes(), kPage);
}

TEST_F(RamSenderTest, what_it_sends_its_receiver_places) {
  for (uint64_t page = 0; page < kPages; ++page)
    write(page, page % 3 == 0 ? 0 : static_cast<unsigned>(page));
  ASSERT_TRUE(sender_->send_block_list());
  ASSERT_TRUE(sender_->end_body());
  const auto start = sent();
  ASSERT_TRUE(sender_->send_dirty(UINT64_MAX));
  ASSERT_TRUE(sender_->end_body());
  const auto body = sent();
  const std::vector<std::byte> expected(ram_, ram_ + kPages * kPage);

  std::memset(ram_, 0x55, kPages * kPage);  // the same memory takes the other role
  DirtyBitmap populated(blocks_);
  for (uint64_t page = 0; page < 4; ++page) populated.block(0).set(page);
  for (uint64_t page = 0; page < 12; ++page) populated.block(1).set(page);
  RamTarget target(*memory_, populated, best_page_ops());
  RamReceiver receiver(target, counters_);
  MemoryChannel first(start);
  StreamReader list(first);
  ASSERT_TRUE(receiver.receive_body(list, true));
  MemoryChannel second(body);
  StreamReader pages(second);
  ASSERT_TRUE(receiver.receive_body(pages, false));
  EXPECT_EQ(std::memcmp(ram_, expected.data(), expected.size()), 0);
}

// ---- compress

// Compresses at once, and keeps up to `room` pages until they are asked for.
class KeptPages final : public PagePacker {
 public:
  bool take(uint64_t page, const std::byte* data) noexcept override {
    if (kept.size() == room) return false;
    const auto made = deflater->deflate({data, kPage});
    kept.push_back({page, {data, data + kPage}, {made->begin(), made->end()}});
    return true;
  }
  Result<std::optional<Packed>> give(bool now) noexcept override {
    if (broken) return Error(ErrorCode::internal, "a thread is broken");
    if (kept.empty() || !now) return std::optional<Packed>();
    given = std::move(kept.front());
    kept.erase(kept.begin());
    const bool shorter = !given.packed.empty();
    return std::optional<Packed>({given.page, shorter ? given.packed : given.data, shorter});
  }
  bool waits() const noexcept override { return wait; }

  struct Kept {
    uint64_t page = 0;
    std::vector<std::byte> data;
    std::vector<std::byte> packed;
  };
  std::vector<Kept> kept;
  Kept given;
  size_t room = 3;
  bool wait = true;
  bool broken = false;
  std::unique_ptr<PageDeflater> deflater = std::move(*make_page_deflater(6));
};

class InflatesAtOnce final : public PageUnpacker {
 public:
  Result<void> take(std::byte* to, std::span<const std::byte> payload, uint64_t) noexcept override {
    return inflater.inflate(payload, {to, kPage});
  }
  Result<void> settle(const std::byte*) noexcept override { return {}; }
  Result<void> finish() noexcept override { return {}; }
  PageInflater inflater;
};

class CompressSending : public RamSenderTest {
 protected:
  CompressSending() {
    sender_ =
        std::make_unique<RamSender>(*memory_, out_, counters_, best_page_ops(),
                                    RamSenderOptions{.packer = &packer_, .compress = &compress_});
    EXPECT_TRUE(sender_->send_block_list());
    EXPECT_TRUE(sender_->end_body());
    start_ = sent();
  }
  // All pages, of which two in the middle do not compress, arrive as they are.
  void all_pages_arrive() {
    std::mt19937 random(1);
    for (uint64_t page = 0; page < kPages; ++page) write(page, static_cast<unsigned>(page % 5));
    for (const uint64_t page : {6, 7}) {
      for (size_t i = 0; i < kPage; ++i) ram_[page * kPage + i] = static_cast<std::byte>(random());
    }
    ASSERT_TRUE(sender_->send_dirty(UINT64_MAX));
    EXPECT_TRUE(packer_.kept.empty()) << "nothing is left behind for a later call";
    ASSERT_TRUE(sender_->end_body());
    const auto body = sent();
    const std::vector<std::byte> expected(ram_, ram_ + kPages * kPage);
    std::memset(ram_, 0x55, kPages * kPage);
    DirtyBitmap populated(blocks_);
    populated.block(0).set_run({0, 4});
    populated.block(1).set_run({0, 12});
    RamTarget target(*memory_, populated, best_page_ops());
    InflatesAtOnce unpacker;
    RamCounters received;
    RamReceiver receiver(target, received, nullptr, &unpacker);
    for (const bool start : {true, false}) {
      MemoryChannel channel(start ? start_ : body);
      StreamReader in(channel);
      const auto done = receiver.receive_body(in, start);
      ASSERT_TRUE(done) << done.error().message();
    }
    EXPECT_EQ(std::memcmp(ram_, expected.data(), expected.size()), 0);
    EXPECT_EQ(received.compressed.get(), counters_.compressed.get());
    EXPECT_EQ(received.normal.get(), counters_.normal.get());
  }

  KeptPages packer_;
  CompressCounters compress_;
  std::vector<std::byte> start_;
};

TEST_F(CompressSending, pages_of_several_blocks_zeros_and_noise_arrive) {
  all_pages_arrive();
  EXPECT_EQ(counters_.duplicate.get(), 4u);
  EXPECT_EQ(counters_.normal.get(), 1 + 2u) << "the first of its block by name, and the noise";
  EXPECT_EQ(counters_.compressed.get(), 16 - 4 - 3u);
  EXPECT_GT(compress_.busy.get(), 0u);
  EXPECT_GT(compress_.bytes.get(), counters_.compressed.get() * 4);
}

TEST_F(CompressSending, pages_for_which_nobody_has_time_go_as_they_are_where_that_is_wanted) {
  packer_.wait = false;
  all_pages_arrive();
  EXPECT_EQ(counters_.compressed.get(), 3 + 1u) << "in the second block the noise took room";
  EXPECT_EQ(counters_.normal.get() + counters_.compressed.get(), 12u);
}

TEST_F(CompressSending, what_breaks_in_a_thread_ends_the_sending) {
  packer_.broken = true;
  write(0, 1);
  write(1, 1);
  const auto done = sender_->send_dirty(UINT64_MAX);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message(), "a thread is broken");
}

// ---- XBZRLE

class XbzrleSending : public RamSenderTest {
 protected:
  XbzrleSending() : stage_(*memory_, patches_, best_page_ops()) {
    EXPECT_TRUE(stage_.set_cache_size(16 * kPage).has_value());
    sender_ = std::make_unique<RamSender>(*memory_, out_, counters_, best_page_ops(),
                                          RamSenderOptions{.xbzrle = &stage_});
    RamBlock a = blocks_[0];
    RamBlock b = blocks_[1];
    a.host = there_.data();
    b.host = there_.data() + 4 * kPage;
    there_blocks_ = {a, b};
    there_memory_ = std::make_unique<GuestMemory>(*GuestMemory::create(there_blocks_));
    DirtyBitmap populated(there_blocks_);
    target_ = std::make_unique<RamTarget>(*there_memory_, populated, best_page_ops());
    receiver_ = std::make_unique<RamReceiver>(*target_, received_);
    EXPECT_TRUE(sender_->send_block_list());
    arrive(true);
  }
  // What was sent is loaded; returns its bytes.
  size_t arrive(bool first = false) {
    EXPECT_TRUE(sender_->end_body());
    const auto bytes = sent();
    MemoryChannel channel(bytes);
    StreamReader in(channel);
    const auto done = receiver_->receive_body(in, first);
    EXPECT_TRUE(done) << (done ? "" : done.error().message());
    return bytes.size() - 8;
  }
  size_t round() {
    stage_.begin_round();
    EXPECT_TRUE(sender_->send_dirty(UINT64_MAX));
    const size_t bytes = arrive();
    EXPECT_EQ(std::memcmp(ram_, there_.data(), kPages * kPage), 0);
    return bytes;
  }
  void poke(uint64_t page, size_t at, unsigned value) {
    ram_[page * kPage + at] = static_cast<std::byte>(value);
    sender_->dirty().block(page < 4 ? 0 : 1).set(page < 4 ? page : page - 4);
  }

  XbzrleCounters patches_;
  XbzrleStage stage_;
  test::GuardedPages there_{kPages};
  std::vector<RamBlock> there_blocks_;
  std::unique_ptr<GuestMemory> there_memory_;
  RamCounters received_;
  std::unique_ptr<RamTarget> target_;
  std::unique_ptr<RamReceiver> receiver_;
};

TEST_F(XbzrleSending, off_in_the_first_pass_then_pages_are_cached_and_then_only_changes_travel) {
  write(1, 5);
  EXPECT_EQ(round(), 8 + 6 + kPage);
  EXPECT_EQ(patches_.cache_miss.get(), 0u) << "the first pass";
  poke(1, 100, 6);
  EXPECT_EQ(round(), 8 + kPage);
  EXPECT_EQ(patches_.cache_miss.get(), 1u);
  poke(1, 100, 7);
  EXPECT_EQ(round(), 8 + 3 + 3u);
  EXPECT_EQ(patches_.pages.get(), 1u);
  EXPECT_EQ(patches_.bytes.get(), 6u);
  EXPECT_EQ(counters_.patched.get(), 1u);
  EXPECT_EQ(counters_.normal.get(), 2u);
}

TEST_F(XbzrleSending, a_page_that_did_not_change_is_not_sent_and_counts_as_handled) {
  round();
  poke(1, 0, 5);
  round();
  poke(1, 0, 5);
  EXPECT_EQ(round(), 0u);
  EXPECT_EQ(sender_->pending_bytes(), 0u);
  EXPECT_EQ(patches_.pages.get(), 1u);
  EXPECT_EQ(patches_.bytes.get(), 0u);
}

TEST_F(XbzrleSending, a_page_that_changed_too_much_goes_whole_and_stays_cached) {
  round();
  poke(1, 0, 5);
  round();
  write(1, 9);
  EXPECT_EQ(round(), 8 + kPage);
  EXPECT_EQ(patches_.overflow.get(), 1u);
  EXPECT_EQ(patches_.bytes.get(), kPage);
  poke(1, 0, 5);
  EXPECT_EQ(round(), 8 + 3 + 3u);
}

TEST_F(XbzrleSending, pages_that_become_zero_and_come_back_are_patches_of_zeros) {
  round();
  write(1, 5);
  round();
  write(1, 0);
  EXPECT_EQ(round(), 9u);
  poke(1, 4095, 1);
  EXPECT_EQ(round(), 8 + 3 + 4u);
  write(2, 0);  // zero before it was ever cached
  EXPECT_EQ(round(), 9u);
  poke(2, 4095, 1);
  EXPECT_EQ(round(), 8 + 3 + 4u);
}

TEST_F(XbzrleSending, what_leaves_is_what_is_cached_whatever_the_guest_writes_until_the_flush) {
  round();
  poke(1, 0, 5);
  stage_.begin_round();
  ASSERT_TRUE(sender_->send_dirty(UINT64_MAX));
  ram_[1 * kPage + 8] = std::byte{77};  // between the look and the flush
  arrive();
  EXPECT_EQ(there_.data()[kPage + 8], std::byte{0}) << "the copy went, not the page";
  poke(1, 8, 77);
  EXPECT_EQ(round(), 8 + 3 + 3u) << "and the difference is found";
}

TEST_F(XbzrleSending, in_the_last_round_nothing_more_is_cached_and_hits_still_are_patches) {
  round();
  poke(1, 0, 5);
  round();
  stage_.begin_last_round();
  poke(1, 0, 6);
  poke(2, 0, 6);
  EXPECT_EQ(round(), (8 + 3 + 3) + (8 + kPage));
  poke(2, 0, 7);
  EXPECT_EQ(round(), 8 + kPage);
}

}  // namespace
}  // namespace tern
