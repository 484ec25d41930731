// SPDX-License-Identifier: Apache-2.0
//
// Whole migrations in one process over loopback: RAM of fixed content from one mapping to another,
// from connect to the destination's confirmation. The raw limit beside it: the same bytes through a
// socket pair of threads without a protocol. Each case checks the result, so that nobody speeds it
// up by sending less.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "tern/tern.h"

namespace tern {
namespace {

struct StoppedGuest final : VcpuControl {
  RunState state;
  explicit StoppedGuest(RunState s) : state(s) {}
  RunState run_state() const noexcept override { return state; }
  Result<RunState> pause_all(RunState s) noexcept override {
    const RunState before = state;
    state = s;
    return before;
  }
  Result<void> resume_all() noexcept override {
    state = RunState::running;
    return {};
  }
  void set_stopped_state(RunState s) noexcept override { state = s; }
};

struct Memory {
  RamBlock block;
  explicit Memory(uint64_t bytes) {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    block = {.idstr = "m", .host = static_cast<std::byte*>(p), .used_bytes = bytes};
  }
  ~Memory() { munmap(block.host, block.used_bytes); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
};

enum class Content { random, zero, untouched };

void fill(Memory& m, Content content) {
  if (content == Content::untouched) return;
  if (content == Content::zero) {
    std::memset(m.block.host, 0, m.block.used_bytes);
    return;
  }
  std::mt19937_64 random(1);  // fixed seed: the same bytes in every run
  for (uint64_t at = 0; at < m.block.used_bytes; at += 8) {
    const uint64_t v = random();
    std::memcpy(m.block.host + at, &v, 8);
  }
}

bool migrate_once(Memory& from, Memory& to, const char* uri) {
  StoppedGuest a(RunState::paused);
  StoppedGuest b(RunState::inmigrate);
  Machine source_machine{.ram = {&from.block, 1}, .vcpus = &a};
  Machine destination_machine{.ram = {&to.block, 1}, .vcpus = &b};
  auto d = MigrationDestination::create(destination_machine, {});
  if (!d || !(*d)->listen(*parse_uri(uri))) return false;
  auto s = MigrationSource::create(source_machine, {});
  if (!s || !(*s)->start((*d)->listening().at(0))) return false;
  (*s)->wait();
  (*d)->wait();
  return (*s)->stats().status == Status::completed;
}

void whole_migration(benchmark::State& state, Content content, const char* uri) {
  const auto bytes = static_cast<uint64_t>(state.range(0)) << 20;
  Memory from(bytes);
  Memory to(bytes);
  fill(from, content);
  std::memset(to.block.host, 1, bytes);  // touched once: the first touch is another machine's speed
  for (auto _ : state) {
    if (!migrate_once(from, to, uri)) {
      state.SkipWithError("the migration failed");
      return;
    }
  }
  if (std::memcmp(from.block.host, to.block.host, bytes) != 0)
    state.SkipWithError("memory differs");
  state.SetBytesProcessed(static_cast<int64_t>(bytes) * static_cast<int64_t>(state.iterations()));
}

// What two threads and a socket can do at most.
void raw_socket(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0)) << 20;
  Memory from(bytes);
  Memory to(bytes);
  fill(from, Content::random);
  std::memset(to.block.host, 1, bytes);
  for (auto _ : state) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) std::abort();
    std::thread reader([&] {
      for (uint64_t at = 0; at < bytes;) {
        const ssize_t n =
            read(fds[1], to.block.host + at, std::min<uint64_t>(bytes - at, 1u << 20));
        if (n <= 0) std::abort();
        at += static_cast<uint64_t>(n);
      }
    });
    for (uint64_t at = 0; at < bytes;) {
      const ssize_t n =
          write(fds[0], from.block.host + at, std::min<uint64_t>(bytes - at, 1u << 20));
      if (n <= 0) std::abort();
      at += static_cast<uint64_t>(n);
    }
    reader.join();
    close(fds[0]);
    close(fds[1]);
  }
  if (std::memcmp(from.block.host, to.block.host, bytes) != 0)
    state.SkipWithError("memory differs");
  state.SetBytesProcessed(static_cast<int64_t>(bytes) * static_cast<int64_t>(state.iterations()));
}

constexpr const char* kUnix = "unix:/tmp/tern-bench.sock";
constexpr const char* kTcp = "tcp:127.0.0.1:0";

BENCHMARK_CAPTURE(whole_migration, random_unix, Content::random, kUnix)
    ->Arg(4)
    ->Arg(1024)
    ->UseRealTime();
BENCHMARK_CAPTURE(whole_migration, random_tcp, Content::random, kTcp)
    ->Arg(4)
    ->Arg(1024)
    ->UseRealTime();
BENCHMARK_CAPTURE(whole_migration, zero_unix, Content::zero, kUnix)
    ->Arg(4)
    ->Arg(1024)
    ->UseRealTime();
BENCHMARK_CAPTURE(whole_migration, untouched_unix, Content::untouched, kUnix)
    ->Arg(4)
    ->Arg(1024)
    ->UseRealTime();
BENCHMARK(raw_socket)->Arg(4)->Arg(1024)->UseRealTime();

}  // namespace
}  // namespace tern

BENCHMARK_MAIN();
