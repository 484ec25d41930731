// SPDX-License-Identifier: Apache-2.0
//
// The commands about objects: making them, taking them away, looking at them.
#include <array>
#include <string>
#include <utility>

#include "migration/objects/registry.h"
#include "migration/qmp/command_table.h"
#include "migration/qmp/object_args.h"

namespace tern::qmp::object_commands {
namespace {

constexpr auto kIdMembers = std::to_array<QapiMember>({{"id", &kString}});
constexpr auto kPathMembers = std::to_array<QapiMember>({{"path", &kString}});

std::string text_argument(const Call& call, const char* name) {
  return call.arguments.find(name)->get<std::string>();
}

Json entry(std::string_view name, std::string_view type) {
  return {{"name", name}, {"type", type}};
}

Json list_of_object(const objects::ObjectTypeRow& type) {
  Json list = Json::array({entry("type", "string")});
  for (const objects::PropertyRow& row : type.properties) {
    const std::string_view kind = row.kind == objects::PropertyKind::string    ? "string"
                                  : row.kind == objects::PropertyKind::boolean ? "bool"
                                                                               : row.qom_type;
    list.push_back(entry(row.name, kind));
  }
  return list;
}

}  // namespace

const QapiType kIdArguments{.kind = Kind::object, .members = kIdMembers};
const QapiType kPathArguments{.kind = Kind::object, .members = kPathMembers};

Outcome object_add(Call& call) {
  TERN_TRY(call.plane.objects.add(text_argument(call, "qom-type"), text_argument(call, "id"),
                                  object_properties(call.arguments)));
  return no_result();
}

Outcome object_del(Call& call) {
  TERN_TRY(call.plane.objects.remove(text_argument(call, "id")));
  return no_result();
}

// Of QEMU's tree there is the branch with what object-add made.
Outcome qom_list(Call& call) {
  const std::string path = text_argument(call, "path");
  if (path.empty()) return generic_error("Path '' is ambiguous");
  std::string_view rest = path;
  while (rest.starts_with('/')) rest.remove_prefix(1);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty()) {
    return Json::array({entry("type", "string"), entry("objects", "child<container>")});
  }
  constexpr std::string_view kObjects = "objects";
  if (rest == kObjects) {
    Json list = Json::array({entry("type", "string")});
    for (const ObjectInfo& object : call.plane.objects.list()) {
      list.push_back(entry(object.id, "child<" + object.type + ">"));
    }
    return list;
  }
  if (rest.starts_with(std::string(kObjects) + "/")) rest.remove_prefix(kObjects.size() + 1);
  const auto* type = call.plane.objects.registry().type_of(rest);
  if (type != nullptr) return list_of_object(*type);
  return QmpError{ErrorClass::device_not_found, "Device '" + path + "' not found"};
}

}  // namespace tern::qmp::object_commands
