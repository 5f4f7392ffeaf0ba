# SPDX-License-Identifier: Apache-2.0
"""The single header alone builds examples and tests of the algorithms, and they say what they say with the other headers.

Usage: single.py TOOLCHAIN.json [--self-test]"""

import pathlib
import shutil
import subprocess
import sys

import house

sys.path.insert(0, str(house.ROOT / "scripts"))
import single_include  # noqa: E402

PROGRAMS = ["examples/algorithms_only/main.cpp", "examples/custom_backend/main.cpp"]
TESTS = ["tests/rl/apply_loss.test.cpp", "tests/rl/optimizer.test.cpp", "tests/rl/shaping.test.cpp"]


def made(folder):
    """The single header, and for every header in it one that leads there: sources compile as they are."""
    names = single_include.write(folder / "single")
    for name in names:
        if name != "ql/ql.hpp":
            house.write(folder / "lead" / name, "#pragma once\n#include <ql/ql.hpp>\n")
    return names


def check(tools):
    folder = tools.work / "single"
    shutil.rmtree(folder, ignore_errors=True)
    names = made(folder)
    alone = [tools.compiler, "-std=c++20", f"-I{folder}/single", f"-I{folder}/lead"]
    checked = []

    def build(command, output):
        done = subprocess.run([*map(str, command), "-o", str(output)], capture_output=True, text=True)
        return done.stdout + done.stderr if done.returncode != 0 else ""

    def said(program):
        done = subprocess.run([program], capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout

    kernels = house.write(folder / "kernels.cpp", "#define QL_IMPLEMENTATION\n#include <ql/ql.hpp>\n")
    wrong = build([*alone, *tools.warnings, "-O2", "-ffp-contract=off", "-c", kernels], folder / "kernels.o")
    if wrong:
        return [f"the single header: {wrong[:3000]}"], []
    problems = []
    for source in PROGRAMS:
        checked.append(source)
        path, name = house.ROOT / source, pathlib.Path(source).parent.name
        wrong = build([*alone, "-O2", path, folder / "kernels.o", "-pthread"], folder / f"{name}_single")
        wrong = wrong or build(tools.command("-O2", path, *tools.libraries, "-pthread"), folder / f"{name}_many")
        if wrong:
            problems.append(f"{source}: {wrong[:3000]}")
        elif said(folder / f"{name}_single") != said(folder / f"{name}_many") or said(folder / f"{name}_single")[0] != 0:
            problems.append(f"{source}: says something else with the single header")
    for source in TESTS:
        checked.append(source)
        program = folder / pathlib.Path(source).name.replace(".", "_")
        support = folder / "support"  # the tests' own helpers, without the library's headers beside them
        if not support.exists():
            support.symlink_to(house.ROOT / "tests")
        wrong = build([*alone, f"-I{support}", "-O1", house.ROOT / source, folder / "kernels.o", "-lgtest_main", "-lgtest", "-pthread"], program)
        if wrong:
            problems.append(f"{source}: {wrong[:3000]}")
        elif subprocess.run([program], capture_output=True, timeout=300).returncode != 0:
            problems.append(f"{source}: fails with the single header")
    if len(names) < 30:
        problems.append(f"the single header stands for {len(names)} headers only")
    return problems, checked


def self_test():
    text, names = single_include.single()
    house.expect("ql/rl/advantage.hpp" in names and "ql/tensor/view.hpp" in names, "the headers of the umbrella are in it")
    house.expect("#include <ql/" not in text and '#include "' not in text, "no include of ql is left")
    house.expect(text.count("class basic_token_tree {") == 1, "each header is in it once")


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    else:
        house.finish(*check(house.Toolchain(sys.argv[1])))
