#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests the tidy test: plants one violation after the other in a small tree and expects the rule to
name it, and the clean tree to be left alone. Prints TAP."""

import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import rules
import tap
from tree import File, Tree

SPDX = "# SPDX-License-Identifier: Apache-2.0\n"
LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"
CLEAN = {
    "meson.build": SPDX + "subdir('base')\nsubdir('transport')\nsubdir('migration')\n",
    "base/meson.build": SPDX + "files('fd.cc')\n",
    "base/fd.h": LICENCE + "#pragma once\n\n#include \"tern/result.h\"\n\nint open_it();\n",
    "base/fd.cc": LICENCE + "#include \"base/fd.h\"\n\nint open_it() { return 1; }\n",
    "base/README.md": "# base\n",
    "include/tern/result.h": LICENCE
    + "#pragma once\n\n#include <string>\n\nusing Name = std::string;\n",
    "include/tern/README.md": "# include/tern\n",
    "transport/meson.build": SPDX + "files('socket.cc')\n",
    "transport/socket.h": LICENCE + "#pragma once\n\nint connect_it();\n",
    "transport/socket.cc": LICENCE + "#include \"transport/socket.h\"\n\n#include \"base/fd.h\"\n\n"
    "int connect_it() { return open_it(); }\n",
    "transport/README.md": "# transport\n",
    "tests/meson.build": SPDX + "files('unit/base/fd_test.cc', "
    "'unit/transport/socket_test.cc')\n",
    "tests/unit/base/fd_test.cc": LICENCE + "#include \"base/fd.h\"\n",
    "tests/unit/transport/socket_test.cc": LICENCE + "#include \"transport/socket.h\"\n",
    "tests/README.md": "# tests\n",
    "docs/architecture.md": "# Map\n\n`base/` `transport/` `include/tern/` "
    "[room](../base/README.md)\n",
}


class Planted(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="tern-tidy-")
        for path, text in CLEAN.items():
            self.write(path, text)

    def tearDown(self):
        shutil.rmtree(self.root)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def append(self, path, text):
        with open(os.path.join(self.root, path), "a", encoding="utf-8") as file:
            file.write(text)

    def findings(self, rule, **options):
        if rule == "unit-tests":
            options.setdefault("covered", {})
        return list(rules.RULES[rule](Tree(self.root), **options))

    def expect(self, rule, path, line, **options):
        """The rule names exactly this place, and not a word about the rest of the tree."""
        places = [(f.path, f.line) for f in self.findings(rule, **options)]
        self.assertEqual(places, [(path, line)])

    def test_a_clean_tree_has_no_findings(self):
        for rule in rules.RULES:
            if rule != "format" or shutil.which("clang-format"):
                self.assertEqual(self.findings(rule), [], rule)

    # ---- arrows
    def test_a_room_may_not_include_its_sibling(self):
        self.write("ram/page.h", LICENCE + "#pragma once\n#include \"transport/socket.h\"\n")
        self.expect("arrows", "ram/page.h", 3)

    def test_the_ground_may_not_include_a_room(self):
        self.append("base/fd.cc", "#include \"transport/socket.h\"\n")
        self.expect("arrows", "base/fd.cc", 5)

    def test_a_room_may_not_include_tests(self):
        self.append("base/fd.cc", "#include \"tests/doubles/x.h\"\n")
        self.expect("arrows", "base/fd.cc", 5)

    def test_public_headers_include_only_std_and_tern(self):
        self.append("include/tern/result.h", "#include <sys/uio.h>\n")
        self.expect("arrows", "include/tern/result.h", 7)

    def test_a_public_header_may_not_include_a_room(self):
        self.append("include/tern/result.h", "#include \"base/fd.h\"\n")
        self.expect("arrows", "include/tern/result.h", 7)

    def test_tools_see_only_the_public_headers(self):
        self.write(
            "tools/vmm/main.cc", LICENCE + "#include \"tern/result.h\"\n#include \"base/fd.h\"\n"
        )
        self.expect("arrows", "tools/vmm/main.cc", 3)

    def test_inspect_may_use_the_parsers_but_not_the_transport(self):
        self.write(
            "tools/tern/inspect_x.cc",
            LICENCE + "#include \"base/fd.h\"\n"
            "#include \"ram/wire/x.h\"\n#include \"transport/socket.h\"\n",
        )
        self.expect("arrows", "tools/tern/inspect_x.cc", 4)

    def test_angle_brackets_do_not_hide_an_arrow(self):
        self.append("base/fd.cc", "#include <transport/socket.h>\n")
        self.expect("arrows", "base/fd.cc", 5)

    def test_includes_are_written_from_the_root(self):
        self.append("base/fd.cc", "#include \"fd.h\"\n")
        self.expect("include-paths", "base/fd.cc", 5)

    def test_a_header_made_by_the_build_is_known(self):
        self.append("base/meson.build", "custom_target('t', output: 'table.h')\n")
        self.append("base/fd.cc", "#include \"base/table.h\"\n")
        self.assertEqual(self.findings("include-paths"), [])

    # ---- threads
    def test_a_thread_in_a_room_is_named(self):
        self.append("transport/socket.cc", "static std::thread worker;\n")
        self.expect("threads", "transport/socket.cc", 7)

    def test_threads_in_their_two_homes_are_fine(self):
        self.write(
            "migration/source/main.h", LICENCE + "#pragma once\nstruct S { std::jthread t; };\n"
        )
        self.assertEqual(self.findings("threads"), [])

    def test_a_detached_thread_is_named_anywhere(self):
        for text in ("std::thread(g).detach();", "worker_thread_.detach();", "}).detach();"):
            with self.subTest(text):
                self.write("tests/unit/base/fd_test.cc", LICENCE + text + "\n")
                self.expect("threads", "tests/unit/base/fd_test.cc", 2)

    def test_other_things_may_be_detached(self):
        self.append("tests/unit/base/fd_test.cc", "void f() { script_.detach(); }\n")
        self.assertEqual(self.findings("threads"), [])

    # ---- headers
    def test_a_header_without_pragma_once(self):
        self.write("base/other.h", LICENCE + "int x();\n")
        self.expect("pragma-once", "base/other.h", 1)

    def test_the_own_header_comes_first(self):
        self.write("base/fd.cc", LICENCE + "#include <string>\n#include \"base/fd.h\"\n")
        self.expect("own-header-first", "base/fd.cc", 2)

    def test_a_header_that_needs_others_before_it(self):
        self.write("base/other.h", LICENCE + "#pragma once\n\nstd::string name();\n")
        self.expect("headers-compile", "base/other.h", 4)

    def test_a_header_proved_by_the_build_is_not_compiled_again(self):
        names = [name for _, name in rules.headers_to_compile(Tree(self.root))]
        self.assertEqual(names, ["tern/result.h"])

    # ---- sizes
    def test_a_file_of_801_lines(self):
        self.write("base/long.h", LICENCE + "#pragma once\n" + "int x();\n" * 799)
        self.expect("file-size", "base/long.h", 801)

    def test_a_file_of_501_lines_is_only_reported(self):
        self.write("base/long.h", LICENCE + "#pragma once\n" + "int x();\n" * 499)
        self.assertEqual(self.findings("file-size"), [])
        self.assertEqual(list(rules.size_report(Tree(self.root))), ["base/long.h: 501 lines"])

    def test_a_long_function_is_reported_where_it_begins(self):
        self.append(
            "base/fd.cc",
            "namespace {\n\nint long_one(int a,\n             int b) {\n"
            + "  if (a) { b++; }\n" * 80
            + "  return b;\n}\n\n}  // namespace\n",
        )
        self.assertEqual(
            list(rules.size_report(Tree(self.root))), ["base/fd.cc:7: a function of 84 lines"]
        )

    def test_functions_are_told_from_scopes_and_tables(self):
        self.write(
            "base/kinds.cc",
            LICENCE
            + """
