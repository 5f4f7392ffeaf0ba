# SPDX-License-Identifier: Apache-2.0
"""Compile-time budget in CPU seconds: the least of up to six compiles.

Usage: budget.py TOOLCHAIN.json headers | tests | recorded | record | record-tests

headers    a file with one include, g++ -O0 -c
tests      every tests/**/*.test.cpp with the flags of the build: 4 s, or a quarter more than test_compile_times.json has;
           what compile_cost.sh saw in the build counts, what it did not see is compiled again
recorded   the umbrellas and the whole recipe program against compile_times.json: 10 % more fails
record     writes compile_times.json
record-tests   writes test_compile_times.json: the tests that take more than 4 s, most for a whole trainer of their own"""

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


def cost(command, folder=None):
    """CPU seconds and peak kilobytes of a command with all its children; None when it fails."""
    process = subprocess.Popen(command, cwd=folder)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    return (used.ru_utime + used.ru_stime, used.ru_maxrss) if status == 0 else None


def cpu_seconds(command, folder=None):
    used = cost(command, folder)
    return used[0] if used else None


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


def stretch(tools, tries=6, everywhere=False):
    """How much slower than the reference this machine is now, or while every core compiles: 1 or more."""
    source = house.write(tools.work / "budget" / "reference.cpp", REFERENCE)
    command = tools.command("-O0", "-c", source, "-o", os.devnull)
    if everywhere:
        times = house.in_parallel(lambda _: cpu_seconds(command) or 0, range(4 * tries))
        seconds = sum(times) / len(times)
    else:
        seconds = min(cpu_seconds(command) or 0 for _ in range(tries))
    factor = max(1.0, seconds / REFERENCE_SECONDS)
    print(f"reference{' on all cores' if everywhere else ''} {seconds:.2f} s of {REFERENCE_SECONDS}: limits times {factor:.2f}")
    return factor


def beside(limit, compile, stretched):
    """(limit, seconds) of a compile; one that is too slow is measured again, each time beside the reference, since what
    else the machine does changes within a minute."""
    for _ in range(6):
        seconds = compile()
        if seconds is None or seconds <= limit:
            return limit, seconds
        now = round(limit * stretched(), 2)
        if seconds <= now:
            return now, seconds
    return now, seconds


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
    for header in house.public_headers():
        group = include_graph.group_of(header)
        limit = UMBRELLA.get(header, HEADER if group in include_graph.BELOW_L3 else None)
        if limit is None:
            continue
        source = house.write(tools.work / "budget" / f"{header.replace('/', '_')}.cpp", f"#include <{header}>\n")
        command = tools.command("-O0", "-c", source, "-o", os.devnull)
        rows.append((header, *beside(limit, lambda: cpu_seconds(command), lambda: stretch(tools, 2))))
    return report(rows)


DEAR = pathlib.Path(__file__).with_name("test_compile_times.json")


def known_seconds(built):
    """CPU seconds that compile_cost.sh saw when an object was built; None where it was not compiled then."""
    seconds = built.with_name(built.name + ".seconds")
    if not seconds.exists() or not built.exists() or seconds.stat().st_mtime < built.stat().st_mtime:
        return None
    return sum(float(word) for word in seconds.read_text().split())


def test_commands(tools):
    """{test: (command, folder, CPU seconds of its build or None)}"""
    commands = {}
    for entry in json.loads((tools.work.parent / "compile_commands.json").read_text()):
        if not entry["file"].endswith(".test.cpp"):
            continue
        command = shlex.split(entry["command"])
        if command[:1] == tools.launcher:
            command = command[1:]
        output = command.index("-o") + 1
        built = known_seconds(pathlib.Path(entry["directory"]) / command[output])
        command[output] = os.devnull
        commands[pathlib.Path(entry["file"]).relative_to(house.ROOT / "tests").as_posix()] = command, entry["directory"], built
    return dict(sorted(commands.items()))


def limits_of(names, dear):
    """({test: CPU seconds}, problems)"""
    limits = {name: 1.25 * dear[name] if name in dear else TEST for name in names}
    return limits, [f"{DEAR.name}: there is no {name}" for name in dear if name not in limits]


