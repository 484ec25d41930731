// SPDX-License-Identifier: Apache-2.0
#include "tools/tern/ctl_arguments.h"

#include "tests/unit/tools/tern/ctl_support.h"

namespace tern::tool {
namespace {

using Words = std::vector<std::string>;

Json built(const std::string& command, const Words& words) {
  const Schema schema = test::small_schema();
  const auto arguments = build_arguments(&schema, command, words);
  EXPECT_TRUE(arguments.has_value()) << (arguments ? "" : arguments.error().message());
  return arguments ? *arguments : Json();
}

std::string refused(const std::string& command, const Words& words) {
  const Schema schema = test::small_schema();
  const auto arguments = build_arguments(&schema, command, words);
  if (arguments) {
    ADD_FAILURE() << "accepted: " << arguments->dump();
    return {};
  }
  EXPECT_EQ(arguments.error().code(), ErrorCode::invalid_argument);
  return arguments.error().message();
}

TEST(CtlArguments, words_are_a_key_and_a_value) {
  EXPECT_EQ(parse_key_value("a=b=c")->value, "b=c");
  EXPECT_EQ(parse_key_value("a:=[1]")->key, "a");
  EXPECT_TRUE(parse_key_value("a:=[1]")->raw);
  EXPECT_FALSE(parse_key_value("uri=tcp:=")->raw);
  EXPECT_FALSE(parse_key_value("word").has_value());
  EXPECT_FALSE(parse_key_value("=x").has_value());
  EXPECT_FALSE(parse_key_value(":=x").has_value());
}

TEST(CtlArguments, values_get_the_type_the_server_wants) {
  EXPECT_EQ(built("migrate", {"uri=12", "detach=on"}), (Json{{"uri", "12"}, {"detach", true}}));
  EXPECT_EQ(built("migrate-set-parameters",
                  {"max-bandwidth=1G", "share=0.5", "tls-creds=null", "multifd-compression=zlib"}),
            (Json{{"max-bandwidth", 1073741824},
                  {"share", 0.5},
                  {"tls-creds", nullptr},
                  {"multifd-compression", "zlib"}}));
  EXPECT_EQ(built("migrate-set-parameters", {"tls-creds="}), (Json{{"tls-creds", ""}}));
  EXPECT_TRUE(built("query-migrate", {}).is_null());
}

TEST(CtlArguments, a_string_that_looks_like_json_stays_a_string) {
  EXPECT_EQ(built("migrate", {"uri={x"}), (Json{{"uri", "{x"}}));
}

TEST(CtlArguments, lists_come_by_comma_by_repetition_by_index_and_as_json) {
  const Json three = {{"names", {"a", "b", "c"}}};
  EXPECT_EQ(built("migrate-set-parameters", {"names=a,b,c"}), three);
  EXPECT_EQ(built("migrate-set-parameters", {"names=a", "names=b,c"}), three);
  EXPECT_EQ(built("migrate-set-parameters", {"names.0=a", "names.2=c", "names.1=b"}), three);
  EXPECT_EQ(built("migrate-set-parameters", {R"(names=["a","b","c"])"}), three);
  EXPECT_EQ(built("migrate-set-parameters", {"names="}), (Json{{"names", Json::array()}}));
  EXPECT_EQ(built("migrate-set-parameters", {"counts=1K,2"}), (Json{{"counts", {1024, 2}}}));
  EXPECT_EQ(built("put-list", {"items.0.capability=events", "items.0.state=off"}),
            (Json{{"items", Json::array({{{"capability", "events"}, {"state", false}}})}}));
}

TEST(CtlArguments, capabilities_are_set_by_their_names) {
  EXPECT_EQ(built("migrate-set-capabilities", {"events=on", "return-path=false"}),
            (Json{{"capabilities",
                   {{{"capability", "events"}, {"state", true}},
                    {{"capability", "return-path"}, {"state", false}}}}}));
  EXPECT_EQ(built("migrate-set-capabilities",
                  {R"(capabilities=[{"capability":"xbzrle","state":true}])", "events=on"})
                .at("capabilities")
                .size(),
            2u);
  EXPECT_NE(refused("migrate-set-capabilities", {"event=on"}).find("did you mean 'events'"),
            std::string::npos);
  EXPECT_NE(refused("migrate-set-capabilities", {"events=maybe"}).find("on, off"),
            std::string::npos);
  EXPECT_NE(refused("migrate-set-capabilities", {}).find("NAME=on"), std::string::npos);
}

TEST(CtlArguments, a_union_is_read_by_its_tag_wherever_that_stands) {
  EXPECT_EQ(built("blockdev-add", {"filename=x", "driver=file", "cache.direct=on"}),
            (Json{{"driver", "file"}, {"filename", "x"}, {"cache", {{"direct", true}}}}));
  EXPECT_EQ(built("blockdev-add", {"driver=raw", "file.driver=file", "file.filename=y"}),
            (Json{{"driver", "raw"}, {"file", {{"driver", "file"}, {"filename", "y"}}}}));
  EXPECT_EQ(built("blockdev-add", {"driver=raw", "file=node"}),
            (Json{{"driver", "raw"}, {"file", "node"}}));
  EXPECT_EQ(built("blockdev-add", {"driver:=\"file\"", "filename=x"}).at("filename"), "x");
  EXPECT_NE(refused("blockdev-add", {"filename=x"}).find("depend on 'driver'"), std::string::npos);
  EXPECT_NE(refused("blockdev-add", {"driver=file"}).find("missing argument 'filename'"),
            std::string::npos);
}

TEST(CtlArguments, names_with_dots_in_them_are_names) {
  EXPECT_EQ(built("blockdev-add", {"driver=file", "filename=x", "cache.no.flush=on"}).at("cache"),
            (Json{{"no.flush", true}}));
}

TEST(CtlArguments, raw_values_go_out_as_they_are) {
  EXPECT_EQ(built("migrate", {"uri:=5", "new:={\"a\":1}"}),
            (Json{{"uri", 5}, {"new", {{"a", 1}}}}));
  EXPECT_NE(refused("migrate", {"uri:=tcp"}).find("not JSON"), std::string::npos);
}

TEST(CtlArguments, a_json_object_gives_all_arguments_at_once) {
  EXPECT_EQ(built("migrate", {R"({"uri": "tcp:h:1", "detach": true})"}),
            (Json{{"uri", "tcp:h:1"}, {"detach", true}}));
  EXPECT_NE(refused("migrate", {"{uri"}).find("not a JSON object"), std::string::npos);
}

TEST(CtlArguments, slips_are_named_with_what_is_possible) {
  EXPECT_EQ(refused("migrate", {"urii=x"}),
            "no argument 'urii'; did you mean 'uri'? Possible: uri, detach");
  EXPECT_EQ(refused("migrate", {}), "missing argument 'uri': uri=string");
  EXPECT_EQ(refused("migrate", {"uri=x", "detach=si"}),
            "'detach' cannot be 'si'; possible: on|off");
  EXPECT_EQ(refused("migrate", {"uri=x", "uri=y"}), "'uri' is given more than once");
  EXPECT_EQ(refused("migrate", {"uri.x=1"}), "'uri' is string and has no 'x'");
  EXPECT_EQ(refused("migrate-set-parameters", {"max-bandwidth=fast"}),
            "'max-bandwidth' cannot be 'fast': an integer is wanted, sizes may end in K, M, G, T");
  EXPECT_EQ(
      refused("migrate-set-parameters", {"multifd-compression=zst"}),
      "'multifd-compression' cannot be 'zst'; did you mean 'zstd'? Possible: none, zlib, zstd");
  EXPECT_EQ(refused("query-migrate", {"a=1"}), "no argument 'a'; it takes none");
  EXPECT_NE(refused("put-list", {"items=a"}).find("items.0.NAME"), std::string::npos);
  EXPECT_NE(refused("put-list", {"items.1.state=on"}).find("no element 0"), std::string::npos);
  EXPECT_NE(refused("put-list", {"items.x=1"}).find("an index is wanted"), std::string::npos);
  EXPECT_NE(refused("put-list", {"items.99999999999=1"}).find("index"), std::string::npos);
  EXPECT_NE(refused("blockdev-add", {"driver=file", "filename=x", "cache={}", "cache.direct=on"})
                .find("whole and in parts"),
            std::string::npos);
}

TEST(CtlArguments, what_the_schema_leaves_open_is_typed_by_its_look) {
  EXPECT_EQ(built("device_add", {"driver=e1000", "mac=52:54:0:0:0:1", "bootindex=3"}),
            (Json{{"driver", "e1000"}, {"mac", "52:54:0:0:0:1"}, {"bootindex", 3}}));
  EXPECT_EQ(built("put-list", {"items=[]", "extra=true", "later=7"}),
            (Json{{"items", Json::array()}, {"extra", true}, {"later", 7}}));
}

TEST(CtlArguments, without_a_schema_words_are_typed_by_their_look) {
  const auto arguments = build_arguments(
      nullptr, "migrate", {"uri=tcp:h:1", "detach=true", "n=5", "a.b=x", "l=1", "l=2", "j:=[0]"});
  ASSERT_TRUE(arguments.has_value());
  EXPECT_EQ(*arguments, (Json{{"uri", "tcp:h:1"},
                              {"detach", true},
                              {"n", 5},
                              {"a", {{"b", "x"}}},
                              {"l", {1, 2}},
                              {"j", {0}}}));
  EXPECT_EQ(*build_arguments(nullptr, "migrate-set-capabilities", {"events=on"}),
            (Json{{"capabilities", Json::array({{{"capability", "events"}, {"state", true}}})}}));
  EXPECT_FALSE(build_arguments(nullptr, "x", {"a=1", "a.b=2"}).has_value());
  EXPECT_FALSE(build_arguments(nullptr, "x", {"a.b=2", "a=1"}).has_value());
}

TEST(CtlArguments, variants_add_their_members) {
  const Schema schema = test::small_schema();
  const auto with = [&](const std::string& word) {
    return members_of(schema, "9", [&](const std::string&) { return word; }).size();
  };
  EXPECT_EQ(with(""), 2u);
  EXPECT_EQ(with("file"), 3u);
  EXPECT_EQ(capability_type(schema, *schema.command("migrate-set-capabilities")), "2");
  EXPECT_EQ(capability_type(schema, *schema.command("migrate")), "");
}

}  // namespace
}  // namespace tern::tool
