// SPDX-License-Identifier: Apache-2.0
//
// What an embedder in C gives tern, for unit tests: memory, vCPU callbacks that note their calls,
// and option structs to change before they are used.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tern/c/tern.h"

namespace tern::capi {

/// Frees an error and gives its message; "" for NULL.
inline std::string take_message(tern_error* error) {
  std::string message = tern_error_message(error);
  tern_error_free(error);
  return message;
}

/// A text that tern gave.
inline std::string take_text(char* text) {
  std::string copy = text != nullptr ? text : "NULL";
  tern_free_string(text);
  return copy;
}

class CMachine {
 public:
  CMachine() {
    ram = {};
    ram.size = sizeof(ram);
    ram.idstr = "ram";
    ram.host = memory.data();
    ram.used_bytes = memory.size();
    vcpus = {};
    vcpus.size = sizeof(vcpus);
    vcpus.user = this;
    vcpus.destroy = [](void* user) { ++self(user).destroyed; };
    vcpus.run_state = [](void* user) { return self(user).state; };
    vcpus.pause_all = [](void* user, int to, int* before, tern_error** error) {
      CMachine& m = self(user);
      m.calls.push_back("pause");
      if (m.fail != TERN_OK) *error = tern_error_new(m.fail, "told to fail", 0);
      if (m.fail != TERN_OK) return m.fail;
      if (m.tells_before) *before = m.state;
      m.state = to;
      return 0;
    };
    vcpus.resume_all = [](void* user, tern_error** error) {
      CMachine& m = self(user);
      m.calls.push_back("resume");
      if (m.fail != TERN_OK) *error = tern_error_new(m.fail, "told to fail", 0);
      if (m.fail == TERN_OK) m.state = TERN_RUN_STATE_RUNNING;
      return m.fail;
    };
    vcpus.set_stopped_state = [](void* user, int to) {
      self(user).calls.push_back(std::string("set ") + tern_run_state_name(to));
      self(user).state = to;
    };
    options = {};
    options.size = sizeof(options);
    options.name = "test";
    options.ram = &ram;
    options.ram_count = 1;
    options.vcpus = &vcpus;
  }
  CMachine(const CMachine&) = delete;
  CMachine& operator=(const CMachine&) = delete;

  /// The machine, which the caller frees. A failure is one of the test.
  tern_machine* create() {
    tern_machine* machine = nullptr;
    tern_error* error = nullptr;
    EXPECT_EQ(tern_machine_create(&options, &machine, &error), TERN_OK) << take_message(error);
    return machine;
  }
  /// Why there is no machine.
  std::string refusal(int code = TERN_ERROR_INVALID_ARGUMENT) {
    tern_machine* machine = nullptr;
    tern_error* error = nullptr;
    EXPECT_EQ(tern_machine_create(&options, &machine, &error), code);
    EXPECT_EQ(machine, nullptr);
    return take_message(error);
  }

  alignas(4096) std::array<char, 16 * 4096> memory{};
  tern_ram_block ram;
  tern_vcpu_callbacks vcpus;
  tern_machine_options options;
  int state = TERN_RUN_STATE_PAUSED;
  int fail = TERN_OK;
  bool tells_before = true;
  int destroyed = 0;
  std::vector<std::string> calls;

 private:
  static CMachine& self(void* user) { return *static_cast<CMachine*>(user); }
};

}  // namespace tern::capi
