#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tern as others meet it: installed and found by pkg-config, as a Meson subproject, and the symbols
that the shared library shows. The program is the example of README.md, to the letter.

usage: consumer_test.py BUILD_DIR COMPILER
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))

import tap
from command import call

BUILD = None
COMPILER = []


def example(page, language):
    """The program that a page shows."""
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        text = file.read()
    block = re.search(rf"^```{language}\n(.*?)^```", text, re.S | re.M)
    if block is None:
        raise AssertionError(f"{page} has no ```{language} block to build")
    return block[1]


def public_names():
    """Functions and classes that the headers mark as exported."""
    functions, classes = set(), set()
    folder = os.path.join(ROOT, "include", "tern")
    for name in os.listdir(folder):
        if not name.endswith(".h"):
            continue
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            text = re.sub(r"//[^\n]*", "", file.read())
        classes.update(
            re.findall(r"\b(?:class|struct)\s+(?:\[\[\w+\]\]\s*)?TERN_API\s+(\w+)", text)
        )
        functions.update(re.findall(r"^TERN_API\s[^;{]*?\b(\w+)\(", text, re.M))
        functions.update(re.findall(r"^\[\[nodiscard\]\] TERN_API\s[^;{]*?\b(\w+)\(", text, re.M))
    return functions, classes


# A compiler for the subproject: what the build directory has compiled already is not compiled again, which would take
# minutes. What Meson makes of tern as a subproject is all the same, to the last file and flag.
COMPILE_ONCE = """#!/usr/bin/env python3
import json, os, shutil, sys
build, compiler, words = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
if "-c" in words and "-o" in words and "-MF" in words:
    source = os.path.realpath(words[words.index("-c") + 1])
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            found = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
            made = os.path.join(entry["directory"], entry["output"])
            if found == source and "/libtern_" in made and os.path.exists(made):
                target = words[words.index("-o") + 1]
                shutil.copy(made, target)
                with open(words[words.index("-MF") + 1], "w", encoding="utf-8") as file:
                    file.write(f"{target}: {source}\\n")
                sys.exit(0)
os.execvp(compiler[0], [*compiler, *words])
"""


def headers_below(folder):
    """Their paths, from the folder."""
    return sorted(
        os.path.relpath(os.path.join(where, name), folder)
        for where, _, names in os.walk(folder)
        for name in names
        if name.endswith(".h")
    )


