# SPDX-License-Identifier: Apache-2.0
"""The claims, one seed of four arms made small: killed once, goes on; arms share the warm-up model and spend what the
first one spent; the page says what was found and what was not run. Usage: claims_test.py PROGRAM DATA"""

import fcntl
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from support import run_rows

program = pathlib.Path(sys.argv[1])
claims = program.parent.parent / "examples" / "ql_example_claims"
SMALL = [
    "drill.steps=60", "warm_up.steps=20", "warm_up.more_steps=0", "held_out=2", "documents=6", "rl.score_at_most=6",
    "rl.train_groups=16", "rl.kl_every=0", *(f"rl.phases[{i}].{k}" for i in range(3) for k in ("steps=2", "batch=4")),
    "rl.skips=100", "rl.dynamic_sampling=false",
]
ARMS = ("dapo", "mixed", "sft_continued", "perturbed_1")


def command(folder, *more):
    return [str(claims), str(folder), "--program", str(program), "--seeds", "1", "--arms", ",".join(ARMS[1:]),
            *(x for s in SMALL for x in ("--set", s)), *more]


def run(folder, *more, expected=0):
    r = subprocess.run(command(folder, *more), capture_output=True, text=True, timeout=250)
    assert r.returncode == expected, (r.returncode, r.stderr[-2000:])
    return r


def held(lock):
    with open(lock) as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def steps(folder, stage):
    return [r for r in run_rows(folder / "metrics.jsonl") if r["stage"] == stage]


def spent(rows):
    return sum(r["tokens_generated"] + r["tokens_trained"] for r in rows)


with tempfile.TemporaryDirectory() as root:
    folder = pathlib.Path(root) / "runs"
    first = folder / "dapo/seed_1"
    p = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not list((first / "checkpoints").glob("step_*")) and time.monotonic() < deadline and p.poll() is None:
        time.sleep(0.02)
    p.send_signal(signal.SIGKILL)
    p.wait()
    assert not (first / "summary.json").exists(), "the first run was to be killed before its end"
    while held(first / "lock"):  # its process dies with the command that started it
        assert time.monotonic() < deadline, "a run goes on alone"
        time.sleep(0.02)
    run(folder)
    summary = {a: json.loads((folder / a / "seed_1/summary.json").read_text()) for a in ARMS}
    assert summary["dapo"]["starts"] == 2 and summary["mixed"]["starts"] == 1, summary["dapo"]["starts"]

    # the same policy before, the same tokens spent
    for a in ARMS:
        assert summary[a]["accuracy"][0]["by_length"] == summary["dapo"]["accuracy"][0]["by_length"], a
    rl = {a: steps(folder / a / "seed_1", "rl") for a in ARMS}
    assert not steps(folder / "mixed/seed_1", "sft") and not rl["sft_continued"]
    scoring = sum(p["scoring"]["tokens"] for p in summary["dapo"]["phases"] if "scoring" in p)
    assert scoring > 0
    budget = spent(rl["dapo"]) + scoring
    assert {r["phase"] for r in rl["mixed"]} == {2}
    assert spent(rl["mixed"][:-1]) < budget <= spent(rl["mixed"]), budget
    assert budget <= spent(steps(folder / "sft_continued/seed_1", "sft"))
    assert all(r["mismatch_found"] == 0 for r in rl["dapo"])
    assert all(r["mismatch_found"] > 0.9 * r["mismatch_compared"] > 0 for r in rl["perturbed_1"])

    page = json.loads((folder / "claims.json").read_text())
    assert page["runs"] == 4 and page["runs_asked"] > 100, page
    by_arm = {a["arm"]: a for a in page["arms"]}
    assert [x["length"] for x in by_arm["mixed"]["after"]] == [128, 256, 512, 1024]
    assert by_arm["mixed"]["after"][0]["accuracy"] == summary["mixed"]["accuracy"][-1]["by_length"][0]["accuracy"]
    assert by_arm["grpo"]["seeds"] == 0 and by_arm["grpo"]["after"] == []
    by_claim = {c["claim"]: c for c in page["claims"]}
    assert by_claim["2a"]["verdict"] == "not run yet" and by_claim["C1"]["verdict"].startswith("one seed")
    longest = [summary[a]["accuracy"][-1]["by_length"][-1]["accuracy"] for a in ("dapo", "sft_continued")]
    assert abs(by_claim["C1"]["mean"] - (longest[0] - longest[1])) < 1e-12
    html, text = (folder / "claims.html").read_text(), (folder / "claims.md").read_text()
    assert len(html) < 300_000 and "http" not in html and "<script" not in html
    for a in by_arm:
        assert a in html and f"| {a} |" in text, a
    for says in ("not run yet", "4 of ", "<svg", "one seed: no interval", "0 of 8"):
        assert says in html, says

    # what has ended is not run again; other settings need another folder
    run(folder)
    assert json.loads((folder / "dapo/seed_1/summary.json").read_text()) == summary["dapo"]
    assert "held_out" in run(folder, "--set", "held_out=3", expected=2).stderr
    assert "--arms" in subprocess.run([str(claims), str(folder), "--arms", "dappo"], capture_output=True, text=True).stderr
print("ok")
