# SPDX-License-Identifier: Apache-2.0
"""The source tree as the rules see it: which files there are, their lines, C++ without comments and
strings, and where functions begin and end. It knows no rule."""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

ROOMS = ("base", "stats", "transport", "ram", "block", "migration")
CODE = (".cc", ".c", ".h")
SKIPPED_DIRS = {".git", "__pycache__", "subprojects", ".cache"}


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Function:
    line: int
    length: int
    head: str


@dataclass(frozen=True)
class Include:
    line: int
    target: str
    quoted: bool


class File:
    """One file of the tree; everything is computed when first asked for."""

    def __init__(self, root, path):
        self.path = path
        self.pure = PurePosixPath(path)
        self.full = os.path.join(root, path)

    @property
    def room(self):
        return self.pure.parts[0]

    @property
    def is_code(self):
        return self.pure.suffix in CODE

    @cached_property
    def raw(self):
        with open(self.full, "rb") as file:
            return file.read()

    @cached_property
    def text(self):
        return self.raw.decode("utf-8", "replace")

    @cached_property
    def lines(self):
        return self.text.split("\n")

    @cached_property
    def bare(self):
        """C++ with comments and the insides of literals blanked out; line numbers stay."""
        return _blank(self.text)

    @cached_property
    def bare_lines(self):
        return self.bare.split("\n")

    @cached_property
    def includes(self):
        found = []
        for number, line in enumerate(self.lines, 1):
            match = re.match(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', line)
            if match:
                found.append(Include(number, match[1] or match[2], match[1] is not None))
        return found

    @cached_property
    def functions(self):
        return list(_functions(self.bare))

    def find(self, pattern, bare=True):
        """(line number, match) for each line that the pattern is found in."""
        expression = re.compile(pattern)
        for number, line in enumerate(self.bare_lines if bare else self.lines, 1):
            match = expression.search(line)
            if match:
                yield number, match


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = {path: File(root, path) for path in _walk(root)}

    def code(self, *tops):
        """C++ files, below the given folders or all."""
        for file in self.files.values():
            if file.is_code and (not tops or file.room in tops):
                yield file

    def named(self, pattern):
        return [file for file in self.files.values() if re.search(pattern, file.path)]

    @cached_property
    def meson(self):
        """The text of all build files by folder."""
        return {str(file.pure.parent): file.text for file in self.named(r"(^|/)meson\.build$")}


def _walk(root):
    for folder, dirs, names in os.walk(root):
        relative = os.path.relpath(folder, root)
        dirs[:] = sorted(
            d
            for d in dirs
            if d not in SKIPPED_DIRS and not (relative == "." and d.startswith("build"))
        )
        for name in sorted(names):
            path = os.path.normpath(os.path.join(relative, name))
            if os.path.isfile(os.path.join(root, path)) and not name.startswith(".ninja_"):
                yield path


_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/'
    r'|R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.S,
)


def _blank(text):
    def empty(match):
        token = match[0]
        kept = token[0] + token[-1] if token[0] in "\"'R" else ""
        return kept + "\n" * token.count("\n")

    # An include's name is no literal that hides anything.
    text = re.sub(r'(?m)^(\s*#\s*include\s*)"([^"\n]+)"', r"\1<\2>", text)
    return _TOKEN.sub(empty, text)


_NOT_A_FUNCTION = re.compile(
    r"^(?:(?:inline|export)\s+)?(?:namespace|class|struct|union|enum|extern)\b"
    r"|^template\s*<[^;{]*>\s*(?:class|struct|union)\b"
)


def _functions(bare):
    """Function bodies in namespaces and classes: what stands between braces after a ')'."""
    text = re.sub(r"(?m)^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m[0].count("\n"), bare)
    stack = []  # (is scope, head, line)
    head_start = 0
    line = 1
    for position, char in enumerate(text):
        if char == "\n":
            line += 1
        elif char == "{":
            head = " ".join(text[head_start:position].split())
            scopes_only = all(scope for scope, _, _ in stack)
            is_scope = bool(_NOT_A_FUNCTION.match(head) or (head == "" and scopes_only))
            is_function = (
                scopes_only
                and not is_scope
                and ")" in head
                and not re.search(r"=\s*$|\breturn\b", head)
            )
            begin = line - text[head_start:position].strip().count("\n")
            stack.append((is_scope, head if is_function else None, begin))
            head_start = position + 1
        elif char == "}":
            if stack:
                _, head, begin = stack.pop()
                if head is not None:
                    yield Function(begin, line - begin + 1, head)
            head_start = position + 1
        elif char == ";" or (
            char == ":" and text[head_start:position].strip() in ("public", "private", "protected")
        ):
            head_start = position + 1
