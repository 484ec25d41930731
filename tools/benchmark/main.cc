// SPDX-License-Identifier: Apache-2.0
//
// tern-bench-memory: the parts of tools/bench that must be fast. Each form prints one JSON object.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tools/benchmark/content.h"
#include "tools/benchmark/memory.h"
#include "tools/benchmark/raw_limit.h"

namespace tern::bench {
namespace {

constexpr const char* kUsage =
    "usage: tern-bench-memory fill FILE BYTES zero|sparse|random|text|mixed\n"
    "       tern-bench-memory warm BYTES\n"
    "       tern-bench-memory raw FILE RAM BYTES SOCKETS 4k|thp "
    "none|source|destination|both straight|populate\n"
    "       tern-bench-memory read FILE BYTES\n";

bool parse(std::string_view text, uint64_t& into) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), into);
  return ec == std::errc() && end == text.data() + text.size();
}

int fill(const std::string& path, uint64_t bytes, std::string_view content) {
  const std::vector<PageKind> layout = lay_out(content, bytes / kPageBytes);
  if (layout.empty()) return 2;
  // From nothing: what a file had before would be in the holes.
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) fail(path);
  // write() rather than a mapping: where memory ends it says so instead of a SIGBUS.
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < cores; ++t) {
    threads.emplace_back([&, t] {
      std::array<std::byte, kPageBytes> page;
      const uint64_t end = layout.size() * (t + 1) / cores;
      for (uint64_t i = layout.size() * t / cores; i < end; ++i) {
        if (layout[i] == PageKind::hole) continue;
        write_page(layout[i], i, page.data());
        const auto at = static_cast<off_t>(i * kPageBytes);
        if (::pwrite(fd, page.data(), page.size(), at) != static_cast<ssize_t>(page.size())) {
          fail("filling " + path);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ::close(fd);
  std::printf("{\"pages\": %zu", layout.size());
  for (size_t kind = 0; kind < kPageKinds; ++kind) {
    const auto wanted = static_cast<PageKind>(kind);
    std::printf(", \"%s\": %td", to_string(wanted).data(),
                std::count(layout.begin(), layout.end(), wanted));
  }
  std::puts("}");
  return 0;
}

/// The first touch of a page that a virtual machine never had, or that it reported to its host as
/// free, makes the host find memory: ten times the cost of a later one, for whoever comes first.
int warm(uint64_t bytes) {
  const double start = now();
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  const Mapping memory = map_anonymous(bytes, false);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < cores; ++t) {
    const uint64_t pages = bytes / kPageBytes;
    const uint64_t from = pages * t / cores * kPageBytes;
    const uint64_t to = pages * (t + 1) / cores * kPageBytes;
    threads.emplace_back([=] {
      for (uint64_t at = from; at < to; at += kPageBytes) memory.start[at] = std::byte{1};
    });
  }
  for (auto& thread : threads) thread.join();
  std::printf("{\"bytes\": %ju, \"seconds\": %.6f}\n", static_cast<uintmax_t>(bytes),
              now() - start);
  return 0;
}

int raw(char** argv) {
  RawOptions options;
  options.file = argv[2];
  uint64_t sockets = 0;
  const std::string_view pages = argv[6];
  const std::string_view prefault = argv[7];
  const auto* way = std::find_if(kWays.begin(), kWays.end(),
                                 [&](Way each) { return to_string(each) == argv[8]; });
  if (way == kWays.end() || !parse(argv[3], options.ram) || !parse(argv[4], options.bytes) ||
      !parse(argv[5], sockets) || sockets == 0 || sockets > 255 || options.bytes > options.ram ||
      (pages != "4k" && pages != "thp")) {
    return 2;
  }
  options.sockets = static_cast<unsigned>(sockets);
  options.way = *way;
  options.transparent_huge_pages = pages == "thp";
  options.prefault_sender = prefault == "source" || prefault == "both";
  options.prefault_receiver = prefault == "destination" || prefault == "both";
  const RawResult result = send_raw(options);
  std::printf("{\"bytes\": %ju, \"sockets\": %u, \"seconds\": %.6f, \"cpu\": [%.6f, %.6f]}\n",
              static_cast<uintmax_t>(options.bytes), options.sockets, result.seconds,
              result.sender_cpu, result.receiver_cpu);
  return 0;
}

int read(const std::string& path, uint64_t bytes) {
  const ReadResult result = read_memory(path, bytes);
  std::printf("{\"bytes\": %ju, \"seconds\": %.6f, \"threads\": %u, \"loop\": \"%s\"}\n",
              static_cast<uintmax_t>(bytes), result.seconds, result.threads, result.loop.c_str());
  return 0;
}

int run(int argc, char** argv) {
  const std::string_view form = argc > 1 ? argv[1] : "";
  uint64_t bytes = 0;
  if (form == "fill" && argc == 5 && parse(argv[3], bytes) && bytes % kPageBytes == 0) {
    return fill(argv[2], bytes, argv[4]);
  }
  if (form == "warm" && argc == 3 && parse(argv[2], bytes)) return warm(bytes);
  if (form == "raw" && argc == 9) return raw(argv);
  if (form == "read" && argc == 4 && parse(argv[3], bytes)) return read(argv[2], bytes);
  return 2;
}

}  // namespace
}  // namespace tern::bench

int main(int argc, char** argv) {
  const int status = tern::bench::run(argc, argv);
  if (status == 2) std::fputs(tern::bench::kUsage, stderr);
  return status;
}
