// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/dispatcher.h"

#include <exception>
#include <utility>

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

struct Request {
  std::string_view command;
  bool oob = false;
  const Json* arguments = nullptr;
};

// The request's own members; which fault of several is told does not matter, they are all
// GenericError.
std::variant<Request, QmpError> read_request(const Json& input, bool oob_enabled) noexcept {
  Request request;
  bool found = false;
  if (oob_enabled && input.contains("execute") && input.contains("exec-oob")) {
    return bad_member("execute", "clashes with 'exec-oob'");
  }
  for (const auto& [name, value] : input.items()) {
    if (name == "execute" || (name == "exec-oob" && oob_enabled)) {
      if (!value.is_string()) return bad_member(name, "must be a string");
      request.command = value.get_ref<const std::string&>();
      request.oob = name == "exec-oob";
      found = true;
    } else if (name == "arguments") {
      if (!value.is_object()) return bad_member(name, "must be an object");
      request.arguments = &value;
    } else if (name != "id") {
      return bad_member(name, "is unexpected");
    }
  }
  if (!found) return generic_error("QMP input lacks member 'execute'");
  return request;
}

}  // namespace

std::string error_line(std::string desc) noexcept {
  return line_of(error_json(generic_error(std::move(desc))));
}

std::string greeting_line() noexcept {
  Json capabilities = Json::array();
  if (offers_oob()) capabilities.push_back("oob");
  return line_of({{"QMP", {{"version", version_json()}, {"capabilities", capabilities}}}});
}

Reply Dispatcher::handle(std::string_view text, Session& session) noexcept {
  Result<Json> input = parse_json(text);
  if (!input) return {error_line(input.error().message())};
  if (!input->is_object()) return {error_line("QMP input must be a JSON object")};
  Reply reply;
  const Outcome outcome = execute(*input, session, reply.quit);
  Json answer = outcome.ok() ? Json{{"return", outcome.value()}} : error_json(outcome.error());
  if (const auto id = input->find("id"); id != input->end()) answer["id"] = std::move(*id);
  reply.line = line_of(answer);
  return reply;
}

Outcome Dispatcher::execute(const Json& input, Session& session, bool& quit) noexcept {
  const auto read = read_request(input, session.oob);
  if (const auto* fault = std::get_if<QmpError>(&read)) return *fault;
  const Request& request = *std::get_if<Request>(&read);
  if (!session.negotiated && request.command != "qmp_capabilities") {
    return QmpError{ErrorClass::command_not_found,
                    "Expecting capabilities negotiation with 'qmp_capabilities'"};
  }
  const CommandRow* row = find_command(request.command);
  const std::string shown(request.command.substr(0, kShownBytes));
  if (row == nullptr) {
    return QmpError{ErrorClass::command_not_found, "The command " + shown + " has not been found"};
  }
  if (request.oob && !row->allow_oob) {
    return generic_error("The command " + shown + " does not support OOB");
  }
  static const Json kEmpty = Json::object();  // never changes
  const Json& arguments = request.arguments != nullptr ? *request.arguments : kEmpty;
  TERN_TRY(check_arguments(arguments, *row->arguments));

  MutexLock lock(command_mutex_);
  if ((row->permitted & bit(plane_.migrations.outgoing().status)) == 0) {
    return generic_error(std::string(row->refusal));
  }
  Call call{plane_, session, *row, arguments};
  try {
    Outcome outcome = row->handler(call);
    quit = call.quit;
    return outcome;
  } catch (const std::exception& bug) {
    // The JSON library throws where a value is not what the argument check promised: our bug, not
    // the guest's end.
    log_.log(LogLevel::error, "command " + shown + ": " + bug.what());
    return generic_error("Internal error in command " + shown);
  }
}

}  // namespace tern::qmp
