// SPDX-License-Identifier: Apache-2.0
//
// tern-vmm: builds the machine that the options describe, hands it to tern's control plane and
// waits for the end. Exit status: 0 after quit (QMP or a signal), 1 when the start or an incoming
// migration failed, 2 for usage errors. A guest that ends by itself leaves the process in run state
// shutdown, for QMP to look at.
#include <poll.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tern/qmp.h"
#include "tools/vmm/held_device.h"
#include "tools/vmm/kvm_machine.h"
#include "tools/vmm/log.h"
#include "tools/vmm/nic.h"
#include "tools/vmm/none_machine.h"
#include "tools/vmm/options.h"
#include "tools/vmm/qtest.h"
#include "tools/vmm/threads_machine.h"

namespace tern::vmm {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;

/// For the signal handler, which can be given nothing else: the eventfd that ends the process.
std::atomic<int> signal_fd = -1;

void on_signal(int /*number*/) {
  const int saved = errno;
  const uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(signal_fd.load(), &one, sizeof one);
  errno = saved;
}

Result<std::vector<std::byte>> read_boot(const std::string& path) noexcept {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes(kMaxBootBytes + 1);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.is_open() || file.bad()) {
    return errno_error(ErrorCode::invalid_argument, "--boot " + path, errno);
  }
  bytes.resize(static_cast<size_t>(file.gcount()));
  if (bytes.empty()) return Error(ErrorCode::invalid_argument, "--boot " + path + ": empty");
  const auto view = std::as_bytes(std::span(bytes));
  return std::vector<std::byte>(view.begin(), view.end());
}

Result<std::unique_ptr<VmMachine>> make_machine(const VmmOptions& options, LogSink& log) noexcept {
  const bool incoming = !options.incoming.empty();
  Ram ram = TERN_TRY(Ram::create(options.ram).context("RAM"));
  SerialSink serial = TERN_TRY(SerialSink::open(options.serial, incoming));
  switch (options.machine) {
    case MachineKind::none:
      return make_none_machine(std::move(ram), log);
    case MachineKind::threads: {
      ThreadsOptions threads{options.guest, incoming, options.write_protect};
      if (options.guest_rate != 0) {
        threads.params.ticks_per_page = kNsPerSecond * options.guest.vcpus / options.guest_rate;
      }
      return make_threads_machine(std::move(ram), threads, std::move(serial), log);
    }
    case MachineKind::kvm:
      break;
  }
  KvmOptions kvm{options.guest, options.guest_rate, {}, incoming, options.dirty_ring};
  if (!options.boot.empty()) kvm.boot = TERN_TRY(read_boot(options.boot));
  return make_kvm_machine(std::move(ram), kvm, std::move(serial), log).context("--machine kvm");
}

/// Runs what it is given on the thread that calls run(): tern-vmm's main thread.
class MainLoop final : public QmpDispatcher {
 public:
  explicit MainLoop(WakeFd& wake) noexcept : wake_(wake) {}
  void post(std::function<void()> work) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      works_.push_back(std::move(work));
    }
    wake_.raise();
  }
  void run() noexcept {
    std::vector<std::function<void()>> works;
    {
      const std::lock_guard lock(mutex_);
      works.swap(works_);
    }
    for (const auto& work : works) work();
  }

 private:
  WakeFd& wake_;
  std::mutex mutex_;
  std::vector<std::function<void()>> works_;
};

class Vmm final : public QmpVm {
 public:
  Vmm(VmmOptions options, LogSink& log) noexcept : options_(std::move(options)), log_(log) {}
  ~Vmm() override { tear_down(); }

  Result<void> start() noexcept;
  /// Returns the exit status.
  int run() noexcept;

  std::string name() const noexcept override { return options_.name; }
  bool kvm() const noexcept override { return options_.machine == MachineKind::kvm; }
  void quit() noexcept override { end(0); }
  void incoming_failed(const Error& /*error*/) noexcept override { end(1); }

 private:
  void end(int status) noexcept {
    int expected = -1;
    status_.compare_exchange_strong(expected, status);
    wake_.raise();
  }
  void serve_qmp(size_t index) noexcept;
  void take_signals() noexcept;
  void tear_down() noexcept;

  const VmmOptions options_;
  LogSink& log_;
  WakeFd wake_;
  WakeFd signal_;
  MainLoop loop_{wake_};
  std::atomic<int> status_ = -1;  ///< -1 = goes on
  std::atomic<bool> guest_ended_ = false;
  // In the order in which they are made; what comes later uses what comes before.
  std::unique_ptr<VmMachine> machine_;
  std::unique_ptr<DirtyTracker> tracker_;
  std::unique_ptr<SelfAnnouncer> announcer_;
  std::vector<std::unique_ptr<HeldDevice>> held_devices_;
  std::vector<UnplugDevice*> unplug_;
  ObjectStore objects_;
  std::unique_ptr<ControlPlane> control_;
  std::unique_ptr<QtestServer> qtest_;
  std::vector<std::thread> qmp_threads_;
};

