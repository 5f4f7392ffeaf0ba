# SPDX-License-Identifier: Apache-2.0
"""One hash of a tiny forward, backward and sample, whatever the compiler and its options. Usage: bits.py TOOLCHAIN.json

bits.cpp and src/cpu/ are built with g++ -O0 (and, with QL_TEST_FULL set, g++ -O3 -march=native, clang++-16 -O2 and
clang++-19 -O2, where they are installed) and run with the portable kernels and with the best. bits.cpp is built against
the library of the build folder too. Every run must print bits.txt. --write writes it; --self-test plants a fault."""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import house

FOLDER = pathlib.Path(__file__).resolve().parent
EXPECTED = FOLDER / "bits.txt"
BUILDS = [("g++", ["-O0"])]
FULL = [("g++", ["-O3", "-march=native"]), ("clang++-16", ["-O2"]), ("clang++-19", ["-O2"])]


def isa_flags():
    """The instruction sets of kernels.cmake: {end of a file's name: its flags}"""
    text = (house.ROOT / "cmake" / "kernels.cmake").read_text()
    flags = {}
    for isa, value in re.findall(r"set\(_ql_flags_(\w+) ([^)]*)\)", text):
        for other, known in flags.items():
            value = value.replace(f"${{_ql_flags_{other}}}", " ".join(known))
        flags[isa] = value.split()
    return flags


def compile_commands(compiler, options, folder, source):
    """[command], with the objects' names"""
    flags = isa_flags() if platform.machine() in ("x86_64", "AMD64") else {}
    common = [compiler, "-std=c++20", *options, f"-I{house.ROOT}/include"]
    sources = sorted((house.ROOT / "src" / "cpu").rglob("*.cpp"))
    kind = lambda p: p.stem.rsplit("_", 1)[-1]
    isas = ("avx2", "avx512", "amx")
    have = [isa for isa in isas if isa in flags and any(kind(p) == isa for p in sources)]
    commands, objects = [], []
    for path in sources:
        if kind(path) in isas and kind(path) not in have:
            continue
        objects.append(f"{folder}/{path.stem}.o")
        commands.append([*common, "-w", "-ffp-contract=off", *flags.get(kind(path), []),
                         *(f"-DQL_HAVE_{isa.upper()}=1" for isa in have), "-c", str(path), "-o", objects[-1]])
    objects.append(f"{folder}/bits.o")
    commands.append([*common, "-c", str(source), "-o", objects[-1]])
    return commands, objects


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()


def hashes(program):
    """{kernels: what the program prints}"""
    return {kernels: run([program, kernels])[1] for kernels in ("portable", "best")}


def own_build(compiler, options, folder, source=FOLDER / "bits.cpp"):
    commands, objects = compile_commands(compiler, options, folder, source)
    for status, output in house.in_parallel(run, commands):
        if status != 0:
            return {"build": output}
    status, output = run([compiler, *objects, "-lpthread", "-o", f"{folder}/bits"])
    return hashes(f"{folder}/bits") if status == 0 else {"build": output}


def library_build(tools, folder):
    libraries = [library for library in tools.libraries if "cpu_kernels" in library]
    worked, output = tools.run("-O2", FOLDER / "bits.cpp", *libraries, "-lpthread", "-o", f"{folder}/bits")
    return hashes(f"{folder}/bits") if worked else {"build": output}


def all_results(tools):
    """{description: what was printed}"""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for kernels, text in library_build(tools, folder).items():
            results[f"the library of the build folder, {kernels}"] = text
        for compiler, options in BUILDS + (FULL if os.environ.get("QL_TEST_FULL") else []):
            if shutil.which(compiler):
                for kernels, text in own_build(compiler, options, folder).items():
                    results[f"{compiler} {' '.join(options)}, {kernels}"] = text
    return results


def check(results, expected):
    wrong = {what: text for what, text in results.items() if text != expected}
    return [f"{what} gives other bits:\n{text}\nexpected:\n{expected}" for what, text in wrong.items()]


def self_test():
    house.expect(check({"a": "float 1"}, "float 1") == [], "equal bits are accepted")
    house.expect(len(check({"a": "float 1", "b": "float 2"}, "float 1")) == 1, "other bits are found")
    flags = isa_flags()
    house.expect(flags["avx2"] and set(flags["avx2"]) < set(flags["avx512"]) < set(flags["amx"]), "flags are read")
    house.expect(EXPECTED.exists() and len(EXPECTED.read_text().split()) == 4, "bits.txt has two hashes")


if __name__ == "__main__":
    toolchain = house.Toolchain(sys.argv[1])
    if "--self-test" in sys.argv:
        self_test()
    else:
        found = all_results(toolchain)
        if "--write" in sys.argv:
            EXPECTED.write_text(next(iter(found.values())) + "\n")
        house.finish(check(found, EXPECTED.read_text().strip()), list(found))
