// SPDX-License-Identifier: Apache-2.0
#include "migration/qmp/fd_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <string>

namespace tern::qmp {
namespace {

Fd some_fd() { return Fd(::eventfd(0, EFD_CLOEXEC)); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(FdTable, a_named_descriptor_is_taken_out_once) {
  FdTable table;
  Fd fd = some_fd();
  const int number = fd.get();
  ASSERT_TRUE(table.put("mig", std::move(fd)).has_value());
  Result<Fd> taken = table.take("mig");
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->get(), number);
  EXPECT_FALSE(table.take("mig").has_value());
}

TEST(FdTable, a_second_one_of_the_same_name_closes_the_first) {
  FdTable table;
  Fd first = some_fd();
  const int first_number = first.get();
  ASSERT_TRUE(table.put("mig", std::move(first)).has_value());
  ASSERT_TRUE(table.put("mig", some_fd()).has_value());
  EXPECT_FALSE(is_open(first_number));
}

TEST(FdTable, names_like_numbers_and_long_ones_are_refused_and_closed) {
  FdTable table;
  for (const std::string& name :
       {std::string("3"), std::string("3x"), std::string(FdTable::kMaxNameBytes + 1, 'n')}) {
    Fd fd = some_fd();
    const int number = fd.get();
    EXPECT_FALSE(table.put(name, std::move(fd)).has_value());
    EXPECT_FALSE(is_open(number));
  }
}

TEST(FdTable, the_number_of_names_is_limited_but_replacing_still_works) {
  FdTable table;
  for (size_t i = 0; i < FdTable::kMax; ++i) {
    ASSERT_TRUE(table.put("n" + std::to_string(i), some_fd()).has_value());
  }
  const Result<void> one_more = table.put("more", some_fd());
  ASSERT_FALSE(one_more.has_value());
  EXPECT_EQ(one_more.error().code(), ErrorCode::resource_exhausted);
  EXPECT_TRUE(table.put("n0", some_fd()).has_value());
}

TEST(FdTable, a_name_of_any_length_is_told_in_a_few_words) {
  FdTable table;
  const auto taken = table.take(std::string(1u << 20, 'n'));
  ASSERT_FALSE(taken.has_value());
  EXPECT_LT(taken.error().message().size(), 400u);
}

}  // namespace
}  // namespace tern::qmp
