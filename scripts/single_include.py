#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes one header of ql/ql.hpp and all that it includes: host, CPU, portable kernels, the standard library alone.

Usage: single_include.py OUTPUT_FOLDER; writes OUTPUT_FOLDER/ql/ql.hpp. In one translation unit of the program:

  #define QL_IMPLEMENTATION
  #include <ql/ql.hpp>
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"].*$', re.MULTILINE)
KERNELS = ["src/cpu/kernels_portable.cpp", "src/cpu/select.cpp"]  # src/cpu/select.cpp offers what it is compiled with


def body(path, seen, foreign):
    """The text of a file with ql's own includes in their place; other includes are collected."""

    def inlined(match):
        name = match[1]
        candidates = [ROOT / "include" / name, path.parent / name]
        own = next((c for c in candidates if c.exists()), None)
        if own is None:
            foreign.add(name)
            return ""
        if own in seen:
            return ""
        seen.add(own)
        return body(own, seen, foreign)

    text = path.read_text().replace("// SPDX-License-Identifier: Apache-2.0\n", "").replace("#pragma once\n", "")
    # What stands behind #if keeps its include: it may be of another system or compiler.
    out, depth = [], 0
    for line in text.splitlines(keepends=True):
        if re.match(r"\s*#\s*if", line):
            depth += 1
        if re.match(r"\s*#\s*endif", line):
            depth -= 1
        match = INCLUDE.match(line)
        guarded = depth > 0 and match and not (ROOT / "include" / match[1]).exists()
        out.append(inlined(match) + "\n" if match and not guarded else line)
    return re.sub(r"\n{3,}", "\n\n", "".join(out))


def single():
    """(text, the headers it stands for)"""
    seen, foreign = set(), set()
    umbrella = ROOT / "include" / "ql" / "ql.hpp"
    seen.add(umbrella)
    header = body(umbrella, seen, foreign)
    names = sorted(p.relative_to(ROOT / "include").as_posix() for p in seen)
    kernels = "".join(body(ROOT / name, seen, foreign) for name in KERNELS)
    strange = sorted(name for name in foreign if "." in name)
    if strange:
        sys.exit(f"not the standard library: {', '.join(strange)}")
    includes = "".join(f"#include <{name}>\n" for name in sorted(foreign))
    version = re.findall(r"#define QL_VERSION_\w+ (\d+)", (ROOT / "include/ql/version.hpp").read_text())
    text = (f"// SPDX-License-Identifier: Apache-2.0\n// ql {'.'.join(version)} in one header, made by scripts/single_include.py: "
            "edit its sources instead.\n// One translation unit defines QL_IMPLEMENTATION before it includes this.\n#pragma once\n\n"
            f"{includes}\n{header}\n#ifdef QL_IMPLEMENTATION\n{kernels}\n#endif  // QL_IMPLEMENTATION\n")
    return text, names


def write(folder):
    text, names = single()
    path = pathlib.Path(folder) / "ql" / "ql.hpp"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return names


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    write(sys.argv[1])
