// SPDX-License-Identifier: Apache-2.0
//
// The built tern-vmm as its users see it: options, QMP, exit status, and guests that move between
// two processes.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>

#include "tests/unit/tools/vmm/program.h"
#include "tests/unit/tools/vmm/support.h"
#include "tools/common/qmp_client.h"

namespace tern::vmm {
namespace {

using tool::Json;
using tool::QmpClient;
/// Not a time that is measured: how long a broken build may hang.
constexpr std::chrono::milliseconds kPatience{60000};

class Vmm {
 public:
  Vmm(const TempDir& dir, const std::string& name, std::vector<std::string> arguments)
      : serial_path_(dir.file(name + ".serial")),
        program_(with(dir, name, std::move(arguments)), dir.file(name + ".log")),
        qmp_(must(QmpClient::connect(dir.file(name + ".qmp"), kPatience))) {}

  Json run(const std::string& command, Json arguments = nullptr) {
    auto reply = qmp_.execute(command, std::move(arguments));
    EXPECT_TRUE(reply) << command << ": " << reply.error().message() << program_.output();
    return reply ? *reply : Json();
  }
  std::string status() { return run("query-status").at("status"); }
  QmpClient& qmp() { return qmp_; }
  Program& program() { return program_; }
  std::string serial() const {
    std::ifstream file(serial_path_);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  /// Waits until the guest printed more than `count` characters.
  void await_serial(size_t count) {
    while (serial().size() <= count) std::this_thread::yield();
  }
  Verdict verdict(const TempDir& dir, uint64_t bytes) {
    const std::string path = dir.file("dump");
    run("pmemsave", {{"val", 0}, {"size", bytes}, {"filename", path}});
    std::ifstream file(path, std::ios::binary);
    const std::string image{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    return must(check_guest(std::as_bytes(std::span(image))));
  }

 private:
  static std::vector<std::string> with(const TempDir& dir, const std::string& name,
                                       std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {TERN_VMM, "--qmp", "unix:" + dir.file(name + ".qmp"),
                                         "--serial", dir.file(name + ".serial")});
    return arguments;
  }
  std::string serial_path_;
  Program program_;
  QmpClient qmp_;
};

struct Finished {
  int status;
  std::string text;
};
Finished run(const TempDir& dir, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), TERN_VMM);
  Program program(arguments, dir.file("log"));
  const int status = program.wait();
  return {status, program.output()};
}

TEST(tern_vmm, what_cannot_start_tells_why_and_gives_status_1_or_2) {
  const TempDir dir;
  const std::vector<std::tuple<std::vector<std::string>, int, std::string>> cases = {
      {{"--nonsense"}, 2, "--nonsense"},
      {{"--machine", "none", "--incoming", "nowhere:1"}, 1, "nowhere"},
      {{"--machine", "none", "--ram", "5000"}, 1, "multiple of the page size"},
      {{"--machine", "none", "--qmp", "unix:/no/such/dir/q"}, 1, "/no/such/dir/q"},
      {{"--machine", "none", "--qtest", "unix:/no/such/dir/q"}, 1, "/no/such/dir/q"},
      {{"--machine", "threads", "--ram", "1M"}, 1, "pages for 1 vCPUs"},
      {{"--machine", "threads", "--guest-range", "1G:1M"}, 1, "the RAM"},
      {{"--machine", "kvm", "--boot", "/no/such/file"}, 1, "/no/such/file"},
  };
  for (const auto& [arguments, status, word] : cases) {
    const Finished finished = run(dir, arguments);
    EXPECT_EQ(finished.status, status) << word;
    EXPECT_NE(finished.text.find(word), std::string::npos) << finished.text;
  }
}

TEST(tern_vmm, quit_and_signals_end_it_with_status_0) {
  const TempDir dir;
  for (const int number : {0, SIGTERM, SIGINT}) {
    Vmm vm(dir, "vm", {"--machine", "threads", "--ram", "2M"});
    EXPECT_EQ(vm.status(), "running");
    if (number == 0) {
      vm.run("quit");
    } else {
      vm.program().signal(number);
    }
    EXPECT_TRUE(vm.qmp().wait_event("SHUTDOWN", "", kPatience)) << number;
    EXPECT_EQ(vm.program().wait(), 0) << vm.program().output();
  }
}

TEST(tern_vmm, name_uuid_and_pause_are_what_the_options_said) {
  const TempDir dir;
  const std::string uuid = "01234567-89ab-cdef-0123-456789abcdef";
  Vmm vm(dir, "vm",
         {"--machine", "none", "--ram", "1M", "-S", "--name", "n1", "--uuid", uuid, "-v"});
  EXPECT_EQ(vm.run("query-name").at("name"), "n1");
  EXPECT_EQ(vm.run("query-uuid").at("UUID"), uuid);
  EXPECT_EQ(vm.status(), "prelaunch");
  vm.run("cont");
  EXPECT_EQ(vm.status(), "running");
  vm.run("quit");
  EXPECT_EQ(vm.program().wait(), 0);
  EXPECT_NE(vm.program().output().find("dirty tracking by"), std::string::npos);
}

void move_between_processes(const std::string& machine, uint32_t vcpus) {
  const TempDir dir;
  const std::vector<std::string> common = {
      "--machine",           machine,         "--ram",  "4M", "--vcpus",
      std::to_string(vcpus), "--guest-range", "1M:256K"};
  auto incoming = common;
  const std::string uri = "unix:" + dir.file("migration");
  incoming.insert(incoming.end(), {"--incoming", uri});
  Vmm source(dir, "source", common);
  Vmm destination(dir, "destination", incoming);
  EXPECT_EQ(destination.status(), "inmigrate");
  source.await_serial(1);
  source.run("migrate", {{"uri", uri}});
  const Json info =
      must(source.qmp().watch_migration(std::chrono::milliseconds(10), kPatience, {}));
  ASSERT_EQ(info.at("status"), "completed") << info << source.program().output();
  const std::string before = source.serial();
  destination.await_serial(5);
  EXPECT_EQ(source.status(), "postmigrate");
  EXPECT_EQ(destination.status(), "running");
  destination.run("stop");
  const std::string text = before + destination.serial();
  EXPECT_EQ(text, rounds_text(text.size()));
  const Verdict left = source.verdict(dir, 4 << 20);
  const Verdict arrived = destination.verdict(dir, 4 << 20);
  EXPECT_TRUE(left.consistent) << describe(left);
  EXPECT_TRUE(arrived.consistent) << describe(arrived);
  EXPECT_GT(arrived.slices[0].progress(), left.slices[0].progress());
  EXPECT_EQ(source.serial(), before) << "the source went on";
  for (Vmm* vm : {&source, &destination}) {
    vm->run("quit");
    EXPECT_EQ(vm->program().wait(), 0) << vm->program().output();
  }
}

TEST(tern_vmm, a_threads_guest_moves_to_another_process) { move_between_processes("threads", 1); }
TEST(tern_vmm, a_threads_guest_with_two_vcpus_moves) { move_between_processes("threads", 2); }
TEST(tern_vmm, a_kvm_guest_moves_to_another_process) {
  const UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm) GTEST_SKIP() << "no KVM here: /dev/kvm: " << std::strerror(errno);
  move_between_processes("kvm", 2);
}

TEST(tern_vmm, a_failed_incoming_migration_ends_it_unless_told_otherwise) {
  const TempDir dir;
  for (const std::string on_error : {"on", "off"}) {
    const std::string path = dir.file("in-" + on_error);
    Vmm vm(dir, "vm" + on_error,
           {"--machine", "none", "--ram", "1M", "--incoming", "unix:" + path, "--exit-on-error",
            on_error});
    {
      const UniqueFd peer(::socket(AF_UNIX, SOCK_STREAM, 0));
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      std::memcpy(address.sun_path, path.data(), path.size());
      ASSERT_EQ(::connect(peer.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
                0);
      ASSERT_EQ(::send(peer.get(), "not a stream", 12, MSG_NOSIGNAL), 12);
    }
    if (on_error == "off") {
      const Json info =
          must(vm.qmp().watch_migration(std::chrono::milliseconds(10), kPatience, {}));
      EXPECT_EQ(info.at("status"), "failed");
      vm.run("quit");
    }
    EXPECT_EQ(vm.program().wait(), on_error == "on" ? 1 : 0);
    EXPECT_NE(vm.program().output().find("not a migration stream"), std::string::npos)
        << vm.program().output();
  }
}

}  // namespace
}  // namespace tern::vmm
