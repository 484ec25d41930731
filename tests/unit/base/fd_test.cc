// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace tern {
namespace {

bool is_open(int fd) { return fcntl(fd, F_GETFD) != -1; }
Fd open_one() { return Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

TEST(Fd, closes_what_it_owns_once_it_goes) {
  int number = -1;
  {
    const Fd fd = open_one();
    number = fd.get();
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, move_hands_the_descriptor_over) {
  Fd first = open_one();
  const int number = first.get();
  const Fd second = std::move(first);
  EXPECT_EQ(second.get(), number);
  EXPECT_FALSE(static_cast<bool>(first));  // NOLINT(bugprone-use-after-move): the promise
  EXPECT_TRUE(is_open(number));
}

TEST(Fd, assignment_closes_what_was_there_before) {
  Fd target = open_one();
  const int old = target.get();
  Fd source = open_one();
  const int number = source.get();
  target = std::move(source);
  EXPECT_EQ(target.get(), number);
  EXPECT_FALSE(is_open(old));
}

TEST(Fd, release_gives_the_descriptor_away_open) {
  Fd fd = open_one();
  const int number = fd.release();
  EXPECT_FALSE(static_cast<bool>(fd));
  EXPECT_TRUE(is_open(number));
  close(number);
}

}  // namespace
}  // namespace tern