def tests(tools):
    beside, factor = stretch(tools, everywhere=True), stretch(tools)
    commands = test_commands(tools)
    limits, problems = limits_of(commands, json.loads(DEAR.read_text()))
    limits = {name: round(limit * factor, 2) for name, limit in limits.items()}
    # Compilers side by side slow each other down, here and in the build: what is too slow even for that is measured alone.
    def once(name):
        command, folder, built = commands[name]
        return cpu_seconds(command, folder) if built is None else built

    at_once = house.in_parallel(once, commands)
    rows = []
    for name, seconds in zip(commands, at_once):
        if seconds is not None and seconds <= limits[name] * beside / factor:
            seconds *= factor / beside
        elif seconds is not None:
            seconds = least(commands[name][0], limits[name], commands[name][1])
        rows.append((name, limits[name], seconds))
    found, rows = report(rows)
    return problems + found, rows


def record_tests(tools):
    dear = {}
    for name, (command, folder, _) in test_commands(tools).items():
        factor = stretch(tools)
        seconds = cpu_seconds(command, folder)
        if seconds is None:
            return [f"{name}: does not compile"], []
        if seconds > TEST * factor:
            dear[name] = round(min(seconds, cpu_seconds(command, folder)) / factor, 1)
    DEAR.write_text(json.dumps(dear, indent=2) + "\n")
    return [], list(dear)


# The recorded figures belong to a machine on which this file takes the recorded time; on another they are scaled with it.
YARDSTICK = """#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <string>
std::map<std::string, std::function<int(int)>> table;
bool match(const std::string& s) { return std::regex_match(s, std::regex("a+b")); }
"""
RECORDED = pathlib.Path(__file__).with_name("compile_times.json")
PROGRAM = "examples/qwenlong_l1/rl_stage_float.cpp"  # the reference recipe with everything that fills its slots
MORE = 1.10
PROGRAM_SECONDS, PROGRAM_KILOBYTES = 25.0, 1_500_000


def measured(tools):
    """name -> a function that compiles it once and gives (seconds, kilobytes)"""
    folder = tools.work / "budget"
    yardstick = house.write(folder / "yardstick.cpp", YARDSTICK)
    jobs = {"yardstick": tools.command("-O2", "-c", yardstick, "-o", os.devnull)}
    for header in UMBRELLA:
        source = house.write(folder / f"{header.replace('/', '_')}.cpp", f"#include <{header}>\n")
        jobs[header] = tools.command("-O0", "-c", source, "-o", os.devnull)
    jobs[PROGRAM] = tools.command("-O2", f"-I{house.ROOT}/examples/qwenlong_l1", "-c", house.ROOT / PROGRAM, "-o", os.devnull)
    return {name: (lambda command=command: cost(command)) for name, command in jobs.items()}


def too_dear(name, seconds, recorded, scale):
    limit = recorded[name] * MORE * scale
    print(f"{name}: {seconds:.2f} CPU s, recorded {recorded[name]:.2f}, times {scale:.2f} for this machine: at most {limit:.2f}")
    return seconds > limit


def recorded(tools, jobs=None, known=None):
    jobs, known = jobs or measured(tools), known or json.loads(RECORDED.read_text())
    problems = []
    for name in (name for name in jobs if name != "yardstick"):
        # The yardstick is measured again beside each try, since what else the machine does changes.
        for attempt in range(3 if name == PROGRAM else 6):
            rod, used = min(jobs["yardstick"]() for _ in range(2)), jobs[name]()
            if used is None:
                problems.append(f"{name}: does not compile")
                break
            scale = rod[0] / known["yardstick"]
            if not too_dear(name, used[0], known, scale):
                break
        else:
            problems.append(f"{name}: more than {MORE} times the recorded CPU time; if that is what it must cost, record it anew")
        if name == PROGRAM and used is not None:
            if used[1] > PROGRAM_KILOBYTES:
                problems.append(f"{name}: {used[1]} kB at its peak, at most {PROGRAM_KILOBYTES} are allowed")
            if known[name] > PROGRAM_SECONDS:
                problems.append(f"{name}: {known[name]} CPU s are recorded, at most {PROGRAM_SECONDS} are allowed")
    return problems, list(jobs)


