# SPDX-License-Identifier: Apache-2.0
"""The rules of the house. Each is a function of the tree that yields findings; its docstring is
what the test prints. What a rule lets pass is listed here, with the reason."""

import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from tree import ROOMS, Finding

# ---- who may include whom: base <- stats <- { transport | ram | block } <- migration <- tests
ARROWS = {
    "base": {"base", "tern"},
    "stats": {"stats", "base", "tern"},
    "transport": {"transport", "stats", "base", "tern"},
    "ram": {"ram", "stats", "base", "tern"},
    "block": {"block", "stats", "base", "tern"},
    "migration": {"migration", "transport", "ram", "block", "stats", "base", "tern"},
    "include": {"tern"},
    "tools": {"tools", "tern"},
}
# `tern inspect` reads streams with the library's own parsers, `tern dirty-rate` samples pages with its sampler; docgen
# prints its tables.
EXCEPTIONS = [
    (re.compile(r"tools/tern/inspect"), re.compile(r"(base|ram/wire|ram/codec|migration/stream)/")),
    (re.compile(r"tools/tern/dirty_rate"), re.compile(r"(base|ram/measure|ram/dirty)/")),
    (re.compile(r"tools/docgen"), re.compile(r"migration/(objects|state|params|qmp)/|base/")),
]
STANDARD_HEADERS = set(
    """
algorithm any array atomic barrier bit bitset charconv chrono compare complex concepts
condition_variable coroutine deque exception execution filesystem format forward_list fstream
functional future initializer_list iomanip ios iosfwd iostream istream iterator latch limits
list locale map memory memory_resource mutex new numbers numeric optional ostream queue random
ranges ratio regex scoped_allocator semaphore set shared_mutex source_location span sstream
stack stdexcept stop_token streambuf string string_view system_error thread tuple type_traits
typeindex typeinfo unordered_map unordered_set utility valarray variant vector version cassert
cctype cerrno cfloat cinttypes climits clocale cmath csetjmp csignal cstdarg cstddef cstdint
cstdio cstdlib cstring ctime cuchar cwchar cwctype
""".split()
)
C_HEADERS = {"stddef.h", "stdint.h"}  # of include/tern/c, which is for C, too


def arrows(tree):
    """include arrows point towards the ground"""
    for file in tree.code("include", "tools", *ROOMS):
        for include in file.includes:
            top = include.target.split("/")[0]
            if not include.quoted:
                for_c = file.path.startswith("include/tern/c/")
                standard = C_HEADERS if for_c else STANDARD_HEADERS
                if file.room == "include" and include.target not in standard:
                    yield Finding(
                        file.path,
                        include.line,
                        f"<{include.target}>: public headers include only std and tern",
                    )
                elif "/" in include.target and (top in ARROWS or top == "tests" or top == "tern"):
                    yield Finding(
                        file.path, include.line, f"<{include.target}>: write it with quotes"
                    )
                continue
            if top in ARROWS[file.room]:
                continue
            if any(who.match(file.path) and what.match(include.target) for who, what in EXCEPTIONS):
                continue
            allowed = ", ".join(sorted(ARROWS[file.room]))
            yield Finding(
                file.path,
                include.line,
                f'"{include.target}": {file.room} may include only {allowed}',
            )


def include_paths(tree):
    """includes are written from the root and name files that exist"""
    for file in tree.code():
        for include in file.includes:
            if not include.quoted:
                continue
            if include.target in tree.files or "include/" + include.target in tree.files:
                continue
            name = PurePosixPath(include.target).name
            folder = str(PurePosixPath(include.target).parent)
            if f"'{name}'" in tree.meson.get(folder, ""):
                continue  # the build makes it
            yield Finding(file.path, include.line, f'"{include.target}" is no file of the tree')


# ---- threads
THREAD_HOMES = ("migration/source/", "migration/destination/", "migration/dirty/")


def threads(tree):
    """rooms start no threads, but for the folders of migration that are their homes"""
    for file in tree.code(*ROOMS):
        if file.path.startswith(THREAD_HOMES):
            continue
        for line, match in file.find(
            r"std::(?:jthread|thread|async)\b|\bpthread_create\b|\bthrd_create\b"
        ):
            if not re.search(r"std::thread::", file.bare_lines[line - 1][match.start() :]):
                yield Finding(
                    file.path, line, f"{match[0]}: threads belong to {', '.join(THREAD_HOMES)}"
                )
    for file in tree.code():
        for line, _ in file.find(r"(?i:thread)[^;]*[.>]detach\(\)|\}\)\.detach\(\)"):
            yield Finding(file.path, line, "detach(): every thread has an owner that joins it")


