// SPDX-License-Identifier: Apache-2.0
//
// tern dirty-rate: the command line, and the order of measuring, printing and waiting.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "base/fd.h"
#include "tools/tern/dirty_rate_measure.h"
#include "tools/tern/dirty_rate_options.h"
#include "tools/tern/dirty_rate_output.h"
#include "tools/tern/dirty_rate_qmp.h"
#include "tools/tern/dirty_rate_svg.h"
#include "tools/tern/subcommands.h"

namespace tern::tool {
namespace {

void complain(const Error& error) {
  std::fprintf(stderr, "tern dirty-rate: %s\n", printable(error.message()).c_str());
}

int fail(const Error& error) {
  complain(error);
  return static_cast<int>(status_of(error));
}

// Its errno is for people only: those of files must not be taken for what became of a process.
Error cannot_write(const std::string& what, int error) {
  return Error(ErrorCode::channel, what + ": " + std::strerror(error));
}

// SIGINT and SIGTERM end the measuring, not the program: what was measured is still printed.
Result<Fd> stop_signals() noexcept {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) {
    return errno_error(ErrorCode::internal, "sigprocmask", errno);
  }
  Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return errno_error(ErrorCode::internal, "signalfd", errno);
  return fd;
}

// The end of a measuring that was interrupted before there was a figure.
int end_without_figures(int stop) {
  signalfd_siginfo signal{};
  const bool terminated = ::read(stop, &signal, sizeof(signal)) == sizeof(signal) &&
                          signal.ssi_signo == static_cast<uint32_t>(SIGTERM);
  std::fputs("tern dirty-rate: interrupted before anything was measured\n", stderr);
  return static_cast<int>(terminated ? DirtyRateStatus::terminated : DirtyRateStatus::interrupted);
}

// Prints measurements as they come and keeps what the chart needs.
class Reporter {
 public:
  Reporter(const DirtyRateOptions& options, RateTarget target)
      : options_(options),
        repeated_(options.count != 1),
        live_(repeated_ && !options.json && !options.csv && ::isatty(STDOUT_FILENO) != 0) {
    chart_.target = std::move(target);
  }

  Result<void> begin() {
    if (options_.csv) std::fputs(csv_header().c_str(), stdout);
    if (!options_.csv && !options_.json) {
      std::printf("%s\n", target_line(chart_.target).c_str());
    }
    return flush();
  }

  bool measured() const noexcept { return measured_; }

  Result<void> show(const Measurement& measurement) {
    const WindowResult& last = measurement.windows.back();
    const Estimated& rate = last.pages_per_s;
    add(measurement.started, {mib(rate.value), mib(rate.low), mib(rate.high)});
    chart_.windows = measurement.windows;
    chart_.regions = measurement.regions;
    chart_.subtitle = chart_subtitle(measurement);
    return print(measurement_json(chart_.target, measurement, options_.regions),
                 measurement_csv(chart_.target, measurement),
                 measurement_text(measurement, options_.regions), measurement_line(measurement));
  }

  Result<void> show(const QmpRate& rate) {
    if (rate.mib_per_s) {
      const double value = *rate.mib_per_s;
      add(rate.started, {value, rate.low.value_or(value), rate.high.value_or(value)});
    }
    chart_.subtitle = "mode " + rate.mode + ", window " + window_text(rate.window);
    return print(measurement_json(chart_.target, rate), measurement_csv(chart_.target, rate),
                 measurement_text(rate), measurement_line(rate));
  }

  // Writes the last line and the chart.
  Result<void> finish() {
    if (live_ && !chart_.points.empty()) std::fputc('\n', stdout);
    if (repeated_ && !options_.json && !options_.csv) {
      const std::string summary = summary_line(values_);
      if (!summary.empty()) std::printf("%s\n", summary.c_str());
    }
    const Result<void> flushed = flush();
    TERN_TRY(write_chart());
    return flushed;
  }

 private:
  // Fails once: it is told then.
  Result<void> flush() {
    errno = 0;
    const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
    if (!failed || broken_) return {};
    broken_ = true;
    return cannot_write("standard output", errno != 0 ? errno : EIO);
  }