Result<void> Vmm::start() noexcept {
  machine_ = TERN_TRY(make_machine(options_, log_));
  log_.log(LogLevel::info, "machine " + std::string(machine_->name()) + ", " +
                               std::to_string(options_.ram.bytes >> 20) + " MiB of RAM, " +
                               std::to_string(machine_->vcpus()) + " vCPUs");
  auto tracker = machine_->make_tracker(log_);
  if (tracker) {
    tracker_ = std::move(*tracker);
    machine_->memory().set_tracker(tracker_.get());
    log_.log(LogLevel::info, "dirty tracking by " + std::string(tracker_->name()));
  } else {
    log_.log(LogLevel::warning, "nothing tracks writes, so the guest migrates only when stopped: " +
                                    tracker.error().message());
  }
  machine_->on_guest_end([this] {
    guest_ended_ = true;
    wake_.raise();
  });
  announcer_ = TERN_TRY(make_announcer(options_.nics, log_).context("--nic"));
  for (const auto& device : options_.held_devices) {
    held_devices_.push_back(std::make_unique<HeldDevice>(device, system_clock()));
    unplug_.push_back(held_devices_.back().get());
  }
  for (const std::string& object : options_.objects) {
    TERN_TRY(objects_.add_text(object).context("--object " + object.substr(0, object.find(','))));
  }
  Machine machine;
  machine.objects = &objects_;
  machine.name = machine_->name();
  machine.ram = machine_->ram();
  machine.tracker = tracker_.get();
  machine.vcpus = machine_.get();
  machine.devices = machine_->devices();
  machine.unplug = unplug_;
  machine.announcer = announcer_.get();
  machine.uuid = options_.uuid;
  machine.log = &log_;
  QmpOptions qmp;
  qmp.incoming = options_.incoming;
  qmp.paused = options_.paused;
  qmp.exit_on_error = options_.exit_on_error;
  qmp.dispatcher = &loop_;
  qmp.version = options_.qmp_version;
  qmp.settings = options_.settings;
  qmp.events = options_.events;
  control_ = TERN_TRY(ControlPlane::create(machine, *this, qmp));
  for (const auto& reason : options_.blockers) {
    (void)TERN_TRY(control_->add_migration_blocker(reason).context("--block-migration"));
  }
  take_signals();
  TERN_TRY(control_->begin());
  if (!options_.qtest.empty()) {
    qtest_ =
        TERN_TRY(QtestServer::create(options_.qtest, machine_->memory(), log_).context("--qtest"));
  }
  for (size_t i = 0; i < options_.qmp.size(); ++i) {
    qmp_threads_.emplace_back([this, i] { serve_qmp(i); });
  }
  return {};
}

void Vmm::serve_qmp(size_t index) noexcept {
  ::pthread_setname_np(::pthread_self(), ("qmp-" + std::to_string(index)).c_str());
  auto served = control_->serve_unix(options_.qmp[index]);
  if (served) return;
  log_.log(LogLevel::error, "--qmp: " + served.error().message());
  end(1);
}

void Vmm::take_signals() noexcept {
  signal_fd = signal_.get();
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  // A pipe behind --serial or exec: that loses its reader is an error of a write, not the end of
  // the guest.
  ::signal(SIGPIPE, SIG_IGN);
}

int Vmm::run() noexcept {
  pollfd waits[] = {{wake_.get(), POLLIN, 0}, {signal_.get(), POLLIN, 0}};
  while (status_ < 0) {
    if (::poll(waits, 2, -1) < 0) continue;
    wake_.lower();
    loop_.run();
    if (guest_ended_.exchange(false)) control_->guest_shutdown();
    if (waits[1].revents != 0) {
      log_.log(LogLevel::info, "ended by a signal");
      signal_.lower();
      control_->host_signal();
      end(0);
    }
  }
  return status_;
}

void Vmm::tear_down() noexcept {
  if (machine_) machine_->memory().close();
  qtest_.reset();
  if (control_) control_->stop();
  for (auto& thread : qmp_threads_) thread.join();
  control_.reset();
  // A vCPU uses the tracker when its dirty ring is full, and the tracker goes first.
  if (machine_) machine_->pause_all(RunState::shutdown).ignore("the process ends");
}

int vmm_main(int argc, char** argv) noexcept {
  auto parsed = parse_options(argc, argv);
  if (const auto* exit_now = std::get_if<ExitNow>(&parsed)) return exit_now->status;
  auto& options = std::get<VmmOptions>(parsed);
  StderrLog log(options.log_level);
  Vmm vmm(std::move(options), log);
  if (auto started = vmm.start(); !started) {
    log.log(LogLevel::error, "tern-vmm: " + started.error().message());
    return 1;
  }
  return vmm.run();
}

}  // namespace
}  // namespace tern::vmm

int main(int argc, char** argv) { return tern::vmm::vmm_main(argc, argv); }
