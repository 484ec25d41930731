// SPDX-License-Identifier: Apache-2.0
//
// tern demo: the command line of run_demo().
#include <memory>

#include "tools/common/demo.h"
#include "tools/tern/subcommands.h"

namespace tern::tool {

void add_demo(CLI::App& app, int& status) {
  auto options = std::make_shared<DemoOptions>();
  CLI::App* demo = app.add_subcommand(
      "demo", "migrates a busy guest between two processes and proves that it is whole");
  demo->add_option("--machine", options->machine,
                   "kvm or threads; default: kvm if /dev/kvm can be opened")
      ->check(CLI::IsMember({"auto", "kvm", "threads"}));
  demo->add_option("--ram", options->ram, "RAM of the guest (K, M, G)")->capture_default_str();
  demo->add_option("--set", options->settings,
                   "NAME=VALUE: an option of tern-vmm for both sides, such as multifd=on or "
                   "multifd-compression=zstd; may be given several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  demo->add_flag("--tls", options->tls, "encrypted, with a key made for this run");
  demo->add_flag("--json", options->json, "one JSON document on stdout, progress on stderr");
  demo->add_flag("--verbose", options->verbose, "the logs of both processes at the end");
  demo->callback([options, &status] { status = run_demo(*options); });
}

}  // namespace tern::tool
