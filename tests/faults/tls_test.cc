// SPDX-License-Identifier: Apache-2.0
//
// Whole migrations over TLS: that nothing else changes, whatever is cut, and who is let in.
#include <gtest/gtest.h>

#include <memory>

#include "migration/destination/destination_impl.h"
#include "migration/security/security.h"
#include "migration/source/source_impl.h"
#include "tests/doubles/certificates.h"
#include "tests/doubles/fault_channel.h"
#include "tests/doubles/pair.h"
#include "transport/connect.h"
#include "transport/listen.h"

namespace tern {
namespace {

using test::Cut;
using test::FaultPlan;
using test::Pair;
using test::Pki;
using test::TestMachine;

/// The objects of both sides; credentials are "t".
struct Stores {
  ObjectStore of_source;
  ObjectStore of_destination;
  explicit Stores(const std::string& type = "tls-creds-x509") {
    const std::string& dir = Pki::usual().dir;
    EXPECT_TRUE(of_source.add(type, "t", {{"dir", dir}, {"endpoint", "client"}}));
    EXPECT_TRUE(of_destination.add(type, "t", {{"dir", dir}, {"endpoint", "server"}}));
  }
};

struct TlsPair : Stores, Pair {
  explicit TlsPair(const std::string& type = "tls-creds-x509") : Stores(type) {
    adjust_a = [this](Machine& machine) { machine.objects = &of_source; };
    adjust_b = [this](Machine& machine) { machine.objects = &of_destination; };
  }
  void run(const Settings& settings) {
    prepare(settings);
    start();
    source->wait();
  }
};

Settings with_tls() {
  Settings settings;
  // Where a sanitizer makes TLS slow, a guest that writes all the time would wait for luck.
  settings.avail_switchover_bandwidth = uint64_t{1} << 40;
  settings.tls_creds = "t";
  settings.handshake_timeout = 10000;
  settings.stall_timeout = settings.final_timeout = 60000;
  return settings;
}

TEST(TlsMigration, a_writing_guest_moves_and_goes_on_where_it_stopped) {
  for (const char* type : {"tls-creds-x509", "tls-creds-psk"}) {
    for (const bool return_path : {true, false}) {
      TlsPair pair(type);
      Settings settings = with_tls();
      settings.return_path = return_path;
      pair.run(settings);
      pair.destination->wait();
      EXPECT_EQ(pair.source->stats().status, Status::completed) << pair.source->stats().error_desc;
      EXPECT_EQ(pair.destination->stats().status, Status::completed);
      EXPECT_TRUE(pair.source->stats().transport.ends_with(" with TLS"));
      EXPECT_TRUE(pair.b.running());
      pair.b.wait_rounds(1);
      EXPECT_EQ(pair.b.check(), "");
    }
  }
}

TEST(TlsMigration, an_object_that_is_removed_stays_with_who_uses_it) {
  TlsPair pair;
  Settings settings = with_tls();
  pair.prepare(settings);
  ASSERT_TRUE(pair.of_destination.remove("t"));
  pair.start();
  pair.source->wait();
  EXPECT_EQ(pair.source->stats().status, Status::completed) << pair.source->stats().error_desc;
}

TEST(TlsMigration, can_be_cancelled_in_its_handshake) {
  // Somebody who accepts and says nothing.
  auto silent = transport::make_listener(*parse_uri("tcp:127.0.0.1:0"), {});
  Stores stores;
  test::Recorder events;
  TestMachine a(test::kRam, test::kGuestPages, RunState::running);
  Machine machine = a.machine(&events);
  machine.objects = &stores.of_source;
  auto source = MigrationSource::create(machine, with_tls());
  ASSERT_TRUE((*source)->start((*silent)->bound().at(0)));
  const auto connection = (*silent)->accept();
  ASSERT_TRUE(connection);
  ASSERT_TRUE((*source)->cancel());
  (*source)->wait();
  EXPECT_EQ((*source)->stats().status, Status::cancelled);
  EXPECT_TRUE(a.running());
}

/// One migration with a link that breaks.
struct BrokenRun : Stores {
  TestMachine here{2u << 20, 128, RunState::running};
  TestMachine there{2u << 20, 128, RunState::inmigrate};
  std::unique_ptr<SourceImpl> source;
  std::unique_ptr<DestinationImpl> destination;

