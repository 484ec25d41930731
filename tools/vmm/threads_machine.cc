// SPDX-License-Identifier: Apache-2.0
//
// Each worker takes the same steps in the same order as guest.S, and looks between two steps
// whether it should stop. All its state is in its section and in RAM, so it goes on elsewhere with
// the very next step.
#include "tools/vmm/threads_machine.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <vector>

#include "tern/clock.h"
#include "tools/vmm/crew.h"
#include "tools/vmm/le_bytes.h"

namespace tern::vmm {
namespace {

/// Shorter waits are spun: a condition variable takes about that long to wake.
constexpr Nanoseconds kSpin{50'000};
constexpr Nanoseconds kMaxLate{1'000'000'000};

// Guest writes race with the migration's reads by design; hidden from ThreadSanitizer, and volatile
// so that no memcpy, which it would watch, takes their place.
__attribute__((no_sanitize("thread"))) void guest_store32(std::byte* at, uint32_t value) noexcept {
  *reinterpret_cast<volatile uint32_t*>(at) = value;  // x86 is little-endian like the guest
}
__attribute__((no_sanitize("thread"))) void guest_increment(std::byte* at) noexcept {
  auto* byte = reinterpret_cast<volatile uint8_t*>(at);
  *byte = static_cast<uint8_t>(*byte + 1U);
}
__attribute__((no_sanitize("thread"))) void guest_fill(std::byte* page, uint64_t gfn) noexcept {
  for (uint32_t word = 0; word < kGuestPageBytes / 4; ++word) {
    guest_store32(page + word * 4ull, fill_word(gfn, word));
  }
  *reinterpret_cast<volatile std::byte*>(page) = std::byte{0};
}

/// One thread's part of the guest. Touched by its thread while it runs, by save and load while it
/// is parked.
class Worker final : public DeviceSection {
 public:
  Worker(uint32_t index, const GuestParams& params, const RamBlock& ram, Serial& serial,
         const Crew* const& crew) noexcept
      : id_{"tern-threads/cpu", index},
        index_(index),
        ram_(ram),
        serial_(serial),
        crew_(crew),
        params_(params) {}

  void run(int wake_fd) noexcept {
    deadline_ = clock_now();
    as_work_ = (load_le<uint32_t>({ram_.host, kParamsGpa + kParamsStatusOffset},
                                  kParamsGpa + kParamsFlagsOffset) &
                kParamsFlagWork) != 0;
    while (!crew_->stopping()) {
      if (crew_->held(index_)) crew_->wait_while_held(index_);
      step(wake_fd);
    }
  }
  /// Wakes a run that waits for its next page. (One that waits for the serial line polls wake_fd.)
  void kick() noexcept {
    const std::lock_guard lock(mutex_);
    woken_.notify_all();
  }

  const SectionId& id() const noexcept override { return id_; }
  Result<void> save(DeviceWriter& writer) noexcept override;
  Result<void> load(DeviceReader& reader, uint32_t version_id) noexcept override;

 private:
  static Nanoseconds clock_now() noexcept {
    return std::chrono::steady_clock::now().time_since_epoch();
  }
  std::byte* page_at(uint64_t page) const noexcept {
    return ram_.host + params_.start + (slice().first + page) * kGuestPageBytes;
  }
  Slice slice() const noexcept { return slice_of(params_, index_); }
  void tell(size_t offset, uint32_t value) noexcept {
    guest_store32(ram_.host + kParamsGpa + kParamsStatusOffset + index_ * 8ull + offset, value);
  }
  void step(int wake_fd) noexcept;
  bool wait_for_pace() noexcept;
  void print(int wake_fd) noexcept;

  const SectionId id_;
  const uint32_t index_;
  const RamBlock& ram_;
  Serial& serial_;
  const Crew* const& crew_;
  std::mutex mutex_;
  std::condition_variable woken_;
  Nanoseconds deadline_{0};  ///< when the next page may be written; starts anew with each run
  bool as_work_ = false;     ///< read from the parameter block, which migrates with the RAM
  // ---- what migrates
  GuestParams params_;
  uint64_t filled_ = 0;  ///< pages
  uint64_t page_ = 0;    ///< next page of the round
  uint32_t rounds_ = 0;
  bool print_ = false;  ///< the round is done, its character not yet out
};

void Worker::step(int wake_fd) noexcept {
  if (filled_ < slice().pages()) {
    guest_fill(page_at(filled_), (params_.start / kGuestPageBytes) + slice().first + filled_);
    ++filled_;
    tell(kStatusFilledOffset, static_cast<uint32_t>(filled_));
  } else if (print_) {
    print(wake_fd);
  } else if (page_ == slice().pages()) {
    page_ = 0;
    ++rounds_;
    tell(kStatusRoundsOffset, rounds_);
    print_ = index_ == 0;
  } else if (wait_for_pace()) {
    guest_increment(page_at(page_));
    ++page_;
  }
}

/// Returns false when the machine stops first.
bool Worker::wait_for_pace() noexcept {
  if (params_.ticks_per_page == 0) return true;
  const Nanoseconds ticks(static_cast<int64_t>(params_.ticks_per_page));
  Nanoseconds now = clock_now();
  // It stood still: no burst to make up for that. Below, the average rate is kept.
  if (as_work_ || now > deadline_ + kMaxLate) deadline_ = std::max(now, deadline_);
  while (now < deadline_) {
    if (crew_->stopping()) return false;
    if (deadline_ - now > kSpin) {
      std::unique_lock lock(mutex_);
      // kick takes the lock after stopping() became true, so it cannot fall between test and wait.
      if (!crew_->stopping()) woken_.wait_for(lock, deadline_ - now);
    }
    now = clock_now();
  }
  deadline_ += ticks;
  return true;
}

void Worker::print(int wake_fd) noexcept {
  if (serial_.try_put(static_cast<uint8_t>(round_char(rounds_ - 1)))) {
    print_ = false;
    return;
  }
  pollfd waits[] = {{serial_.sink_fd(), POLLOUT, 0}, {wake_fd, POLLIN, 0}};
  // Any outcome is a reason to look again.
  [[maybe_unused]] const int n = ::poll(waits, 2, -1);
}

Result<void> Worker::save(DeviceWriter& writer) noexcept {
  if (!crew_->parked()) return Error(ErrorCode::failed_precondition, "the vCPUs are running");
  writer.put_u64("start", params_.start);
  writer.put_u64("pages", params_.pages);
  writer.put_u64("ns_per_page", params_.ticks_per_page);
  writer.put_u32("vcpus", params_.vcpus);
  writer.put_u64("filled", filled_);
  writer.put_u64("page", page_);
  writer.put_u32("rounds", rounds_);
  writer.put_bool("print", print_);
  return {};
}

Result<void> Worker::load(DeviceReader& reader, uint32_t /*version_id*/) noexcept {
  if (!crew_->parked()) return Error(ErrorCode::failed_precondition, "the vCPUs are running");
  GuestParams params;
  params.start = TERN_TRY(reader.get_u64("start"));
  params.pages = TERN_TRY(reader.get_u64("pages"));
  params.ticks_per_page = TERN_TRY(reader.get_u64("ns_per_page"));
  params.vcpus = TERN_TRY(reader.get_u32("vcpus"));
  TERN_TRY(check_params(params, ram_.used_bytes));
  if (params.ticks_per_page > kMaxTicksPerPage) {
    return reader.bad_value("ns_per_page", "more than a day");
  }
  if (params.vcpus != params_.vcpus) {
    return reader.bad_value("vcpus", "the source has " + std::to_string(params.vcpus) +
                                         " vCPUs, this machine " + std::to_string(params_.vcpus));
  }
  const uint64_t pages = slice_of(params, index_).pages();
  const uint64_t filled = TERN_TRY(reader.get_u64("filled"));
  if (filled > pages) return reader.bad_value("filled", "more than the slice has");
  const uint64_t page = TERN_TRY(reader.get_u64("page"));
  if (page > pages) return reader.bad_value("page", "outside the slice");
  rounds_ = TERN_TRY(reader.get_u32("rounds"));
  print_ = TERN_TRY(reader.get_bool("print"));
  params_ = params;
  filled_ = filled;
  page_ = page;
  return {};
}

class ThreadsMachine final : public VmMachine {
 public:
  ThreadsMachine(Ram ram, const ThreadsOptions& options, SerialSink sink, LogSink& log) noexcept
      : VmMachine(std::move(ram), log),
        options_(options),
        serial_("tern-threads/serial", std::move(sink)) {}

  Result<void> set_up() noexcept {
    TERN_TRY(check_params(options_.params, this->ram()[0].used_bytes));
    if (options_.params.ticks_per_page > kMaxTicksPerPage) {
      return Error(ErrorCode::invalid_argument, "the guest's rate is below a page a day");
    }
    for (uint32_t i = 0; i < vcpus(); ++i) {
      workers_.push_back(
          std::make_unique<Worker>(i, options_.params, this->ram()[0], serial_, crew_view_));
      devices_.push_back(workers_.back().get());
    }
    devices_.push_back(&serial_);
    crew_ = TERN_TRY(Crew::create(vcpus(), {[this](uint32_t i) { workers_[i]->run(wake_.get()); },
                                            [this](uint32_t i, std::thread&) {
                                              wake_.raise();
                                              workers_[i]->kick();
                                            }}));
    crew_view_ = crew_.get();
    if (options_.incoming) return {};
    return memory().write(kParamsGpa, encode_params(options_.params));
  }

  std::string_view name() const noexcept override { return "tern-threads"; }
  uint32_t vcpus() const noexcept override { return options_.params.vcpus; }
  std::span<DeviceSection* const> devices() noexcept override { return devices_; }
  Result<std::unique_ptr<DirtyTracker>> make_tracker(LogSink& log) noexcept override {
    auto tracker = TERN_TRY(make_write_protect_tracker(options_.tracking, log));
    tracker->set_vcpu_threads(crew_->thread_ids());
    return tracker;
  }

  void hold_vcpu(uint32_t vcpu, Nanoseconds time) noexcept override { crew_->hold(vcpu, time); }

 protected:
  Result<void> stop_vcpus() noexcept override {
    crew_->stop();
    return {};
  }
  Result<void> start_vcpus() noexcept override {
    wake_.lower();
    crew_->start();
    return {};
  }

 private:
  const ThreadsOptions options_;
  Serial serial_;
  WakeFd wake_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<DeviceSection*> devices_;
  const Crew* crew_view_ = nullptr;  ///< what the workers see: they are made before the crew
  std::unique_ptr<Crew> crew_;       ///< last: its end joins the threads that use the rest
};

}  // namespace

Result<std::unique_ptr<VmMachine>> make_threads_machine(Ram ram, const ThreadsOptions& options,
                                                        SerialSink serial, LogSink& log) noexcept {
  auto machine = std::make_unique<ThreadsMachine>(std::move(ram), options, std::move(serial), log);
  TERN_TRY(machine->set_up());
  return std::unique_ptr<VmMachine>(std::move(machine));
}

}  // namespace tern::vmm
