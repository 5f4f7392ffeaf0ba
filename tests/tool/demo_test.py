# SPDX-License-Identifier: Apache-2.0
"""The demonstration, made small: it ends with its files; killed at many moments and started again it ends with the same
weights and rows; the number of threads changes no bit; a folder of other settings is refused.
Usage: demo_test.py PROGRAM DATA"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from support import killed_again_and_again, run_rows, same_run

program = sys.argv[1]
SMALL = [
    "drill.steps=60", "warm_up.steps=20", "warm_up.more_steps=0", "held_out=2", "documents=6", "rl.score_at_most=6",
    "rl.train_groups=16", "rl.kl_every=2", *(f"rl.phases[{i}].{k}" for i in range(3) for k in ("steps=2", "batch=4")),
    "rl.skips=100", "rl.dynamic_sampling=false",
]


def command(folder, *more):
    return [program, "demo", str(folder), "--seed", "3", *(x for s in SMALL for x in ("--set", s)), *more]


def run(folder, *more, expected=0):
    r = subprocess.run(command(folder, *more), capture_output=True, text=True, timeout=250)
    assert r.returncode == expected, (r.returncode, r.stderr[-2000:])
    return r


with tempfile.TemporaryDirectory() as root:
    root = pathlib.Path(root)
    whole = root / "whole"
    began = time.monotonic()
    run(whole, "--threads", "1")
    seconds = time.monotonic() - began
    for name in ("report.html", "summary.json", "metrics.csv", "policy/tokenizer.json", "policy/config.json"):
        assert (whole / name).stat().st_size > 0, name
    steps = [r for r in run_rows(whole / "metrics.jsonl") if r["stage"] == "rl"]
    assert len(steps) == 6, len(steps)
    assert all(r["mismatch_compared"] > 0 and r["mismatch_found"] == 0 for r in steps), "log-probs"

    two = root / "two"
    run(two, "--threads", "2")
    same_run(whole, two)

    dying = root / "dying"
    times = 4 if "QL_TEST_BRIEF" in os.environ else 24
    deaths = killed_again_and_again(command(dying, "--threads", "1"), times, max(1.0, seconds / 2), random.Random(5))
    run(dying, "--threads", "1")
    assert deaths > 0
    same_run(whole, dying)

    stopped = root / "stopped"
    p = subprocess.Popen(command(stopped, "--threads", "1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.6 * seconds)
    p.send_signal(signal.SIGINT)
    code = p.wait(timeout=60)
    assert code in (0, 75), code
    run(stopped, "--threads", "1")
    same_run(whole, stopped)

    r = run(whole, "--set", "rl.learning_rate=0.5", expected=2)
    assert "learning_rate" in r.stderr and "0.5" in r.stderr, r.stderr
    r = run(root / "x", "--set", "rl.lerning_rate=0.5", expected=2)
    assert "learning_rate" in r.stderr, r.stderr
print("ok")
