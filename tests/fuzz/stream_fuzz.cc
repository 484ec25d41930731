// SPDX-License-Identifier: Apache-2.0
//
// The main stream into a machine: `none`, one block `m` of 1 MiB, between pages that nobody may
// touch. With a device if the input speaks of it. The destination's answers are read back: they
// must be whole messages.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "migration/destination/return_sender.h"
#include "migration/destination/stream_loader.h"
#include "tests/doubles/memory_channel.h"
#include "tests/fuzz/target.h"

namespace tern::fuzz {
namespace {

constexpr size_t kRamBytes = 1u << 20;
constexpr uint64_t kMaxDeviceState = 1u << 20;
constexpr std::string_view kDeviceIdstr = "fuzz/device";
uint64_t successes = 0;

// What the source sent. A go is given only when everything before it was read, as a source does.
class SourceEnd final : public Channel {
 public:
  explicit SourceEnd(std::span<const std::byte> input) : input_(input) {
    static constexpr unsigned char kGo[] = {0x08, 0xd4, 0x03, 0x00, 0x00};
    if (input.size() >= sizeof kGo) {
      const auto last = input.last(sizeof kGo);
      if (std::memcmp(last.data(), kGo, sizeof kGo) == 0) pause_ = input.size() - sizeof kGo;
    }
    // How the bytes come in pieces must not matter; the input itself chooses.
    static constexpr size_t kPieces[] = {SIZE_MAX, SIZE_MAX, 4096, 61};
    uint8_t sum = 0;
    for (const std::byte b : input.first(std::min<size_t>(input.size(), 64))) {
      sum = static_cast<uint8_t>(sum * 31 + std::to_integer<uint8_t>(b));
    }
    piece_ = kPieces[sum % std::size(kPieces)];
  }
  std::vector<std::byte> answers;

  Result<size_t> read_some(std::span<std::byte> into) noexcept override {
    const size_t end = at_ < pause_ ? pause_ : input_.size();
    const size_t n = std::min({into.size(), end - at_, piece_});
    if (n > 0) std::memcpy(into.data(), input_.data() + at_, n);
    at_ += n;
    return n;
  }
  Result<size_t> write_some(std::span<const iovec> slices) noexcept override {
    size_t n = 0;
    for (const iovec& s : slices) {
      const auto* p = static_cast<const std::byte*>(s.iov_base);
      answers.insert(answers.end(), p, p + s.iov_len);
      n += s.iov_len;
    }
    return n;
  }
  void set_read_deadline(Deadline) noexcept override {}
  void set_write_deadline(Deadline) noexcept override {}
  void shutdown() noexcept override {}
  void finish_writing() noexcept override {}
  bool peer_closed() noexcept override { return at_ == input_.size(); }
  bool bidirectional() const noexcept override { return true; }
  std::string describe() const noexcept override { return "fuzz"; }

 private:
  std::span<const std::byte> input_;
  size_t pause_ = 0;
  size_t piece_ = SIZE_MAX;
  size_t at_ = 0;
};

class FuzzDevice final : public DeviceSection {
 public:
  const SectionId& id() const noexcept override { return id_; }
  Result<void> save(DeviceWriter&) noexcept override { return {}; }
  Result<void> load(DeviceReader& r, uint32_t) noexcept override {
    TERN_TRY(r.get_bool("flag"));
    uint32_t words[4];
    TERN_TRY(r.get_u32_array("words", words));
    const uint8_t n = TERN_TRY(r.get_u8("n"));
    TERN_TRY(r.get_buffer("bytes", n));
    if (n > 64) return r.bad_value("n", "more than 64");
    return {};
  }

 private:
  SectionId id_{std::string(kDeviceIdstr), 0, 2, 1};
};

class StoppedGuest final : public VcpuControl {
 public:
  RunState run_state() const noexcept override { return RunState::inmigrate; }
  Result<RunState> pause_all(RunState) noexcept override { return run_state(); }
  Result<void> resume_all() noexcept override { return {}; }
  void set_stopped_state(RunState) noexcept override {}
};

// 1 MiB with forbidden pages on both sides; given back to the kernel between runs, so that each
// starts with zeros.
class GuardedRam {
 public:
  GuardedRam() {
    void* p = mmap(nullptr, kRamBytes + 2 * kTargetPageBytes, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) std::abort();
    data_ = static_cast<std::byte*>(p) + kTargetPageBytes;
    if (mprotect(data_, kRamBytes, PROT_READ | PROT_WRITE) != 0) std::abort();
  }
  std::byte* fresh() {
    madvise(data_, kRamBytes, MADV_DONTNEED);
    return data_;
  }

 private:
  std::byte* data_ = nullptr;
};

// Whether the answers are whole messages.
std::string check_answers(std::vector<std::byte> answers) {
  test::MemoryChannel channel(std::move(answers));
  StreamReader in(channel, 4096);
  for (;;) {
    const auto over = in.at_end();
    if (!over || *over) return {};
    const auto message = read_return_message(in);
    if (!message) return "the destination answered nonsense: " + message.error().message();
  }
}

std::string run(std::span<const std::byte> input) {
  static GuardedRam ram;
  const std::vector<RamBlock> blocks{{.idstr = "m", .host = ram.fresh(), .used_bytes = kRamBytes}};
  StoppedGuest guest;
  FuzzDevice device;
  DeviceSection* const devices[] = {&device};
  Machine machine;
  machine.name = "none";
  machine.ram = blocks;
  machine.vcpus = &guest;
  const auto names_device =
      std::search(input.begin(), input.end(), kDeviceIdstr.begin(), kDeviceIdstr.end(),
                  [](std::byte b, char c) { return b == std::byte(c); });
  if (names_device != input.end()) machine.devices = devices;
  const auto memory = GuestMemory::create(blocks);
  if (!memory) return "the machine is wrong";
  Settings settings;
  settings.max_device_state = kMaxDeviceState;
  SourceEnd channel(input);
  ReturnSender answers(channel);
  Progress progress(system_clock());
  StreamLoader loader(channel, machine, settings, *memory, answers, progress,
                      [] { return Result<void>(); });

  const auto opened = loader.read_opening();
  Result<void> loaded = opened ? Result<void>() : Result<void>(opened.error());
  if (opened && *opened) {
    const auto state = loader.load();
    if (!state) loaded = state.error();
    if (state && loader.go_is_needed()) loaded = loader.await_go();
    if (state && loaded) ++successes;
  }
  if (std::string wrong = check_answers(std::move(channel.answers)); !wrong.empty()) return wrong;
  if (loaded) return {};
  return check_error(loaded.error(),
                     {ErrorCode::peer_protocol, ErrorCode::channel, ErrorCode::resource_exhausted});
}

}  // namespace

FuzzTarget stream_target() {
  return {"stream", {"stream-"}, run, [] { return std::exchange(successes, 0); }};
}

}  // namespace tern::fuzz