  Result<void> write_chart() {
    if (options_.svg.empty() || chart_.points.empty()) return {};
    const std::string svg = rate_chart_svg(chart_);
    std::FILE* file = std::fopen(options_.svg.c_str(), "we");
    if (file == nullptr) return cannot_write(options_.svg, errno);
    const bool written = std::fwrite(svg.data(), 1, svg.size(), file) == svg.size();
    const int error = errno;
    if (std::fclose(file) != 0 || !written) {
      return cannot_write(options_.svg, written ? errno : error);
    }
    return {};
  }

  // The last column stays free: a full line would wrap and could not be redrawn.
  static size_t columns() {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return 79;
    return size.ws_col - 1u;
  }

  void add(Nanoseconds at, Estimated rate) {
    values_.push_back(rate.value);
    chart_.points.push_back({at, rate});
  }

  Result<void> print(const Json& json, const std::string& csv, const std::string& text,
                     const std::string& line) {
    measured_ = true;
    if (options_.json) {
      std::printf("%s\n", json_line(json).c_str());
    } else if (options_.csv) {
      std::fputs(csv.c_str(), stdout);
    } else if (!repeated_) {
      std::fputs(text.c_str(), stdout);
    } else if (live_) {
      std::printf("\r\033[K%s", line.substr(0, columns()).c_str());
    } else {
      std::printf("%s\n", line.c_str());
    }
    return flush();
  }

  const DirtyRateOptions& options_;
  bool repeated_;
  bool live_;
  bool measured_ = false;
  bool broken_ = false;
  RateChart chart_;
  std::vector<double> values_;
};

// Calls measure_once until it has been called often enough, it has no more, or `stop`. Waits by
// wait_until(moment): true ends it.
template <typename Once, typename Wait>
Result<void> repeat(const DirtyRateOptions& options, const Once& measure_once,
                    const Wait& wait_until) {
  for (uint64_t done = 0; options.count == 0 || done < options.count; ++done) {
    const Nanoseconds begun = system_clock().now();
    if (!TERN_TRY(measure_once())) return {};
    if (options.count != 0 && done + 1 == options.count) return {};
    if (TERN_TRY(wait_until(begun + options.interval))) return {};
  }
  return {};
}

// What was measured before an error is printed too. Nothing at all without one was interrupted.
int end(Reporter& reporter, const Result<void>& measured, int stop) {
  const Result<void> finished = reporter.finish();
  if (!finished && !measured) complain(finished.error());
  if (!measured) return fail(measured.error());
  if (!finished) return fail(finished.error());
  if (!reporter.measured()) return end_without_figures(stop);
  return static_cast<int>(DirtyRateStatus::measured);
}

int measure_process(const DirtyRateOptions& options, int stop) {
  Result<Process> process = Process::open(options.pid);
  if (!process) return fail(process.error());
  ProcessMemory memory(*process, options.choice);
  // What there is to measure is found out before anything is promised.
  const Result<Census> census = memory.census();
  if (!census) return fail(census.error());
  Result<ModeChoice> mode = choose_mode(options.mode, memory);
  if (!mode) return fail(mode.error());
  Reporter reporter(options, {options.pid, process->name(), {}, *mode});
  if (const Result<void> begun = reporter.begin(); !begun) return fail(begun.error());
  Expectation expectation;
  const auto once = [&]() -> Result<bool> {
    const Measurement measurement =
        TERN_TRY(measure(*process, options.choice, mode->mode, options.measure, expectation, stop));
    if (measurement.windows.empty()) return false;
    TERN_TRY(reporter.show(measurement));
    if (measurement.failure) return Error(*measurement.failure);
    return !measurement.stopped;
  };
  const Result<void> measured =
      repeat(options, once, [&](Nanoseconds until) { return process->wait(until, stop); });
  return end(reporter, measured, stop);
}

int measure_server(const DirtyRateOptions& options, int stop) {
  Result<QmpRateClient> client = QmpRateClient::connect(options.qmp, stop);
  if (!client && client.error().code() == ErrorCode::cancelled) return end_without_figures(stop);
  if (!client) return fail(client.error());
  Reporter reporter(options, {0, client->server(), options.qmp, {}});
  if (const Result<void> begun = reporter.begin(); !begun) return fail(begun.error());
  const QmpRateOptions rate_options{options.qmp_mode, options.measure.windows.front(),
                                    options.sample_pages};
  const auto once = [&]() -> Result<bool> {
    const std::optional<QmpRate> rate = TERN_TRY(client->measure(rate_options));
    if (!rate) return false;
    TERN_TRY(reporter.show(*rate));
    return true;
  };
  const auto wait = [&](Nanoseconds until) -> Result<bool> {
    const Nanoseconds left = std::max(Nanoseconds(0), until - system_clock().now());
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left);
    pollfd poll{stop, POLLIN, 0};
    return ::poll(&poll, 1, static_cast<int>(ms.count())) > 0;
  };
  return end(reporter, repeat(options, once, wait), stop);
}

