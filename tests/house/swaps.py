# SPDX-License-Identifier: Apache-2.0
"""Each swap of examples/swap_a_component/ has at most 30 lines of code: blank lines and comments do not count.

Usage: swaps.py [--self-test]"""

import pathlib
import sys

import house

MOST = 30
SWAPS = {"own_curriculum.cpp", "own_loss.cpp", "own_reward.cpp"}


def code_lines(text):
    return sum(1 for line in map(str.strip, text.splitlines()) if line and not line.startswith("//"))


def check(root):
    folder = pathlib.Path(root) / "examples" / "swap_a_component"
    counts = {path.name: code_lines(path.read_text()) for path in sorted(folder.glob("own_*.cpp"))}
    for name, lines in counts.items():
        print(f"{name}: {lines} lines")
    problems = [f"{name} is not there" for name in sorted(SWAPS - set(counts))]
    problems += [f"{name}: {lines} lines of code, at most {MOST} are allowed" for name, lines in counts.items() if lines > MOST]
    return problems, counts


def self_test():
    def problems(lines, names=SWAPS):
        files = {f"examples/swap_a_component/{name}": "// said\n\n" + "int x;\n" * lines for name in names}
        with house.planted(files) as folder:
            return check(folder)[0]

    house.expect(problems(MOST) == [], "30 lines are accepted")
    house.expect(len(problems(MOST + 1)) == len(SWAPS), "31 lines are found")
    house.expect(len(problems(1, SWAPS - {"own_loss.cpp"})) == 1, "a missing swap is found")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    else:
        house.finish(*check(house.ROOT))
