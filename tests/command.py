# SPDX-License-Identifier: Apache-2.0
"""Runs a program for a test."""

import os
import subprocess


def call(command, cwd=None, env=None):
    """What a command prints; a failure shows all of it."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}")
    return done.stdout
