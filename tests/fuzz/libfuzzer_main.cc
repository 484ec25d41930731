// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer's entry, compiled once per target with TERN_FUZZ_TARGET naming its function.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tern::fuzz::FuzzTarget target = tern::fuzz::TERN_FUZZ_TARGET();
  const std::string wrong = target.run(std::as_bytes(std::span(data, size)));
  if (wrong.empty()) return 0;
  std::fprintf(stderr, "broken promise: %s\n", wrong.c_str());
  std::abort();
}
