// SPDX-License-Identifier: Apache-2.0
#include "base/thread_list.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <latch>
#include <string>
#include <thread>

namespace tern {
namespace {

TEST(ThreadList, a_thread_is_listed_with_its_kernel_id_while_its_entry_lives) {
  ThreadList list;
  std::latch entered(1);
  std::latch leave(1);
  int id = 0;
  std::string comm;
  std::thread thread([&] {
    const auto entry = list.enter("vm1.", "mig/src/main");
    id = ::gettid();
    std::getline(std::ifstream("/proc/self/task/" + std::to_string(id) + "/comm"), comm);
    entered.count_down();
    leave.wait();
  });
  entered.wait();
  const auto threads = list.list();
  ASSERT_EQ(threads.size(), 1u);
  EXPECT_EQ(threads[0].thread_id, id);
  EXPECT_EQ(threads[0].name, "vm1.mig/src/mai") << "cut at 15 characters";
  EXPECT_EQ(comm, threads[0].name) << "as the kernel shows it";
  leave.count_down();
  thread.join();
  EXPECT_TRUE(list.list().empty());
}

TEST(ThreadList, threads_are_listed_in_the_order_in_which_they_began) {
  ThreadList list;
  const ThreadList::Entry first(list, {"first", 1});
  {
    const ThreadList::Entry second(list, {"second", 2});
    const ThreadList::Entry third(list, {"third", 3});
    const auto threads = list.list();
    ASSERT_EQ(threads.size(), 3u);
    EXPECT_EQ(threads[2].name, "third");
  }
  EXPECT_EQ(list.list().size(), 1u);
}

}  // namespace
}  // namespace tern
