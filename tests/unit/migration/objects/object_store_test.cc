// SPDX-License-Identifier: Apache-2.0
#include "tern/objects.h"

#include <gtest/gtest.h>

#include <thread>

#include "migration/objects/registry.h"
#include "tests/doubles/certificates.h"

namespace tern {
namespace {

using transport::tls::Endpoint;

std::string add(ObjectStore& store, const std::string& text) {
  const auto added = store.add_text(text);
  return added ? "" : added.error().message();
}

TEST(ObjectStore, makes_lists_and_removes) {
  ObjectStore store;
  EXPECT_EQ(add(store, "secret,id=s1,data=a,,b"), "");
  EXPECT_EQ(add(store, "authz-simple,id=a-1.x_,identity=CN=x,,O=y"), "");
  ASSERT_EQ(store.list().size(), 2u);
  EXPECT_EQ(store.list()[0].id, "a-1.x_");
  EXPECT_EQ(store.list()[0].type, "authz-simple");
  EXPECT_EQ((*store.registry().secret("s1"))->bytes(), "a,b");
  EXPECT_TRUE(*(*store.registry().authz("a-1.x_"))->allows("CN=x,O=y"));
  const auto kept = *store.registry().secret("s1");
  EXPECT_TRUE(store.remove("s1"));
  EXPECT_EQ(kept->bytes(), "a,b") << "who has it keeps it";
  EXPECT_EQ(store.remove("s1").error().message(), "object 's1' not found");
}

TEST(ObjectStore, says_what_is_wrong) {
  ObjectStore store;
  EXPECT_EQ(add(store, "secret,id=s,data=x"), "");
  EXPECT_EQ(add(store, "secret,id=s,data=x"),
            "attempt to add duplicate property 's' to object (type 'container')");
  EXPECT_EQ(add(store, "nosuch,id=x"), "Parameter 'qom-type' does not accept value 'nosuch'");
  EXPECT_EQ(add(store, "secret,data=x"), "Parameter 'id' is missing");
  EXPECT_EQ(add(store, "secret,id=x,id=y,data=x"), "'id' is given twice");
  EXPECT_EQ(add(store, "secret,id=x,data"), "'data' is not NAME=VALUE");
  EXPECT_EQ(add(store, ""), "Parameter 'id' is missing");
  for (const char* id : {"", "9", "-a", "a b", "a/b"}) {
    EXPECT_EQ(add(store, std::string("secret,data=x,id=") + id),
              "Parameter 'id' expects an identifier");
  }
  EXPECT_EQ(add(store, "secret,id=" + std::string(256, 'a') + ",data=x"),
            "Parameter 'id' expects an identifier");
  EXPECT_EQ(add(store, "secret,id=x"), "Either 'file' or 'data' must be provided");
  EXPECT_EQ(add(store, "secret,id=x,data=x,bogus=1"), "Parameter 'bogus' is unexpected");
  EXPECT_EQ(add(store, "secret,id=x,data=x,format=hex"),
            "Parameter 'format' does not accept value 'hex'");
  EXPECT_EQ(add(store, "authz-simple,id=x"), "Parameter 'identity' is missing");
  EXPECT_EQ(add(store, "authz-list-file,id=x,filename=/x,refresh=yes"),
            "Parameter 'refresh' expects 'on' or 'off'");
  EXPECT_EQ(add(store, "tls-creds-x509,id=x"), "Missing 'dir' property value");
  EXPECT_EQ(add(store, "tls-creds-x509,id=x,dir=/none,passwordid=nosuch"),
            "No secret with id 'nosuch'");
  EXPECT_FALSE(store.add("secret", "x", {{"data", std::string("a\0b", 3)}}));
}

TEST(ObjectStore, rules_of_a_list_are_dotted_names) {
  ObjectStore store;
  const std::string list = "authz-list,id=l,";
  EXPECT_EQ(add(store, list + "policy=deny,rules.0.match=a*,rules.0.policy=allow,"
                              "rules.0.format=glob,rules.1.match=b,rules.1.policy=deny"),
            "");
  EXPECT_TRUE(*(*store.registry().authz("l"))->allows("abc"));
  EXPECT_FALSE(*(*store.registry().authz("l"))->allows("b"));
  EXPECT_EQ(add(store, list + "rules.0.match=a"), "Parameter 'rules[0].policy' is missing");
  EXPECT_EQ(add(store, list + "rules.1.match=a,rules.1.policy=deny"),
            "Parameter 'rules.0' is missing");
  EXPECT_EQ(add(store, list + "rules.0.x=a"), "Parameter 'rules.0.x' is unexpected");
  EXPECT_EQ(add(store, list + "rules.x.match=a"), "Parameter 'rules.x.match' is unexpected");
  EXPECT_EQ(add(store, list + "rules.99999.match=a"),
            "Parameter 'rules.99999.match' is unexpected");
  EXPECT_EQ(add(store, list + "rules=a"), "Parameter 'rules' is unexpected");
  EXPECT_EQ(add(store, list + "rules.0.match=a,rules.0.policy=x"),
            "Parameter 'policy' does not accept value 'x'");
}

TEST(ObjectStore, holds_a_bounded_number) {
  ObjectStore store;
  for (size_t i = 0; i < ObjectRegistry::kMaxObjects; ++i) {
    ASSERT_EQ(add(store, "secret,id=s" + std::to_string(i) + ",data=x"), "");
  }
  EXPECT_EQ(store.add_text("secret,id=more,data=x").error().code(), ErrorCode::resource_exhausted);
}

TEST(ObjectStore, gives_credentials_to_the_right_side_only) {
  ObjectStore store;
  const std::string dir = test::Pki::usual().dir;
  EXPECT_EQ(add(store, "tls-creds-x509,id=c,dir=" + dir), "");
  EXPECT_EQ(add(store, "tls-creds-psk,id=p,endpoint=server,dir=" + dir), "");
  EXPECT_EQ(add(store, "secret,id=s,data=x"), "");
  const auto error = [&](const char* id, Endpoint endpoint) {
    const auto found = store.registry().credentials(id, endpoint);
    return found ? "" : found.error().message();
  };
  EXPECT_EQ(error("c", Endpoint::client), "");
  EXPECT_EQ(error("c", Endpoint::server), "Expected TLS credentials for a server endpoint");
  EXPECT_EQ(error("p", Endpoint::client), "Expected TLS credentials for a client endpoint");
  EXPECT_EQ(error("s", Endpoint::client), "Object with id 's' is not TLS credentials");
  EXPECT_EQ(error("x", Endpoint::client), "No TLS credentials with id 'x'");
  EXPECT_EQ(store.registry().secret("c").error().message(), "Object with id 'c' is not a secret");
}

TEST(ObjectStore, may_be_used_by_several_threads) {
  ObjectStore store;
  const auto work = [&store](const char* id) {
    for (int i = 0; i < 200; ++i) {
      store.add("secret", id, {{"data", "x"}}).ignore("counted at the end");
      (void)store.list();
      store.remove(id).ignore("counted at the end");
    }
  };
  std::thread other(work, "a");
  work("b");
  other.join();
  EXPECT_TRUE(store.list().empty());
}

}  // namespace
}  // namespace tern
