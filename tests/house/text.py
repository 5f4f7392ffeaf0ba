# SPDX-License-Identifier: Apache-2.0
"""Every source file begins with its licence; no file names a folder of somebody's machine. Usage: text.py [--self-test]"""

import pathlib
import re
import sys

import house

SPDX = "SPDX-License-Identifier: Apache-2.0"
COMMENT = {
    "//": {".hpp", ".cpp", ".cuh", ".cu", ".h"},
    "#": {".cmake", ".sh", ".py", ".in"},
}
HASH_NAMES = {"CMakeLists.txt", ".ci/run", ".gitignore", ".clang-format", ".clang-tidy", ".clangd"}
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(work|home|root|Users)/\w")


def check(root, files):
    problems = []
    for path in files:
        name = path.relative_to(root).as_posix()
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue  # not text
        if path.name in HASH_NAMES or name in HASH_NAMES:
            comment = "#"
        else:
            comment = next((c for c, suffixes in COMMENT.items() if path.suffix in suffixes), None)
        first = next((line for line in lines if not line.startswith("#!")), "")
        if comment and first != f"{comment} {SPDX}":
            problems.append(f"{name}:1: the first line must be '{comment} {SPDX}'")
        problems += [
            f"{name}:{number}: an absolute path of a machine: {line.strip()[:100]}"
            for number, line in enumerate(lines, 1) if MACHINE_PATH.search(line)
        ]
    return problems, files


def self_test():
    home = "/" + "home" + "/somebody/ql"
    good = {"a.hpp": f"// {SPDX}\n#pragma once\n", "b.sh": f"#!/bin/sh\n# {SPDX}\n", "c.md": "$HOME/x ../work/x a/home/b\n"}
    for files, count in [
        (good, 0),
        ({"a.hpp": "#pragma once\n"}, 1),
        ({"a.hpp": ""}, 1),
        ({"b.py": "#!/usr/bin/env python3\nimport os\n"}, 1),
        ({"CMakeLists.txt": f"\n# {SPDX}\n"}, 1),
        ({"c.md": f"see {home}\n"}, 1),
        ({"c.json": f"{{\"path\": \"{home}\"}}\n"}, 1),
    ]:
        with house.planted(files) as folder:
            root = pathlib.Path(folder)
            house.expect(len(check(root, sorted(root.rglob("*")))[0]) == count, f"{count} problem(s) in {files}")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    else:
        house.finish(*check(house.ROOT, house.repository_files()))
