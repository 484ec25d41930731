// SPDX-License-Identifier: Apache-2.0
//
// `tern demo`: two tern-vmm processes, a guest that writes its memory at full speed, one migration
// over TCP, and the proof that the guest went on and lost nothing.
#pragma once

#include <string>
#include <vector>

namespace tern::tool {

struct DemoOptions {
  std::string machine = "auto";  // kvm, threads, or kvm if /dev/kvm opens and threads otherwise
  std::string ram = "256M";
  /// "multifd=on": options of tern-vmm, for both sides.
  std::vector<std::string> settings;
  bool tls = false;  // with a key made for this run
  bool json = false;
  bool verbose = false;
};

/// Exit status: 0 only if the guest was proved consistent and running at the destination.
int run_demo(const DemoOptions& options);

}  // namespace tern::tool
