// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_watch.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "tools/tern/ctl_progress.h"

namespace tern::tool {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Ms = std::chrono::milliseconds;

double unix_now() noexcept {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Ms left(SteadyClock::time_point until) noexcept {
  return std::max(Ms(0), std::chrono::ceil<Ms>(until - SteadyClock::now()));
}

// Lines in a pipe; on a terminal the last line is the present state, redrawn under the events.
class Screen {
 public:
  Screen(std::FILE* out, bool json) noexcept
      : out_(out), terminal_(!json && ::isatty(::fileno(out)) != 0) {}
  ~Screen() {
    if (!live_.empty()) std::fputc('\n', out_);
    std::fflush(out_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  bool terminal() const noexcept { return terminal_; }

  size_t columns() const noexcept {
    winsize size{};
    if (!terminal_) return 0;
    // The last column stays free: a full line would wrap and could not be redrawn.
    if (::ioctl(::fileno(out_), TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return 79;
    return size.ws_col - 1u;
  }

  void line(const std::string& text) {
    if (!live_.empty()) std::fputs("\r\033[K", out_);
    std::fprintf(out_, "%s\n", text.c_str());
    if (!live_.empty()) std::fputs(live_.c_str(), out_);
    std::fflush(out_);
  }

  void live(const std::string& text) {
    live_ = text;
    std::fprintf(out_, "\r\033[K%s", text.c_str());
    std::fflush(out_);
  }

  // The live line gives way to what follows.
  void settle() {
    if (!live_.empty()) std::fputs("\r\033[K", out_);
    live_.clear();
  }

 private:
  std::FILE* out_;
  bool terminal_;
  std::string live_;
};

class Watcher {
 public:
  Watcher(QmpClient& client, const WatchOptions& options, std::FILE* out)
      : client_(client), options_(options), screen_(out, options.json) {}

  Result<bool> run();

 private:
  Result<void> look();
  Result<void> wait_for_next_look();
  void show(const Json& info);
  void show_event(const Json& event);
  bool changes_state(const Json& event) const;
  void finish();

  QmpClient& client_;
  const WatchOptions& options_;
  Screen screen_;
  Estimator estimator_;
  MigrationSample sample_;
  Estimate estimate_;
  Json info_;
  std::string shown_status_;
  bool look_works_ = true;  // false: the server has no query-migrate, there are only events
  bool shut_down_ = false;
  const SteadyClock::time_point begun_ = SteadyClock::now();
};

void Watcher::show_event(const Json& event) {
  shut_down_ = shut_down_ || text_field(event, "event") == "SHUTDOWN";
  if (options_.json) {
    screen_.line(json_line(event));
  } else {
    screen_.line(clock_text(event_time(event, unix_now())) + "  " + event_line(event));
  }
}

void Watcher::show(const Json& info) {
  const double now = std::chrono::duration<double>(SteadyClock::now() - begun_).count();
  sample_ = read_sample(info, now);
  estimate_ = estimator_.add(sample_);
  info_ = info;
  // In a pipe, a state in which nothing moves is worth one line; the end has a line of its own.
  const bool last = options_.until_end && migration_ended(sample_.status) && !options_.json;
  const bool news = !last && (sample_.status != shown_status_ || migration_moves(sample_.status));
  shown_status_ = sample_.status;
  if (screen_.terminal()) {
    const std::string line = sample_line(sample_, estimate_, screen_.columns());
    screen_.live(sample_.status == "none" ? "no migration" : line);
  } else if (news && options_.json) {
    screen_.line(json_line(sample_json(sample_, estimate_, unix_now(), info)));
  } else if (news && sample_.status != "none") {
    screen_.line(clock_text(unix_now()) + "  " + sample_line(sample_, estimate_, 0));
  }
}

Result<void> Watcher::look() {
  if (!look_works_) return {};
  const Json reply = TERN_TRY(client_.execute_raw({{"execute", "query-migrate"}}));
  for (const Json& event : client_.take_events()) show_event(event);
  look_works_ = field(reply, "return").is_object();
  if (look_works_) show(field(reply, "return"));
  return {};
}

bool Watcher::changes_state(const Json& event) const {
  const std::string name = text_field(event, "event");
  return name == "MIGRATION" || name == "STOP" || name == "RESUME";
}

Result<void> Watcher::wait_for_next_look() {
  auto until = SteadyClock::now() + options_.interval;
  if (options_.limit) until = std::min(until, begun_ + *options_.limit);
  while (true) {
    const Json event = TERN_TRY(client_.next_event(left(until)));
    if (event.is_null()) return {};
    show_event(event);
    if (changes_state(event) || left(until) == Ms(0)) return {};
  }
}

void Watcher::finish() {
  screen_.settle();
  if (!options_.json) {
    screen_.line((screen_.terminal() ? "" : clock_text(unix_now()) + "  ") +
                 end_line(sample_, estimate_));
  } else {
    screen_.line(json_line({{"end", sample_.status}, {"migration", info_}}));
  }
}

Result<bool> Watcher::run() {
  while (true) {
    Result<void> step = look();
    if (step && options_.until_end && !look_works_) {
      return Error(ErrorCode::unsupported, "the server has no query-migrate");
    }
    if (step && options_.until_end && migration_ended(sample_.status)) {
      finish();
      return sample_.status == "completed";
    }
    if (step && options_.limit && left(begun_ + *options_.limit) == Ms(0)) {
      return Error(ErrorCode::timed_out,
                   "the time is up, the migration is '" + printable(sample_.status) + "'");
    }
    if (step) step = wait_for_next_look();
    if (step) continue;
    // Events that came before the end are news too, SHUTDOWN above all.
    for (const Json& event : client_.take_events()) show_event(event);
    if (shut_down_ && !options_.until_end) return true;
    return std::move(step).error();
  }
}

}  // namespace

Result<bool> watch(QmpClient& client, const WatchOptions& options, std::FILE* out) noexcept {
  return Watcher(client, options, out).run();
}

}  // namespace tern::tool
