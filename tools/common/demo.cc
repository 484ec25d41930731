// SPDX-License-Identifier: Apache-2.0
#include "tools/common/demo.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <thread>

#include "tools/common/child.h"
#include "tools/common/progress.h"
#include "tools/common/qmp_client.h"

namespace tern::tool {
namespace {

using Ms = std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;
constexpr size_t kRoundsBefore = 3;  // the guest is busy before it moves
constexpr size_t kRoundsAfter = 3;   // and must go on after

struct Side {
  ChildProcess vmm;
  QmpClient qmp;
  std::string serial;
  std::string log;
};

struct Proof {
  std::string machine;
  Json info;                 // the source's last query-migrate
  size_t rounds_before = 0;  // characters on the serial ports
  size_t rounds_after = 0;
  std::string serial_error;  // "" if the two outputs follow each other without a gap
  Json check;                // of tern-guest-check
  bool consistent = false;
};

bool kvm_opens() {
  const int fd = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

// A line of keys.psk, readable by us alone.
Result<void> make_key(const std::string& path) {
  std::array<unsigned char, 32> key{};
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size())) {
    return errno_error(ErrorCode::internal, "getrandom", errno);
  }
  std::string line = "qemu:";
  for (const unsigned char byte : key) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    line += kDigits[byte >> 4];
    line += kDigits[byte & 15];
  }
  line += '\n';
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written =
      fd >= 0 && ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int why = errno;
  if (fd >= 0) ::close(fd);
  return written ? Result<void>() : Result<void>(errno_error(ErrorCode::internal, path, why));
}

Result<Side> start_side(const TemporaryDirectory& dir, const DemoOptions& o,
                        const std::string& name, const std::vector<std::string>& extra) {
  const std::string qmp = dir.file(name + ".qmp");
  const std::string serial = dir.file(name + ".serial");
  const std::string log = dir.file(name + ".log");
  std::vector<std::string> argv = {sibling_program("tern-vmm"),
                                   "-v",
                                   "--machine",
                                   o.machine,
                                   "--ram",
                                   o.ram,
                                   "--serial",
                                   serial,
                                   "--qmp",
                                   "unix:" + qmp,
                                   "--name",
                                   name};
  argv.insert(argv.end(), extra.begin(), extra.end());
  for (const std::string& setting : o.settings) {
    const size_t equals = setting.find('=');
    argv.push_back("--" + setting.substr(0, equals));
    if (equals != std::string::npos) argv.push_back(setting.substr(equals + 1));
  }
  if (o.tls) {
    const std::string endpoint = name == "source" ? "client" : "server";
    argv.insert(argv.end(),
                {"--object", "tls-creds-psk,id=key,dir=" + dir.path() + ",endpoint=" + endpoint,
                 "--tls-creds", "key"});
  }
  auto vmm = TERN_TRY(ChildProcess::start(argv, log));
  auto client = QmpClient::connect(qmp, Ms(20000));
  if (!client) {
    return Error(ErrorCode::channel,
                 name + " did not start: " + client.error().message() + "\n" + vmm.output());
  }
  return Side{std::move(vmm), std::move(*client), serial, log};
}

// Waits until the guest has printed `n` characters: one per round.
Result<size_t> wait_rounds(Side& side, size_t n) {
  const auto until = SteadyClock::now() + Ms(120000);
  for (;;) {
    const size_t rounds = read_text(side.serial).size();
    if (rounds >= n) return rounds;
    if (!side.vmm.running())
      return Error(ErrorCode::channel, "tern-vmm ended: " + side.vmm.output());
    if (SteadyClock::now() > until)
      return Error(ErrorCode::timed_out, "the guest makes no progress");
    std::this_thread::sleep_for(Ms(20));  // a serial port written to a file cannot be waited for
  }
}

Result<Json> migrate(Side& source, Side& destination, const DemoOptions& o) {
  const Json capabilities = {
      {"capabilities", Json::array({{{"capability", "return-path"}, {"state", true}},
                                    {{"capability", "events"}, {"state", true}}})}};
  TERN_TRY(source.qmp.execute("migrate-set-capabilities", capabilities));
  const Json listening = TERN_TRY(destination.qmp.execute("query-migrate"));
  if (!listening.contains("socket-address") || listening["socket-address"].empty()) {
    return Error(ErrorCode::channel, "the destination does not listen");
  }
  const Json& address = listening["socket-address"][0];
  const std::string uri = "tcp:" + address.value("host", "") + ":" + address.value("port", "");
  if (!o.json) std::printf("migrating to %s\n", uri.c_str());
  TERN_TRY(source.qmp.execute("migrate", {{"uri", uri}}));
  ProgressPrinter printer(o.json ? stderr : stdout);
  for (;;) {
    Json info = TERN_TRY(source.qmp.execute("query-migrate"));
    const std::string status = info.value("status", "none");
    printer.show(info);
    if (status == "completed") {
      printer.finish();
      return info;
    }
    if (status == "failed" || status == "cancelled") {
      printer.finish();
      return Error(ErrorCode::channel,
                   "migration " + status + ": " + info.value("error-desc", "no reason given"));
    }
    const Json event = TERN_TRY(source.qmp.next_event(Ms(100)));
    static_cast<void>(event);  // any event is a reason to look again at once
  }
}

// One character per round, 'A' to 'Z' and again: the destination must go on where the source ended.
std::string serial_gap(const std::string& source, const std::string& destination) {
  const std::string all = source + destination;
  for (size_t i = 1; i < all.size(); ++i) {
    const char expected = all[i - 1] == 'Z' ? 'A' : static_cast<char>(all[i - 1] + 1);
    if (all[i] != expected) {
      return std::string("after '") + all[i - 1] + "' came '" + all[i] + "' (character " +
             std::to_string(i) + ", the source printed " + std::to_string(source.size()) + ")";
    }
  }
  return {};
}