namespace a::b {
class C final : public D {
 public:
  explicit C(int x) : x_{x} {}
  int get() const noexcept { return [this] { return x_; }(); }
 private:
  int x_ = 0;
};
constexpr std::array<int, 2> kTable = {{1, 2}};
enum class E { a, b };
template <typename T>
struct F {
  void run() { "}{"; '{'; /* { */ }
};
}
""",
        )
        heads = [f.head for f in File(self.root, "base/kinds.cc").functions]
        self.assertEqual(
            heads, ["explicit C(int x) : x_", "int get() const noexcept", "void run()"]
        )

    def test_a_line_of_131_columns(self):
        self.append("base/fd.cc", "//" + "x" * 128 + "\n//" + "ä" * 128 + "\n//" + "x" * 129 + "\n")
        self.expect("line-width", "base/fd.cc", 7)

    # ---- unit tests
    def test_a_source_file_without_unit_test(self):
        self.write("base/log.cc", LICENCE)
        self.expect("unit-tests", "base/log.cc", 1)

    def test_a_file_on_the_list_needs_the_test_it_names(self):
        self.write("base/log.cc", LICENCE)
        self.assertEqual(
            self.findings("unit-tests", covered={"base/log.cc": "tests/meson.build"}), []
        )
        self.expect("unit-tests", "base/log.cc", 1, covered={"base/log.cc": "tests/none.cc"})

    def test_a_file_on_the_list_that_has_a_unit_test(self):
        self.expect("unit-tests", "base/fd.cc", 1, covered={"base/fd.cc": "tests/meson.build"})

    def test_a_file_on_the_list_that_is_gone(self):
        self.expect(
            "unit-tests", "tests/tidy/rules.py", 1, covered={"base/gone.cc": "tests/meson.build"}
        )

    # ---- calls
    def test_banned_calls_are_named(self):
        for call in (
            "sleep(1)",
            "::usleep(5)",
            "std::system(c)",
            "popen(c, m)",
            "rand()",
            "strcpy(a, b)",
            "sprintf(a, b)",
            "std::atoi(a)",
            "std::this_thread::sleep_for(t)",
            "printf(a)",
            "std::abort()",
            "exit(1)",
            "getenv(a)",
        ):
            with self.subTest(call):
                self.write(
                    "base/call.h", LICENCE + f"#pragma once\ninline void f() {{ {call}; }}\n"
                )
                self.expect("banned-calls", "base/call.h", 3)

    def test_an_exception_is_named(self):
        self.append("base/fd.cc", "void f() { throw 1; }\n")
        self.expect("banned-calls", "base/fd.cc", 5)

    def test_methods_comments_and_texts_are_no_calls(self):
        self.append(
            "base/fd.cc",
            "// sleep(1)\nauto s = \"system(x)\";\nvoid f() { a.sleep(1); b->abort(); }\n"
            "virtual void abort() = 0;\nauto n = 1'000'000; snprintf(a);\n",
        )
        self.assertEqual(self.findings("banned-calls"), [])

    def test_what_the_library_may_not_do_tools_may(self):
        self.write("tools/tern/main.cc", LICENCE + "void f() { std::printf(x); std::exit(1); }\n")
        self.assertEqual(self.findings("banned-calls"), [])

    def test_a_test_that_is_switched_off(self):
        self.append("tests/unit/base/fd_test.cc", "TEST(Fd, DISABLED_closes) {}\n")
        self.expect("switched-off", "tests/unit/base/fd_test.cc", 3)

    def test_a_skip_without_a_reason(self):
        self.append("tests/unit/base/fd_test.cc", "void f() { GTEST_SKIP(); }\n")
        self.expect("switched-off", "tests/unit/base/fd_test.cc", 3)

    # ---- leftovers, licences, dead files, white space
    def test_words_that_mark_something_unfinished(self):
        for word in (
            "TO" + "DO",
            "fix" + "me",
            "for " + "now",
            "not " + "implemented",
            "Place" + "holder",
        ):
            with self.subTest(word):
                self.write("base/left.h", LICENCE + f"#pragma once\n// {word}: later\n")
                self.expect("leftovers", "base/left.h", 3)

    def test_a_file_without_licence(self):
        self.write("base/free.h", "#pragma once\n")
        self.expect("licence", "base/free.h", 1)

    def test_a_script_may_begin_with_its_interpreter(self):
        self.write("tools/run", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n")
        self.assertEqual(self.findings("licence"), [])
        self.write("tools/run", "#!/bin/sh\n")
        self.expect("licence", "tools/run", 1)

    def test_a_source_file_that_no_build_names(self):
        self.write("base/dead.cc", LICENCE)
        self.expect("dead-files", "base/dead.cc", 1)

    def test_a_header_that_nobody_includes(self):
        self.write("base/dead.h", LICENCE + "#pragma once\n")
        self.expect("dead-files", "base/dead.h", 1)

    def test_a_script_that_nothing_runs(self):
        self.write("tests/dead_script.py", "# SPDX-License-Identifier: Apache-2.0\n")
        self.expect("dead-files", "tests/dead_script.py", 1)

    def test_white_space_at_the_end(self):
        self.append("base/README.md", "x \n")
        self.expect("whitespace", "base/README.md", 2)

    def test_no_newline_at_the_end(self):
        self.append("base/README.md", "x")
        self.expect("whitespace", "base/README.md", 2)

    # ---- docs, format
    def test_a_link_that_leads_nowhere(self):
        self.append("docs/architecture.md", "[gone](gone.md#part) [web](https://example.org/x)\n")
        self.expect("links", "docs/architecture.md", 4)

    def test_a_folder_that_the_code_map_does_not_name(self):
        self.write("transport/tls/x.h", LICENCE + "#pragma once\n")
        self.expect("code-map", "docs/architecture.md", 1)

    def test_a_room_without_readme(self):
        os.remove(os.path.join(self.root, "base/README.md"))
        self.expect("code-map", "base/README.md", 1)

    def test_code_that_clang_format_would_change(self):
        if not shutil.which("clang-format"):
            self.skipTest("clang-format is not installed")
        self.append("base/fd.cc", "int  x( ) ;\n")
        self.expect("format", "base/fd.cc", 5)


if __name__ == "__main__":
    sys.exit(tap.main(Planted))
