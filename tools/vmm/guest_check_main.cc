// SPDX-License-Identifier: Apache-2.0
//
// tern-guest-check: the checker as a command. Exit status: 0 consistent (and advanced, if asked), 1
// not, 2 the question makes no sense (usage, unreadable file, no guest in it).
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "tern/version.h"
#include "tools/vmm/checker.h"
#include "tools/vmm/fd.h"
#include "tools/vmm/options.h"

namespace tern::vmm {
namespace {

/// A file mapped for reading: images are large and mostly holes.
class Image {
 public:
  static Result<Image> open(const std::string& path) noexcept {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0) {
      return errno_error(ErrorCode::invalid_argument, path, errno);
    }
    const auto size = static_cast<size_t>(status.st_size);
    if (size == 0) return Error(ErrorCode::invalid_argument, path + ": empty");
    void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED) return errno_error(ErrorCode::invalid_argument, path, errno);
    return Image(memory, size);
  }
  Image(Image&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), size_(other.size_) {}
  Image& operator=(Image&&) = delete;
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  ~Image() {
    if (memory_ != nullptr) ::munmap(memory_, size_);
  }
  std::span<const std::byte> bytes() const noexcept {
    return {static_cast<const std::byte*>(memory_), size_};
  }

 private:
  Image(void* memory, size_t size) noexcept : memory_(memory), size_(size) {}
  void* memory_;
  size_t size_;
};

struct CheckOptions {
  std::string image;
  std::string after;
  std::string range;
  uint32_t vcpus = 1;
  bool json = false;
};

Result<Verdict> check_file(const std::string& path,
                           const std::optional<GuestParams>& forced) noexcept {
  const Image image = TERN_TRY(Image::open(path));
  return check_guest(image.bytes(), forced).context(path);
}

Result<int> run(const CheckOptions& options) noexcept {
  std::optional<GuestParams> forced;
  if (!options.range.empty()) {
    GuestParams params = TERN_TRY(parse_guest_range(options.range));
    params.vcpus = options.vcpus;
    forced = params;
  }
  const Verdict verdict = TERN_TRY(check_file(options.image, forced));
  std::optional<std::string> advance_error;
  if (!options.after.empty()) {
    const Verdict before = TERN_TRY(check_file(options.after, forced));
    if (!before.consistent) {
      advance_error = options.after + " is not consistent itself";
    } else if (auto advanced = check_advanced(before, verdict); !advanced) {
      advance_error = advanced.error().message();
    }
  }
  if (options.json) {
    std::puts(to_json(verdict, advance_error, !options.after.empty()).c_str());
  } else {
    std::fputs(describe(verdict).c_str(), stdout);
    if (advance_error) {
      std::printf("NOT ADVANCED: %s\n", advance_error->c_str());
    } else if (!options.after.empty()) {
      std::puts("advanced since the earlier image");
    }
  }
  return verdict.consistent && !advance_error ? 0 : 1;
}

int guest_check_main(int argc, char** argv) {
  CheckOptions options;
  CLI::App app("Proves from a raw memory image that tern's test guest is consistent.",
               "tern-guest-check");
  app.set_version_flag("--version", std::string("tern-guest-check ") + TERN_VERSION_STRING);
  app.add_option("IMAGE", options.image,
                 "raw guest memory from address 0 (pmemsave, RAM file), taken while it stood still")
      ->required();
  app.add_option("--after", options.after, "also prove that the guest went on since this image")
      ->type_name("IMAGE");
  auto* range = app.add_option("--range", options.range,
                               "START:SIZE; default: what the parameter block in the image says");
  app.add_option("--vcpus", options.vcpus, "slices in --range")
      ->check(CLI::Range(1U, kMaxVcpus))
      ->needs(range);
  app.add_flag("--json", options.json, "one JSON object on one line");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto status = run(options);
  if (status) return *status;
  std::fprintf(stderr, "tern-guest-check: %s\n", status.error().message().c_str());
  return 2;
}

}  // namespace
}  // namespace tern::vmm

int main(int argc, char** argv) { return tern::vmm::guest_check_main(argc, argv); }
