// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/dispatcher.h"

#include <exception>
#include <utility>
#include <variant>

namespace tern::qmp {
namespace {

constexpr size_t kShownBytes = 256;  // of a name that a client made up

std::string line_of(const Json& value) noexcept { return to_text(value) + "\r\n"; }

Json error_json(const QmpError& error) noexcept {
  return {{"error", {{"class", to_string(error.error_class)}, {"desc", error.desc}}}};
}

QmpError bad_member(std::string_view name, std::string_view fault) noexcept {
  return generic_error("QMP input member '" + std::string(name.substr(0, kShownBytes)) + "' " +
                       std::string(fault));
}

struct Wanted {
  std::string_view command;
  bool oob = false;
  const Json* arguments = nullptr;
};

// The request's own members; which fault of several is told does not matter, they are all
// GenericError.
std::variant<Wanted, QmpError> read_members(const Json& input, bool oob_enabled) noexcept {
  Wanted wanted;
  bool found = false;
  if (oob_enabled && input.contains("execute") && input.contains("exec-oob")) {
    return bad_member("execute", "clashes with 'exec-oob'");
  }
  for (const auto& [name, value] : input.items()) {
    if (name == "execute" || (name == "exec-oob" && oob_enabled)) {
      if (!value.is_string()) return bad_member(name, "must be a string");
      wanted.command = value.get_ref<const std::string&>();
      wanted.oob = name == "exec-oob";
      found = true;
    } else if (name == "arguments") {
      if (!value.is_object()) return bad_member(name, "must be an object");
      wanted.arguments = &value;
    } else if (name != "id") {
      return bad_member(name, "is unexpected");
    }
  }
  if (!found) return generic_error("QMP input lacks member 'execute'");
  return wanted;
}

std::string shown(std::string_view name) noexcept {
  return std::string(name.substr(0, kShownBytes));
}

}  // namespace

std::string Dispatcher::greeting_line() const noexcept {
  Json capabilities = Json::array();
  if (plane_.offers_oob) capabilities.push_back("oob");
  return line_of(
      {{"QMP", {{"version", version_json(plane_.version)}, {"capabilities", capabilities}}}});
}

Request Dispatcher::broken(std::string desc) noexcept {
  Request request;
  request.input = generic_error(std::move(desc));
  return request;
}

Request Dispatcher::read(std::string_view text, bool oob_enabled) noexcept {
  Result<Json> input = parse_json(text);
  if (!input) return broken(input.error().message());
  if (!input->is_object()) return broken("QMP input must be a JSON object");
  Request request;
  if (const auto id = input->find("id"); id != input->end()) request.id = *id;
  const auto wanted = read_members(*input, oob_enabled);
  if (const auto* fault = std::get_if<QmpError>(&wanted)) {
    request.input = *fault;
    return request;
  }
  request.oob = std::get_if<Wanted>(&wanted)->oob;
  request.input = std::move(*input);
  return request;
}

Reply Dispatcher::execute(Request& request, Session& session) noexcept {
  Reply reply;
  const Outcome outcome = outcome_of(request, session, reply.quit);
  Json answer = outcome.ok() ? Json{{"return", outcome.value()}} : error_json(outcome.error());
  if (request.id) answer["id"] = *request.id;
  reply.line = line_of(answer);
  return reply;
}

Outcome Dispatcher::outcome_of(Request& request, Session& session, bool& quit) noexcept {
  if (const auto* fault = std::get_if<QmpError>(&request.input)) return *fault;
  // Read once more: the views point into the request, which may have moved since.
  const auto read = read_members(*std::get_if<Json>(&request.input), request.oob);
  if (const auto* fault = std::get_if<QmpError>(&read)) return *fault;
  const Wanted& wanted = *std::get_if<Wanted>(&read);
  if (!session.negotiated && wanted.command != "qmp_capabilities") {
    return QmpError{ErrorClass::command_not_found,
                    "Expecting capabilities negotiation with 'qmp_capabilities'"};
  }
  const CommandRow* row = find_command(wanted.command);
  if (row == nullptr) {
    return QmpError{ErrorClass::command_not_found,
                    "The command " + shown(wanted.command) + " has not been found"};
  }
  if (wanted.oob && !row->allow_oob) {
    return generic_error("The command " + shown(wanted.command) + " does not support OOB");
  }
  static const Json kNoMembers = Json::object();  // never changes
  const Json& arguments = wanted.arguments != nullptr ? *wanted.arguments : kNoMembers;
  TERN_TRY(check_arguments(arguments, *row->arguments));
  Call call{plane_, session, *row, arguments, request.fd};
  const Outcome outcome =
      wanted.oob ? call_handler(call) : exclusively([&] { return call_handler(call); });
  quit = call.quit;
  return outcome;
}

Outcome Dispatcher::call_handler(Call& call) noexcept {
  // What may run out of band is permitted in any state and must not look at it.
  if (call.row.permitted != kAnyStatus &&
      (call.row.permitted & bit(plane_.migrations.outgoing().status)) == 0) {
    return generic_error(std::string(call.row.refusal));
  }
  try {
    return call.row.handler(call);
  } catch (const std::exception& bug) {
    // The JSON library throws where a value is not what the argument check promised: our bug, not
    // the guest's end.
    log_.log(LogLevel::error, "command " + std::string(call.row.name) + ": " + bug.what());
    return generic_error("Internal error in command " + std::string(call.row.name));
  }
}

}  // namespace tern::qmp
