// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/qapi_type.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace tern::qmp {
namespace {

constexpr std::array<std::string_view, 2> kWords = {"red", "blue"};
constexpr QapiType kColour{.kind = Kind::enumeration, .name = "Colour", .words = kWords};
constexpr QapiType kColours{.kind = Kind::array, .element = &kColour};
constexpr auto kPointMembers =
    std::to_array<QapiMember>({{"x", &kInteger}, {"y", &kInteger, true}});
constexpr QapiType kPoint{.kind = Kind::object, .members = kPointMembers};
constexpr QapiType kPoints{.kind = Kind::array, .element = &kPoint};

constexpr std::array<std::string_view, 2> kShapeWords = {"circle", "box"};
constexpr QapiType kShapeKind{.kind = Kind::enumeration, .words = kShapeWords};
constexpr auto kCircleMembers = std::to_array<QapiMember>({{"r", &kUint8}});
constexpr QapiType kCircle{.kind = Kind::object, .members = kCircleMembers};
constexpr auto kShapeMembers = std::to_array<QapiMember>({{"kind", &kShapeKind}});
constexpr auto kShapeVariants =
    std::to_array<QapiVariant>({{"circle", &kCircle}, {"box", &kPoint}});
constexpr QapiType kShape{
    .kind = Kind::flat_union, .members = kShapeMembers, .tag = "kind", .variants = kShapeVariants};

constexpr auto kAllMembers = std::to_array<QapiMember>({
    {"s", &kString, true},
    {"b", &kBoolean, true},
    {"i", &kInteger, true},
    {"u8", &kUint8, true},
    {"u16", &kUint16, true},
    {"u32", &kUint32, true},
    {"u64", &kUint64, true},
    {"e", &kColour, true},
    {"es", &kColours, true},
    {"ps", &kPoints, true},
    {"shape", &kShape, true},
});
constexpr QapiType kAll{.kind = Kind::object, .members = kAllMembers};

std::string fault(std::string_view arguments) {
  const tern::Result<void> checked = check_arguments(Json::parse(arguments), kAll);
  if (checked) return "";
  EXPECT_EQ(checked.error().code(), ErrorCode::invalid_argument);
  return checked.error().message();
}

TEST(ArgTypes, values_of_the_right_type_pass) {
  EXPECT_EQ(fault("{}"), "");
  EXPECT_EQ(fault(R"({"s":"x","b":true,"i":-9223372036854775808,"u8":255,"u16":65535,
                      "u32":4294967295,"u64":18446744073709551615,"e":"red","es":["red","blue"],
                      "ps":[{"x":1},{"x":1,"y":2}],"shape":{"kind":"box","x":1}})"),
            "");
  EXPECT_EQ(fault(R"({"i":9223372036854775807,"u8":0,"es":[],"shape":{"kind":"circle","r":3}})"),
            "");
}

struct Case {
  const char* arguments;
  const char* fault;
};

class Faults : public ::testing::TestWithParam<Case> {};

TEST_P(Faults, are_told_in_the_words_of_qmp) {
  EXPECT_EQ(fault(GetParam().arguments), GetParam().fault);
}

INSTANTIATE_TEST_SUITE_P(
    ArgTypes, Faults,
    ::testing::Values(
        Case{R"({"zz":1})", "Parameter 'zz' is unexpected"},
        Case{R"({"s":1})", "Invalid parameter type for 's', expected: string"},
        Case{R"({"s":null})", "Invalid parameter type for 's', expected: string"},
        Case{R"({"s":"a\u0000b"})", "Parameter 's' must not contain a NUL character"},
        Case{R"({"b":"true"})", "Invalid parameter type for 'b', expected: boolean"},
        Case{R"({"i":1.0})", "Invalid parameter type for 'i', expected: integer"},
        Case{R"({"i":9223372036854775808})", "Invalid parameter type for 'i', expected: integer"},
        Case{R"({"i":"1"})", "Invalid parameter type for 'i', expected: integer"},
        Case{R"({"u8":"1"})", "Parameter 'u8' expects uint64"},
        Case{R"({"u8":1.5})", "Parameter 'u8' expects uint64"},
        Case{R"({"u8":256})", "Parameter 'u8' expects uint8_t"},
        Case{R"({"u16":65536})", "Parameter 'u16' expects uint16_t"},
        Case{R"({"u32":4294967296})", "Parameter 'u32' expects uint32_t"},
        Case{R"({"u8":-1})", "Parameter 'u8' expects uint8_t"},
        Case{R"({"u64":-1})", "Parameter 'u64' expects uint64"},
        Case{R"({"u64":1e3})", "Parameter 'u64' expects uint64"},
        Case{R"({"u64":"1M"})", "Parameter 'u64' expects uint64"},
        Case{R"({"u64":18446744073709551616})", "Parameter 'u64' expects uint64"},
        Case{R"({"e":1})", "Invalid parameter type for 'e', expected: string"},
        Case{R"({"e":"green"})", "Parameter 'e' does not accept value 'green'"},
        Case{R"({"es":{}})", "Invalid parameter type for 'es', expected: array"},
        Case{R"({"es":["red","green"]})", "Parameter 'null' does not accept value 'green'"},
        Case{R"({"es":[1]})", "Invalid parameter type for 'es[0]', expected: string"},
        Case{R"({"ps":[{"x":1},{}]})", "Parameter 'ps[1].x' is missing"},
        Case{R"({"ps":[{"x":1,"z":1}]})", "Parameter 'ps[0].z' is unexpected"},
        Case{R"({"ps":[{"x":"1"}]})", "Invalid parameter type for 'ps[0].x', expected: integer"},
        Case{R"({"ps":[7]})", "Invalid parameter type for 'ps[0]', expected: object"},
        Case{R"({"shape":{}})", "Parameter 'shape.kind' is missing"},
        Case{R"({"shape":{"kind":"line"}})", "Parameter 'kind' does not accept value 'line'"},
        Case{R"({"shape":{"kind":"circle"}})", "Parameter 'shape.r' is missing"},
        Case{R"({"shape":{"kind":"circle","r":1,"x":2}})", "Parameter 'shape.x' is unexpected"},
        Case{R"({"shape":{"kind":"circle","r":"1"}})", "Parameter 'shape.r' expects uint64"}));

TEST(ArgTypes, missing_and_wrong_members_are_told_before_unexpected_ones) {
  EXPECT_EQ(fault(R"({"ps":[{"aa":1}]})"), "Parameter 'ps[0].x' is missing");
}

TEST(ArgTypes, names_and_values_that_a_client_made_up_are_cut) {
  EXPECT_LT(fault(Json{{std::string(100000, 'n'), 1}}.dump()).size(), 400u);
  EXPECT_LT(fault(Json{{"e", std::string(100000, 'v')}}.dump()).size(), 400u);
}

}  // namespace
}  // namespace tern::qmp
