# SPDX-License-Identifier: Apache-2.0
"""Sources are formatted by .clang-format. Usage: format.py CLANG_FORMAT [--self-test]"""

import re
import subprocess
import sys

import house


def check(program, files):
    style = f"--style=file:{house.ROOT / '.clang-format'}"
    done = subprocess.run([program, style, "--dry-run", "--Werror", *files], capture_output=True, text=True)
    bad = sorted(set(re.findall(r"^(.+?):\d+:\d+: error: code should be clang-formatted", done.stderr, re.MULTILINE)))
    problems = [f"not formatted; mend it with: {program} -i {path}" for path in bad]
    return problems if bad or done.returncode == 0 else [done.stderr], files


def self_test(program):
    with house.planted({"good.cpp": "int f(const int& x) { return x; }\n", "bad.cpp": "int f(int const &x){return x;}\n"}) as folder:
        house.expect(check(program, [f"{folder}/good.cpp"])[0] == [], "a formatted file is accepted")
        house.expect(check(program, [f"{folder}/good.cpp", f"{folder}/bad.cpp"])[0] != [], "an unformatted file is found")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test(sys.argv[1])
    else:
        house.finish(*check(sys.argv[1], [f for f in house.repository_files() if f.suffix in (".hpp", ".cpp", ".cuh", ".cu")]))
