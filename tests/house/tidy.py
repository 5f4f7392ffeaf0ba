# SPDX-License-Identifier: Apache-2.0
"""clang-tidy has nothing to say about any public header. Usage: tidy.py TOOLCHAIN.json CLANG_TIDY [--self-test]"""

import subprocess
import sys

import house
import headers


def check(tools, program):
    known = set(house.public_headers(tools.root))
    checked = []

    def check_one(header):
        if any(n.startswith(tuple(tools.without)) for n in headers.foreign_includes(tools.root, header, known, set())):
            return []
        checked.append(header)
        source = house.write(tools.work / "tidy" / f"{header.replace('/', '_')}.cpp", f"#include <{header}>\n")
        done = subprocess.run(
            [program, "--quiet", f"--config-file={house.ROOT / '.clang-tidy'}", f"--header-filter=include/{header}$", source,
             "--", *tools.flags()],
            capture_output=True, text=True)
        return [] if done.returncode == 0 else [f"include/{header}:\n{done.stdout or done.stderr}"]

    return sum(house.in_parallel(check_one, sorted(known)), []), checked


def self_test(tools, program):
    def problems(text):
        with house.planted({"include/ql/error.hpp": "#pragma once\n" + text}) as folder:
            tools.use_planted(folder)
            return check(tools, program)[0]

    house.expect(problems("inline int twice(int x) { return 2 * x; }\n") == [], "a tidy header is accepted")
    house.expect(problems("inline int* nothing() { return 0; }\n") != [], "a null pointer written as 0 is found")


if __name__ == "__main__":
    toolchain = house.Toolchain(sys.argv[1])
    if "--self-test" in sys.argv:
        self_test(toolchain, sys.argv[2])
    else:
        house.finish(*check(toolchain, sys.argv[2]))
