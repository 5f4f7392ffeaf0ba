#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes include/ql/rl/detail/unicode_tables.hpp from Python's own Unicode database (what str.lower, str.isspace and
re's \\b use). Run: python3 tests/golden/unicode_tables.py > include/ql/rl/detail/unicode_tables.hpp"""
import sys
import unicodedata

LAST = 0x110000


def runs(keep):
    out, first = [], None
    for c in range(LAST + 1):
        inside = c < LAST and not 0xD800 <= c < 0xE000 and keep(c)
        if inside and first is None:
            first = c
        if not inside and first is not None:
            out.append((first, c - 1))
            first = None
    return out


def lower_runs():
    """(first, last, stride, delta) with lower(c) = c + delta for c = first, first + stride, ..., last."""
    pairs = []
    for c in range(LAST):
        if 0xD800 <= c < 0xE000:
            continue
        low = chr(c).lower()
        if len(low) == 1 and ord(low) != c:
            pairs.append((c, ord(low) - c))
    out = []
    for c, d in pairs:
        if out and out[-1][3] == d:
            first, last, stride, _ = out[-1]
            if first == last and c - last in (1, 2):
                out[-1] = (first, c, c - last, d)
                continue
            if first != last and c - last == stride:
                out[-1] = (first, c, stride, d)
                continue
        out.append((c, c, 1, d))
    return out


def ascii_base():
    """(code point, ASCII text of at most 2 letters) for letters with marks, ligatures and look-alikes of Latin."""
    special = {0xDF: "ss", 0xC6: "AE", 0xE6: "ae", 0x152: "OE", 0x153: "oe", 0xD8: "O", 0xF8: "o", 0x110: "D",
               0x111: "d", 0x141: "L", 0x142: "l", 0xD0: "D", 0xF0: "d", 0xDE: "Th", 0xFE: "th", 0x131: "i",
               0x126: "H", 0x127: "h", 0x17F: "s"}
    out = []
    for c in list(range(0xC0, 0x250)) + list(range(0x1E00, 0x1F00)):
        text = special.get(c)
        if text is None:
            base = "".join(x for x in unicodedata.normalize("NFKD", chr(c)) if not unicodedata.combining(x))
            if base.isascii() and 0 < len(base) <= 2 and base.isalpha():
                text = base
        if text:
            out.append((c, text))
    return out


def table(name, rows, show, type_name, per_line):
    print(f"inline constexpr {type_name} {name}[] = {{")
    for i in range(0, len(rows), per_line):
        print("    " + ", ".join(show(r) for r in rows[i:i + per_line]) + ",")
    print("};\n")


def main():
    print("// SPDX-License-Identifier: Apache-2.0")
    print("#pragma once\n")
    print(f"// Unicode {unicodedata.unidata_version}. Written by tests/golden/unicode_tables.py; do not edit.\n")
    print("#include <cstdint>\n")
    print("namespace ql::rl::detail {\n")
    print("// clang-format off")
    print("struct code_run { char32_t first, last; };")
    print("struct lower_run { char32_t first, last; std::uint32_t stride; std::int32_t delta; };")
    print("struct ascii_base { char32_t code; char text[3]; };\n")
    hexed = lambda c: f"0x{c:x}"
    table("space_runs", runs(lambda c: chr(c).isspace()), lambda r: f"{{{hexed(r[0])}, {hexed(r[1])}}}", "code_run", 5)
    table("word_runs", runs(lambda c: chr(c).isalnum() or c == 0x5F),
          lambda r: f"{{{hexed(r[0])}, {hexed(r[1])}}}", "code_run", 5)
    table("lower_runs", lower_runs(), lambda r: f"{{{hexed(r[0])}, {hexed(r[1])}, {r[2]}, {r[3]}}}", "lower_run", 3)
    table("ascii_bases", ascii_base(), lambda r: f"{{{hexed(r[0])}, \"{r[1]}\"}}", "ascii_base", 7)
    print("// clang-format on")
    print("}  // namespace ql::rl::detail")
    return 0


if __name__ == "__main__":
    sys.exit(main())
