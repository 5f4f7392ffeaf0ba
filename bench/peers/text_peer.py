# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of ql and of PyPI's tokenizers on the same texts, one thread, in turn: CPU time, the median of the runs.

The peer runs encode_batch_fast, which does not compute offsets.

Prints a Markdown table. Usage: text_peer.py PROGRAM [--data FOLDER] [--runs N], PROGRAM being ql_bench_text_tokenizer."""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import tokenizers  # noqa: E402

CASES = [("qwen3", "english"), ("qwen3", "chinese"), ("deepseek_v3", "english"), ("deepseek_v3", "chinese"),
         ("mistral_v0_1_spm", "english"), ("mistral_v0_1_spm", "chinese")]
FILES = {"english": "debian_handbook_en-US.txt.gz", "chinese": "debian_handbook_zh-CN.txt.gz"}


def own(program, case, data):
    """Milliseconds of one repetition of ql's benchmark."""
    done = subprocess.run([program, f"--benchmark_filter=^{case}$", "--benchmark_format=json", "--benchmark_min_time=0.2"],
                          capture_output=True, text=True, check=True, env={**os.environ, "QL_BENCH_DATA": str(data)})
    (row,) = json.loads(done.stdout)["benchmarks"]
    return row["cpu_time"], row.get("tokens")


def timed(work):
    start = time.process_time()
    result = work()
    return 1000 * (time.process_time() - start), result


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program", type=pathlib.Path)
    options.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"))
    options.add_argument("--runs", type=int, default=5)
    o = options.parse_args()
    program = o.program.resolve()
    print(f"| case | ql, CPU ms | tokenizers {tokenizers.__version__}, CPU ms | ratio |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, language in CASES:
            plain = pathlib.Path(folder) / f"{name}.json"
            if not plain.exists():
                plain.write_bytes(gzip.open(o.data / "tokenizers" / name / "tokenizer.json.gz").read())
                reference = tokenizers.Tokenizer.from_file(str(plain))
            raw = gzip.open(o.data / "haystack" / FILES[language]).read()[:1_000_000]
            text = raw.decode("utf-8", "replace")
            case = f"encode/{name.split('_v0')[0]}_{language}"
            mine, theirs = [], []
            for _ in range(o.runs):
                ms, tokens = own(program, case, o.data)
                mine.append(ms)
                ms, (encoded,) = timed(lambda: reference.encode_batch_fast([text], add_special_tokens=False))
                theirs.append(ms)
                if tokens != len(encoded.ids):
                    sys.exit(f"{case}: {tokens} tokens here, {len(encoded.ids)} there")
            a, b = statistics.median(mine), statistics.median(theirs)
            print(f"| {case}, {len(raw) / 1e6:.2f} MB | {a:.1f} | {b:.1f} | {b / a:.1f} |", flush=True)
        mine = [own(program, "load", o.data)[0] for _ in range(o.runs)]
        theirs = [timed(lambda: tokenizers.Tokenizer.from_file(str(pathlib.Path(folder) / "qwen3.json")))[0] for _ in range(o.runs)]
        a, b = statistics.median(mine), statistics.median(theirs)
        size = (pathlib.Path(folder) / "qwen3.json").stat().st_size
        print(f"| load, {size / 1e6:.1f} MB | {a:.1f} | {b:.1f} | {b / a:.1f} |")


if __name__ == "__main__":
    main()
