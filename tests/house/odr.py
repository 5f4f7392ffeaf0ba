# SPDX-License-Identifier: Apache-2.0
"""Two translation units that both include every public header, umbrellas first, link into one program.

Usage: odr.py TOOLCHAIN.json [--self-test]"""

import sys

import house
import headers


def check(tools):
    known = set(house.public_headers(tools.root))
    usable = [
        header for header in sorted(known, key=lambda h: (h not in ("ql/core.hpp", "ql/ql.hpp"), h))
        if not any(name.startswith(tuple(tools.without)) for name in headers.foreign_includes(tools.root, header, known, set()))
    ]
    text = "".join(f"#include <{header}>\n" for header in usable)
    work = tools.work / "odr"
    first = house.write(work / "first.cpp", text + "int second();\nint main() { return second(); }\n")
    second = house.write(work / "second.cpp", text + "int second();\nint second() { return 0; }\n")
    worked, output = tools.run(
        "-O0", first, second, *tools.libraries, "-pthread", "-o", work / "program")
    return ([] if worked else [output]), usable


def self_test(tools):
    def problems(text):
        with house.planted({"include/ql/error.hpp": "#pragma once\n" + text}) as folder:
            tools.use_planted(folder)
            return check(tools)[0]

    house.expect(problems("inline int f() { return 1; }\n") == [], "an inline function is accepted")
    found = problems("int f() { return 1; }\n")
    house.expect(found and "multiple definition" in found[0], "a function defined twice is found")
    found = problems("int g();\ninline int f() { return g(); }\ninline int keep = f();\n")
    house.expect(found and "undefined reference" in found[0], "a function defined nowhere is found")


if __name__ == "__main__":
    toolchain = house.Toolchain(sys.argv[1])
    if "--self-test" in sys.argv:
        self_test(toolchain)
    else:
        house.finish(*check(toolchain))
