// SPDX-License-Identifier: Apache-2.0
#include "base/slices.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tern {
namespace {

// Pieces of these texts, without the first `bytes`.
std::vector<std::string> without(std::vector<std::string> texts, size_t bytes) {
  std::vector<iovec> pieces;
  for (std::string& text : texts) pieces.push_back({text.data(), text.size()});
  std::span<iovec> left(pieces);
  advance(left, bytes);
  std::vector<std::string> result;
  for (const iovec& piece : left) {
    result.emplace_back(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return result;
}
using Texts = std::vector<std::string>;

TEST(Slices, whole_pieces_are_dropped_and_one_is_shortened) {
  EXPECT_EQ(without({"abc", "de", "fgh"}, 0), (Texts{"abc", "de", "fgh"}));
  EXPECT_EQ(without({"abc", "de", "fgh"}, 2), (Texts{"c", "de", "fgh"}));
  EXPECT_EQ(without({"abc", "de", "fgh"}, 3), (Texts{"de", "fgh"}));
  EXPECT_EQ(without({"abc", "de", "fgh"}, 4), (Texts{"e", "fgh"}));
  EXPECT_EQ(without({"abc", "de", "fgh"}, 7), (Texts{"h"}));
  EXPECT_EQ(without({"abc", "de", "fgh"}, 8), Texts{});
}

TEST(Slices, empty_pieces_at_the_front_are_dropped) {
  EXPECT_EQ(without({"", "a", ""}, 0), (Texts{"a", ""}));
  EXPECT_EQ(without({"", "a", ""}, 1), Texts{});
  EXPECT_EQ(without({}, 0), Texts{});
}

TEST(Slices, more_than_there_is_leaves_nothing) { EXPECT_EQ(without({"abc"}, 10), Texts{}); }

}  // namespace
}  // namespace tern
