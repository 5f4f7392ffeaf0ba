#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares word-level tokenizers with PyPI's tokenizers: random vocabularies, added tokens of several words, random texts.

Usage: compare_word_level.py PROGRAM [--vocabularies N] [--texts N], PROGRAM being qwenlong-l1.

Every tokenizer.json is made and read by the tokenizers package, and read by `qwenlong-l1 tokenize` and `detokenize`.
Special tokens are not normalized here: the package does not skip those whose name normalization changes."""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import tokenizers
from tokenizers import AddedToken, models, normalizers, pre_tokenizers

WORDS = ["oslo", "rome", "alice", "bob", "lives", "in", "works", "as", "a", "the", "boss", "of", "3", "coins", "née",
         "straße", "北京", "e\u0301", "x1", "don't", "-", ".", ",", "?", "(a)"]
SPACES = [" ", " ", " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2009", "\u200b", "\u180e", "\u0085", "\x1c", ""]


def made(draw):
    words = draw.sample(WORDS, draw.randrange(5, len(WORDS)))
    vocabulary = {w: i for i, w in enumerate(["<unk>", *words])}
    t = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    t.pre_tokenizer = draw.choice([pre_tokenizers.WhitespaceSplit, pre_tokenizers.Whitespace])()
    t.normalizer = draw.choice([None, normalizers.Lowercase(), normalizers.NFC()])
    special, others = [], []
    for i in range(draw.randrange(0, 9)):
        text = " ".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 5)))
        if text in vocabulary and draw.random() < 0.5:
            continue
        token = AddedToken(text, single_word=draw.random() < 0.4, lstrip=draw.random() < 0.2, rstrip=draw.random() < 0.2,
                           normalized=not (control := draw.random() < 0.3) and draw.random() < 0.7, special=control)
        (special if token.special else others).append(token)
    t.add_special_tokens([AddedToken("<eos>", special=True, normalized=False), *special])
    t.add_tokens(others)
    return t


def text_of(draw, t):
    names = [*WORDS, *(w.upper() for w in WORDS[:8]), "<eos>", "<unk>", "zebra", "lives in oslo", "Lives In Oslo", "oslorome",
             *(token.content for token in t.get_added_tokens_decoder().values())]
    return "".join(draw.choice(names) + draw.choice(SPACES) for _ in range(draw.randrange(0, 30)))


def lines(program, verb, folder, rows, *options):
    given = "".join(json.dumps(row) + "\n" for row in rows)
    done = subprocess.run([program, verb, "--model", folder, *options], input=given, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program", type=pathlib.Path)
    options.add_argument("--vocabularies", type=int, default=200)
    options.add_argument("--texts", type=int, default=100)
    o = options.parse_args()
    draw = random.Random(1)
    texts = tokens = differing = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(o.vocabularies):
            t = made(draw)
            path = pathlib.Path(folder) / "tokenizer.json"
            t.save(str(path))
            t = tokenizers.Tokenizer.from_file(str(path))
            rows = [text_of(draw, t) for _ in range(o.texts)]
            expected = [t.encode(row, add_special_tokens=False).ids for row in rows]
            got = [row["ids"] for row in lines(o.program, "tokenize", folder, [{"text": row} for row in rows])]
            ids = [{"ids": row} for row in expected]
            for skip in (False, True):
                back = [row["text"] for row in lines(o.program, "detokenize", folder, ids, *["--skip-special-tokens"] * skip)]
                for row, mine in zip(expected, back, strict=True):
                    theirs = t.decode(row, skip_special_tokens=skip)
                    if mine != theirs:
                        differing += 1
                        print(f"decode {row}: ql {mine!r}, tokenizers {theirs!r}")
            for row, theirs, mine in zip(rows, expected, got, strict=True):
                texts += 1
                tokens += len(theirs)
                if mine != theirs:
                    differing += 1
                    if differing <= 10:
                        print(f"{row!r}\n  ql {mine}\n  tokenizers {theirs}\n  {path.read_text() if differing == 1 else ''}")
    print(f"tokenizers {tokenizers.__version__}: {o.vocabularies} vocabularies, {texts} texts, {tokens} tokens: {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
