// SPDX-License-Identifier: Apache-2.0
//
// The command line of `tern inspect`, run as its user runs it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/fd.h"
#include "tests/unit/tools/tern/support.h"

namespace tern::tool {
namespace {

using namespace test;

struct Ran {
  int status = -1;
  std::string out;
  std::string err;
};

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Runs `tern WORDS`, with `input` as standard input.
Ran run(std::vector<std::string> words, const std::string& input = "/dev/null") {
  const std::string base = testing::TempDir() + "tern-inspect-" + std::to_string(getpid());
  const std::string out = base + ".out";
  const std::string err = base + ".err";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  words.insert(words.begin(), TERN_PROGRAM);
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  pid_t child = -1;
  EXPECT_EQ(posix_spawn(&child, TERN_PROGRAM, &actions, nullptr, argv.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  Ran ran;
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  if (WIFEXITED(status)) ran.status = WEXITSTATUS(status);
  ran.out = text_of(out);
  ran.err = text_of(err);
  unlink(out.c_str());
  unlink(err.c_str());
  return ran;
}

const std::string kCaptures = std::string(TERN_TEST_DATA) + "/captures/";

TEST(InspectCommand, prints_a_file_and_ends_with_0) {
  const Ran ran = run({"inspect", kCaptures + "7.2-plain/conn0.to-destination.bin"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.err, "");
  EXPECT_NE(ran.out.find("complete true"), std::string::npos);
}

TEST(InspectCommand, reads_standard_input) {
  const std::string file = kCaptures + "11.1-plain/conn0.to-destination.bin";
  EXPECT_EQ(run({"inspect", "-"}, file).out, run({"inspect", file}).out);
}

TEST(InspectCommand, json_is_a_document_with_verbose_in_it) {
  const Ran ran =
      run({"inspect", "--json", "-v", kCaptures + "7.2-plain/conn0.to-destination.bin"});
  EXPECT_EQ(ran.status, 0);
  const Json j = Json::parse(ran.out, nullptr, false);
  ASSERT_TRUE(j.is_object());
  EXPECT_EQ(j["items"][3]["records"].size(), 256u);
}

TEST(InspectCommand, a_malformed_stream_is_1_with_offset_and_reason_on_stderr) {
  const std::string path =
      testing::TempDir() + "tern-inspect-malformed-" + std::to_string(getpid());
  const auto bytes = StreamMaker().opening("none").u8(0x66).take();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<long>(bytes.size()));
  const Ran ran = run({"inspect", "--json", path});
  unlink(path.c_str());
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find("at offset 17: \"item 102 cannot begin here\""), std::string::npos)
      << ran.err;
  EXPECT_EQ(Json::parse(ran.out)["error"]["offset"], 17);
}

TEST(InspectCommand, the_return_path_and_the_offset_are_options) {
  EXPECT_EQ(
      run({"inspect", "--return-path", kCaptures + "7.2-return-path/conn0.to-source.bin"}).status,
      0);
  const Ran shut = run({"inspect", "--return-path", "--offset", "8",
                        kCaptures + "7.2-return-path/conn0.to-source.bin"});
  EXPECT_EQ(shut.status, 0);
  EXPECT_NE(shut.out.find("           8  shut"), std::string::npos) << shut.out;
}

TEST(InspectCommand, usage_errors_are_2_and_help_is_0) {
  EXPECT_EQ(run({"inspect"}).status, 2);
  EXPECT_EQ(run({"inspect", "--no-such-option", "x"}).status, 2);
  EXPECT_EQ(run({"inspect", "--return-path", "--preempt", "x"}).status, 2);
  const Ran missing = run({"inspect", "/no/such/file"});
  EXPECT_EQ(missing.status, 2);
  EXPECT_NE(missing.err.find("/no/such/file: No such file"), std::string::npos) << missing.err;
  EXPECT_EQ(run({"inspect", "/"}).status, 2);
  const Ran help = run({"inspect", "--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_NE(help.out.find("--return-path"), std::string::npos);
}

}  // namespace
}  // namespace tern::tool