# ---- headers
def pragma_once(tree):
    """every header has #pragma once"""
    for file in tree.code():
        if file.pure.suffix == ".h" and "#pragma once" not in file.bare_lines:
            yield Finding(file.path, 1, "no #pragma once")


def own_header_first(tree):
    """a .cc file includes its own header first"""
    for file in tree.code("tools", *ROOMS):
        if file.pure.suffix != ".cc":
            continue
        own = str(file.pure.with_suffix(".h"))
        public = f"tern/{file.pure.stem}.h"
        wanted = (
            [own] if own in tree.files else [public] if "include/" + public in tree.files else []
        )
        if not wanted:
            continue
        first = file.includes[0] if file.includes else None
        if first is None or first.target not in wanted:
            yield Finding(
                file.path, first.line if first else 1, f'"{wanted[0]}" must be the first include'
            )


def headers_to_compile(tree):
    """Headers that no source file begins with: those others the build has compiled first."""
    proved = set()
    for file in tree.code():
        if file.pure.suffix == ".cc" and file.includes and file.includes[0].quoted:
            proved.add(file.includes[0].target)
    for file in tree.code():
        name = file.path[len("include/") :] if file.room == "include" else file.path
        if file.pure.suffix == ".h" and name not in proved:
            yield file, name


def headers_compile(tree, compiler=None):
    """every header compiles alone"""
    command = shlex.split(compiler or os.environ.get("CXX", "c++"))
    flags = ["-std=c++20", "-fsyntax-only", "-x", "c++", "-I", ".", "-I", "include", "-include"]

    def compile_alone(item):
        file, name = item
        done = subprocess.run(
            command + flags + [name, os.devnull],
            cwd=tree.root,
            text=True,
            capture_output=True,
            check=False,
        )
        return file, done

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for file, done in pool.map(compile_alone, list(headers_to_compile(tree))):
            if done.returncode == 0:
                continue
            error = re.search(r":(\d+):(?:\d+:)? (?:fatal )?error: (.*)", done.stderr)
            line, message = (int(error[1]), error[2]) if error else (1, done.stderr.strip())
            yield Finding(file.path, line, f"does not compile alone: {message}")


# ---- sizes
FILE_LINES = 800
FILE_LINES_REPORTED = 500
FUNCTION_LINES_REPORTED = 70


def file_size(tree):
    """no source file has more than 800 lines"""
    for file in tree.code():
        if len(file.lines) - 1 > FILE_LINES:
            yield Finding(
                file.path,
                FILE_LINES + 1,
                f"{len(file.lines) - 1} lines: which second idea moved in?",
            )


def size_report(tree):
    """What is large but allowed: lines for people, no findings."""
    for file in tree.code():
        if len(file.lines) - 1 > FILE_LINES_REPORTED:
            yield f"{file.path}: {len(file.lines) - 1} lines"
        for function in file.functions:
            if function.length > FUNCTION_LINES_REPORTED:
                yield f"{file.path}:{function.line}: a function of {function.length} lines"


def line_width(tree):
    """no line is wider than 130 columns (clang-format holds code to 100; drawn layouts need more)"""
    for file in tree.files.values():
        if file.is_code or file.pure.suffix in (".py", ".S", ".build") or _is_script(file):
            for number, line in enumerate(file.lines, 1):
                if len(line) > 130:
                    yield Finding(file.path, number, f"{len(line)} columns")


