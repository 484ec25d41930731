#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The C ABI from outside: what libtern.so shows, the headers alone, the program of the guide, and
Rust. Prints TAP.

usage: capi_test.py BUILD_DIR C_COMPILER [ARGUMENT…] -- CXX_COMPILER [ARGUMENT…]
"""

import os
import re
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
CC = []
CXX = []
HEADERS = os.path.join(ROOT, "include", "tern", "c")
LIST = os.path.join(ROOT, "migration", "capi", "exported-symbols.txt")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def header_names():
    return sorted(name for name in os.listdir(HEADERS) if name.endswith(".h"))


def declared():
    """The functions that the headers declare."""
    names = set()
    for name in header_names():
        text = re.sub(r"//[^\n]*", "", read("include", "tern", "c", name))
        names.update(re.findall(r"^TERN_C_API\s[^;{(]*?\b(tern_\w+)\(", text, re.M))
    return names


def listed():
    """The committed list: name@@version."""
    return [line for line in read(LIST).splitlines() if not line.startswith("#")]


def shown():
    """All versioned symbols that the shared library defines."""
    library = os.path.join(BUILD, "libtern.so")
    lines = call(["nm", "-D", "--defined-only", "--with-symbol-versions", library]).splitlines()
    return [line.split()[-1] for line in lines if " A TERN_" not in line]


def rustc():
    """The compiler of the PATH, or where rustup puts it."""
    found = shutil.which("rustc")
    usual = os.path.expanduser("~/.cargo/bin/rustc")
    if found is None and os.access(usual, os.X_OK):
        found = usual
    if found is None:
        return None, "rustc is not installed"
    tried = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    return (found, "") if tried.returncode == 0 else (None, f"{found} does not run")


class Symbols(unittest.TestCase):
    def test_the_library_shows_the_c_functions_of_the_list_and_no_other(self):
        functions = sorted(name for name in shown() if name.startswith("tern_"))
        self.assertEqual(functions, listed())

    def test_the_headers_declare_the_functions_of_the_list_and_no_other(self):
        self.assertGreater(len(declared()), 100)
        self.assertEqual(sorted(declared()), sorted(name.split("@@")[0] for name in listed()))

    def test_every_function_is_called_with_nothing(self):
        text = read("tests", "unit", "migration", "capi", "null_arguments_test.cc")
        called = set(re.findall(r"\b(tern_\w+)\b", text))
        self.assertEqual(sorted(declared() - called), [])

    def test_everything_else_is_cxx_and_says_so(self):
        others = [name for name in shown() if not name.startswith("tern_")]
        self.assertTrue(any("MigrationSource" in name for name in others))
        odd = [name for name in others if not re.fullmatch(r"_Z\w+@@TERN_CXX_\d+\.\d+", name)]
        self.assertEqual(odd, [])


class Headers(unittest.TestCase):
    def compile_alone(self, command):
        for name in header_names():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                source = os.path.join(folder, "alone.c")
                with open(source, "w", encoding="utf-8") as file:
                    file.write(f"#include <tern/c/{name}>\nextern int not_empty;\n")
                include = ["-I", os.path.join(ROOT, "include")]
                call([*command, *WARNINGS, *include, "-fsyntax-only", source])

    def test_each_header_compiles_alone_as_c11(self):
        self.compile_alone([*CC, "-std=c11"])

    def test_each_header_compiles_alone_as_cxx(self):
        self.compile_alone([*CXX, "-x", "c++", "-std=c++20"])

    def test_only_standard_c_headers_are_included(self):
        for name in header_names():
            for target in re.findall(r"^#include [<\"](.*?)[>\"]", read(HEADERS, name), re.M):
                known = target in ("stddef.h", "stdint.h", "tern/version.h")
                self.assertTrue(known or target.startswith("tern/c/"), f"{name}: {target}")


class Programs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tern-capi-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.program = os.path.join(self.folder, "program")
        self.address = "unix:" + os.path.join(self.folder, "socket")
        self.env = {"LD_LIBRARY_PATH": BUILD}

    def test_the_program_of_the_guide_migrates(self):
        block = re.search(r"^```c\n(.*?)^```", read("docs", "reference", "c-api.md"), re.S | re.M)
        source = os.path.join(self.folder, "example.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(block[1])
        include = ["-I", os.path.join(ROOT, "include")]
        link = ["-L", BUILD, "-ltern"]
        call([*CC, "-std=c11", *WARNINGS, *include, source, "-o", self.program, *link])
        said = call([self.program, self.address], env=self.env)
        self.assertEqual(said, "handed-over: hello from the guest\n")

    def test_rust_moves_a_machine(self):
        compiler, reason = rustc()
        if compiler is None:
            self.skipTest(reason)
        source = os.path.join(ROOT, "tests", "capi", "embed.rs")
        command = [compiler, "--edition", "2021", "-D", "warnings", "-L", f"native={BUILD}"]
        call([*command, "-l", "dylib=tern", "-o", self.program, source], cwd=self.folder)
        said = call([self.program, self.address], env=self.env)
        self.assertRegex(said, r"tern [\d.]+ moved a machine for Rust: handed-over\n")


if __name__ == "__main__":
    if "--" not in sys.argv[2:]:
        sys.exit(__doc__)
    split = sys.argv.index("--")
    BUILD, CC, CXX = os.path.abspath(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1 :]
    sys.exit(tap.main(Symbols, Headers, Programs))
