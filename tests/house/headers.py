# SPDX-License-Identifier: Apache-2.0
"""Every public header compiles alone: as it is, and with -DNDEBUG, twice, amid macros of other libraries.

Usage: headers.py TOOLCHAIN.json [--self-test]"""

import pathlib
import sys

import house
import include_graph

# Names that system headers or other libraries define as macros. The standard library is included before them, as it
# would be in a program that suffers from them. min and max are not here: ql::math::min and max are public names.
POISON = """
#define I @poisoned@
#define small @poisoned@
#define B0 @poisoned@
#define major(x) @poisoned@
#define minor(x) @poisoned@
#define check(x) @poisoned@
"""


def foreign_includes(root, header, known, seen):
    """All includes outside ql that a header reaches, in order."""
    seen.add(header)
    for _, quote, name in include_graph.includes(pathlib.Path(root) / "include" / header):
        target = include_graph.resolve(header, quote, name, known)
        if target is None:
            yield name
        elif target in known and target not in seen:
            yield from foreign_includes(root, target, known, seen)


def check(tools):
    known = set(house.public_headers(tools.root))
    problems, checked = [], []
    few_errors = "-ferror-limit=3" if tools.clang else "-fmax-errors=3"

    def check_one(header):
        foreign = list(dict.fromkeys(foreign_includes(tools.root, header, known, set())))
        if any(name.startswith(tuple(tools.without)) for name in foreign):
            print(f"{header}: left out, it needs a library that is not installed")
            return
        checked.append(header)
        alone = f"#include <{header}>\n"
        prelude = "".join(f"#if __has_include(<{name}>)\n#include <{name}>\n#endif\n" for name in foreign)
        stem = tools.work / "headers" / header
        for kind, text, flags in [
            ("alone", alone, []),
            ("twice, with -DNDEBUG and poisoned macros", prelude + POISON + alone + alone, ["-DNDEBUG"]),
        ]:
            source = house.write(f"{stem}.{kind.split(',')[0]}.cpp", text)
            worked, output = tools.run(
                *tools.warnings, *flags, few_errors, "-O0", "-c", source, "-o", source.with_suffix(".o"), launcher=True)
            if not worked:
                problems.append(f"include/{header} does not compile {kind}:\n{output}")

    house.in_parallel(check_one, sorted(known))
    return problems, checked


def self_test(tools):
    def problems(text):
        with house.planted({"include/ql/error.hpp": text, "include/ql/other.hpp": "#pragma once\n"}) as folder:
            tools.use_planted(folder)
            return check(tools)[0]

    house.expect(problems("#pragma once\n#include <string>\n#include <ql/other.hpp>\ninline std::string s;\n") == [],
                 "a good header is accepted")
    for text, what in [
        ("#pragma once\ninline std::string s;\n", "a missing include"),
        ("struct twice {};\n", "a missing #pragma once"),
        ("#pragma once\ninline int I = 0;\n", "a poisoned name"),
        ("#pragma once\ninline int check(int x) { return x; }\n", "a poisoned function"),
        ("#pragma once\n#ifdef NDEBUG\n#error\n#endif\n", "an error under NDEBUG"),
        ("#pragma once\ninline char narrow(int x) { return x; }\n", "a warning"),
    ]:
        house.expect(len(problems(text)) > 0, f"{what} is found")


if __name__ == "__main__":
    toolchain = house.Toolchain(sys.argv[1])
    if "--self-test" in sys.argv:
        self_test(toolchain)
    else:
        house.finish(*check(toolchain))