int run(const DirtyRateArguments& arguments) {
  const Result<DirtyRateOptions> options = check_arguments(arguments);
  if (!options) return fail(options.error());
  // A closed one would come to be a file that we open.
  if (::fcntl(STDOUT_FILENO, F_GETFD) < 0) return fail(cannot_write("standard output", errno));
  const Result<Fd> stop = stop_signals();
  if (!stop) return fail(stop.error());
  return options->qmp.empty() ? measure_process(*options, stop->get())
                              : measure_server(*options, stop->get());
}

void add_options(CLI::App& command, DirtyRateArguments& a) {
  command.add_option("--pid", a.pid, "measure this process")->type_name("PID");
  command.add_option("--qmp", a.qmp, "ask this QMP server (QEMU, tern-vmm) by calc-dirty-rate")
      ->type_name("SOCKET");
  command
      .add_option("--mode", a.mode,
                  "with --pid: auto, page-sampling, soft-dirty; with --qmp: page-sampling, "
                  "dirty-bitmap, dirty-ring")
      ->capture_default_str();
  command.add_option("--window", a.window, "how long writes are gathered: 250ms, 1s, 2m")
      ->type_name("TIME")
      ->default_str(std::string(kDefaultWindow));
  command
      .add_option("--curve", a.curve,
                  "several windows in one run: the writable working set (without a value: " +
                      std::string(kDefaultCurve) + ")")
      ->type_name("TIMES")
      ->expected(0, 1)
      ->default_str(std::string(kDefaultCurve));
  command.add_option("--count", a.count, "measure so many times; 0: until interrupted")
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option("--interval", a.interval,
                  "from the beginning of one measurement to that of the next, if that is longer")
      ->type_name("TIME")
      ->capture_default_str();
  command.add_option("--min-region", a.min_region, "only mappings of at least this size")
      ->type_name("SIZE")
      ->capture_default_str();
  command
      .add_option("--match", a.globs,
                  "only mappings with such a name ('[heap]' is written '\\[heap]', '*/memfd*'); "
                  "may be given again")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  command.add_option("--regex", a.regex, "only mappings in whose name this is found")
      ->type_name("REGEX");
  command
      .add_option("--precision", a.precision,
                  "wanted half width of the 95 % interval, percent of the rate")
      ->type_name("PERCENT")
      ->capture_default_str();
  command.add_option("--samples", a.samples, "look at so many pages instead")->type_name("N");
  command
      .add_option("--sample-pages", a.sample_pages,
                  "look at so many pages of each GiB, as QEMU does")
      ->type_name("N");
  command.add_option("--max-samples", a.max_samples, "most pages that --precision may take")
      ->type_name("N")
      ->capture_default_str();
  command.add_option("--seed", a.seed, "choose the same pages again; 0: others each time")
      ->type_name("N");
  command.add_option("--regions", a.regions, "hot regions to list")
      ->type_name("N")
      ->capture_default_str();
  command.add_flag("--json", a.json, "a line of JSON for each measurement (docs/dirty-rate.md)");
  command.add_flag("--csv", a.csv, "a row for each window");
  command.add_option("--svg", a.svg, "a chart, too")->type_name("FILE");
}

}  // namespace

void add_dirty_rate(CLI::App& app, int& status) {
  CLI::App* command = app.add_subcommand(
      "dirty-rate",
      "Measures how fast a process, or the machine behind a QMP server, writes its memory.");
  const auto arguments = std::make_shared<DirtyRateArguments>();
  add_options(*command, *arguments);
  command->footer(exit_status_help());
  command->callback([arguments, command, &status] {
    // The option alone means the usual windows.
    const CLI::Option* curve = command->get_option("--curve");
    if (curve->count() > 0 && arguments->curve.empty()) arguments->curve = kDefaultCurve;
    status = run(*arguments);
  });
}

}  // namespace tern::tool
