// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "migration/params/parameters.h"
#include "tern/settings.h"

namespace tern {
namespace {

TEST(PeerVersion, every_version_has_a_word_that_reads_back) {
  for (size_t i = 0; i < params::kPeerVersionWords.size(); ++i) {
    const auto version = static_cast<PeerVersion>(i);
    const Result<PeerVersion> back = peer_version_from(to_string(version));
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(*back, version);
  }
  EXPECT_EQ(to_string(PeerVersion::tern), "tern");
  EXPECT_EQ(to_string(PeerVersion::qemu_7_2), "qemu-7.2");
  EXPECT_EQ(to_string(PeerVersion::qemu_11_1), "qemu-11.1");
}

TEST(PeerVersion, unknown_words_are_errors) {
  for (const char* word : {"", "qemu", "qemu-7.1", "QEMU-7.2", "qemu-7.2 ", "qemu-12.0"}) {
    EXPECT_FALSE(peer_version_from(word).has_value()) << word;
  }
}

TEST(PeerVersion, versioned_pc_machines_name_their_version) {
  EXPECT_EQ(peer_version_of_machine("pc-i440fx-7.2"), PeerVersion::qemu_7_2);
  EXPECT_EQ(peer_version_of_machine("pc-q35-8.2"), PeerVersion::qemu_8_2);
  EXPECT_EQ(peer_version_of_machine("pc-q35-10.1"), PeerVersion::qemu_10_1);
}

TEST(PeerVersion, other_machines_say_nothing) {
  for (const char* machine : {"none", "tern-kvm", "tern-threads", "pc", "q35", "pc-q35-6.2",
                              "pc-q35-rhel9.2.0", "pc-q35-8.2x", "pc-q35-", "virt-8.2", ""}) {
    EXPECT_EQ(peer_version_of_machine(machine), std::nullopt) << machine;
  }
}

}  // namespace
}  // namespace tern
