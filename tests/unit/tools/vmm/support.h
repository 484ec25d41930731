// SPDX-License-Identifier: Apache-2.0
//
// What the tests of tern-vmm share: a serial line whose other end a test reads, and the move of a
// machine by hand, without the engine. Test-only.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tern/device_section.h"
#include "tools/vmm/checker.h"
#include "tools/vmm/fd.h"
#include "tools/vmm/machine.h"
#include "tools/vmm/serial.h"

namespace tern::vmm {

template <typename T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message();
    std::abort();
  }
  return std::move(*result);
}
inline void must(Result<void> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message();
    std::abort();
  }
}

/// A pipe: the machine prints into it, the test reads it.
class SerialLine {
 public:
  SerialLine() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) std::abort();
    out_ = UniqueFd(fds[0]);
    in_ = UniqueFd(fds[1]);
  }
  SerialSink sink() {
    SerialSink sink;
    sink.owned = std::move(in_);
    sink.fd = sink.owned.get();
    return sink;
  }
  int fd() const { return out_.get(); }
  /// Waits until `count` more characters came.
  std::string read(size_t count) {
    std::string text(count, '\0');
    for (size_t got = 0; got < count;) {
      const ssize_t n = ::read(out_.get(), &text[got], count - got);
      if (n <= 0) std::abort();
      got += static_cast<size_t>(n);
    }
    return text;
  }
  /// What is there now.
  std::string drain() {
    ::fcntl(out_.get(), F_SETFL, O_NONBLOCK);
    std::string text;
    char c = 0;
    while (::read(out_.get(), &c, 1) == 1) text += c;
    ::fcntl(out_.get(), F_SETFL, 0);
    return text;
  }

 private:
  UniqueFd out_;
  UniqueFd in_;
};

/// The characters of rounds 0, 1, 2 …
inline std::string rounds_text(size_t count) {
  std::string text;
  for (uint32_t i = 0; i < count; ++i) text += round_char(i);
  return text;
}

inline std::span<const std::byte> memory_of(const VmMachine& machine) {
  return {machine.ram()[0].host, machine.ram()[0].used_bytes};
}
inline Verdict verdict_of(const VmMachine& machine) {
  return must(check_guest(memory_of(machine)));
}

inline Ram small_ram(uint64_t bytes) {
  RamOptions options;
  options.bytes = bytes;
  return must(Ram::create(options));
}

inline void load_from(DeviceSection& section, const DeviceWriter& writer) {
  DeviceReader reader(writer.bytes(), 0);
  must(section.load(reader, section.id().version_id));
  EXPECT_EQ(reader.left(), 0U) << section.id().idstr;
}

/// What a migration does, without wire: both machines stand still.
inline void move_guest(VmMachine& from, VmMachine& to) {
  std::memcpy(to.ram()[0].host, from.ram()[0].host, from.ram()[0].used_bytes);
  ASSERT_EQ(from.devices().size(), to.devices().size());
  for (size_t i = 0; i < from.devices().size(); ++i) {
    ASSERT_EQ(from.devices()[i]->id().idstr, to.devices()[i]->id().idstr);
    DeviceWriter writer;
    must(from.devices()[i]->save(writer));
    load_from(*to.devices()[i], writer);
  }
}

/// A directory that goes away with the test.
class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/tern-vmm-test-XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace tern::vmm
