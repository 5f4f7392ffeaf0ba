# SPDX-License-Identifier: Apache-2.0
"""What the house tests share: the files of the repository, the compiler, and how a check ends."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]


def public_headers(root=ROOT, suffix=".hpp"):
    """Paths below include/, such as ql/rl/loss.hpp."""
    include = pathlib.Path(root) / "include"
    return sorted(p.relative_to(include).as_posix() for p in include.glob(f"ql/**/*{suffix}"))


def repository_files(root=ROOT):
    """Everything that is, or may come, under version control."""
    root = pathlib.Path(root)
    listing = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True)
    if listing.returncode == 0 and listing.stdout:
        names = listing.stdout.decode().split("\0")
        return sorted(root / n for n in names if n and (root / n).is_file())
    skip = lambda p: any(part == ".git" or part.startswith("build") for part in p.relative_to(root).parts)
    return sorted(p for p in root.rglob("*") if p.is_file() and not skip(p))


class Toolchain:
    """The compiler, include folders and libraries of one build folder, written there by CMake."""

    def __init__(self, path):
        config = json.loads(pathlib.Path(path).read_text())
        self.root = ROOT
        self.work = pathlib.Path(path).resolve().parent
        self.compiler = config["compiler"]
        self.clang = "clang" in pathlib.Path(self.compiler).name
        self.launcher = config["launcher"]
        self.warnings = config["warnings"]
        self.libraries = config["libraries"]
        self.without = config["without"]
        self.others = [folder for folder in dict.fromkeys(config["include"]) if pathlib.Path(folder) != ROOT / "include"]

    def use_planted(self, folder):
        """Makes a planted folder the repository that is checked."""
        self.root = self.work = pathlib.Path(folder)

    def flags(self):
        return ["-std=c++20", f"-I{self.root}/include", *(f"-idirafter{folder}" for folder in self.others)]

    def command(self, *arguments, launcher=False):
        return [*(self.launcher if launcher else []), self.compiler, *self.flags(), *map(str, arguments)]

    def run(self, *arguments, launcher=False):
        """(worked, what the compiler said)"""
        done = subprocess.run(self.command(*arguments, launcher=launcher), capture_output=True, text=True)
        return done.returncode == 0, done.stdout + done.stderr


def in_parallel(function, items):
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(function, items))


def write(path, text):
    """Writes only what changed, so that a compiler cache keeps its entries."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path


def planted(files):
    """A temporary folder holding {path: text}, for self-tests; use it in a with statement."""
    folder = tempfile.TemporaryDirectory()
    for path, text in files.items():
        write(pathlib.Path(folder.name) / path, text)
    return folder


def expect(condition, what):
    if not condition:
        sys.exit(f"self-test failed: {what}")


def finish(problems, checked):
    """Ends the program: problems are printed; nothing checked is a problem too."""
    for problem in problems:
        print(problem)
    if not problems and not checked:
        problems = ["nothing was checked"]
        print(problems[0])
    print(f"{len(checked)} checked, {len(problems)} problem(s)")
    sys.exit(1 if problems else 0)
