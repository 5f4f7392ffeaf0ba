# SPDX-License-Identifier: Apache-2.0
"""Makes PyPI's CUDA build of torch importable on a machine without CUDA and without its 3 GB of nvidia-* wheels.

libtorch_python.so names cuBLAS, cuDNN, NCCL, ... as load-time dependencies, so the dynamic linker wants them
even when only CPU operations run. For each such library that cannot be found, this script writes a stand-in
next to libtorch (which is on its RPATH): a shared object of the same name that defines the symbols torch wants
from it; each of them aborts with a message. No CPU code path calls one. Needs readelf (binutils) and cc.

Usage: VENV/bin/python cuda_stubs.py        (stubs are made in that interpreter's own site-packages)
"""
import collections
import pathlib
import re
import subprocess
import sys
import sysconfig
import tempfile


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], check=True, capture_output=True, text=True).stdout


def main():
    site = pathlib.Path(sysconfig.get_paths()["purelib"])
    library_folder = site / "torch" / "lib"
    ours = sorted(p for p in library_folder.glob("lib*.so") if not p.name.endswith("_windows"))
    present = {p.name for p in library_folder.iterdir()}
    present |= {p.name for p in (site / "nvidia").rglob("lib*.so*")} if (site / "nvidia").is_dir() else set()
    system = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    system_names = set(re.findall(r"^\s+(\S+) \(", system, re.M))

    needed = set()
    defined = set()
    versioned = collections.defaultdict(lambda: collections.defaultdict(set))  # library -> version -> symbols
    unversioned = set()
    for path in ours:
        needed |= set(re.findall(r"\(NEEDED\).*\[(.+?)\]", readelf("-d", str(path))))
        version_file = {}
        current = None
        for line in readelf("-V", str(path)).splitlines():
            if found := re.search(r"Version: \d+\s+File: (\S+)", line):
                current = found.group(1)
            elif found := re.search(r"Name: (\S+)\s+Flags: .*Version: (\d+)", line):
                version_file[found.group(2)] = (current, found.group(1))
        for line in readelf("--dyn-syms", str(path)).splitlines():
            field = line.split()
            if len(field) < 8 or not field[0].endswith(":"):
                continue
            name = field[7]
            if field[6] != "UND":
                defined.add(name.split("@")[0])
            elif "@" in name:
                symbol, version = name.split("@", 1)
                index = field[8].strip("()") if len(field) > 8 else ""
                library = version_file.get(index, (None, None))[0]
                versioned[library][version.lstrip("@")].add(symbol)
            elif field[4] == "GLOBAL":
                unversioned.add(name)
    # A CUDA library is one that no glibc, compiler or torch library provides.
    missing = sorted(n for n in needed
                     if n not in present and (n not in system_names or re.match(r"lib(cu|nv|nccl)", n)))
    missing = [n for n in missing if n != "libcuda.so.1"]  # the driver: torch itself opens it lazily
    unversioned -= defined
    prefixes = ("cu", "nv", "nccl", "__cu", "__nv")
    loose = sorted(s for s in unversioned if s.startswith(prefixes))
    if not missing:
        print("cuda_stubs: nothing is missing")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for index, library in enumerate(missing):
            versions = versioned.get(library, {})
            symbols = {s for names in versions.values() for s in names}
            extra = loose if index == 0 else []  # unversioned symbols may live in any library: put them in one
            source = ["#include <stdio.h>", "#include <stdlib.h>"]
            for symbol in sorted(symbols | set(extra)):
                source.append(f'void {symbol}(void) {{ fputs("ql peer: {library}: {symbol} called on a machine '
                              f'without CUDA\\n", stderr); abort(); }}')
            (scratch / "stub.c").write_text("\n".join(source) + "\n")
            flags = ["-shared", "-fPIC", "-O1", "-w", "-fno-builtin", f"-Wl,-soname,{library}"]
            if versions:
                script = "".join(f"{v} {{ global: {' '.join(s + ';' for s in sorted(n))} }};\n"
                                 for v, n in sorted(versions.items()))
                (scratch / "stub.map").write_text(script)
                flags.append(f"-Wl,--version-script={scratch / 'stub.map'}")
            subprocess.run(["cc", *flags, str(scratch / "stub.c"), "-o", str(library_folder / library)], check=True)
            print(f"cuda_stubs: {library} ({len(symbols) + len(extra)} symbols)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
