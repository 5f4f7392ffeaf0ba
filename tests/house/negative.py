# SPDX-License-Identifier: Apache-2.0
"""A program that must not compile, and what the compiler must say. Usage: negative.py TOOLCHAIN.json FILE | --self-test

FILE keeps its wrong lines between #ifdef QL_NEGATIVE and #endif. Without the macro it must compile; with it, it must
fail. Comments at its top say more, one to a line:
  // expect: REGEX        the compiler's output matches (required; several: all of them)
  // expect-gcc: REGEX    the same for one family of compilers; also expect-clang
  // first: REGEX         the first line that says "error" matches; this alone is enough too
  // max-lines: N         the output has at most N lines, source excerpts not counted
"""

import pathlib
import re
import sys

import house

RULE = re.compile(r"^// (expect|expect-gcc|expect-clang|first|max-lines): (.+)$")


def check(tools, path):
    family = "clang" if tools.clang else "gcc"
    expected, first, limit = [], [], None
    for line in pathlib.Path(path).read_text().splitlines():
        if not line.startswith("//"):
            break
        rule = RULE.match(line)
        if rule and rule[1] == "max-lines":
            limit = int(rule[2])
        elif rule and rule[1] == "first":
            first.append(rule[2])
        elif rule and rule[1] in ("expect", f"expect-{family}"):
            expected.append(rule[2])
    if not expected and not first:
        return [f"{path}: no line '// expect: REGEX' at its top"]

    no_excerpts = "-fno-caret-diagnostics" if tools.clang else "-fno-diagnostics-show-caret"
    flags = ["-fsyntax-only", "-fno-diagnostics-color" if tools.clang else "-fdiagnostics-color=never", no_excerpts]
    worked, output = tools.run(*flags, *tools.warnings, path)
    if not worked:
        return [f"{path}: does not compile without QL_NEGATIVE:\n{output}"]
    worked, output = tools.run(*flags, "-DQL_NEGATIVE", path)
    if worked:
        return [f"{path}: compiles with QL_NEGATIVE, but must not"]
    problems = [f"{path}: the output does not match '{e}'" for e in expected if not re.search(e, output)]
    said = next((line for line in output.splitlines() if "error:" in line), "")
    problems += [f"{path}: the first error does not match '{e}', but is: {said}" for e in first if not re.search(e, said)]
    lines = len(output.splitlines())
    if limit is not None and lines > limit:
        problems.append(f"{path}: the output has {lines} lines, at most {limit} are allowed")
    if problems:
        problems.append(output)
    return problems


def self_test(tools):
    def problems(text):
        with house.planted({"case.cpp": text}) as folder:
            return check(tools, f"{folder}/case.cpp")

    wrong = "#ifdef QL_NEGATIVE\nstatic_assert(sizeof(int) == 0, \"the control sentence\");\n#endif\n"
    house.expect(problems("// expect: the control sentence\n" + wrong) == [], "a good case is accepted")
    for text, why in [
        ("// expect: another sentence\n" + wrong, "does not match"),
        ("// expect: .\nint x = 0;\n", "but must not"),
        ("// expect: .\nint x = y;\n" + wrong, "does not compile without"),
        (wrong, "no line"),
        ("// first: another sentence\n// expect: the control sentence\n" + wrong, "the first error does not match"),
        ("// first: later\n#ifdef QL_NEGATIVE\nint x = y;\nstatic_assert(sizeof(int) == 0, \"later\");\n#endif\n", "the first error"),
        ("// expect: sentence\n// max-lines: 3\n" + wrong * 5, "at most 3"),
    ]:
        house.expect(any(why in p for p in problems(text)), f"a case where it '{why}' is found")


if __name__ == "__main__":
    toolchain = house.Toolchain(sys.argv[1])
    if "--self-test" in sys.argv:
        self_test(toolchain)
    else:
        house.finish(check(toolchain, sys.argv[2]), sys.argv[2:3])
