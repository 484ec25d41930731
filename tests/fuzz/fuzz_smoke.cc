// SPDX-License-Identifier: Apache-2.0
//
// fuzz_smoke: drives the fuzz targets without libFuzzer: replays the corpus, cuts each seed at
// every offset, and tries mutations of a named random seed, which is printed first, so that a
// failure is one number.
//
//   fuzz_smoke CORPUS [--target NAME] [--seed N] [--mutations N] [--full] [--expect-failure]
//              [FILE …]
//
// With FILEs only those are run. --full (or TERN_TEST_FULL in the environment): 100,000 mutations
// per target, every cut. Exit status 0: all promises kept; with --expect-failure: exactly the
// contrary.
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/doubles/stream_maker.h"
#include "tests/fuzz/mutator.h"
#include "tests/fuzz/target.h"

namespace tern::fuzz {
namespace {

constexpr size_t kMaxInput = 256u << 10;
constexpr uint64_t kSmallMutations = 2000;
constexpr uint64_t kFullMutations = 100000;
constexpr size_t kSmallCuts = 2000;  // per seed, spread evenly
constexpr long kMaxResidentKiB = 512 * 1024;
constexpr int kUsageError = 2;

struct Arguments {
  std::string corpus;
  std::string target;
  uint64_t seed = 1;
  uint64_t mutations = 0;
  bool full = false;
  bool expect_failure = false;
  std::vector<std::string> files;
};

bool parse_number(const char* text, uint64_t& into) {
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, into);
  return error == std::errc() && stop == end;
}

bool parse(int argc, char** argv, Arguments& a) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--full") {
      a.full = true;
    } else if (word == "--expect-failure") {
      a.expect_failure = true;
    } else if (word == "--target" && has_value) {
      a.target = argv[++i];
    } else if (word == "--seed" && has_value) {
      if (!parse_number(argv[++i], a.seed)) return false;
    } else if (word == "--mutations" && has_value) {
      if (!parse_number(argv[++i], a.mutations)) return false;
    } else if (word.starts_with("--")) {
      return false;
    } else if (a.corpus.empty()) {
      a.corpus = word;
    } else {
      a.files.push_back(word);
    }
  }
  if (std::getenv("TERN_TEST_FULL") != nullptr) a.full = true;
  if (a.mutations == 0) a.mutations = a.full ? kFullMutations : kSmallMutations;
  return !a.corpus.empty();
}

// What tern itself sends, with everything its dialect has.
std::vector<std::byte> tern_stream() {
  DeviceWriter body;
  body.put_bool("flag", true);
  body.put_u32_array("words", std::vector<uint32_t>{1, 2, 3, 4});
  body.put_u8("n", 3);
  body.put_buffer("bytes", test::bytes_of("abc"));
  const std::vector<std::byte> zero_run =
      test::bytes_of({1, 'm', 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x20, 0});
  test::StreamMaker maker;
  maker.opening("none").command(Command::open_return_path);
  maker.command(Command::ping, test::bytes_of({0, 0, 0, 1}));
  maker.command(Command::ping, test::bytes_of({0x54, 0x45, 0x52, 0x4e}));
  maker.dialect(kTernFeatures).ram_start("m", 1u << 20);
  maker.command(Command::tern_zero_run, zero_run);
  maker.part(kItemSectionPart, 1).page("m", 0, 7).zero("", 4096);
  maker.be64(0x60).u8(1).be16(5).raw({0x64, 3, 8, 9, 10}).eos().footer(1);
  maker.ram_end().device(2, {"fuzz/device", 0, 2, 1}, body).end();
  maker.command(Command::tern_go);
  return maker.take();
}

std::vector<Seed> load_seeds(const FuzzTarget& target, const std::string& corpus) {
  std::vector<Seed> seeds;
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(corpus))
    paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());  // the order of a directory is nobody's promise
  for (const std::string& path : paths) {
    const std::string name = std::filesystem::path(path).filename().string();
    const bool ours =
        std::any_of(target.seeds.begin(), target.seeds.end(),
                    [&](std::string_view prefix) { return name.starts_with(prefix); });
    if (ours) seeds.push_back({name, test::read_file(path), {}});
  }
  if (std::find(target.seeds.begin(), target.seeds.end(), "stream-") != target.seeds.end()) {
    seeds.push_back({"tern", tern_stream(), {}});
  }
  for (Seed& seed : seeds) seed.places = find_places(seed.bytes);
  return seeds;
}

class Harness {
 public:
  explicit Harness(FuzzTarget target) : target_(std::move(target)) {}

