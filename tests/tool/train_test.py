# SPDX-License-Identifier: Apache-2.0
"""`train` on a model folder made here (random weights, a byte for a token): warm-up, two phases, retention, validation;
killed at many moments it ends with the same weights and rows, threads change no bit, and what cannot work is refused
with its place. `check` counts what `train` would do. Usage: train_test.py PROGRAM DATA"""

import gzip
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

from documents import make_all, make_rows
from support import killed_again_and_again, run_rows, same_run

program = sys.argv[1]


def command(root, run, *more):
    return [program, "train", str(root / "recipe.toml"), str(run), *more]


def start(root, run, *more, expected=0):
    r = subprocess.run(command(root, run, *more), capture_output=True, text=True, timeout=250)
    assert r.returncode == expected, (r.returncode, r.stderr[-3000:])
    return r


def same(a, b):
    same_run(a, b)
    files = sorted(p.name for p in (a / "validation").iterdir())
    others = sorted(p.name for p in (b / "validation").iterdir())
    assert files == others, (files, others)
    for name in files:
        assert (a / "validation" / name).read_text() == (b / "validation" / name).read_text(), name
    assert (a / "change.json").read_text() == (b / "change.json").read_text()


with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    make_all(root)

    said = subprocess.run([program, "check", str(root / "recipe.toml")], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "short: " in said.stdout and "questions to train on" in said.stdout, said.stdout
    assert "earlier questions are scored" in said.stdout, said.stdout
    assert re.search(r"disk: at most [0-9.]+ GB in the run's folder", said.stdout), said.stdout
    assert "judge: local" in said.stdout, said.stdout
    for name in ("paper_grpo", "paper_dapo", "paper_dapo_global", "released_script", "l15_aepo"):
        r = subprocess.run([program, "check", name], capture_output=True, text=True)
        assert r.returncode == 0 and "not checked" in r.stdout, (r.stdout, r.stderr)

    # the paper's recipe at its true scale: 32B parameters, 60K tokens of prompt, 10K of answer; no weights are needed
    tokenizer = pathlib.Path(sys.argv[2]) / "tokenizers/qwen3/tokenizer.json.gz"
    assert tokenizer.exists() or not os.environ.get("CI"), f"test data is missing: {tokenizer}"
    if tokenizer.exists():
        big = root / "big"
        big.mkdir()
        (big / "tokenizer.json").write_bytes(gzip.decompress(tokenizer.read_bytes()))
        (big / "config.json").write_text(json.dumps({
            "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 152064, "hidden_size": 5120,
            "intermediate_size": 27648, "num_hidden_layers": 64, "num_attention_heads": 40, "num_key_value_heads": 8,
            "hidden_act": "silu", "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
            "tie_word_embeddings": False, "use_sliding_window": False, "torch_dtype": "bfloat16",
            "eos_token_id": 151643}))
        make_rows(big / "rows.jsonl", 6, 6, 60_000)
        make_rows(big / "long.jsonl", 3, 7, 120_000)
        recipe = big / "recipe.toml"
        recipe.write_text('preset = "paper_dapo"\nmodel = "."\n[data]\ntrain = ["rows.jsonl", "long.jsonl"]\n'
                          'warm_up = ["rows.jsonl"]\n[reward]\njudge.url = "http://127.0.0.1:9"\n')
        r = subprocess.run([program, "check", str(recipe)], capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
        assert re.search(r"up to 20K tokens: 6 questions", r.stdout), r.stdout[-2000:]
        assert re.search(r"up to 60K tokens: 3 questions", r.stdout), r.stdout[-2000:]
        assert "not checked: the disk" in r.stdout and "does not answer now" in r.stdout, r.stdout[-2000:]
        r = subprocess.run([program, "check", str(recipe), "--set", "rl.phases[1].max_response_tokens=80000"],
                           capture_output=True, text=True)
        assert r.returncode == 2 and "131072" in r.stderr, r.stderr

    # docs/paper_dapo.md says what the preset is, line by line
    said = subprocess.run([program, "check", "paper_dapo"], capture_output=True, text=True).stdout
    resolved = tomllib.loads(said)
    source = pathlib.Path(__file__).resolve().parents[2]
    table = re.findall(r"^\| `([a-z_.\[\]0-9]+)` \| `(.+?)` \|", (source / "docs/paper_dapo.md").read_text(), re.M)
    assert len(table) >= 25, len(table)
    for key, value in table:
        at = resolved
        for part in re.findall(r"[a-z_0-9]+", key):
            at = at[int(part) if part.isdigit() else part]
        assert at == json.loads(value), (key, at, value)
    for recipe in (source / "examples/qwenlong_l1/recipes").glob("*.toml"):
        r = subprocess.run([program, "check", str(recipe)], capture_output=True, text=True)
        assert r.returncode == 0, (recipe, r.stderr)

    whole = root / "whole"
    began = time.monotonic()
    start(root, whole, "--threads", "1")
    seconds = time.monotonic() - began
    for name in ("report.html", "summary.json", "metrics.csv", "recipe.toml", "policy/tokenizer.json",
                 "policy/config.json", "warm_up/model.safetensors"):
        assert (whole / name).stat().st_size > 0, name
    steps = run_rows(whole / "metrics.jsonl")
    assert [s["stage"] for s in steps].count("rl") == 4, steps
    trained = [s for s in steps if s["stage"] == "rl"]
    assert all(s["mismatch_compared"] > 0 and s["mismatch_found"] == 0 for s in trained), "log-probs"
    assert all(s["gradient_norm"] > 0 and not s["skipped"] for s in trained), "every step learns"
    warm = [s["loss"] for s in steps if s["stage"] == "sft"]
    assert len(warm) >= 4 and warm[-1] < warm[0], warm
    assert trained[2]["retained_groups"] is not None and sum(s["retained_groups"] for s in trained[2:]) > 0
    before = (root / "model/model.safetensors").read_bytes()
    after = (whole / "policy/model.safetensors").read_bytes()
    assert len(before) == len(after) and before != after
    answers = [json.loads(x) for x in (whole / "validation").glob("before_*").__next__().read_text().splitlines()]
    assert 4 <= len(answers) <= 10 and all(a["prompt_tokens"] > 0 for a in answers)
    change = json.loads((whole / "change.json").read_text())
    assert change["moment"] == "final" and change["change"][-1]["lengths"] == "all", change
    assert change["change"][-1]["questions"] == len(answers)

    two = root / "two"
    start(root, two, "--threads", "2", "--set", "rl.micro_batch_tokens=500")
    same(whole, two)

    # in parts: the warm-up, then the answers of a step and its update in turns, each in a process of its own
    def part(verb, run, *more, expected=0):
        r = subprocess.run([program, verb, str(root / "recipe.toml"), str(run), *more], capture_output=True, text=True,
                           timeout=250)
        assert r.returncode == expected, (verb, r.returncode, r.stderr[-3000:])
        return r.stderr

    parts = root / "parts"
    assert "warm_up" in part("sft", parts)
    assert not (parts / "policy").exists()
    files = []
    while True:
        files.append(str(root / f"rollouts_{len(files)}.jsonl.gz"))
        said = part("rollout", parts, "--threads", "1", "--out", files[-1])
        if "finished" in said:
            break
        assert "to train on" in said, said
        part("update", parts, "--threads", "2", "--from", files[-1])
    assert len(files) == 5, files
    same(whole, parts)
    # a step that is over is replayed and compared; the run stays as it is
    weights = (parts / "policy/model.safetensors").read_bytes()
    rows = run_rows(parts / "metrics.jsonl")
    assert "all" in part("update", parts, "--from", files[3]) and not (parts / "replay").exists()
    with gzip.open(files[3], "rt") as f:
        answers = [json.loads(line) for line in f]
    assert all(len(a["ids"]) == len(a["logp"]) == len(a["entropy"]) for g in answers for a in g["answers"])
    other = next(a for g in answers for a in g["answers"] if a["advantage"] != 0)
    other["score"] = 1 - other["score"]
    forged = root / "forged.jsonl"
    forged.write_text("".join(json.dumps(g) + "\n" for g in answers))
    assert "that differ" in part("update", parts, "--from", str(forged), expected=1)
    assert "checkpoints of step" in part("update", parts, "--from", files[0], expected=1)
    assert (parts / "policy/model.safetensors").read_bytes() == weights and run_rows(parts / "metrics.jsonl") == rows
    early = root / "early"
    part("sft", early)
    assert "which is the run's next" in part("update", early, "--from", files[1], expected=1)
    kept = root / "kept"
    start(root, kept, "--keep-rollouts")
    same(whole, kept)
    for i, name in enumerate(sorted((kept / "rollouts").iterdir())):
        with gzip.open(name, "rt") as a, gzip.open(files[i], "rt") as b:
            assert a.read() == b.read(), name

    stopped = root / "stopped"
    p = subprocess.Popen(command(root, stopped, "--threads", "1"), stderr=subprocess.PIPE, text=True)
    for line in p.stderr:
        if "(rl)" in line:
            p.send_signal(signal.SIGINT)
            break
    p.stderr.read()
    assert p.wait() in (75, 0), p.returncode
    start(root, stopped)
    same(whole, stopped)

    dying = root / "dying"
    moments = random.Random(5)
    longest = max(0.3, seconds / 2)
    deaths = killed_again_and_again(command(root, dying, "--threads", "1"), 12, longest, moments)
    start(root, dying)
    assert deaths > 0
    same(whole, dying)

    # A judge that says something else whenever it is asked: what was said once counts, whatever dies.
    asked = [0]

    class moody(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            asked[0] += 1
            verdict = "[[YES]]" if random.random() < 0.5 else "[[NO]]"
            body = json.dumps({"choices": [{"message": {"role": "assistant", "content": verdict}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), moody)
    server.handle_error = lambda *_: None  # whoever asked was killed
    threading.Thread(target=server.serve_forever, daemon=True).start()
    judged = ["--threads", "1", "--set", f'reward.judge.url="http://127.0.0.1:{server.server_address[1]}"']
    killed = root / "killed"
    deaths = killed_again_and_again(command(root, killed, *judged), 8, longest, moments)
    start(root, killed, *judged)
    assert deaths > 0 and asked[0] > 20, (deaths, asked)
    before_quiet = asked[0]
    quiet = root / "quiet"
    quiet.mkdir()
    shutil.copy(killed / "verdicts.jsonl", root / "said.jsonl")
    start(root, quiet, *judged, "--set", f'reward.judge.journal="{root / "said.jsonl"}"')
    assert asked[0] == before_quiet, "all verdicts are remembered"
    same(killed, quiet)
    server.shutdown()

    def refused(*more, saying, run=root / "refused"):
        r = start(root, run, *more, expected=2)
        assert all(s in r.stderr for s in saying), (saying, r.stderr)

    refused("--set", "rl.group_sise=4", saying=["group_sise", "group_size"])
    refused("--set", "rl.phases[1].max_response_tokens=600", saying=["rl.phases", "1024"])
    refused("--set", 'data.train=["none.jsonl"]', saying=["none.jsonl"])
    refused("--set", "preset=paper", saying=["preset", "paper_dapo"])
    refused("--set", "rl.aepo_high=0.1", "--set", "rl.aepo_low=0.1", saying=["rl.aepo_low", "rl.aepo_high (0.1)"])
    assert not (root / "refused").exists(), "nothing is left of what was refused"
    refused("--set", "seed=4", run=whole, saying=["seed", "3", "4"])
    r = start(root, root / "gated", "--set", "gate.prompts=4", expected=1)
    assert "gate.mixed" in r.stderr, r.stderr
    r = subprocess.run([program, "check", str(root / "recipe.toml"), "--set", "rl.phases[1].above=599"],
                       capture_output=True, text=True)
    assert r.returncode == 2 and "phase \"long\"" in r.stderr, r.stderr