class Consumer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stage = tempfile.mkdtemp(prefix="tern-consumer-")
        call(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", cls.stage])
        with open(os.path.join(cls.stage, "example.cc"), "w", encoding="utf-8") as file:
            file.write(example("README.md", "cpp"))
        found = subprocess.run(
            ["find", cls.stage, "-name", "tern.pc"], text=True, capture_output=True, check=True
        ).stdout.split()
        if len(found) != 1:
            raise AssertionError(f"tern.pc is installed {len(found)} times")
        cls.pkgconfig = os.path.dirname(found[0])
        cls.libdir = os.path.dirname(cls.pkgconfig)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.stage)

    def pkg_config(self, *options):
        env = {"PKG_CONFIG_PATH": self.pkgconfig, "PKG_CONFIG_SYSROOT_DIR": self.stage}
        return shlex.split(call(["pkg-config", *options, "tern"], env=env))

    def build(self, program, *options):
        target = os.path.join(self.stage, program)
        flags = self.pkg_config(*options)
        command = [
            *COMPILER,
            "-std=c++20",
            "-Wall",
            "-Wextra",
            "-Werror",
            "example.cc",
            "-o",
            target,
        ]
        call([*command, *flags], cwd=self.stage)
        return target

    def migrate(self, program, env=None):
        socket = os.path.join(self.stage, os.path.basename(program) + ".sock")
        self.assertIn("hello from the guest", call([program, "unix:" + socket], env=env))

    def test_readme_example_migrates_with_the_shared_library(self):
        program = self.build("shared", "--cflags", "--libs")
        self.assertIn("libtern.so.0", call(["readelf", "-d", program]))
        self.migrate(program, {"LD_LIBRARY_PATH": self.libdir})

    def test_readme_example_migrates_with_the_static_library(self):
        hidden = os.path.join(self.stage, "hidden")
        os.mkdir(hidden)
        shared = [name for name in os.listdir(self.libdir) if name.startswith("libtern.so")]
        for name in shared:
            os.rename(os.path.join(self.libdir, name), os.path.join(hidden, name))
        try:
            program = self.build("static", "--static", "--cflags", "--libs")
        finally:
            for name in shared:
                os.rename(os.path.join(hidden, name), os.path.join(self.libdir, name))
        self.assertNotIn("libtern", call(["readelf", "-d", program]))
        self.migrate(program)

    def test_readme_example_builds_with_tern_as_a_subproject(self):
        app = os.path.join(self.stage, "app")
        os.makedirs(os.path.join(app, "subprojects"))
        os.symlink(ROOT, os.path.join(app, "subprojects", "tern"))
        shutil.copy(os.path.join(self.stage, "example.cc"), app)
        with open(os.path.join(app, "meson.build"), "w", encoding="utf-8") as file:
            file.write(
                "project('app', 'cpp', default_options: ['cpp_std=c++20'])\n"
                "executable('app', 'example.cc', dependencies: dependency('tern', "
                "default_options: ['tools=false', 'tests=false', 'default_library=static']))\n"
            )
        once = os.path.join(self.stage, "compile-once")
        with open(once, "w", encoding="utf-8") as file:
            file.write(COMPILE_ONCE)
        os.chmod(once, 0o755)
        environment = {"CXX": shlex.join([once, BUILD, json.dumps(COMPILER)])}
        options = ["-Doptimization=0", "-Dtern:optimization=0", "-Ddebug=false", "--wrap-mode=forcefallback"]
        call(["meson", "setup", os.path.join(app, "build"), app, *options], env=environment)
        call(["ninja", "-C", os.path.join(app, "build"), "app"], env=environment)
        self.migrate(os.path.join(app, "build", "app"))

    def test_the_program_of_the_c_guide_migrates(self):
        with open(os.path.join(self.stage, "guide.c"), "w", encoding="utf-8") as file:
            file.write(example("docs/reference/c-api.md", "c"))
        program = os.path.join(self.stage, "guide")
        compiler = shlex.split(os.environ.get("CC", "cc"))
        warnings = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        flags = self.pkg_config("--cflags", "--libs")
        call([*compiler, *warnings, "guide.c", "-o", program, *flags], cwd=self.stage)
        self.migrate(program, {"LD_LIBRARY_PATH": self.libdir})

    def test_pkg_config_asks_for_no_other_package(self):
        with open(os.path.join(self.pkgconfig, "tern.pc"), encoding="utf-8") as file:
            self.assertNotIn("Requires", file.read())

    def test_every_public_header_is_installed_and_no_other(self):
        folder = os.path.join(ROOT, "include", "tern")
        found = subprocess.run(
            ["find", self.stage, "-path", "*/include/tern"],
            text=True,
            capture_output=True,
            check=True,
        ).stdout.split()
        self.assertEqual(len(found), 1)
        self.assertIn("c/tern.h", headers_below(folder))
        self.assertEqual(headers_below(found[0]), headers_below(folder))

    def exported(self):
        library = os.path.join(self.libdir, "libtern.so")
        lines = call(["nm", "-D", "-C", "--defined-only", library]).splitlines()
        return [line.split(" ", 2)[2] for line in lines]

    def test_what_the_headers_promise_is_exported(self):
        functions, _ = public_names()
        self.assertIn("parse_uri", functions)
        names = set(re.findall(r"\btern::(\w+)(?:\[abi:\w+\])?\(", "\n".join(self.exported())))
        self.assertEqual(sorted(functions - names), [])

    def test_the_inside_of_the_library_is_hidden(self):
        functions, classes = public_names()
        self.assertIn("MigrationSource", classes)
        inside = []
        for name in self.exported():
            # The C functions, and the nodes of the symbol versions: tests/capi holds their list.
            if re.match(r"tern_\w+@@TERN_|TERN_(?:CXX_)?\d", name):
                continue
            # Template instances of the standard library are weak and visible by its own choice.
            plain = re.sub(
                r"^(?:typeinfo name for|typeinfo for|vtable for|guard variable for) ", "", name
            )
            match = re.match(r"(?:[\w:]+ )?tern::(\w+)", plain)
            if match:
                if match[1] not in functions | classes:
                    inside.append(name)
            elif not re.search(r"\bstd::|__gnu_cxx::", plain):
                inside.append(name)
        self.assertEqual(inside, [])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    BUILD, COMPILER = sys.argv[1], sys.argv[2:]
    sys.exit(tap.main(Consumer))