def record(tools):
    jobs = measured(tools)
    figures = {name: round(min(jobs[name]() for _ in range(2 if name == PROGRAM else 6))[0], 3) for name in jobs}
    RECORDED.write_text(json.dumps(figures, indent=2) + "\n")
    print(RECORDED.read_text())
    return [], list(jobs)


def self_test(tools):
    with house.planted({"slow.cpp": "#include <regex>\n#include <random>\n#include <iostream>\n", "quick.cpp": "int x;\n"}) as folder:
        compile = lambda name, limit: least(tools.command("-O0", "-c", f"{folder}/{name}", "-o", os.devnull), limit)
        slow, quick = compile("slow.cpp", 0.1), compile("quick.cpp", 0.1)
        house.expect(report([("slow", 0.1, slow)])[0] != [], f"an exceeded budget is found ({slow} s)")
        house.expect(report([("quick", 0.1, quick)])[0] == [], f"a kept budget is accepted ({quick} s)")
        house.expect(report([("broken", 0.1, None)])[0] != [], "a file that does not compile is found")

    slow_machine = beside(1.0, lambda: 1.5, lambda: 2.0)
    house.expect(report([("slow machine", *slow_machine)])[0] == [], "a slow machine is no problem of the header")
    slow_header = beside(1.0, lambda: 1.5, lambda: 1.2)
    house.expect(report([("slow header", *slow_header)])[0] != [], "a header that is slow beside the reference is found")
    tries = iter([1.5, 0.9])
    house.expect(beside(1.0, lambda: next(tries), lambda: 1.0) == (1.0, 0.9), "a moment's noise does not count")

    def problems(yardstick, seconds, kilobytes=1000, known=10.0):
        jobs = {"yardstick": lambda: (yardstick, 0), PROGRAM: lambda: (seconds, kilobytes)}
        return recorded(tools, jobs, {"yardstick": 1.0, PROGRAM: known})[0]

    with house.planted({"new.o": "", "old.o": "", "new.o.seconds": "3.50 0.25\n", "old.o.seconds": "3.50 0.25\n"}) as folder:
        os.utime(f"{folder}/new.o.seconds", (2000, 2000)), os.utime(f"{folder}/new.o", (1000, 1000))
        os.utime(f"{folder}/old.o.seconds", (1000, 1000)), os.utime(f"{folder}/old.o", (2000, 2000))
        house.expect(known_seconds(pathlib.Path(folder) / "new.o") == 3.75, "what a build cost is read")
        house.expect(known_seconds(pathlib.Path(folder) / "old.o") is None, "an object from the cache has no cost of its own")
        house.expect(known_seconds(pathlib.Path(folder) / "none.o") is None, "an object that is not there has none")

    limits, gone = limits_of(["a", "b"], {"b": 8.0, "c": 9.0})
    house.expect(limits == {"a": TEST, "b": 10.0} and len(gone) == 1, "a dear test has its own limit, one that is gone is told")
    house.expect(problems(1.0, 10.9) == [], "a tenth more is accepted")
    house.expect(len(problems(1.0, 11.1)) == 1, "more than a tenth is found")
    house.expect(problems(2.0, 20.0) == [], "a slower machine is no regression")
    house.expect(len(problems(0.5, 10.0)) == 1, "on a quicker machine the limit shrinks")
    house.expect(len(problems(1.0, 10.0, kilobytes=PROGRAM_KILOBYTES + 1)) == 1, "too much memory is found")
    house.expect(len(problems(1.0, 26.0, known=26.0)) == 1, "a record beyond the goal is found")
    broken = {"yardstick": lambda: (1.0, 0), PROGRAM: lambda: None}
    house.expect(len(recorded(tools, broken, {"yardstick": 1.0, PROGRAM: 1.0})[0]) == 1, "a program that does not compile is found")


if __name__ == "__main__":
    toolchain = house.Toolchain(sys.argv[1])
    if "--self-test" in sys.argv:
        self_test(toolchain)
    else:
        checks = {"headers": headers, "tests": tests, "recorded": recorded, "record": record, "record-tests": record_tests}
        house.finish(*checks[sys.argv[2]](toolchain))
