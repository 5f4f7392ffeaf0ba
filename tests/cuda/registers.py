# SPDX-License-Identifier: Apache-2.0
"""What nvcc reported of each kernel file against the committed budget. Usage: registers.py FOLDER [--write] | --self-test

FOLDER holds NAME.txt of each NAME.cu: ptxas's lines. registers.txt beside this file says, for a file and an architecture,
the most registers any of its kernels may use. Spills and local memory are errors whatever the budget says."""

import pathlib
import re
import sys
import tempfile

BUDGET = pathlib.Path(__file__).with_name("registers.txt")
ENTRY = re.compile(r"Compiling entry function '[^']*' for 'sm_(\w+)'")
USED = re.compile(r"Used (\d+) registers")
SPILL = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


def reported(folder):
    """{(file, architecture): most registers}, problems"""
    most, problems = {}, []
    for path in sorted(pathlib.Path(folder).glob("*.txt")):
        architecture = None
        for line in path.read_text().splitlines():
            if match := ENTRY.search(line):
                architecture = match[1]
            elif (match := SPILL.search(line)) and any(int(n) for n in match.groups()):
                problems.append(f"{path.stem}: {line.strip()}")
            elif (match := USED.search(line)) and architecture:
                key = (path.stem, architecture)
                most[key] = max(most.get(key, 0), int(match[1]))
    return most, problems


def check(folder, budget_text):
    most, problems = reported(folder)
    budget = {}
    for line in budget_text.splitlines():
        if line and not line.startswith("#"):
            name, architecture, registers = line.split()
            budget[name, architecture] = int(registers)
    if not most:
        problems.append(f"{folder}: no report of ptxas")
    for key, registers in most.items():
        if key not in budget:
            problems.append(f"{key[0]} for sm_{key[1]}: {registers} registers, but no line in {BUDGET.name}")
        elif registers > budget[key]:
            problems.append(f"{key[0]} for sm_{key[1]}: {registers} registers, at most {budget[key]} are allowed")
    return problems, most


def self_test():
    good = ("ptxas info : Compiling entry function '_Zk' for 'sm_90a'\n    0 bytes stack frame, 0 bytes spill stores, "
            "0 bytes spill loads\nptxas info : Used 40 registers\n")
    for text, budget, why in [
        (good, "f 90a 40\n", None),
        (good, "f 90a 39\n", "at most 39"),
        (good, "g 90a 99\n", "no line"),
        (good.replace("0 bytes spill stores", "8 bytes spill stores"), "f 90a 40\n", "8 bytes spill"),
        ("", "f 90a 40\n", "no report"),
    ]:
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "f.txt").write_text(text)
            problems, _ = check(folder, budget)
        if (why is None) != (not problems) or (why and why not in problems[0]):
            sys.exit(f"self-test: expected {why}, got {problems}")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    elif "--write" in sys.argv:
        most, _ = reported(sys.argv[1])
        written = {architecture for _, architecture in most}
        kept = [line for line in BUDGET.read_text().splitlines()[1:] if line.split()[1] not in written]
        lines = sorted(kept + [f"{name} {architecture} {n}" for (name, architecture), n in most.items()])
        BUDGET.write_text("# file, architecture, most registers of its kernels (tests/cuda/registers.py --write)\n"
                          + "\n".join(lines) + "\n")
    else:
        found, kernels = check(sys.argv[1], BUDGET.read_text())
        print("\n".join(found) if found else f"{len(kernels)} files and architectures, no spills")
        sys.exit(1 if found else 0)
