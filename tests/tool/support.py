# SPDX-License-Identifier: Apache-2.0
"""What the tests of qwenlong-l1 share. A test is a unittest program called with the program and the data folder."""

import contextlib
import gzip
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

PROGRAM = DATA = None


def data_file(relative):
    """A file of the test data; without it the test is skipped, with CI in the environment it fails."""
    path = DATA / relative
    if not path.exists():
        if os.environ.get("CI"):
            raise AssertionError(f"test data is missing: {path}")
        raise unittest.SkipTest(f"test data is missing: {path}")
    return path


def run(*arguments, code=0, stdin=None, timeout=120):
    """Runs the program; returns (stdout, stderr). Fails unless it exits with `code`."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, input=stdin, timeout=timeout)
    if done.returncode != code:
        raise AssertionError(f"qwenlong-l1 {' '.join(map(str, arguments))}\nexited with {done.returncode}, not {code}\n"
                             f"{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="ql-tool-") as name:
        yield pathlib.Path(name)


def write_lines(path, rows):
    """Rows as JSON Lines; strings are written as they are. Gzip where the name says so."""
    text = "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def read_lines(path):
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return [json.loads(line) for line in data.decode().splitlines()]


def main():
    global PROGRAM, DATA
    PROGRAM, DATA = sys.argv[1], pathlib.Path(sys.argv[2])
    unittest.main(module="__main__", argv=sys.argv[:1] + sys.argv[3:], verbosity=1)


def run_rows(path):
    """The rows of a run's file, without what may differ between two runs: times."""
    kept = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        for key in ("time", "seconds", "wall"):
            row.pop(key, None)
        kept.append(row)
    return kept


def same_run(a, b):
    """Two run directories hold the same policy and the same rows."""
    assert (a / "policy/model.safetensors").read_bytes() == (b / "policy/model.safetensors").read_bytes(), "weights"
    for name in ("metrics.jsonl", "events.jsonl", "samples.jsonl"):
        mine, other = run_rows(a / name), run_rows(b / name)
        assert mine == other, (name, b.name, [(x, y) for x, y in zip(mine, other) if x != y][:1], len(mine), len(other))


def killed_again_and_again(command, times, longest, moments):
    """Starts the command up to `times` times and kills it after 0.3 to 0.9 of `longest` seconds; how often it died."""
    deaths = 0
    for _ in range(times):
        p = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            p.wait(timeout=moments.uniform(0.3, 0.9) * longest)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL)
            p.wait()
            deaths += 1
        if p.returncode == 0:
            break
    return deaths
