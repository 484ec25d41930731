// SPDX-License-Identifier: Apache-2.0
//
// QMP: bytes from a client through scanner, parser, argument checks and commands. Every text gets
// one reply; a reply is one line of ASCII JSON with a return or an error of a known class; a return
// is what introspection promises; an id comes back. The migrations behind it only pretend: a
// mutated address must not start programs or connect anywhere.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "migration/params/parameters.h"
#include "migration/qmp/dispatcher.h"
#include "migration/qmp/json_scanner.h"
#include "tests/fuzz/target.h"

namespace tern::fuzz {
namespace {

using namespace tern::qmp;  // NOLINT(google-build-using-namespace)

uint64_t successes = 0;

class Guest final : public VcpuControl {
 public:
  RunState run_state() const noexcept override { return state_; }
  Result<RunState> pause_all(RunState state) noexcept override {
    return std::exchange(state_, state);
  }
  Result<void> resume_all() noexcept override {
    state_ = RunState::running;
    return {};
  }
  void set_stopped_state(RunState state) noexcept override { state_ = state; }

 private:
  RunState state_ = RunState::prelaunch;
};

class Source final : public MigrationSource {
 public:
  Result<void> start(const Address& /*address*/) noexcept override {
    status_ = Status::active;
    return {};
  }
  Result<void> continue_from(Status /*paused_at*/) noexcept override { return {}; }
  Result<void> cancel() noexcept override {
    status_ = Status::cancelled;
    return {};
  }
  void yank() noexcept override { status_ = Status::failed; }
  void update(const Settings& /*settings*/) noexcept override {}
  StatsSnapshot stats() const noexcept override {
    StatsSnapshot s;
    s.status = status_;
    return s;
  }
  std::vector<ThreadInfo> threads() const noexcept override { return {{"mig/src/main", 1}}; }
  void wait() noexcept override {}

 private:
  Status status_ = Status::none;
};

class Destination final : public MigrationDestination {
 public:
  Result<void> listen(const Address& address) noexcept override {
    bound_ = {address};
    status_ = Status::setup;
    return {};
  }
  std::vector<Address> listening() const noexcept override { return bound_; }
  void set_autostart(bool /*on*/) noexcept override {}
  void update(const Settings& /*settings*/) noexcept override {}
  void hold_switchover() noexcept override {}
  void release_switchover() noexcept override {}
  void yank() noexcept override { status_ = Status::failed; }
  StatsSnapshot stats() const noexcept override {
    StatsSnapshot s;
    s.status = status_;
    return s;
  }
  std::vector<ThreadInfo> threads() const noexcept override { return {}; }
  void wait() noexcept override {}

 private:
  Status status_ = Status::none;
  std::vector<Address> bound_;
};

class Vm final : public QmpVm {
 public:
  std::string name() const noexcept override { return "fuzz"; }
  void quit() noexcept override {}
  void incoming_failed(const Error& /*error*/) noexcept override {}
};

EngineFactory pretenders() {
  EngineFactory factory;
  factory.source = [](const Machine&, const Settings&) -> Result<std::unique_ptr<MigrationSource>> {
    return std::unique_ptr<MigrationSource>(new Source());
  };
  factory.destination = [](const Machine&,
                           const Settings&) -> Result<std::unique_ptr<MigrationDestination>> {
    return std::unique_ptr<MigrationDestination>(new Destination());
  };
  return factory;
}

struct Server {
  explicit Server(bool incoming) {
    if (incoming) states.begin_incoming(true);
  }
  Vm vm;
  Guest guest;
  EventHub hub{system_clock()};
  RunStates states{guest, hub, null_log()};
  FdTable fds;
  Blockers blockers;
  Machine machine = [this] {
    Machine m;
    m.vcpus = &states;
    return m;
  }();
  Announcements announcements{nullptr};
  Migrations migrations{{machine, vm, hub, states, fds, blockers, null_log(), pretenders(),
                         params::qmp_defaults(), false, false}};
  Session session;
  ObjectStore objects;
  Dispatcher dispatcher{{machine,
                         vm,
                         hub,
                         states,
                         fds,
                         migrations,
                         announcements,
                         objects,
                         null_log(),
                         {1, 2, 3},
                         true},
                        null_log()};
};

const CommandRow* command_of(const Json& request) {
  for (const char* member : {"execute", "exec-oob"}) {
    if (request.contains(member)) {
      return find_command(request.find(member)->get_ref<const std::string&>());
    }
  }
  return nullptr;
}

std::string check_fault(const Json& error) {
  if (error.size() != 2 || !error.contains("class") || !error.contains("desc")) {
    return "an error without class and desc";
  }
  const std::string name = error["class"];
  const bool known = name == "GenericError" || name == "CommandNotFound" ||
                     name == "DeviceNotFound" || name == "DeviceNotActive";
  if (!known) return "an error of class " + name;
  const std::string desc = error["desc"];
  if (desc.empty()) return "an error without words";
  if (desc.size() > 4096) return "an error of " + std::to_string(desc.size()) + " bytes";
  if (desc.starts_with("Internal error")) return desc;
  return {};
}

std::string check_reply(const Reply& reply, const Request& request, const CommandRow* row,
                        bool& succeeded) {
  const std::string& line = reply.line;
  if (!line.ends_with("\r\n") || line.find('\n') != line.size() - 1) return "not one line";
  const bool ascii =
      std::all_of(line.begin(), line.end() - 2, [](char c) { return c >= ' ' && c < 0x7f; });
  if (!ascii) return "not plain ASCII";
  const Json answer = Json::parse(line, nullptr, false);
  if (!answer.is_object()) return "no JSON object: " + line;
  if (answer.contains("return") == answer.contains("error")) return "neither or both: " + line;
  if (request.id.has_value() != answer.contains("id")) return "the id is lost: " + line;
  if (answer.size() != (request.id ? 2u : 1u)) return "something more: " + line;
  if (answer.contains("error")) return check_fault(answer["error"]);
  if (row == nullptr) return "success of no command";
  const Result<void> typed = check_value(answer["return"], *row->returns);
  if (!typed) return std::string(row->name) + ": " + typed.error().message() + ": " + line;
  succeeded = true;
  return {};
}

std::string run(std::span<const std::byte> input) {
  std::string_view rest(reinterpret_cast<const char*>(input.data()), input.size());
  Server server(input.size() % 2 == 0);
  JsonScanner scanner;
  bool succeeded = false;
  const auto serve = [&server, &succeeded](const JsonScanner::Item& item) -> std::string {
    Request request = item.is_text ? Dispatcher::read(item.value, server.session.oob)
                                   : Dispatcher::broken(item.value);
    const Json* object = std::get_if<Json>(&request.input);
    const CommandRow* row = object != nullptr ? command_of(*object) : nullptr;
    if (row != nullptr && row->name == "pmemsave") return {};  // it would write to any file
    return check_reply(server.dispatcher.execute(request, server.session), request, row, succeeded);
  };
  while (!rest.empty()) {
    const size_t before = rest.size();
    const auto item = scanner.next(rest);
    if (item) {
      if (std::string wrong = serve(*item); !wrong.empty()) return wrong;
    } else if (rest.size() == before) {
      return "the scanner stands still";
    }
  }
  if (const auto last = scanner.finish()) {
    if (std::string wrong = serve(*last); !wrong.empty()) return wrong;
  }
  successes += succeeded ? 1 : 0;
  return {};
}

}  // namespace

FuzzTarget qmp_target() {
  return {"qmp", {"qmp-"}, run, [] { return std::exchange(successes, 0); }};
}

}  // namespace tern::fuzz
