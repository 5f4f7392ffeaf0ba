# SPDX-License-Identifier: Apache-2.0
"""The clip loss through apply_loss takes as many instructions as a loop written for it by hand, within 2 %, at -O2.

Usage: loss_instructions.py TOOLCHAIN.json VALGRIND"""

import re
import subprocess
import sys

import house

LIMIT = 1.02


def count(tools, valgrind, program, which, times):
    """Instructions of a run, and what it printed."""
    done = subprocess.run([valgrind, "--tool=callgrind", f"--callgrind-out-file={tools.work}/callgrind.out", program, which,
                           str(times)], capture_output=True, text=True)
    output = done.stdout + done.stderr
    found = re.search(r"Collected : (\d+)", output)
    if done.returncode != 0 or not found:
        raise SystemExit(f"valgrind failed:\n{output}")
    return int(found[1]), [line for line in output.splitlines() if not line.startswith("==")]


def compare(tools, valgrind, options):
    source = house.ROOT / "tests/house/loss_instructions.cpp"
    program = tools.work / "loss_instructions"
    worked, output = tools.run(*options, "-DNDEBUG", source, "-o", program)
    if not worked:
        return [output], 0
    counts, printed = {}, {}
    for which in ("generic", "hand"):
        twice, printed[which] = count(tools, valgrind, program, which, 3)
        once, _ = count(tools, valgrind, program, which, 1)
        counts[which] = (twice - once) // 2
    ratio = counts["generic"] / counts["hand"]
    print(f"{' '.join(options)}: generic {counts['generic']} instructions, by hand {counts['hand']}, ratio {ratio:.4f}, "
          f"{counts['generic'] / 65536:.2f} a token")
    problems = []
    if printed["generic"] != printed["hand"]:
        problems.append(f"{options}: the two loops compute different things: {printed}")
    return problems, ratio


def check(tools, valgrind):
    problems, ratio = compare(tools, valgrind, ["-O2"])
    if not problems and ratio > LIMIT:
        problems.append(f"the generic door takes {ratio:.3f} times the instructions, at most {LIMIT} are allowed")
    return problems, [ratio]


if __name__ == "__main__":
    toolchain = house.Toolchain(sys.argv[1])
    house.finish(*check(toolchain, sys.argv[2]))