# ---- every source file has its unit test
COVERED_ELSEWHERE = {
    # The phases of a migration need a peer: tested as whole migrations over real connections.
    "migration/destination/destination_impl.cc": "tests/faults/migration_test.cc",
    "migration/source/convergence.cc": "tests/faults/convergence_test.cc",
    "migration/source/compress_source.cc": "tests/faults/effect_test.cc",
    "migration/destination/multifd_destination.cc": "tests/faults/multifd_test.cc",
    "migration/destination/return_sender.cc": "tests/faults/migration_test.cc",
    "migration/source/multifd_source.cc": "tests/faults/multifd_test.cc",
    "transport/zero_copy.cc": "tests/unit/transport/socket_channel_test.cc",
    "migration/source/precopy.cc": "tests/faults/migration_test.cc",
    "migration/source/source_impl.cc": "tests/faults/migration_test.cc",
    "migration/source/source_link.cc": "tests/faults/migration_test.cc",
    "migration/source/switchover.cc": "tests/faults/one_side_test.cc",
    "migration/source/unplug.cc": "tests/faults/around_test.cc",
    "migration/security/security.cc": "tests/faults/tls_test.cc",
    # What is behind a public class, and a request's arguments: through these.
    "migration/objects/registry.cc": "tests/unit/migration/objects/object_store_test.cc",
    "migration/qmp/object_args.cc": "tests/unit/migration/qmp/commands_objects_test.cc",
    # One connection's parts, and all that is read from files for it.
    "transport/tls/context.cc": "tests/unit/transport/tls/tls_channel_test.cc",
    "transport/tls/distinguished_name.cc": "tests/unit/transport/tls/credentials_test.cc",
    "transport/tls/priority.cc": "tests/unit/transport/tls/credentials_test.cc",
    "transport/tls/psk_credentials.cc": "tests/unit/transport/tls/credentials_test.cc",
    "transport/tls/psk_keys.cc": "tests/unit/transport/tls/credentials_test.cc",
    "transport/tls/secret.cc": "tests/unit/transport/tls/credentials_test.cc",
    "transport/tls/securer.cc": "tests/unit/transport/tls/tls_channel_test.cc",
    "transport/tls/session.cc": "tests/unit/transport/tls/tls_channel_test.cc",
    "transport/tls/x509_credentials.cc": "tests/unit/transport/tls/credentials_test.cc",
    # Handlers of commands, tested as requests and their replies; types, by what they describe.
    "migration/qmp/commands_introspect.cc": "tests/unit/migration/qmp/schema_test.cc",
    "migration/qmp/result_types.cc": "tests/unit/migration/qmp/schema_test.cc",
    # Command lines: tested as their user runs them.
    "tools/common/demo.cc": "tests/interop/demo_test.py",
    "tools/benchmark/main.cc": "tests/interop/bench_parts_test.py",
    "tools/benchmark/content.cc": "tests/interop/bench_parts_test.py",
    "tools/benchmark/memory.cc": "tests/interop/bench_test.py",
    "tools/benchmark/raw_limit.cc": "tests/interop/bench_test.py",
    "tools/benchmark/read_limit.cc": "tests/interop/bench_test.py",
    "tools/tern/ctl_command.cc": "tests/interop/ctl_test.py",
    "tools/tern/dirty_rate_command.cc": "tests/interop/dirty_rate_test.py",
    "tools/tern/demo_command.cc": "tests/interop/demo_test.py",
    "tools/tern/main.cc": "tests/interop/demo_test.py",
    # Its output is compared with the committed pages (test reference-pages).
    "tools/docgen.cc": "docs/reference/states.md",
    # One table of functions, tested through every implementation that the CPU has.
    # What both of KVM's trackers do with slots.
    "ram/dirty/kvm_slots.cc": "tests/unit/ram/dirty/kvm_bitmap_test.cc",
    "ram/simd/generic.cc": "tests/unit/ram/simd/page_ops_test.cc",
    "ram/simd/x86_64.cc": "tests/unit/ram/simd/page_ops_test.cc",
}


def unit_tests(tree, covered=None):
    """every source file has a unit test at the same place under tests/unit"""
    covered = COVERED_ELSEWHERE if covered is None else covered
    for file in tree.code("tools", *ROOMS):
        if file.pure.suffix != ".cc":
            continue
        mirror = f"tests/unit/{file.pure.with_suffix('')}_test.cc"
        elsewhere = covered.get(file.path)
        if mirror in tree.files:
            if elsewhere:
                yield Finding(
                    file.path, 1, f"has {mirror}: take it from the list in tests/tidy/rules.py"
                )
        elif elsewhere is None:
            yield Finding(file.path, 1, f"no {mirror}")
        elif elsewhere not in tree.files:
            yield Finding(
                file.path, 1, f"is said to be tested by {elsewhere}, which does not exist"
            )
    for path in covered:
        if path not in tree.files:
            yield Finding("tests/tidy/rules.py", 1, f"lists {path}, which does not exist")


