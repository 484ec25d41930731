#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a binary file as a C++ byte array: embed.py IN OUT."""
import sys

with open(sys.argv[1], "rb") as source:
    data = source.read()
with open(sys.argv[2], "w", encoding="ascii") as out:
    out.write("// Made by the build from guest.S.\n#pragma once\n\n#include <cstdint>\n\n")
    out.write("namespace tern::vmm {\n\n")
    out.write(f"inline constexpr uint8_t kGuestBin[{len(data)}] = {{\n")
    for at in range(0, len(data), 16):
        out.write("    " + " ".join(f"0x{byte:02x}," for byte in data[at : at + 16]) + "\n")
    out.write("};\n\n}  // namespace tern::vmm\n")
