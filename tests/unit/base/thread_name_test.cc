// SPDX-License-Identifier: Apache-2.0
#include "base/thread_name.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <array>
#include <thread>

namespace tern {
namespace {

std::string named(const std::string& prefix, const std::string& name) {
  std::array<char, 64> text{};
  std::thread([&] {
    name_this_thread(prefix, name);
    pthread_getname_np(pthread_self(), text.data(), text.size());
  }).join();
  return text.data();
}

TEST(ThreadName, is_what_the_kernel_shows) { EXPECT_EQ(named("", "mig/src/main"), "mig/src/main"); }

TEST(ThreadName, prefix_stands_first) { EXPECT_EQ(named("vm1-", "mig/main"), "vm1-mig/main"); }

TEST(ThreadName, longer_names_are_cut_at_fifteen_characters_instead_of_being_refused) {
  EXPECT_EQ(named("machine-", "mig/src/return"), "machine-mig/src");
}

}  // namespace
}  // namespace tern