# ---- calls that are not made here
NOT_A_MEMBER = r"(?<![\w.>:])(?:std::|::)?"
BANNED = [  # (where, pattern, what instead)
    (
        ".",
        NOT_A_MEMBER + r"(?:sleep|usleep|nanosleep)\s*\(",
        "wait for a descriptor or a condition",
    ),
    (".", NOT_A_MEMBER + r"(?:system|popen)\s*\(", "transport/child.h starts programs"),
    (".", NOT_A_MEMBER + r"(?:rand|srand|drand48)\s*\(", "a std engine with a named seed"),
    (
        ".",
        NOT_A_MEMBER + r"(?:strcpy|strcat|sprintf|vsprintf|gets|strncpy)\s*\(",
        "std::string, std::snprintf",
    ),
    (".", NOT_A_MEMBER + r"(?:atoi|atol|atoll|atof|strtok)\s*\(", "std::from_chars tells errors"),
    (".", NOT_A_MEMBER + r"(?:alloca|longjmp|setjmp)\s*\(", "nothing: it cannot be bounded"),
    ("lib", r"\bvolatile\b", "std::atomic, or ram/guest_memory.h"),
    ("lib", r"\bstd::this_thread::sleep_(?:for|until)\b", "wait for a descriptor or a condition"),
    (
        "lib",
        r"\bstd::c(?:out|err|log)\b|" + NOT_A_MEMBER + r"(?:printf|puts|putchar|perror)\s*\(",
        "the LogSink: tern never owns stdout",
    ),
    ("lib", r"\bthrow\b|\bcatch\s*\(", "Result: no exception crosses tern"),
    (
        "lib",
        NOT_A_MEMBER + r"(?:exit|_exit|quick_exit|terminate)\s*\(",
        "an error of code internal",
    ),
    (
        "lib",
        NOT_A_MEMBER + r"(?:assert|abort)\s*\(",
        "an error of code internal: the guest lives on",
    ),
    ("lib", r"\bgetenv\s*\(", "a setting"),
]
ALLOWED_CALLS = {  # (file, call): reason
    (
        "include/tern/result.h",
        "abort",
    ): "reading a value that is not there: going on would be worse",
    ("transport/child.cc", "_exit"): "the child between fork and exec",
    ("migration/qmp/dispatcher.cc", "catch"): "a bug of a command must not end the guest",
    ("migration/source/start_thread.h", "catch"): "the standard library has no other way to say it",
    ("tests/unit/transport/net_sandbox.h", "strcpy"): "a constant into the field of an ifreq",
}


def banned_calls(tree):
    """banned calls are not made"""
    for file in tree.code():
        library = file.room in ROOMS or file.room == "include"
        for scope, pattern, instead in BANNED:
            if scope == "lib" and not library:
                continue
            for line, match in file.find(pattern):
                call = re.search(r"\w+(?=\s*\(?$)", match[0].strip())
                name = call[0] if call else match[0]
                declaration = re.search(
                    r"\b(?:void|int|bool|auto)\s+$", file.bare_lines[line - 1][: match.start()]
                )
                if (file.path, name) in ALLOWED_CALLS or declaration:
                    continue
                yield Finding(file.path, line, f"{name}: use {instead}")


def switched_off(tree):
    """no test is switched off"""
    for file in tree.code("tests"):
        for line, match in file.find(r"\bDISABLED_\w+"):
            yield Finding(file.path, line, f"{match[0]}: mend it or take it out")
        for line, match in file.find(r"\bGTEST_SKIP\(\)\s*;"):
            yield Finding(file.path, line, "GTEST_SKIP() without a reason")


# ---- leftovers. The words are put together here so that this file does not find itself.
LEFTOVERS = re.compile(
    r"\b(?:%s)\b"
    % "|".join(
        [
            "TO" + "DO",
            "FIX" + "ME",
            "XX" + "X",
            "HA" + "CK",
            "for " + "now",
            "not supported " + "yet",
            "not " + "implemented",
            "place" + "holder",
        ]
    ),
    re.I,
)


def leftovers(tree):
    """nothing is left for later"""
    for file in tree.files.values():
        if not (
            file.is_code or file.pure.suffix in (".py", ".S", ".md", ".build") or _is_script(file)
        ):
            continue
        if file.path == "tests/tidy/rules.py":
            continue
        for number, line in enumerate(file.lines, 1):
            match = LEFTOVERS.search(line)
            if match:
                yield Finding(file.path, number, f"'{match[0]}'")


# ---- files
def _is_script(file):
    return file.pure.suffix == "" and file.raw.startswith(b"#!")


