#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares ql's tokenizer with the tokenizers package of PyPI, id by id, on mixed text.

Usage: compare_tokenizers.py --data FOLDER [--tokens N] [--dump PROGRAM] [--tokenizer NAME ...]

--data       the test data: its tokenizers/ are compared, on its haystack/ and docqa/ and on generated Unicode
--tokens     how many tokens to compare for each tokenizer, at least (10,000,000)
--dump       tests/text/tokenize_dump.cpp, built; compiled with g++ when it is not given
--tokenizer  qwen3, deepseek_v3 or mistral_v0_1_spm (all)

Needs the PyPI package tokenizers, in a virtual environment say. Differences are listed by their cause: "unicode" where
the text around holds a character that the two sides' Unicode tables treat differently (unassigned in Python's own
tables, or changed by normalization), "other" for the rest. Exits with 1 if there is any of the latter."""

import argparse
import collections
import gzip
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

import tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent
BATCH = 200


def build_dump(folder):
    program = pathlib.Path(folder) / "tokenize_dump"
    sources = [ROOT / "tests/text/tokenize_dump.cpp", *sorted((ROOT / "src/io").glob("*.cpp"))]
    libraries = ["-lsimdjson", "-lpcre2-8", "-lutf8proc", "-lz", "-lcurl", "-pthread"]
    subprocess.run(["g++", "-std=c++20", "-O2", f"-I{ROOT}/include", *map(str, sources), "-o", str(program), *libraries], check=True)
    return program


def generated(seed):
    """Texts of every Unicode block: runs of one block, words of several, marks, white space, controls."""
    draw = random.Random(seed)
    blocks = [start for start in range(0, 0x30000, 0x80) if not 0xD800 <= start < 0xE000] + list(range(0xE0000, 0xE0200, 0x80))
    spaces = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\u180e", " \n ", "   "]

    def character(start):
        while True:
            c = start + draw.randrange(0x80)
            if not 0xD800 <= c < 0xE000:
                return chr(c)

    for start in blocks:
        yield "".join(character(start) for _ in range(200)) + " " + " ".join(character(start) * draw.randrange(1, 4) for _ in range(100))
    while True:
        parts = []
        for _ in range(draw.randrange(20, 400)):
            kind = draw.randrange(8)
            if kind < 3:
                start = draw.choice(blocks)
                parts.append("".join(character(start) for _ in range(draw.randrange(1, 8))))
            elif kind == 3:
                parts.append(draw.choice(spaces))
            elif kind == 4:
                parts.append(str(draw.randrange(10 ** draw.randrange(1, 12))))
            elif kind == 5:
                parts.append("".join(draw.choice("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~") for _ in range(draw.randrange(1, 6))))
            elif kind == 6:
                parts.append(draw.choice(["don't", "I'LL", "we've", "'S", "it's", "<|im_end|>", "<think>", "</think>", "<s>", "\u017f", "e\u0301"]))
            else:
                parts.append(chr(draw.randrange(97, 123)) * draw.randrange(1, 12) + draw.choice(spaces))
        yield "".join(parts)


def documents(data):
    for path in sorted((data / "haystack").glob("*.txt.gz")):
        text = gzip.open(path, "rt", encoding="utf-8", newline="").read()
        for at in range(0, len(text), 100_000):
            yield text[at : at + 100_000]
    for path in sorted((data / "haystack").glob("*.jsonl.gz")) + sorted((data / "docqa").glob("*.jsonl.gz")):
        for line in gzip.open(path, "rt", encoding="utf-8", newline="\n"):
            row = json.loads(line)
            text = row.get("text") or row.get("context") or ""
            if text:
                yield text


def mixed(data):
    """All documents, then generated texts for as long as asked."""
    pool = list(documents(data))
    yield from pool
    made = generated(1)
    draw = random.Random(2)
    while True:
        for _ in range(20):
            yield next(made)
        # Documents again, cut and joined at other places.
        a, b = draw.choice(pool), draw.choice(pool)
        i, j = draw.randrange(len(a)), draw.randrange(len(b))
        yield a[i : i + 20_000] + draw.choice(["", " ", "\n", "\t"]) + b[j : j + 20_000]


def cause(text):
    for c in text:
        if unicodedata.category(c) == "Cn" or unicodedata.normalize("NFC", c) != c or unicodedata.combining(c):
            return "unicode"
    return "other"


def character_offsets(text):
    """The byte at which each character begins, and the end."""
    out = [0]
    for c in text:
        o = ord(c)
        out.append(out[-1] + (1 if o < 0x80 else 2 if o < 0x800 else 3 if o < 0x10000 else 4))
    return out


def compare(name, data, wanted, dump, report):
    source = data / "tokenizers" / name / "tokenizer.json.gz"
    with tempfile.TemporaryDirectory() as folder:
        plain = pathlib.Path(folder) / "tokenizer.json"
        plain.write_bytes(gzip.open(source).read())
        reference = tokenizers.Tokenizer.from_file(str(plain))
        ours = subprocess.Popen([str(dump), str(plain)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        tokens = texts = size = 0
        seconds = 0.0
        differing = collections.Counter()
        offsets_differing = 0
        examples = []
        for text in mixed(data):
            raw = text.encode("utf-8")
            start = time.perf_counter()
            expected = reference.encode(text, add_special_tokens=False)
            seconds += time.perf_counter() - start
            ours.stdin.write(struct.pack("<I", len(raw)) + raw)
            ours.stdin.flush()
            count = struct.unpack("<I", ours.stdout.read(4))[0]
            flat = struct.unpack(f"<{3 * count}I", ours.stdout.read(12 * count))
            ids = list(flat[0::3])
            tokens += count
            texts += 1
            size += len(raw)
            if ids != expected.ids:
                at = next((i for i, (x, y) in enumerate(zip(ids, expected.ids)) if x != y), min(len(ids), len(expected.ids)))
                begin, end = flat[3 * max(at - 2, 0) + 1], flat[3 * min(at + 3, count - 1) + 2]
                around = raw[max(begin - 4, 0) : end + 4].decode("utf-8", "ignore")
                why = cause(around)
                differing[why] += 1
                if len(examples) < 20 or why == "other":
                    examples.append((why, around, ids[at : at + 8], expected.ids[at : at + 8]))
            elif name != "mistral_v0_1_spm" and unicodedata.is_normalized("NFC", text):
                # The package counts characters and widens tokens to whole ones.
                place = character_offsets(text)
                for i, (b, e) in enumerate(expected.offsets):
                    if not (place[b] <= flat[3 * i + 1] and flat[3 * i + 2] <= place[e]):
                        offsets_differing += 1
                        break
            if tokens >= wanted:
                break
        ours.stdin.close()
        own_seconds = float(ours.stderr.read().decode().split()[-1])
        ours.wait()
    report(f"{name}: {tokens} tokens in {texts} texts of {size / 1e6:.1f} MB; texts with different ids: "
           f"{differing['other']} (other), {differing['unicode']} (unicode); with different offsets: {offsets_differing}")
    report(f"  encode: ql {size / 1e6 / own_seconds:.1f} MB/s, tokenizers {size / 1e6 / seconds:.1f} MB/s (one thread each, both running on this machine in turn)")
    for why, around, ours_ids, theirs in examples:
        report(f"  {why}: {ascii(around)}: ql {ours_ids}, tokenizers {theirs}")
    return differing["other"] == 0


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=pathlib.Path, required=True)
    options.add_argument("--tokens", type=int, default=10_000_000)
    options.add_argument("--dump", type=pathlib.Path)
    options.add_argument("--tokenizer", action="append")
    chosen = options.parse_args()
    print(f"tokenizers {tokenizers.__version__}, Python's Unicode {unicodedata.unidata_version}")
    with tempfile.TemporaryDirectory() as folder:
        dump = chosen.dump or build_dump(folder)
        good = [compare(name, chosen.data, chosen.tokens, dump, lambda line: print(line, flush=True))
                for name in chosen.tokenizer or ["qwen3", "deepseek_v3", "mistral_v0_1_spm"]]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