  BrokenRun(const FaultPlan& source_plan, const FaultPlan& destination_plan) {
    Settings settings = with_tls();
    auto listener = transport::make_listener(*parse_uri("tcp:127.0.0.1:0"), {10000});
    const Address address = (*listener)->bound().at(0);
    Machine bm = there.machine();
    bm.objects = &of_destination;
    destination = std::make_unique<DestinationImpl>(bm, settings, *GuestMemory::create(bm.ram));
    EXPECT_TRUE(destination->listen_with(
        std::make_unique<test::FaultListener>(std::move(*listener), destination_plan), {address}));
    Machine am = here.machine();
    am.objects = &of_source;
    source = std::make_unique<SourceImpl>(am, settings, *GuestMemory::create(am.ram));
    auto connector = transport::make_connector(address, {10000});
    EXPECT_TRUE(source->start_with(
        std::make_unique<test::FaultConnector>(std::move(*connector), source_plan), "127.0.0.1"));
    source->wait();
    // Cut before its first byte the source is a visitor like any other.
    if (destination->stats().status == Status::setup) {
      destination.reset();
    } else {
      destination->wait();
    }
  }
  void check() {
    const StatsSnapshot s = source->stats();
    EXPECT_FALSE(here.running() && there.running()) << "two sides run";
    EXPECT_TRUE(s.status != Status::completed || there.running());
    EXPECT_TRUE(!here.running() || s.ending == Ending::kept) << s.error_desc;
    if (here.running() || there.running()) {
      EXPECT_EQ((here.running() ? here : there).check(), "");
      return;
    }
    EXPECT_EQ(s.ending, Ending::unknown) << s.error_desc;
    EXPECT_EQ(here.inconsistency(), "") << "the stopped source must stay complete";
  }
};

TEST(TlsMigration, a_cut_anywhere_leaves_one_guest) {
  std::atomic<uint64_t> source_writes{0};
  std::atomic<uint64_t> destination_writes{0};
  BrokenRun whole({.writes = &source_writes}, {.writes = &destination_writes});
  EXPECT_EQ(whole.source->stats().status, Status::completed) << whole.source->stats().error_desc;
  for (const Cut cut : {Cut::before, Cut::after, Cut::lost}) {
    for (uint64_t n = 1; n <= source_writes && !HasFailure(); ++n) {
      SCOPED_TRACE("source, write " + std::to_string(n));
      BrokenRun({.cut_at_write = n, .cut = cut}, {}).check();
    }
    for (uint64_t n = 1; n <= destination_writes && !HasFailure(); ++n) {
      SCOPED_TRACE("destination, write " + std::to_string(n));
      BrokenRun({}, {.cut_at_write = n, .cut = cut}).check();
    }
  }
}

// ---- the settings

std::string failure(TlsPair& pair, const Settings& settings) {
  pair.run(settings);
  EXPECT_EQ(pair.source->stats().status, Status::failed);
  EXPECT_TRUE(pair.a.running());
  return pair.source->stats().error_desc;
}

TEST(Effect, tls_creds) {
  TlsPair pair;
  Settings settings = with_tls();
  pair.prepare(settings);
  pair.source.reset();
  // A plain source does not get in.
  auto plain = MigrationSource::create(pair.a.machine(), {});
  ASSERT_TRUE((*plain)->start(pair.destination->listening().at(0)));
  pair.destination->wait();
  EXPECT_EQ(pair.destination->stats().error_desc,
            "TLS handshake failed: the peer does not speak TLS but sends a plain migration stream: "
            "tls-creds is set here and not there");
  (*plain)->wait();
  EXPECT_TRUE(pair.a.running());

  TlsPair other;
  EXPECT_TRUE(other.of_source.remove("t"));
  EXPECT_EQ(failure(other, with_tls()), "No TLS credentials with id 't'");
}

TEST(Effect, tls_hostname) {
  TlsPair pair;
  Settings settings = with_tls();
  settings.tls_hostname = "other.example";
  EXPECT_EQ(
      failure(pair, settings),
      "TLS handshake failed: Certificate does not match the hostname other.example: it is for "
      "localhost, 127.0.0.1");
  TlsPair right;
  settings.tls_hostname = "localhost";
  right.run(settings);
  EXPECT_EQ(right.source->stats().status, Status::completed) << right.source->stats().error_desc;
}

TEST(Effect, tls_authz) {
  Settings settings = with_tls();
  settings.tls_authz = "z";
  for (const bool allowed : {true, false}) {
    TlsPair pair;
    EXPECT_TRUE(pair.of_destination.add("authz-simple", "z",
                                        {{"identity", allowed ? "C=GB,CN=client" : "CN=client"}}));
    pair.run(settings);
    pair.destination->wait();
    EXPECT_EQ(pair.source->stats().status, allowed ? Status::completed : Status::failed);
    EXPECT_EQ(
        pair.destination->stats().error_desc,
        allowed ? "" : "TLS handshake failed: TLS x509 authz check for C=GB,CN=client is denied");
  }
}

TEST(TlsMigration, listening_says_what_it_misses) {
  const auto error = [](ObjectStore* objects, Settings settings) {
    TestMachine b(test::kRam, test::kGuestPages, RunState::inmigrate);
    Machine machine = b.machine();
    machine.objects = objects;
    auto destination = MigrationDestination::create(machine, settings);
    const auto listening = (*destination)->listen(*parse_uri("tcp:127.0.0.1:0"));
    return listening ? "" : listening.error().message();
  };
  Stores stores;
  EXPECT_EQ(error(nullptr, with_tls()), "No TLS credentials with id 't'");
  EXPECT_EQ(error(&stores.of_source, with_tls()), "Expected TLS credentials for a server endpoint");
  Settings settings = with_tls();
  settings.tls_authz = "z";
  EXPECT_EQ(error(&stores.of_destination, settings), "Cannot find QAuthZ object ID z");
  settings.tls_authz = "t";
  EXPECT_EQ(error(&stores.of_destination, settings), "Object 't' is not a QAuthZ subclass");
  Stores keys("tls-creds-psk");
  EXPECT_TRUE(keys.of_destination.add("authz-simple", "z", {{"identity", "x"}}));
  settings.tls_authz = "z";
  EXPECT_EQ(error(&keys.of_destination, settings),
            "tls-authz looks at the client's certificate: tls-creds must be a tls-creds-x509 with "
            "verify-peer on");
}

TEST(Security, leaves_channels_alone_without_credentials) {
  const Machine machine;
  const auto source = Security::of_source(machine, {}, "host");
  ASSERT_TRUE(source);
  EXPECT_FALSE(source->on());
  EXPECT_EQ(hostname_of(*parse_uri("tcp:[::1]:4444")), "::1");
  EXPECT_EQ(hostname_of(*parse_uri("unix:/tmp/x")), "");
}

}  // namespace
}  // namespace tern
