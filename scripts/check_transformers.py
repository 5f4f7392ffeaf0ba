#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ql writes opens in transformers and says the same. Not part of the tests: needs PyPI's torch and transformers.

Usage: check_transformers.py PROGRAM [MODEL_FOLDER ...], PROGRAM being qwenlong-l1.

For each tiny model of tests/golden/transformers: `convert` in several ways, load in transformers, compare logits and greedy
ids with the original's, and its log-probs with `logprobs`. For each MODEL_FOLDER (a real model): log-probs and greedy ids of
both sides on texts. For word and byte-level vocabularies: a tokenizer.json gives the same ids in transformers."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = [
    "The quick brown fox jumps over the lazy dog. " * 8,
    "In 1969, Apollo 11 landed on the Moon; Neil Armstrong and Buzz Aldrin walked on its surface while Michael Collins "
    "stayed in orbit. They returned to Earth four days later and were celebrated all over the world.",
    "Photosynthesis is the process by which plants, algae and some bacteria turn light into chemical energy. In the leaves, "
    "chlorophyll absorbs mostly red and blue light; water is split, oxygen is released, and carbon dioxide is built into "
    "sugars in the Calvin cycle. Almost all life on Earth depends on it, directly or through the animals that eat plants. "
    "The rate depends on the light, on the temperature and on the carbon dioxide in the air, and it falls when water is short.",
    "Question: A train leaves at 9:40 and arrives at 12:05. How long does the journey take?\nAnswer: From 9:40 to 11:40 are two "
    "hours; from 11:40 to 12:05 are 25 minutes. The journey takes 2 hours and 25 minutes.\n\nQuestion: A shop sells apples at "
    "3 for $2. How much do 12 apples cost?\nAnswer: 12 apples are 4 times 3 apples, so they cost 4 times $2, which is $8.\n",
    "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n",
]


class Program:
    def __init__(self, path):
        self.path = path.resolve()

    def __call__(self, *arguments, rows=None):
        given = None if rows is None else "".join(json.dumps(row) + "\n" for row in rows)
        done = subprocess.run([self.path, *map(str, arguments)], input=given, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{arguments}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()] if rows is not None else done.stdout


def load(folder, dtype=torch.float32):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def rows_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float()


def logprobs_of(model, ids):
    return torch.log_softmax(rows_of(model, ids).double(), -1)[range(len(ids) - 1), ids[1:]]


def greedy_of(model, ids, count):
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False, pad_token_id=0,
                             attention_mask=torch.ones(1, len(ids), dtype=torch.long))
    return out[0, len(ids):].tolist()


def tiny(program, failures):
    ways = [[], ["--dtype", "float"], ["--shard", "40KB"], ["--dtype", "float", "--shard", "60KB"]]
    for source in sorted(p for p in (ROOT / "tests/golden/transformers").iterdir() if p.is_dir()):
        goldens = [json.loads(line) for line in (source / "golden.jsonl").read_text().splitlines()]
        worst = 0.0
        for options in ways:
            with tempfile.TemporaryDirectory() as folder:
                program("convert", "--in", source, "--out", folder, *options)
                model = load(folder)
                mine = program("logprobs", "--model", folder, "--dtype", "float", "--last-logits", rows=[{"ids": g["ids"]} for g in goldens])
                for g, m in zip(goldens, mine, strict=True):
                    logits = rows_of(model, g["ids"])[-1]
                    for other in (g["last_logits"], m["last_logits"]):
                        worst = max(worst, float((logits - torch.tensor(other)).abs().max()))
                    worst = max(worst, float((logprobs_of(model, g["ids"]) - torch.tensor(m["logprobs"][1:])).abs().max()))
                    if greedy_of(model, g["ids"], len(g["greedy_ids"])) != g["greedy_ids"]:
                        failures.append(f"{source.name} {options}: other greedy ids")
        print(f"{source.name}: {len(ways)} conversions, logits and log-probs within {worst:.2g}", flush=True)
        if worst > 1e-4:
            failures.append(f"{source.name}: {worst}")


def real(program, folder, failures):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = load(folder)
    tokens, same, rows = 0, 0, []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        (mine,) = program("tokenize", "--model", folder, rows=[{"text": text}])
        if mine["ids"] != ids:
            failures.append(f"{folder}: other ids of {text[:30]!r}")
        rows.append({"ids": ids})
        tokens += len(ids) - 1
    theirs = [logprobs_of(model, row["ids"]) for row in rows]
    for dtype in ("float", "bf16"):
        mine = program("logprobs", "--model", folder, "--dtype", dtype, rows=rows)
        gaps = torch.cat([(t - torch.tensor(m["logprobs"][1:])).abs() for t, m in zip(theirs, mine, strict=True)])
        print(f"{folder}: {tokens} tokens, log-probs of ql in {dtype} against transformers in float32: largest difference "
              f"{float(gaps.max()):.2g}, mean {float(gaps.mean()):.2g}", flush=True)
        if dtype == "float" and float(gaps.max()) > 1e-3:
            failures.append(f"{folder}: log-probs differ by {float(gaps.max())}")
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    (rendered,) = program("render", "--model", folder, rows=[{"messages": messages}])
    if rendered["text"] != prompt:
        failures.append(f"{folder}: another prompt")
    ids = tokenizer.encode(prompt, add_special_tokens=False)
    expected = greedy_of(model, ids, 40)
    (row,) = program("generate", "--model", folder, "--dtype", "float", "--greedy", "--max-new-tokens", 40, "--in", "-", rows=[{"ids": ids}])
    got = row["answers"][0]
    same = got["ids"] == expected
    print(f"{folder}: {got['text']!r}; greedy ids {'the same' if same else 'DIFFER'} in transformers")
    if not same:
        failures.append(f"{folder}: greedy ids {got['ids']} against {expected}")


def vocabularies(program, failures):
    """Tokenizers of the demonstration's kind, opened by transformers."""
    words = ["<unk>", "alice", "bob", "oslo", "rome", "lives in oslo", "where lives", ".", "?"]
    flags = {"single_word": True, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    added = [{"id": 0, "content": "<unk>", **flags, "special": True, "normalized": False, "single_word": False},
             *({"id": i, "content": w, **flags} for i, w in enumerate(words) if " " in w)]
    word_level = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "Lowercase"},
                  "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
                  "model": {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(words)}, "unk_token": "<unk>"}}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "tokenizer.json").write_text(json.dumps(word_level))
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"}))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        for text in ["Alice lives in Oslo. Where lives Bob?", "zebra lives in oslo", "lives in rome"]:
            ids = tokenizer.encode(text, add_special_tokens=False)
            (mine,) = program("tokenize", "--model", folder, rows=[{"text": text}])
            (back,) = program("detokenize", "--model", folder, rows=[{"ids": ids}])
            if mine["ids"] != ids or back["text"] != tokenizer.decode(ids):
                failures.append(f"word vocabulary: {text!r}: ql {mine['ids']} {back['text']!r}, transformers {ids} {tokenizer.decode(ids)!r}")
            print(f"word vocabulary: {text!r} {ids} {tokenizer.decode(ids)!r}")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program", type=pathlib.Path)
    options.add_argument("models", type=pathlib.Path, nargs="*")
    o = options.parse_args()
    torch.set_num_threads(1)
    program, failures = Program(o.program), []
    vocabularies(program, failures)
    tiny(program, failures)
    for folder in o.models:
        real(program, folder, failures)
    for failure in failures:
        print("FAILED", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
