#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the generator's tokens with what other programs make of its tokenizer.json, id by id.

Usage: compare_phrase_tokenizer.py [--documents N] [--dump PROGRAM]

--documents  how many generated documents to compare, with their questions and answers (2,000)
--dump       tests/data/phrase_dump.cpp, built; compiled with g++ when it is not given

Needs the PyPI package tokenizers, in a virtual environment say; transformers is compared too where it is installed.
Exits with 1 if one text differs."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import tokenizers

try:
    import transformers
except ImportError:
    transformers = None

ROOT = pathlib.Path(__file__).resolve().parent.parent


def build_dump(folder):
    program = pathlib.Path(folder) / "phrase_dump"
    sources = [ROOT / "tests/data/phrase_dump.cpp",
               *(ROOT / "src/io" / name for name in ("phrase_vocabulary.cpp", "phrase_tokenizer.cpp", "document_generator.cpp", "json.cpp", "file.cpp"))]
    subprocess.run(["g++", "-std=c++20", "-O1", f"-I{ROOT}/include", *map(str, sources), "-o", str(program), "-lsimdjson", "-lz"],
                   check=True)
    return program


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--documents", type=int, default=2000)
    options.add_argument("--dump", type=pathlib.Path)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dump = chosen.dump or build_dump(folder)
        lines = subprocess.run([str(dump), folder, str(chosen.documents)], check=True, stdout=subprocess.PIPE, text=True).stdout
        reference = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
        loaded = transformers and transformers.AutoTokenizer.from_pretrained(folder)
        texts = tokens = different = 0

        def expect(what, got, wanted):
            nonlocal different
            if got != wanted:
                different += 1
                if different <= 10:
                    print(f"{what}: {str(got)[:200]} instead of {str(wanted)[:200]}")

        for line in lines.splitlines():
            row = json.loads(line)
            texts += 1
            tokens += len(row["ids"])
            plain = [i for i in row["ids"] if i > 4]
            expect("tokenizers encodes", reference.encode(row["text"], add_special_tokens=False).ids, row["ids"])
            expect("tokenizers reads English", reference.encode(row["english"], add_special_tokens=False).ids, plain)
            expect("tokenizers decodes", reference.decode(row["ids"], skip_special_tokens=False), row["text"])
            if loaded:
                expect("transformers encodes", loaded(row["text"], add_special_tokens=False)["input_ids"], row["ids"])
                expect("transformers decodes", loaded.decode(row["ids"]), row["text"])
    with_transformers = f", transformers {transformers.__version__}" if loaded else ""
    print(f"tokenizers {tokenizers.__version__}{with_transformers}: {texts} texts, {tokens} tokens, {different} differences")
    return 1 if different or not texts else 0


if __name__ == "__main__":
    sys.exit(main())
