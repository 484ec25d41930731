// SPDX-License-Identifier: Apache-2.0
//
// One child process of ours.
#include "transport/child.h"

#include <fcntl.h>
#include <spawn.h>
// glibc 2.36 declares these without extern "C".
extern "C" {
#include <sys/pidfd.h>
}
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>

namespace tern::transport {

namespace {

constexpr Milliseconds kPatience{2000};
/// A killed child that is still there after this hangs in the kernel; the caller must not.
constexpr Milliseconds kKillPatience{5000};

/// The attributes and actions of posix_spawn, released on every path.
class SpawnPlan {
 public:
  SpawnPlan() noexcept {
    ok_ = posix_spawn_file_actions_init(&actions_) == 0;
    ok_ = posix_spawnattr_init(&attributes_) == 0 && ok_;
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  void set(int standard_in, int standard_out) noexcept {
    const auto add = [this](int error) { ok_ = ok_ && error == 0; };
    add(posix_spawn_file_actions_adddup2(&actions_, standard_in, STDIN_FILENO));
    add(posix_spawn_file_actions_adddup2(&actions_, standard_out, STDOUT_FILENO));
    // The embedder's descriptors (guest memory, KVM) are not the business of a shell command, and
    // another channel's socket kept open by it would never end.
    add(posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1));
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    add(posix_spawnattr_setsigmask(&attributes_, &none));
    add(posix_spawnattr_setsigdefault(&attributes_, &all));
    add(posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
  }

  /// 0 or an errno.
  int run(pid_t& pid, const std::vector<std::string>& argv) noexcept {
    if (!ok_) return ENOMEM;
    std::vector<char*> pointers;
    pointers.reserve(argv.size() + 1);
    for (const std::string& arg : argv) pointers.push_back(const_cast<char*>(arg.c_str()));
    pointers.push_back(nullptr);
    return ::posix_spawnp(&pid, pointers[0], &actions_, &attributes_, pointers.data(), environ);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
  bool ok_ = false;
};

std::optional<std::string> text_of(const siginfo_t& info) noexcept {
  if (info.si_code == CLD_EXITED) {
    return "child exited with status " + std::to_string(info.si_status);
  }
  return "child was killed by signal " + std::to_string(info.si_status);
}

}  // namespace

Result<Pipe> make_pipe() noexcept {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return errno_error(code_of_errno(errno), "cannot create a pipe", errno);
  }
  Pipe pipe{Fd(ends[0]), Fd(ends[1])};
  for (Fd* end : {&pipe.read_end, &pipe.write_end}) {
    if (end->get() > STDERR_FILENO) continue;
    Fd above(::fcntl(end->get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!above) return errno_error(code_of_errno(errno), "cannot create a pipe", errno);
    *end = std::move(above);
  }
  return pipe;
}

Result<std::unique_ptr<Child>> Child::spawn(const std::vector<std::string>& argv, Fd standard_in,
                                            Fd standard_out) noexcept {
  if (argv.empty()) return Error(ErrorCode::invalid_argument, "exec: the command is empty");
  SpawnPlan plan;
  plan.set(standard_in.get(), standard_out.get());
  pid_t pid = -1;
  if (const int err = plan.run(pid, argv); err != 0) {
    return errno_error(code_of_errno(err), "cannot run '" + argv[0] + "'", err);
  }
  // By descriptor from here on: a number could be reaped by the embedder's own waitpid(-1) and be
  // given away.
  Fd pidfd(::pidfd_open(pid, 0));
  // ESRCH: the embedder ignores SIGCHLD, and a quick command is gone already. Its output may still
  // be in the pipe.
  if (!pidfd && errno != ESRCH) {
    const int err = errno;
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return errno_error(code_of_errno(err), "cannot watch '" + argv[0] + "'", err);
  }
  return std::unique_ptr<Child>(new Child(std::move(pidfd)));
}

Child::~Child() { end(kPatience); }

bool Child::reap() noexcept {
  MutexLock lock(mutex_);
  if (reaped_ || !pidfd_) return true;
  siginfo_t info{};
  int got = 0;
  do {
    got = ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
  } while (got < 0 && errno == EINTR);
  if (got == 0 && info.si_pid == 0) return false;
  // ECHILD: the embedder ignores SIGCHLD or reaped it; it is gone, how is not known.
  if (got == 0) exit_text_ = text_of(info);
  reaped_ = true;
  return true;
}

bool Child::wait_exit(Milliseconds at_most) noexcept {
  if (!pidfd_) return true;
  const TimePoint until = time_after(at_most);
  for (;;) {
    const auto left =
        std::chrono::ceil<Milliseconds>(until - std::chrono::steady_clock::now()).count();
    pollfd one{pidfd_.get(), POLLIN, 0};
    const int n = ::poll(&one, 1, left > 0 ? static_cast<int>(left) : 0);
    if (n > 0) return reap();
    if (n == 0 && left <= 0) return false;
    if (n < 0 && errno != EINTR) return reap();
  }
}

void Child::signal(int number) noexcept {
  // A reaped one gives ESRCH.
  if (pidfd_) (void)::pidfd_send_signal(pidfd_.get(), number, nullptr, 0);
}

void Child::end(Milliseconds patience) noexcept {
  if (wait_exit(Milliseconds{0})) return;
  signal(SIGTERM);
  if (wait_exit(patience)) return;
  signal(SIGKILL);
  wait_exit(kKillPatience);
}

std::optional<std::string> Child::exit_text() noexcept {
  if (!wait_exit(Milliseconds{0})) return std::nullopt;
  MutexLock lock(mutex_);
  return exit_text_;
}

}  // namespace tern::transport
