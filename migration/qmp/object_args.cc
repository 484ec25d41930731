// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/object_args.h"

#include <array>
#include <string>
#include <utility>

#include "migration/objects/object_types.h"

namespace tern::qmp {
namespace {

using objects::kObjectTypes;
using objects::PropertyKind;
using objects::PropertyRow;

// One of each, so that equal enumerations are one type to a client.
constexpr QapiType kPolicy{
    .kind = Kind::enumeration, .name = "QAuthZListPolicy", .words = objects::kPolicyWords};
constexpr QapiType kMatch{
    .kind = Kind::enumeration, .name = "QAuthZListFormat", .words = objects::kMatchWords};
constexpr QapiType kSecretFormat{
    .kind = Kind::enumeration, .name = "QCryptoSecretFormat", .words = objects::kSecretWords};
constexpr QapiType kEndpoint{
    .kind = Kind::enumeration, .name = "QCryptoTLSCredsEndpoint", .words = objects::kEndpointWords};
constexpr std::array<const QapiType*, 4> kWords = {&kPolicy, &kMatch, &kSecretFormat, &kEndpoint};

constexpr const QapiType* word_type(std::string_view name) {
  for (const QapiType* type : kWords) {
    if (type->name == name) return type;
  }
  return nullptr;
}
template <const auto& Rows>
constexpr auto members_of(const QapiType* rules) {
  std::array<QapiMember, Rows.size()> members{};
  for (size_t i = 0; i < members.size(); ++i) {
    const PropertyRow& row = Rows[i];
    const QapiType* type = row.kind == PropertyKind::string    ? &kString
                           : row.kind == PropertyKind::boolean ? &kBoolean
                           : row.kind == PropertyKind::rules   ? rules
                                                               : word_type(row.qom_type);
    // The TLS objects say themselves that their directory is missing, as QEMU's do.
    members[i] = {row.name, type, !row.required || row.name == "dir"};
  }
  return members;
}

constexpr auto kRuleMembers = members_of<objects::kRuleRows>(nullptr);
constexpr QapiType kRule{.kind = Kind::object, .name = "QAuthZListRule", .members = kRuleMembers};
constexpr QapiType kRules{.kind = Kind::array, .element = &kRule};

constexpr auto kListMembers = members_of<objects::kListRows>(&kRules);
constexpr auto kListFileMembers = members_of<objects::kListFileRows>(nullptr);
constexpr auto kSimpleMembers = members_of<objects::kSimpleRows>(nullptr);
constexpr auto kSecretMembers = members_of<objects::kSecretRows>(nullptr);
constexpr auto kPskMembers = members_of<objects::kPskRows>(nullptr);
constexpr auto kX509Members = members_of<objects::kX509Rows>(nullptr);

constexpr std::span<const QapiMember> members_of_type(objects::ObjectType type) {
  using enum objects::ObjectType;
  switch (type) {
    case authz_list:
      return kListMembers;
    case authz_list_file:
      return kListFileMembers;
    case authz_simple:
      return kSimpleMembers;
    case secret:
      return kSecretMembers;
    case tls_creds_psk:
      return kPskMembers;
    case tls_creds_x509:
      return kX509Members;
  }
  return {};
}
constexpr auto kOptions = [] {
  std::array<QapiType, kObjectTypes.size()> options{};
  for (size_t i = 0; i < options.size(); ++i) {
    options[i] = {.kind = Kind::object,
                  .name = kObjectTypes[i].options_name,
                  .members = members_of_type(kObjectTypes[i].type)};
  }
  return options;
}();
constexpr auto kTypeWords = [] {
  std::array<std::string_view, kObjectTypes.size()> words{};
  for (size_t i = 0; i < words.size(); ++i) words[i] = kObjectTypes[i].name;
  return words;
}();
constexpr QapiType kObjectType{
    .kind = Kind::enumeration, .name = "ObjectType", .words = kTypeWords};
constexpr auto kVariants = [] {
  std::array<QapiVariant, kObjectTypes.size()> variants{};
  for (size_t i = 0; i < variants.size(); ++i) variants[i] = {kTypeWords[i], &kOptions[i]};
  return variants;
}();
constexpr auto kBaseMembers =
    std::to_array<QapiMember>({{"qom-type", &kObjectType}, {"id", &kString}});

void put(ObjectProperties& into, const std::string& name, const Json& value) noexcept {
  if (value.is_boolean()) {
    into[name] = value.get<bool>() ? "on" : "off";
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      for (const auto& [member, part] : value[i].items()) {
        put(into, name + "." + std::to_string(i) + "." + member, part);
      }
    }
  } else {
    into[name] = value.get<std::string>();
  }
}

}  // namespace

const QapiType kObjectOptions{.kind = Kind::flat_union,
                              .name = "ObjectOptions",
                              .members = kBaseMembers,
                              .tag = "qom-type",
                              .variants = kVariants};

ObjectProperties object_properties(const Json& arguments) noexcept {
  ObjectProperties properties;
  for (const auto& [name, value] : arguments.items()) {
    if (name != "qom-type" && name != "id") put(properties, name, value);
  }
  return properties;
}

}  // namespace tern::qmp
