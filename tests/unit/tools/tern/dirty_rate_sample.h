// SPDX-License-Identifier: Apache-2.0
//
// A measurement that was never made, for the tests of what is printed and drawn. Test-only.
#pragma once

#include "tools/tern/dirty_rate_output.h"

namespace tern::tool::test {

inline RateTarget sample_target() {
  return {4242, "redis-server", {}, {RateMode::page_sampling, "asked for"}};
}

inline Measurement sample_measurement() {
  Measurement m;
  m.started = std::chrono::seconds(1000);
  m.windows = {{std::chrono::milliseconds(100),
                std::chrono::milliseconds(101),
                {256, 200, 300},
                {2560, 2000, 3000},
                0,
                0,
                500},
               {std::chrono::seconds(1),
                std::chrono::milliseconds(1002),
                {512, 500, 520},
                {511, 499, 519},
                25,
                3,
                500}};
  m.regions = {{0x1000, 0x101000, "[heap]", 256, 0},
               {0x101000, 0x201000, "[heap]", 256, 64},
               {0x7f0000000000, 0x7f0000200000, "[anon] <&>", 512, 448}};
  m.samples = 500;
  m.populated_pages = 1024;
  m.mapped_bytes = 5 << 20;
  m.mappings = 2;
  m.all_mappings = 9;
  m.cost.cpu = std::chrono::milliseconds(12);
  m.cost.wall = std::chrono::seconds(1);
  m.cost.pages_hashed = 1500;
  m.cost.bytes_read = 1500 * 4096;
  m.notes = {"something is not shown"};
  return m;
}

}  // namespace tern::tool::test