  bool run(std::span<const std::byte> input, const std::string& what) {
    ++runs_;
    const std::string wrong = target_.run(input);
    if (wrong.empty()) return true;
    std::printf("%s: BROKEN PROMISE at %s: %s\n", std::string(target_.name).c_str(), what.c_str(),
                wrong.c_str());
    keep(input);
    return false;
  }
  bool replay_and_cut(const std::vector<Seed>& seeds, bool every) {
    for (const Seed& seed : seeds) {
      if (!run(seed.bytes, seed.name)) return false;
      const size_t step = every ? 1 : std::max<size_t>(1, seed.bytes.size() / kSmallCuts);
      for (size_t n = 0; n < seed.bytes.size(); n += step) {
        ++cuts_;
        if (!run(std::span(seed.bytes).first(n), seed.name + " cut at " + std::to_string(n)))
          return false;
      }
    }
    return true;
  }
  bool mutate(const std::vector<Seed>& seeds, const Arguments& a) {
    Mutator mutator(seeds, a.seed);
    for (uint64_t i = 0; i < a.mutations; ++i) {
      const std::vector<std::byte> input = mutator.next(kMaxInput);
      if (!run(input, "mutation " + std::to_string(i) + " of seed " + std::to_string(a.seed)))
        return false;
    }
    mutations_ = a.mutations;
    return true;
  }
  void report(std::chrono::duration<double> took) {
    const uint64_t good = target_.take_successes();
    std::printf(
        "%s: %llu runs: %llu cuts, %llu mutations; %llu ended in success, %llu in a clean error; "
        "%.0f/s\n",
        std::string(target_.name).c_str(), static_cast<unsigned long long>(runs_),
        static_cast<unsigned long long>(cuts_), static_cast<unsigned long long>(mutations_),
        static_cast<unsigned long long>(good), static_cast<unsigned long long>(runs_ - good),
        static_cast<double>(runs_) / std::max(took.count(), 1e-9));
  }

 private:
  // So that libFuzzer, or this program with FILE, can run it again.
  static void keep(std::span<const std::byte> input) {
    std::FILE* file = std::fopen("fuzz_smoke.failed", "wb");
    if (file == nullptr) return;
    std::fwrite(input.data(), 1, input.size(), file);
    std::fclose(file);
    std::printf("the input is in fuzz_smoke.failed\n");
  }

  FuzzTarget target_;
  uint64_t runs_ = 0;
  uint64_t cuts_ = 0;
  uint64_t mutations_ = 0;
};

bool drive(const FuzzTarget& target, const Arguments& a) {
  const auto began = std::chrono::steady_clock::now();
  Harness harness(target);
  bool kept = true;
  if (a.files.empty()) {
    const std::vector<Seed> seeds = load_seeds(target, a.corpus);
    if (seeds.empty()) {
      std::printf("%s: no seeds in %s\n", std::string(target.name).c_str(), a.corpus.c_str());
      return false;
    }
    kept = harness.replay_and_cut(seeds, a.full) && harness.mutate(seeds, a);
  }
  for (const std::string& file : a.files) kept = harness.run(test::read_file(file), file) && kept;
  harness.report(std::chrono::steady_clock::now() - began);
  return kept;
}

// Under a sanitizer memory is used for its own books.
bool memory_is_bounded() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
  return true;
#endif
#endif
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  if (usage.ru_maxrss <= kMaxResidentKiB) return true;
  std::printf("resident memory grew to %ld KiB, %ld are allowed\n", usage.ru_maxrss,
              kMaxResidentKiB);
  return false;
}

int run_all(const Arguments& a) {
  std::printf("seed %llu, %llu mutations per target\n", static_cast<unsigned long long>(a.seed),
              static_cast<unsigned long long>(a.mutations));
  const FuzzTarget targets[] = {stream_target(),    return_path_target(), vmdesc_target(),
                                address_target(),   inspect_target(),     qmp_target(),
                                multifd_target(),   xbzrle_target(),      zlib_target(),
                                zlib_page_target(), zstd_target()};
  bool kept = true;
  bool found = false;
  for (const FuzzTarget& target : targets) {
    if (!a.target.empty() && a.target != target.name) continue;
    found = true;
    kept = drive(target, a) && kept;
  }
  const FuzzTarget canary = canary_target();
  if (a.target == canary.name) {
    found = true;
    kept = drive(canary, a);
  }
  if (!found) {
    std::printf("no target %s\n", a.target.c_str());
    return kUsageError;
  }
  kept = memory_is_bounded() && kept;
  return kept == a.expect_failure ? 1 : 0;
}

}  // namespace
}  // namespace tern::fuzz

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // the seed must be out before a crash
  tern::fuzz::Arguments arguments;
  if (!tern::fuzz::parse(argc, argv, arguments)) {
    std::fprintf(stderr,
                 "usage: fuzz_smoke CORPUS [--target NAME] [--seed N] [--mutations N] [--full] "
                 "[--expect-failure] [FILE ...]\n");
    return tern::fuzz::kUsageError;
  }
  return tern::fuzz::run_all(arguments);
}