def licence_lines(tree):
    """every source file begins with its licence"""
    for file in tree.files.values():
        if not (file.is_code or file.pure.suffix in (".py", ".S", ".build") or _is_script(file)):
            continue
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in file.lines[:2]):
            yield Finding(file.path, 1, "no SPDX-License-Identifier: Apache-2.0")


def dead_files(tree):
    """no source file is left out of the build"""
    builds = "\n".join(tree.meson.values())
    for file in tree.code():
        if file.pure.suffix not in (".cc", ".c"):
            continue
        named = any(
            f"'{os.path.relpath(file.path, folder)}'" in text for folder, text in tree.meson.items()
        )
        if not named and not re.search(r"'[^'\n]*%s'" % re.escape(file.pure.name), builds):
            yield Finding(file.path, 1, "no meson.build names it")
    included = {
        include.target for file in tree.code() for include in file.includes if include.quoted
    }
    for file in tree.code():
        name = file.path[len("include/") :] if file.room == "include" else file.path
        if file.pure.suffix == ".h" and name not in included:
            yield Finding(file.path, 1, "nothing includes it")
    texts = builds + "\n".join(
        f.text for f in tree.files.values() if f.pure.suffix in (".py", ".S") or _is_script(f)
    )
    for file in tree.files.values():
        if file.pure.suffix in (".py", ".S"):
            if not re.search(
                r"\b(?:%s|%s)\b" % (re.escape(file.pure.name), re.escape(file.pure.stem)), texts
            ):
                yield Finding(file.path, 1, "nothing runs it")


def whitespace(tree):
    """no stray white space"""
    for file in tree.files.values():
        if not (
            file.is_code or file.pure.suffix in (".py", ".md", ".build", ".S") or _is_script(file)
        ):
            continue
        for number, line in enumerate(file.lines, 1):
            if line != line.rstrip():
                yield Finding(file.path, number, "white space at the end of the line")
        if file.raw and not file.raw.endswith(b"\n"):
            yield Finding(file.path, len(file.lines), "no newline at the end of the file")


# ---- docs
def links(tree):
    """links between the documents lead somewhere"""
    for file in tree.files.values():
        if file.pure.suffix != ".md":
            continue
        for number, line in enumerate(file.lines, 1):
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                there = os.path.normpath(os.path.join(tree.root, str(file.pure.parent), target))
                if not os.path.exists(there):
                    yield Finding(file.path, number, f"{target} does not exist")


def code_map(tree):
    """every folder of source has its line in docs/architecture.md, every room its README"""
    page = tree.files.get("docs/architecture.md")
    text = page.text if page else ""
    folders = sorted({str(f.pure.parent) for f in tree.code("include", "tools", *ROOMS)})
    for folder in folders:
        if f"`{folder}/`" not in text:
            yield Finding("docs/architecture.md", 1, f"the code map does not name `{folder}/`")
    for room in sorted({f.room for f in tree.code("tools", "tests", *ROOMS)}) + ["include/tern"]:
        if f"{room}/README.md" not in tree.files and any(
            f.path.startswith(room) for f in tree.code()
        ):
            yield Finding(f"{room}/README.md", 1, "a room says in ten lines what it is")


# ---- format
def clang_format(tree, program="clang-format"):
    """the code is formatted by clang-format"""
    files = [file.path for file in tree.code()]

    def check(part):
        return subprocess.run(
            [program, "--dry-run", "--ferror-limit=1", *part],
            cwd=tree.root,
            text=True,
            capture_output=True,
            check=False,
        ).stderr

    parts = [files[i::4] for i in range(4) if files[i::4]]
    seen = set()
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for text in pool.map(check, parts):
            for path, line in re.findall(r"(?m)^([^\s:]+):(\d+):\d+: (?:warning|error):", text):
                if path not in seen:
                    seen.add(path)
                    yield Finding(path, int(line), "clang-format -i would change it")


RULES = {
    "arrows": arrows,
    "include-paths": include_paths,
    "threads": threads,
    "pragma-once": pragma_once,
    "own-header-first": own_header_first,
    "headers-compile": headers_compile,
    "file-size": file_size,
    "line-width": line_width,
    "unit-tests": unit_tests,
    "banned-calls": banned_calls,
    "switched-off": switched_off,
    "leftovers": leftovers,
    "licence": licence_lines,
    "dead-files": dead_files,
    "whitespace": whitespace,
    "links": links,
    "code-map": code_map,
    "format": clang_format,
}