Result<Json> check_memory(const TemporaryDirectory& dir, Side& side, uint64_t ram_bytes) {
  TERN_TRY(side.qmp.execute("stop"));
  const std::string dump = dir.file("memory");
  TERN_TRY(side.qmp.execute("pmemsave", {{"val", 0}, {"size", ram_bytes}, {"filename", dump}}));
  const std::string log = dir.file("check.log");
  auto checker =
      TERN_TRY(ChildProcess::start({sibling_program("tern-guest-check"), "--json", dump}, log));
  const int status = checker.wait();
  Json verdict = Json::parse(checker.output(), nullptr, false);
  if (verdict.is_discarded()) {
    return Error(ErrorCode::internal, "tern-guest-check (status " + std::to_string(status) +
                                          ") said: " + checker.output());
  }
  verdict["exit-status"] = status;
  return verdict;
}

Result<Proof> demonstrate(const DemoOptions& o) {
  const TemporaryDirectory dir = TERN_TRY(TemporaryDirectory::create());
  if (o.tls) TERN_TRY(make_key(dir.file("keys.psk")));
  Side source = TERN_TRY(start_side(dir, o, "source", {}));
  Side destination = TERN_TRY(start_side(dir, o, "destination", {"--incoming", "tcp:127.0.0.1:0"}));
  if (!o.json) {
    std::printf("a %s guest with %s of RAM writes its memory at full speed\n", o.machine.c_str(),
                o.ram.c_str());
    std::fflush(stdout);
  }
  TERN_TRY(wait_rounds(source, kRoundsBefore));
  Proof proof;
  proof.machine = o.machine;
  proof.info = TERN_TRY(migrate(source, destination, o));
  proof.rounds_before = read_text(source.serial).size();
  const size_t at_arrival = read_text(destination.serial).size();
  TERN_TRY(wait_rounds(destination, at_arrival + kRoundsAfter));
  proof.check =
      TERN_TRY(check_memory(dir, destination, proof.info["ram"].value("total", uint64_t{0})));
  const std::string before = read_text(source.serial);
  const std::string after = read_text(destination.serial);
  proof.rounds_after = after.size();
  proof.serial_error = serial_gap(before, after);
  const Json status = TERN_TRY(source.qmp.execute("query-status"));
  proof.consistent = proof.check["exit-status"] == 0 && proof.serial_error.empty() &&
                     proof.rounds_after >= kRoundsAfter && !status.value("running", true) &&
                     before.size() == proof.rounds_before;
  if (o.verbose) {
    std::fprintf(stderr, "--- source\n%s--- destination\n%s", source.vmm.output().c_str(),
                 destination.vmm.output().c_str());
  }
  return proof;
}

void print_verdict(const Proof& proof) {
  const Json& info = proof.info;
  const Json& ram = info["ram"];
  const Json tern = info.value("x-tern", Json::object());
  const Json phases = tern.value("downtime-ns", Json::object());
  std::printf("\ntotal time    %llu ms (setup %llu ms)\n", info.value("total-time", 0ull),
              info.value("setup-time", 0ull));
  std::printf("downtime      %llu ms\n", info.value("downtime", 0ull));
  for (const char* name : {"stop-vcpus", "final-sync", "last-pages", "device-save", "peer-load"}) {
    std::printf("  %-12s%8.3f ms\n", name, phases.value(name, 0.0) / 1e6);
  }
  std::printf(
      "transferred   %s in %llu passes; pages: %llu with data, %llu zero; never touched: %s\n",
      human_bytes(ram.value("transferred", 0.0)).c_str(), ram.value("dirty-sync-count", 0ull),
      ram.value("normal", 0ull), ram.value("duplicate", 0ull),
      human_bytes(tern.value("never-touched-bytes", 0.0)).c_str());
  std::printf("chosen        dirty tracker %s, holes by %s, pages by %s, peer %s\n",
              tern.value("tracker", "?").c_str(), tern.value("hole-finder", "?").c_str(),
              tern.value("page-ops", "?").c_str(), tern.value("peer", "?").c_str());
  std::printf("guest         %zu rounds at the source, %zu more at the destination\n",
              proof.rounds_before, proof.rounds_after);
  std::printf("serial port   %s\n", proof.serial_error.empty() ? "no character lost or repeated"
                                                               : proof.serial_error.c_str());
  std::printf("memory        %s\n", proof.check.value("consistent", false)
                                        ? "every page is what the guest wrote last"
                                        : proof.check.dump().c_str());
  std::printf("\n%s\n", proof.consistent
                            ? "PROVED: the guest went on at the destination and lost nothing."
                            : "NOT PROVED: see above.");
}

}  // namespace

int run_demo(const DemoOptions& given) {
  DemoOptions o = given;
  if (o.machine == "auto") o.machine = kvm_opens() ? "kvm" : "threads";
  auto proof = demonstrate(o);
  if (!proof) {
    if (o.json) {
      std::printf("%s\n",
                  Json{{"consistent", false}, {"error", proof.error().message()}}.dump(2).c_str());
    } else {
      std::fprintf(stderr, "tern demo: %s\n", proof.error().message().c_str());
    }
    return 1;
  }
  if (o.json) {
    const Json out = {{"consistent", proof->consistent},
                      {"machine", proof->machine},
                      {"migration", proof->info},
                      {"rounds-before", proof->rounds_before},
                      {"rounds-after", proof->rounds_after},
                      {"serial-error", proof->serial_error},
                      {"memory", proof->check}};
    std::printf("%s\n", out.dump(2).c_str());
  } else {
    print_verdict(*proof);
  }
  return proof->consistent ? 0 : 1;
}

}  // namespace tern::tool
