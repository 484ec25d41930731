// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_session.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "tools/common/qmp_client.h"
#include "tools/tern/ctl_arguments.h"
#include "tools/tern/ctl_complete.h"
#include "tools/tern/ctl_help.h"
#include "tools/tern/ctl_output.h"
#include "tools/tern/ctl_scalar.h"
#include "tools/tern/ctl_watch.h"

namespace tern::tool {
namespace {

using Ms = std::chrono::milliseconds;

constexpr Ms kReply{60000};
constexpr Ms kGreeting{10000};
constexpr Ms kCompletion{2000};  // whoever presses TAB does not wait for longer

CtlStatus status_of(const Error& error) noexcept {
  const bool usage =
      error.code() == ErrorCode::invalid_argument || error.code() == ErrorCode::unsupported;
  return usage ? CtlStatus::usage : CtlStatus::lost;
}

// A descriptor that may be somebody else's.
class LentFd {
 public:
  LentFd() = default;
  LentFd(const LentFd&) = delete;
  LentFd& operator=(const LentFd&) = delete;
  ~LentFd() {
    if (owned_) ::close(fd_);
  }
  int get() const noexcept { return fd_; }

  Result<void> take(const CtlOptions& o) {
    if (!o.file.empty()) {
      fd_ = ::open(o.file.c_str(), O_RDWR | O_CLOEXEC);
      if (fd_ < 0) fd_ = ::open(o.file.c_str(), O_RDONLY | O_CLOEXEC);
      owned_ = fd_ >= 0;
      if (!owned_) return errno_error(ErrorCode::invalid_argument, "--file " + o.file, errno);
    } else if (o.fd >= 0) {
      fd_ = o.fd;
      if (::fcntl(fd_, F_GETFD) < 0) {
        return Error(ErrorCode::invalid_argument,
                     "--fd " + std::to_string(fd_) + ": no such descriptor is open here");
      }
    }
    return {};
  }

 private:
  int fd_ = -1;
  bool owned_ = false;
};

class Session {
 public:
  Session(const CtlOptions& options, const CtlStreams& streams) : o_(options), io_(streams) {}
  CtlStatus run();

 private:
  CtlStatus fail(const Error& error);
  CtlStatus fail(const Json& error);
  CtlStatus help();
  CtlStatus print_candidates();
  CtlStatus execute();
  CtlStatus requests();
  CtlStatus request(const std::string& line, size_t number, bool& refused);
  CtlStatus watch_it();
  CtlStatus enable_events();
  Result<Catalog> catalog();
  void print(const std::string& text) { std::fputs(text.c_str(), io_.out); }
  bool is(const char* word) const { return o_.command == word; }

