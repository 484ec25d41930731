// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/dirty_rate_qmp.h"

#include <algorithm>
#include <cmath>

#include "tools/common/json_fields.h"
#include "tools/tern/ctl_schema.h"
#include "tools/tern/dirty_rate_process.h"

namespace tern::tool {
namespace {

using Ms = std::chrono::milliseconds;
// There is no event at the end.
constexpr Ms kPoll{20};
constexpr Nanoseconds kLongestWindow = std::chrono::seconds(60);  // the servers' own limit
// A server that says nothing of an end for so long beyond the window will not.
constexpr Nanoseconds kPatience = std::chrono::seconds(60);
constexpr Ms kGreeting{10000};

std::string server_text(const Json& greeting) {
  const Json& version = field(field(greeting, "QMP"), "version");
  const std::string package = printable(text_field(version, "package"));
  if (package.starts_with("tern ")) return package;
  const Json& numbers = field(version, "qemu");
  std::string text = "QEMU " + std::to_string(static_cast<int>(number_or_0(numbers, "major"))) +
                     "." + std::to_string(static_cast<int>(number_or_0(numbers, "minor"))) + "." +
                     std::to_string(static_cast<int>(number_or_0(numbers, "micro")));
  return package.empty() ? text : text + " (" + package + ")";
}

// A connection that ended means that the server did.
template <typename T>
Result<T> marked(Result<T> result) noexcept {
  if (result || result.error().code() != ErrorCode::channel) return result;
  return Error(ErrorCode::channel, result.error().message(), kProcessGone);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + printable(word);
  return text;
}

}  // namespace

Result<QmpRate> read_dirty_rate(const Json& reply) noexcept {
  const std::optional<double> interval = number_field(reply, "calc-time");
  if (!interval || !std::isfinite(*interval) || *interval < 0 || *interval > 1e9) {
    return Error(ErrorCode::peer_protocol, "query-dirty-rate: calc-time makes no sense");
  }
  QmpRate rate;
  const bool ms = text_field(reply, "calc-time-unit") == "millisecond";
  rate.interval = Nanoseconds(std::llround(*interval * (ms ? 1e6 : 1e9)));
  rate.mode = printable(text_field(reply, "mode", "page-sampling"));
  rate.sample_pages =
      static_cast<uint64_t>(std::clamp(number_or_0(reply, "sample-pages"), 0.0, 1e9));
  const std::optional<double> value = number_field(reply, "dirty-rate");
  if (!value) return Error(ErrorCode::peer_protocol, "query-dirty-rate: there is no dirty-rate");
  if (*value >= 0) rate.mib_per_s = *value;
  // tern's own addition: the same before it was cut to whole MiB/s, and its bounds.
  const auto exact = [&](const char* name) -> std::optional<double> {
    const std::optional<double> bytes = number_field(field(reply, "x-tern"), name);
    if (!bytes || !std::isfinite(*bytes) || *bytes < 0) return std::nullopt;
    return *bytes / (1 << 20);
  };
  if (rate.mib_per_s) {
    rate.mib_per_s = exact("bytes-per-second").value_or(*rate.mib_per_s);
    rate.low = exact("low");
    rate.high = exact("high");
    if (!rate.low || !rate.high || *rate.low > *rate.high) rate.low = rate.high = std::nullopt;
  }
  const Json& vcpus = field(reply, "vcpu-dirty-rate");
  if (vcpus.is_array()) {
    for (const Json& vcpu : vcpus) {
      rate.vcpus.emplace_back(static_cast<int64_t>(number_or_0(vcpu, "id")),
                              number_or_0(vcpu, "dirty-rate"));
    }
  }
  return rate;
}

Result<QmpRateClient> QmpRateClient::connect(const std::string& path, int stop) noexcept {
  QmpConnectOptions how;
  how.greeting = kGreeting;
  how.stop = stop;
  Result<QmpClient> client = QmpClient::connect(path, how);
  if (!client) {
    if (client.error().code() == ErrorCode::cancelled) return std::move(client).error();
    return Error(client.error().code(), client.error().message(), kProcessGone);
  }
  QmpRateClient rates(std::move(client).value());
  TERN_TRY(rates.learn());
  return rates;
}

Result<void> QmpRateClient::learn() noexcept {
  server_ = server_text(client_.greeting());
  tern_ = server_.starts_with("tern ");
  const Json reply = TERN_TRY(marked(client_.execute("query-qmp-schema")));
  const Schema schema = TERN_TRY(Schema::read(reply));
  const SchemaEntity* command = schema.command("calc-dirty-rate");
  const SchemaEntity* query = schema.command("query-dirty-rate");
  if (command == nullptr || query == nullptr) {
    return Error(ErrorCode::unsupported, server_ + " has no calc-dirty-rate", kNotAvailable);
  }
  // Whole seconds unless it is told otherwise each time.
  if (const SchemaEntity* asks = schema.find(query->arguments); asks != nullptr) {
    for (const SchemaMember& member : asks->members) {
      if (member.name == "calc-time-unit") query_ = {{"calc-time-unit", "millisecond"}};
    }
  }
  const SchemaEntity* arguments = schema.find(command->arguments);
  if (arguments == nullptr) return {};
  for (const SchemaMember& member : arguments->members) {
    if (member.name == "calc-time-unit") milliseconds_ = true;
    if (member.name == "sample-pages") takes_sample_pages_ = true;
    if (member.name == "mode") modes_ = schema.words(member.type);
  }
  return {};
}

// QEMU 7.2 ends, guest and all, when it is asked for the modes of KVM's dirty log under TCG.
Result<void> QmpRateClient::allow_mode(const std::string& mode) noexcept {
  if (mode.empty() || mode == "page-sampling" || tern_) return {};
  const Json kvm = TERN_TRY(marked(client_.execute("query-kvm")));
  if (flag_field(kvm, "enabled")) return {};
  return Error(ErrorCode::unsupported,
               "mode " + mode + " needs KVM, which " + server_ +
                   " does not use here: not asked for, some releases crash then",
               kNotAvailable);
}

Result<Json> QmpRateClient::arguments_for(const QmpRateOptions& options,
                                          QmpRate& rate) const noexcept {
  Json arguments = Json::object();
  if (!options.mode.empty()) {
    if (std::find(modes_.begin(), modes_.end(), options.mode) == modes_.end()) {
      return Error(ErrorCode::unsupported,
                   server_ + " has no mode " + options.mode +
                       (modes_.empty() ? "" : ", only " + joined(modes_)),
                   kNotAvailable);
    }
    arguments["mode"] = options.mode;
  }
  if (options.sample_pages > 0) {
    if (!takes_sample_pages_) {
      return Error(ErrorCode::unsupported, server_ + " takes no sample-pages", kNotAvailable);
    }
    arguments["sample-pages"] = options.sample_pages;
  }
  if (options.window > kLongestWindow) {
    return Error(ErrorCode::invalid_argument, "--window: a server measures at most 60 s");
  }
  if (milliseconds_) {
    const auto ms = std::chrono::ceil<Ms>(options.window);
    rate.window = ms;
    arguments["calc-time"] = ms.count();
    arguments["calc-time-unit"] = "millisecond";
  } else {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(options.window);
    rate.window = seconds;
    if (rate.window != options.window) {
      rate.notes.push_back("the server takes whole seconds only: " +
                           std::to_string(seconds.count()) + " s instead of the window asked for");
    }
    arguments["calc-time"] = seconds.count();
  }
  return arguments;
}

Result<std::optional<QmpRate>> QmpRateClient::measure(const QmpRateOptions& options) noexcept {
  Result<QmpRate> rate = measure_to_end(options);
  if (rate) return std::optional(std::move(rate).value());
  if (rate.error().code() == ErrorCode::cancelled) return std::optional<QmpRate>();
  return std::move(rate).error();
}

Result<QmpRate> QmpRateClient::measure_to_end(const QmpRateOptions& options) noexcept {
  QmpRate asked;
  const Json arguments = TERN_TRY(arguments_for(options, asked));
  TERN_TRY(allow_mode(options.mode));
  asked.started = system_clock().wall();
  TERN_TRY(marked(client_.execute("calc-dirty-rate", arguments)));
  const Nanoseconds limit = system_clock().now() + asked.window + kPatience;
  while (true) {
    const Json reply = TERN_TRY(marked(client_.execute("query-dirty-rate", query_)));
    if (text_field(reply, "status") == "measured") {
      QmpRate rate = TERN_TRY(read_dirty_rate(reply));
      rate.started = asked.started;
      rate.window = asked.window;
      rate.notes = asked.notes;
      return rate;
    }
    if (system_clock().now() > limit) {
      return Error(ErrorCode::timed_out, "the server is still measuring a minute after the window");
    }
    TERN_TRY(marked(client_.next_event(kPoll)));
  }
}

}  // namespace tern::tool
