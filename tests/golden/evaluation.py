#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goldens of ql::eval: metrics from functions written here after the published scripts, difflib, statistics from SciPy
and statsmodels, and what the released evaluation of QwenLong-L1 gives to the 900 composed answers of the test data.

  evaluation.py DATA RELEASED > tests/eval/support/goldens.hpp

DATA: the folder of the test data. RELEASED: the folder eval/ of the released code. Needs numpy, scipy, statsmodels (made
with 2.3, 1.17, 0.15); the output depends on nothing else."""
import ast
import collections
import difflib
import gzip
import json
import math
import random
import re
import string
import sys

import numpy as np
import scipy.stats
import statsmodels.stats.contingency_tables
import statsmodels.stats.multitest
import statsmodels.stats.proportion


# --- metrics ---------------------------------------------------------------------------------------------------------


def normalise(s):
    s = "".join(c for c in s.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", s).split())


def f1(p, g, rule):
    p, g = normalise(p), normalise(g)
    if rule == "hotpotqa" and p != g and {p, g} & {"yes", "no", "noanswer"}:
        return 0.0, 0.0, 0.0
    p, g = p.split(), g.split()
    if rule == "squad2" and not (p and g):
        return (float(p == g),) * 3
    common = sum((collections.Counter(p) & collections.Counter(g)).values())
    if common == 0:
        return 0.0, 0.0, 0.0
    precision, recall = common / len(p), common / len(g)
    return 2 * precision * recall / (precision + recall), precision, recall


def metric_pairs():
    pairs = [("The Eiffel Tower.", "eiffel tower"), ("in the year 1984", "1984"), ("", ""), ("the", "a"), ("", "x"), ("x", ""),
             ("yes", "no"), ("yes", "Yes."), ("yes it is", "yes"), ("no answer", "noanswer"), ("NoAnswer", "noanswer"),
             ("e", "Steve Jobs"), ("U.S.A.", "USA"), ("don't", "dont"), ("a b a b", "a b"), ("O'Neill-Smith", "ONeillSmith"),
             ("caf\u00e9 \u00c9cole", "CAF\u00c9 \u00e9cole"), ("\u00abParis\u00bb", "Paris"), ("the\u00a0cat", "cat"),
             ("\u4e2d\u56fd\u5317\u4eac", "\u5317\u4eac"), ("an\tapple\n\npie", "apple pie"), ("theatre", "the atre"),
             ("\u0130stanbul", "istanbul"), ("\u039f\u0394\u039f\u03a3", "\u03bf\u03b4\u03bf\u03c2"), ("1,234.5", "12345")]
    draw = random.Random(1)
    words = ["the", "a", "An", "Paris", "paris,", "yes", "no", "1984", "U.S.", "na\u00efve", "\u00c9t\u00e9", "cat", "CAT", "-", "\u2019s", "of"]
    for _ in range(75):
        pairs.append(tuple(" ".join(draw.choices(words, k=draw.randint(0, 6))) for _ in range(2)))
    return pairs


def sequence_pairs():
    draw = random.Random(2)
    pairs = [("", ""), ("abcd", "bcde"), ("a", ""), ("qabxcd", "abycdf"), ("private Thread currentThread;", "private volatile Thread currentThread;"),
             ("\u00e9t\u00e9 caf\u00e9", "\u00e9t\u00e9s caf\u00e9s"), ("abab", "baba"), ("tide", "diet"), ("diet", "tide")]
    for n in (5, 40, 150, 199, 200, 260, 500):
        for alphabet in ("ab", string.ascii_lowercase, string.ascii_letters + string.digits):
            a = "".join(draw.choices(alphabet, k=n))
            b = list(a)
            for _ in range(n // 6):
                at = draw.randrange(len(b))
                b[at:at + draw.randint(0, 3)] = draw.choices(alphabet, k=draw.randint(0, 3))
            pairs.append((a, "".join(b)))
    return pairs


# --- statistics ------------------------------------------------------------------------------------------------------


def philox(counter, key):
    """Philox4x32-10 on arrays of counters."""
    c = [np.asarray(x, dtype=np.uint64) for x in counter]
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


SHUFFLE, SAMPLE = 4, 60001


def bootstrap_means(values, cluster, replicates, seed):
    names = list(dict.fromkeys(cluster))
    values, cluster = np.asarray(values, float), np.asarray(cluster)
    sums = np.array([values[cluster == c].sum() for c in names])
    counts = np.array([(cluster == c).sum() for c in names])
    n = len(names)
    pairs = (n + 1) // 2
    r, d = np.meshgrid(np.arange(replicates), np.arange(pairs), indexing="ij")
    bits = philox([d, r, np.full_like(r, SHUFFLE << 24), np.full_like(r, SAMPLE)], (seed & 0xFFFFFFFF, seed >> 32))
    unit = lambda hi, lo: ((((hi << np.uint64(32)) | lo) >> np.uint64(12)).astype(float) + 0.5) * 2.0**-52
    u = np.stack([unit(bits[1], bits[0]), unit(bits[3], bits[2])], axis=-1).reshape(replicates, 2 * pairs)[:, :n]
    drawn = np.minimum((u * n).astype(int), n - 1)
    return sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)


def bootstrap_cases():
    draw = np.random.default_rng(3)
    out = []
    for n, per, seed in ((40, 1, 1), (60, 4, 7), (31, 3, 1 << 40)):
        cluster = [int(x) for x in np.sort(draw.integers(0, max(1, n // per), n))] if per > 1 else list(range(n))
        level = draw.random(max(cluster) + 1)
        a = [float(x) for x in (draw.random(n) < level[cluster]).astype(float)]
        b = [float(x) for x in (draw.random(n) < np.minimum(1, level[cluster] + 0.15)).astype(float)]
        means = bootstrap_means(a, cluster, 1000, seed)
        d = np.array(b) - np.array(a)
        dm = bootstrap_means(d, cluster, 1000, seed)
        p = min(1.0, 2 * (1 + min((dm <= 0).sum(), (dm >= 0).sum())) / 1001)
        out.append((a, b, cluster, seed, [np.mean(a), *np.quantile(means, [0.025, 0.975])],
                    [d.mean(), *np.quantile(dm, [0.025, 0.975]), p]))
    return out


def scipy_bootstrap():
    """A percentile interval by SciPy, with its own random numbers."""
    draw = np.random.default_rng(4)
    x = np.round(draw.random(120), 3)
    r = scipy.stats.bootstrap((x,), np.mean, n_resamples=200000, method="percentile", random_state=5, batch=5000)
    return x.tolist(), [x.mean(), r.confidence_interval.low, r.confidence_interval.high]


def sign_flip_cases():
    draw = np.random.default_rng(6)
    out = []
    for n in (2, 5, 9, 12, 15):
        d = np.round(draw.normal(0.3, 1, n), 2)
        r = scipy.stats.permutation_test((d,), np.sum, permutation_type="samples", alternative="two-sided", n_resamples=np.inf)
        out.append((d.tolist(), float(r.pvalue)))
    return out


# --- the released evaluation -----------------------------------------------------------------------------------------


def released_functions(path, wanted, scope):
    tree = ast.parse(open(path, encoding="utf-8").read())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in wanted:
            exec(compile(ast.Module([node], []), path, "exec"), scope)
    return scope


def released_scores(data, folder):
    """One mark for each row: 0, 1, e (the released code raised), - (it has no such task)."""
    quiet = {"re": re, "string": string, "Counter": collections.Counter, "math": math, "np": np, "print": lambda *a: None,
             "Rational": type("Rational", (), {})}
    text = released_functions(f"{folder}/2wikimqa.py", {"extract_solution", "extract_answer", "normalize_answer", "f1_score",
                              "sub_exact_match_score", "exact_match_score", "update_answer", "calc_metrics"}, dict(quiet))
    math_ = released_functions(f"{folder}/docmath.py", {"extract_solution", "extract_answer", "normalize", "round_up_to_decimal",
                               "is_number", "within_eps", "compare_two_numbers", "get_acc"}, dict(quiet))
    marks = ""
    with gzip.open(f"{data}/judge/released_rule_scores.jsonl.gz", "rt", encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            if row["kind"] == "choice":
                marks += "-"
                continue
            s = text if row["kind"] == "text" else math_
            try:
                response = row["response"].strip()
                pred, _ = s["extract_solution"](response)
                answer = s["extract_answer"](pred) if pred else s["extract_answer"](response)
                if row["kind"] == "text":
                    score = s["calc_metrics"]([answer], [row["gold"]])["sub_em"] if answer else 0
                else:
                    gold = s["extract_answer"](f"Therefore, the answer is {row['gold']}.")
                    score = s["get_acc"](answer, gold) if answer else 0
                marks += str(int(score))
            except Exception:
                marks += "e"
    return marks


def judged_sets(data):
    """EM, cover, sum of F1 over the labelled predictions, each the best over the gold answers."""
    out = []
    for name in ("evouna_nq", "nq301_human"):
        em = cover = 0
        total = 0.0
        with gzip.open(f"{data}/judge/{name}.jsonl.gz", "rt", encoding="utf-8") as f:
            for line in f:
                row = json.loads(line)
                p = normalise(row["prediction"])
                golds = [normalise(g) for g in row["gold"]]
                em += p in golds
                cover += any(g and g in p for g in golds)
                total += max((f1(row["prediction"], g, "squad1")[0] for g in row["gold"]), default=0.0)
        out.append((name, em, cover, total))
    return out


# --- writing ---------------------------------------------------------------------------------------------------------


def text_of(s):
    out = ""
    for byte in s.encode("utf-8"):
        c = chr(byte)
        out += "\\" + c if c in '"\\' else c if 32 <= byte < 127 and c != "?" else f"\\{byte:03o}"
    return f'"{out}"'


def number(x):
    return repr(float(x))


def list_of(values):
    return "{" + ", ".join(number(v) for v in values) + "}"


def main():
    data, released = sys.argv[1:]
    put = print
    put("// SPDX-License-Identifier: Apache-2.0\n#pragma once\n")
    put("// Written by tests/golden/evaluation.py; do not edit.\n")
    put("#include <cstdint>\n#include <string_view>\n#include <vector>\n\n// clang-format off\nnamespace ql::test::goldens {\n")
    put("struct metric_row { std::string_view prediction, gold; int exact, cover, mutual; double squad1, precision, recall, squad2, hotpotqa; };")
    put("inline constexpr metric_row metrics[] = {")
    for p, g in metric_pairs():
        n, m = normalise(p), normalise(g)
        one = f1(p, g, "squad1")
        put(f"  {{{text_of(p)}, {text_of(g)}, {int(n == m)}, {int(bool(m) and m in n)}, {int(m in n or n in m)}, {number(one[0])}, "
            f"{number(one[1])}, {number(one[2])}, {number(f1(p, g, 'squad2')[0])}, {number(f1(p, g, 'hotpotqa')[0])}}},")
    put("};\n\nstruct judged_set { std::string_view name; int exact, cover; double f1; };")
    put("inline constexpr judged_set judged_sets[] = {")
    for name, em, cover, total in judged_sets(data):
        put(f"  {{{text_of(name)}, {em}, {cover}, {number(total)}}},")
    put("};\n\nstruct sequence_row { std::string_view a, b; double ratio; };\ninline constexpr sequence_row sequences[] = {")
    for a, b in sequence_pairs():
        put(f"  {{{text_of(a)}, {text_of(b)}, {number(difflib.SequenceMatcher(None, a, b).ratio())}}},")
    put("};\n\nstruct pass_row { int n, c, k; double value; };\ninline constexpr pass_row pass_at_k[] = {")
    for n, c, k in [(16, 4, 2), (16, 0, 1), (16, 16, 16), (16, 1, 16), (16, 1, 1), (8, 3, 4), (200, 7, 100), (1000, 10, 50), (5, 2, 4)]:
        put(f"  {{{n}, {c}, {k}, {number(1 - math.comb(n - c, k) / math.comb(n, k))}}},")
    put("};\n\nstruct bootstrap_row { std::vector<double> first, second; std::vector<std::uint32_t> cluster; std::uint64_t seed; double mean[3], difference[4]; };")
    put("inline const bootstrap_row bootstraps[] = {")
    for a, b, cluster, seed, mean, difference in bootstrap_cases():
        put(f"  {{{list_of(a)}, {list_of(b)}, {{{', '.join(map(str, cluster))}}}, {seed}u, {list_of(mean)}, {list_of(difference)}}},")
    x, expected = scipy_bootstrap()
    put(f"}};\n\ninline const std::vector<double> scipy_values{list_of(x)};\ninline constexpr double scipy_interval[] = {list_of(expected)};")
    put("\nstruct sign_flip_row { std::vector<double> differences; double p; };\ninline const sign_flip_row sign_flips[] = {")
    for d, p in sign_flip_cases():
        put(f"  {{{list_of(d)}, {number(p)}}},")
    put("};\n\nstruct mcnemar_row { int first, second; double p; };\ninline constexpr mcnemar_row mcnemar[] = {")
    for b, c in [(2, 9), (9, 2), (0, 0), (5, 5), (0, 1), (0, 10), (3, 20), (40, 70), (400, 480), (1200, 1000), (30, 2500)]:
        p = statsmodels.stats.contingency_tables.mcnemar([[0, b], [c, 0]], exact=True).pvalue if b + c else 1.0
        put(f"  {{{b}, {c}, {number(min(1.0, p))}}},")
    put("};\n\nstruct wilson_row { int successes, n; double confidence, low, high; };\ninline constexpr wilson_row wilson[] = {")
    for s, n, c in [(8, 10, 0.95), (0, 10, 0.95), (10, 10, 0.95), (1, 200, 0.95), (131, 200, 0.95), (131, 200, 0.99), (3, 7, 0.5), (700, 824, 0.9)]:
        low, high = statsmodels.stats.proportion.proportion_confint(s, n, alpha=1 - c, method="wilson")
        put(f"  {{{s}, {n}, {number(c)}, {number(low)}, {number(high)}}},")
    put("};\n\nstruct quantile_row { double p, z; };\ninline constexpr quantile_row quantiles[] = {")
    for p in (1e-300, 1e-20, 1e-10, 1e-6, 0.001, 0.025, 0.07, 0.075, 0.3, 0.5, 0.6, 0.925, 0.95, 0.975, 0.995, 0.9999999):
        put(f"  {{{number(p)}, {number(scipy.stats.norm.ppf(p))}}},")
    p = [0.01, 0.04, 0.03, 0.005, 0.8, 0.04, 0.6]
    put(f"}};\n\ninline const std::vector<double> holm_p{list_of(p)};")
    put(f"inline const std::vector<double> holm_adjusted{list_of(statsmodels.stats.multitest.multipletests(p, method='holm')[1])};")
    marks = released_scores(data, released)
    put("\n// Of judge/released_rule_scores.jsonl.gz: 0, 1, e (the released code raised), - (no such task)")
    put("inline constexpr std::string_view released =")
    rows = [marks[i:i + 100] for i in range(0, len(marks), 100)]
    put("\n".join(f'    "{row}"' for row in rows) + ";")
    put("\n}  // namespace ql::test::goldens\n// clang-format on")


main()