  const CtlOptions& o_;
  const CtlStreams& io_;
  QmpClient* client_ = nullptr;
  std::optional<Schema> schema_;
};

CtlStatus Session::fail(const Error& error) {
  const CtlStatus status = status_of(error);
  if (o_.json) {
    const char* kind = status == CtlStatus::usage ? "Usage" : "Connection";
    print(json_line({{"error", {{"class", kind}, {"desc", error.message()}}}}) + "\n");
  } else {
    std::fprintf(io_.err, "tern ctl: %s\n", printable(error.message()).c_str());
  }
  return status;
}

// The error object of a reply.
CtlStatus Session::fail(const Json& error) {
  if (o_.json) {
    print(json_line({{"error", error}}) + "\n");
  } else {
    const std::string kind = text_field(error, "class", "GenericError");
    std::string text = o_.command + ": ";
    if (kind != "GenericError") text += kind + ": ";
    text += text_field(error, "desc", "an error without a description");
    std::fprintf(io_.err, "tern ctl: %s\n", printable(text).c_str());
  }
  return CtlStatus::refused;
}

Result<Catalog> Session::catalog() {
  Catalog out;
  const Json reply = TERN_TRY(client_->execute_raw({{"execute", "query-qmp-schema"}}));
  if (reply.contains("return")) {
    schema_ = TERN_TRY(Schema::read(reply["return"]));
    out.schema = &*schema_;
    out.commands = schema_->commands();
    return out;
  }
  const Json names = TERN_TRY(client_->execute_raw({{"execute", "query-commands"}}));
  const Json& list = field(names, "return");
  for (const Json& item : list.is_array() ? list : Json::array()) {
    out.commands.push_back(text_field(item, "name"));
  }
  std::sort(out.commands.begin(), out.commands.end());
  return out;
}

CtlStatus Session::help() {
  auto known = catalog();
  if (!known) return fail(known.error());
  if (o_.words.empty()) {
    print(o_.json ? json_line(help_commands_json(*known)) + "\n" : help_commands(*known));
    return CtlStatus::done;
  }
  const std::vector<std::string> given(o_.words.begin() + 1, o_.words.end());
  if (o_.json) {
    const auto about = help_about_json(*known, o_.words[0], given);
    if (!about) return fail(about.error());
    print(json_line(*about) + "\n");
    return CtlStatus::done;
  }
  const auto about = help_about(*known, o_.words[0], given);
  if (!about) return fail(about.error());
  print(*about);
  return CtlStatus::done;
}

CtlStatus Session::print_candidates() {
  auto known = catalog();
  if (!known) return fail(known.error());
  const auto candidates = complete(*known, o_.words);
  if (o_.json) {
    print(json_line(candidates) + "\n");
    return CtlStatus::done;
  }
  for (const std::string& candidate : candidates) print(candidate + "\n");
  return CtlStatus::done;
}

// The command's place among those of the server; arguments typed by what it says of itself.
Result<Json> typed_arguments(const Catalog& known, const CtlOptions& o) {
  const bool there =
      std::find(known.commands.begin(), known.commands.end(), o.command) != known.commands.end();
  if (!there && !known.commands.empty()) {
    return Error(ErrorCode::invalid_argument, "the server has no command '" + o.command + "'" +
                                                  advice(o.command, known.commands) +
                                                  " (help lists them)");
  }
  return build_arguments(known.schema, o.command, o.words).context(o.command);
}

CtlStatus Session::execute() {
  Json arguments;
  if (o_.oob) {
    // Asked past a server that is stuck: it would not answer questions about its schema.
    auto built = build_arguments(nullptr, o_.command, o_.words).context(o_.command);
    if (!built) return fail(built.error());
    arguments = std::move(*built);
  } else {
    auto known = catalog();
    if (!known) return fail(known.error());
    auto built = typed_arguments(*known, o_);
    if (!built) return fail(built.error());
    arguments = std::move(*built);
  }
  LentFd fd;
  if (const auto taken = fd.take(o_); !taken) return fail(taken.error());
  if (o_.wait && o_.enable_events) {
    const CtlStatus enabled = enable_events();
    if (enabled != CtlStatus::done) return enabled;
  }
  Json request = {{o_.oob ? "exec-oob" : "execute", o_.command}};
  if (o_.oob) request["id"] = 1;
  if (!arguments.is_null()) request["arguments"] = std::move(arguments);
  const auto reply = client_->execute_raw(request, fd.get()).context(o_.command);
  if (!reply) return fail(reply.error());
  if (reply->contains("error")) return fail((*reply)["error"]);
  if (!reply->contains("return")) {
    return fail(Error(ErrorCode::peer_protocol, o_.command + ": neither return nor error"));
  }
  if (o_.wait) return watch_it();
  const Json& value = (*reply)["return"];
  print(o_.json ? json_line(value) + "\n" : human_reply(o_.command, value));
  return CtlStatus::done;
}

CtlStatus Session::enable_events() {
  const Json on = {{"capability", "events"}, {"state", true}};
  const Json arguments = {{"capabilities", Json::array({on})}};
  const auto reply =
      client_->execute_raw({{"execute", "migrate-set-capabilities"}, {"arguments", arguments}});
  if (!reply) return fail(reply.error());
  return reply->contains("error") ? fail((*reply)["error"]) : CtlStatus::done;
}

CtlStatus Session::watch_it() {
  WatchOptions options;
  options.interval = o_.interval;
  options.until_end = o_.until_end || o_.wait;
  options.json = o_.json;
  options.limit = o_.timeout;
  const auto well = watch(*client_, options, io_.out);
  if (!well) return fail(well.error());
  return *well ? CtlStatus::done : CtlStatus::refused;
}

// One line of standard input. Anything but done ends the reading.
CtlStatus Session::request(const std::string& line, size_t number, bool& refused) {
  const auto message = parse_json(line);
  if (!message || !message->is_object()) {
    return fail(Error(ErrorCode::invalid_argument,
                      "line " + std::to_string(number) + " is not a JSON object"));
  }
  if (text_field(*message, "execute") == "qmp_capabilities") {
    // Files that were written for socat begin with it; it has been done already.
    Json reply = {{"return", Json::object()}};
    if (message->contains("id")) reply["id"] = (*message)["id"];
    print(json_line(reply) + "\n");
    return CtlStatus::done;
  }
  const auto reply = client_->execute_raw(*message);
  if (!reply) return fail(reply.error());
  refused = refused || reply->contains("error");
  print(json_line(*reply) + "\n");
  std::fflush(io_.out);
  return CtlStatus::done;
}

CtlStatus Session::requests() {
  std::string line;
  bool refused = false;
  for (size_t number = 1; std::getline(io_.in, line); ++number) {
    const size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos || line[first] == '#') continue;
    const CtlStatus status = request(line, number, refused);
    if (status != CtlStatus::done) return status;
  }
  return refused ? CtlStatus::refused : CtlStatus::done;
}

CtlStatus Session::run() {
  QmpConnectOptions how;
  how.wait_for_listener = o_.connect_timeout;
  how.greeting = is("complete") ? kCompletion : o_.timeout.value_or(kGreeting);
  how.oob = o_.oob;
  auto client = QmpClient::connect(o_.socket, how);
  if (!client) return fail(client.error());
  client_ = &*client;
  client_->set_reply_deadline(is("complete") ? kCompletion : o_.timeout.value_or(kReply));
  if (is("help")) return help();
  if (is("complete")) return print_candidates();
  if (is("-")) return requests();
  if (!is("watch")) return execute();
  if (o_.enable_events) {
    const CtlStatus enabled = enable_events();
    if (enabled != CtlStatus::done) return enabled;
  }
  return watch_it();
}

}  // namespace

CtlStatus run_ctl(const CtlOptions& options, const CtlStreams& streams) noexcept {
  const CtlStatus status = Session(options, streams).run();
  std::fflush(streams.out);
  return status;
}

}  // namespace tern::tool
