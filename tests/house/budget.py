# SPDX-License-Identifier: Apache-2.0
"""Compile-time budget in CPU seconds: the least of up to six compiles. Usage: budget.py TOOLCHAIN.json headers | tests

headers   a file with one include, g++ -O0 -c
tests     every tests/**/*.test.cpp with the flags of the build"""

import json
import os
import pathlib
import shlex
import subprocess
import sys

import house
import include_graph

# The limits are seconds of a machine on which this file takes 0.16 s; on a slower or busy one they stretch with it.
REFERENCE = "#include <array>\n#include <concepts>\n#include <span>\n#include <string_view>\n#include <vector>\n"
REFERENCE_SECONDS = 0.16
HEADER = 0.6  # any header below the backends
UMBRELLA = {"ql/core.hpp": 0.45, "ql/ql.hpp": 1.6}
TEST = 4.0


def cpu_seconds(command, folder=None):
    """User and system time of a command with all its children; None when it fails."""
    process = subprocess.Popen(command, cwd=folder)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    return used.ru_utime + used.ru_stime if status == 0 else None


def least(command, limit, folder=None):
    """Measures again only while the limit is exceeded, so that noise does not count."""
    best = None
    for _ in range(6):
        seconds = cpu_seconds(command, folder)
        if seconds is None:
            return None
        best = seconds if best is None else min(best, seconds)
        if limit is not None and best <= limit:
            break
    return best


def stretch(tools):
    """How much slower than the reference this machine is now: 1 or more."""
    source = house.write(tools.work / "budget" / "reference.cpp", REFERENCE)
    seconds = least(tools.command("-O0", "-c", source, "-o", os.devnull), REFERENCE_SECONDS)
    factor = max(1.0, (seconds or 0) / REFERENCE_SECONDS)
    print(f"reference {seconds:.2f} s of {REFERENCE_SECONDS}: limits times {factor:.2f}")
    return factor


def report(rows):
    """rows: (name, limit or None, seconds or None)"""
    problems = []
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, limit, seconds in rows:
        shown = "failed" if seconds is None else f"{seconds:6.2f}"
        print(f"{name:{width}}  {shown}  of {limit if limit is not None else '-'}")
        if seconds is None:
            problems.append(f"{name}: does not compile")
        elif limit is not None and seconds > limit:
            problems.append(f"{name}: {seconds:.2f} CPU s, at most {limit} are allowed")
    return problems, rows


def headers(tools):
    rows = []
    factor = stretch(tools)
    for header in house.public_headers():
        group = include_graph.group_of(header)
        limit = UMBRELLA.get(header, HEADER if group in include_graph.BELOW_L3 else None)
        if limit is None:
            continue
        limit = round(limit * factor, 2)
        source = house.write(tools.work / "budget" / f"{header.replace('/', '_')}.cpp", f"#include <{header}>\n")
        rows.append((header, limit, least(tools.command("-O0", "-c", source, "-o", os.devnull), limit)))
    return report(rows)


def tests(tools):
    rows = []
    limit = round(TEST * stretch(tools), 2)
    for entry in json.loads((tools.work.parent / "compile_commands.json").read_text()):
        name = pathlib.Path(entry["file"])
        if not name.name.endswith(".test.cpp"):
            continue
        command = shlex.split(entry["command"])
        if command[:1] == tools.launcher:
            command = command[1:]
        command[command.index("-o") + 1] = os.devnull
        rows.append((name.relative_to(house.ROOT).as_posix(), limit, least(command, limit, entry["directory"])))
    return report(sorted(rows))


def self_test(tools):
    with house.planted({"slow.cpp": "#include <regex>\n#include <random>\n#include <iostream>\n", "quick.cpp": "int x;\n"}) as folder:
        compile = lambda name, limit: least(tools.command("-O0", "-c", f"{folder}/{name}", "-o", os.devnull), limit)
        slow, quick = compile("slow.cpp", 0.1), compile("quick.cpp", 0.1)
        house.expect(report([("slow", 0.1, slow)])[0] != [], f"an exceeded budget is found ({slow} s)")
        house.expect(report([("quick", 0.1, quick)])[0] == [], f"a kept budget is accepted ({quick} s)")
        house.expect(report([("broken", 0.1, None)])[0] != [], "a file that does not compile is found")


if __name__ == "__main__":
    toolchain = house.Toolchain(sys.argv[1])
    if "--self-test" in sys.argv:
        self_test(toolchain)
    else:
        house.finish(*{"headers": headers, "tests": tests}[sys.argv[2]](toolchain))
