#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The golden numbers of advantages, losses, KL and importance correction, from the papers' formulas alone: plain Python in
double precision, no ql, no other library. Gradients are central differences.

  formulas.py > tests/rl/support/formula_goldens.hpp     write them
  formulas.py --check FILE                               recompute and compare, also with the published six digits

The batch: 8 sequences in two groups of 4, lengths 4 3 2 4 1 2 4 3, rewards 1 0 0 1 0 0 0 1; with i, t from 0:
old = -0.5 - 0.1 ((3i + 2t) mod 7), lp = old + 0.1 (((5i + 3t) mod 9) - 4), ref = old + 0.02 (((2i + t) mod 5) - 2),
roll = old + 0.03 (((i + 2t) mod 5) - 2), V = 0.1 ((i + t) mod 4)."""
import math
import re
import sys

L = [4, 3, 2, 4, 1, 2, 4, 3]
R = [1, 0, 0, 1, 0, 0, 0, 1]
GROUPS = [range(0, 4), range(4, 8)]
KEYS = [(i, t) for i in range(8) for t in range(L[i])]
N = len(KEYS)
old = {(i, t): -0.5 - 0.1 * ((3 * i + 2 * t) % 7) for i, t in KEYS}
now = {(i, t): old[i, t] + 0.1 * (((5 * i + 3 * t) % 9) - 4) for i, t in KEYS}
ref = {(i, t): old[i, t] + 0.02 * (((2 * i + t) % 5) - 2) for i, t in KEYS}
roll = {(i, t): old[i, t] + 0.03 * (((i + 2 * t) % 5) - 2) for i, t in KEYS}
V = {(i, t): 0.1 * ((i + t) % 4) for i, t in KEYS}


def mean(x):
    x = list(x)
    return sum(x) / len(x)


def std(x):
    x = list(x)
    return math.sqrt(sum((v - mean(x)) ** 2 for v in x) / (len(x) - 1))


def sign(x):
    return (x > 0) - (x < 0)


def clamp(x, low, high):
    return min(max(x, low), high)


# --- advantages --------------------------------------------------------------------------------------------------------

def by_group(f):
    """f(rewards of the group, index within it, lengths of the group)"""
    return [f([R[k] for k in g], i - g[0], [L[k] for k in g]) for g in GROUPS for i in g]


def others(r, i):
    return r[:i] + r[i + 1:]


def whiten(a):
    """over the loss tokens, sample variance, 1e-8 inside the root"""
    m, s = mean(a[k] for k in KEYS), std(a[k] for k in KEYS)
    return {k: (a[k] - m) / math.sqrt(s * s + 1e-8) for k in KEYS}


def best_only(r, i, _):
    first, second = sorted(r)[-1], sorted(r)[-2]
    return (first - second) / (std(r) + 1e-6) if i == r.index(first) else 0.0


def gae(lam):
    a = {}
    for i in range(8):
        carried = 0.0
        for t in reversed(range(L[i])):
            reward, after = (R[i], 0.0) if t == L[i] - 1 else (0.0, V[i, t + 1])
            carried = reward + after - V[i, t] + lam * carried
            a[i, t] = carried
    return a


def rows(a, *which):
    return [a[i, t] for i in which for t in range(L[i])]


GRPO = by_group(lambda r, i, _: (r[i] - mean(r)) / (std(r) + 1e-6))
whitened_baseline = whiten({(i, t): R[i] - mean(R[k] for k in GROUPS[i // 4]) for i, t in KEYS})
whitened_return = whiten({(i, t): float(R[i]) for i, t in KEYS})

advantages = {
    "grpo": GRPO,
    "grpo_1e4": by_group(lambda r, i, _: (r[i] - mean(r)) / (std(r) + 1e-4)),
    "grpo_leave_one_out": by_group(lambda r, i, _: (r[i] - mean(others(r, i))) / (std(others(r, i)) + 1e-6)
                                   if std(others(r, i)) > 0 else r[i] - mean(others(r, i))),
    "dr_grpo": by_group(lambda r, i, _: r[i] - mean(r)),
    "rloo": by_group(lambda r, i, _: r[i] - mean(others(r, i))),
    "opo": by_group(lambda r, i, n: r[i] - sum(a * b for a, b in zip(n, r)) / sum(n)),
    "gpg": by_group(lambda r, i, _: len(R) / sum(x != 0 for x in R) * (r[i] - mean(r))),
    "max_rl": by_group(lambda r, i, _: (r[i] - mean(r)) / (mean(r) + 1e-6)),
    "pass_at_k": by_group(best_only),
    "batch_std": by_group(lambda r, i, _: (r[i] - mean(r)) / (std(R) + 1e-6)),
    "reinforce_pp_baseline": [whitened_baseline[i, 0] for i in range(8)],
    "reinforce_pp": [whitened_return[i, 0] for i in range(8)],
    "gae": rows(gae(0.95), 0, 6),
    "gae_whitened": rows(whiten(gae(0.95)), 0, 6),
}
# A group of equal rewards has a best member as well, whose lead is 0.
advantages["pass_at_k"] = [abs(a) for a in advantages["pass_at_k"]]


# --- aggregation ---------------------------------------------------------------------------------------------------------

def token_mean(l):
    return sum(l.values()) / N


def sequence_sum(l, i):
    return sum(l[i, t] for t in range(L[i]))


def seq_mean_token_mean(l):
    return mean(sequence_sum(l, i) / L[i] for i in range(8))


def seq_mean_token_sum(l):
    return mean(sequence_sum(l, i) for i in range(8))


def seq_mean_token_sum_norm(l):
    return seq_mean_token_sum(l) / 4


def prompt_mean(l):
    return mean(sum(sequence_sum(l, i) for i in g) / sum(L[i] for i in g) for g in GROUPS)


# --- losses: (log-probs, log-probs under a stopped gradient, advantages) -> one number a token ---------------------------

def pointwise(f):
    """f(ratio, stopped ratio, log-prob, advantage, key)"""
    return lambda p, s, A: {(i, t): f(math.exp(p[i, t] - old[i, t]), math.exp(s[i, t] - old[i, t]), p[i, t], A[i], (i, t))
                            for i, t in KEYS}


def ppo(low, high):
    return pointwise(lambda r, _, p, A, k: -min(r * A, clamp(r, 1 - low, 1 + high) * A))


def dual(c):
    def f(r, _, p, A, k):
        loss = -min(r * A, clamp(r, 0.8, 1.2) * A)
        return min(loss, -c * A) if A < 0 else loss
    return pointwise(f)


def gspo(low, high):
    def f(p, s, A):
        ratio = [math.exp(mean(p[i, t] - old[i, t] for t in range(L[i]))) for i in range(8)]
        return {(i, t): -min(ratio[i] * A[i], clamp(ratio[i], 1 - low, 1 + high) * A[i]) for i, t in KEYS}
    return f


def cispo(low, high):
    return pointwise(lambda r, s, p, A, k: -clamp(s, low, high) * A * p)


def sapo(r, _, p, A, k):
    tau = 1.0 if A > 0 else 1.05
    return -4 / tau / (1 + math.exp(-tau * (r - 1))) * A


def gmpo(p, s, A):
    out = {}
    for i in range(8):
        d = [p[i, t] - old[i, t] for t in range(L[i])]
        held = [sign(A[i]) * min(sign(A[i]) * x, sign(A[i]) * clamp(x, -0.25, 0.25)) for x in d]
        for t in range(L[i]):
            out[i, t] = -A[i] * math.exp(mean(held))
    return out


def dppo_tv(r, s, p, A, k):
    moved = s * math.exp(old[k]) - math.exp(old[k])
    keep = moved <= 0.2 if A > 0 else moved >= -0.2
    return -A * min(s, 20) * p * keep


reinforce = pointwise(lambda r, s, p, A, k: -A * p)
LOSSES = {
    "clip": (ppo(0.2, 0.2), token_mean, GRPO),
    "clip_seq_mean_token_mean": (ppo(0.2, 0.2), seq_mean_token_mean, GRPO),
    "clip_seq_mean_token_sum": (ppo(0.2, 0.2), seq_mean_token_sum, GRPO),
    "clip_seq_mean_token_sum_norm": (ppo(0.2, 0.2), seq_mean_token_sum_norm, GRPO),
    "clip_prompt_mean": (ppo(0.2, 0.2), prompt_mean, GRPO),
    "clip_higher": (ppo(0.2, 0.28), token_mean, GRPO),
    "dual_clip": (dual(1.2), token_mean, GRPO),
    "gspo": (gspo(3e-4, 4e-4), seq_mean_token_mean, GRPO),
    "gspo_wide": (gspo(0.2, 0.2), seq_mean_token_mean, GRPO),
    "cispo_128": (cispo(0, 1.28), token_mean, GRPO),
    "cispo_08_12": (cispo(0.8, 1.2), token_mean, GRPO),
    "cispo_5": (cispo(0, 5), token_mean, GRPO),
    "cispo_trap": (cispo(0, 0.2), token_mean, GRPO),
    "sapo": (pointwise(sapo), seq_mean_token_mean, GRPO),
    "gpg_loss": (reinforce, token_mean, advantages["gpg"]),
    "dppo_tv": (pointwise(dppo_tv), token_mean, GRPO),
    "gmpo": (gmpo, seq_mean_token_mean, GRPO),
    "reinforce": (reinforce, token_mean, GRPO),
}


def value_and_gradient(f, how, A):
    value, gradient = how(f(now, now, A)), []
    for k in KEYS:
        ends = []
        for h in (1e-5, -1e-5):
            moved = dict(now)
            moved[k] += h
            ends.append(how(f(moved, now, A)))
        gradient.append((ends[0] - ends[1]) / 2e-5)
    return [value] + gradient


# --- KL, importance correction, the rest -----------------------------------------------------------------------------------

u = {k: now[k] - ref[k] for k in KEYS}
q = {k: old[k] - roll[k] for k in KEYS}
w = {k: math.exp(q[k]) for k in KEYS}
kept = {k: w[k] if 0.98 <= w[k] <= 1.05 else 0.0 for k in KEYS}
total = [math.exp(sum(q[i, t] for t in range(L[i]))) for i in range(8)]
centre = (mean(GRPO[i] for i, t in KEYS), mean(now.values()))
covariance = {(i, t): (GRPO[i] - centre[0]) * (now[i, t] - centre[1]) for i, t in KEYS}


def value_loss(k):
    v, before, target = V[k] + 0.3, V[k], R[k[0]]
    return 0.5 * max((v - target) ** 2, (clamp(v, before - 0.2, before + 0.2) - target) ** 2)


others_table = {
    "kl": [mean(u.values()), mean(x * x / 2 for x in u.values()), mean(math.exp(-x) - 1 + x for x in u.values())],
    "is_mean": [mean(w.values())],
    "tis": [mean(min(x, 1.05) for x in w.values())],
    "icepop": [mean(x > 0 for x in kept.values()), mean(kept.values())],
    "sequence_ratio": total,
    "geometric_ratio": [math.exp(mean(q[i, t] for t in range(L[i]))) for i in range(8)],
    "effective_share": [sum(w.values()) ** 2 / (N * sum(x * x for x in w.values()))],
    "chi_squared": [mean(x * x for x in w.values()) - 1],
    "value_loss": [mean(value_loss(k) for k in KEYS)],
    "covariance": [covariance[7, 0], covariance[2, 0], covariance[3, 3]],
    "overlong": [clamp(-(n - (20480 - 4096)) / 4096, -1.0, 0.0) for n in (16384, 18432, 20480, 21000)],
    # weights with the batch's mean 1, over tokens and over sequences
    "tis_normalised": [min(w[k], 1.05) / mean(min(x, 1.05) for x in w.values()) for k in KEYS],
    "sequence_tis_normalised": [min(x, 1.05) / mean(min(y, 1.05) for y in total) for x in total],
}

PUBLISHED = {  # to six digits: the values, or (loss, norm of its gradient, gradient of the first sequence)
    "grpo": "0.866024 -0.866024 -0.866024 0.866024 -0.499999 -0.499999 -0.499999 1.499997",
    "grpo_1e4": "0.865875 -0.865875 -0.865875 0.865875 -0.499900 -0.499900 -0.499900 1.499700",
    "grpo_leave_one_out": "1.154699 -1.154699 -1.154699 1.154699 -0.577349 -0.577349 -0.577349 1.0",
    "dr_grpo": "0.5 -0.5 -0.5 0.5 -0.25 -0.25 -0.25 0.75",
    "rloo": "0.666667 -0.666667 -0.666667 0.666667 -0.333333 -0.333333 -0.333333 1.0",
    "opo": "0.384615 -0.615385 -0.615385 0.384615 -0.3 -0.3 -0.3 0.7",
    "gpg": "1.333333 -1.333333 -1.333333 1.333333 -0.666667 -0.666667 -0.666667 2.0",
    "max_rl": "0.999998 -0.999998 -0.999998 0.999998 -0.999996 -0.999996 -0.999996 2.999988",
    "pass_at_k": "0 0 0 0 0 0 0 1.999996",
    "batch_std": "0.966090 -0.966090 -0.966090 0.966090 -0.483045 -0.483045 -0.483045 1.449135",
    "reinforce_pp_baseline": "0.849493 -1.207175 -1.207175 0.849493 -0.693008 -0.693008 -0.693008 1.363661",
    "reinforce_pp": "1.021508 -0.936382 -0.936382 1.021508 -0.936382 -0.936382 -0.936382 1.021508",
    "gae": "0.885412 0.826750 0.765 0.7 -0.180487 -0.295250 0.005 -0.1",
    "gae_whitened": "1.166801 1.050044 0.927141 0.797770 -0.954691 -1.183106 -0.585510 -0.794494",
    "clip": "-0.138936 0.148965 -0.025240 -0.034070 0 -0.025240",
    "clip_seq_mean_token_mean": "0.002826 0.151752 -0.018141 -0.024488 0 -0.018141",
    "clip_seq_mean_token_sum": "-0.399440 0.428274 -0.072564 -0.097951 0 -0.072564",
    "clip_seq_mean_token_sum_norm": "-0.099860 0.107069 -0.018141 -0.024488 0 -0.018141",
    "clip_prompt_mean": "-0.137743 0.152132 -0.022327 -0.030139 0 -0.022327",
    "clip_higher": "-0.146571 0.168925 -0.025240 -0.034070 -0.045990 -0.025240",
    "dual_clip": "-0.153647 0.132171 -0.025240 -0.034070 0 -0.025240",
    "gspo": "0.031292 0.107590 -0.022718 -0.022718 -0.022718 -0.022718",
    "gspo_wide": "-0.020638 0.183432 -0.022718 -0.022718 -0.022718 -0.022718",
    "cispo_128": "0.084641 0.189301 -0.025240 -0.034070 -0.045990 -0.025240",
    "cispo_08_12": "0.096290 0.188267 -0.030123 -0.034070 -0.045184 -0.030123",
    "cispo_5": "0.080781 0.198120 -0.025240 -0.034070 -0.045990 -0.025240",
    "cispo_trap": "0.020503 0.037148 -0.007531 -0.007531 -0.007531 -0.007531",
    "sapo": "-0.062579 0.188216 -0.017657 -0.024432 -0.032653 -0.017657",
    "gpg_loss": "0.162319 0.268801 -0.057971 -0.057971 -0.057971 -0.057971",
    "dppo_tv": "0.071052 0.172585 -0.025240 -0.034070 -0.045990 -0.025240",
    "gmpo": "-0.004430 0.157574 -0.022718 -0.022718 -0.022718 -0.022718",
    "reinforce": "0.102517 0.185739 -0.037653 -0.037653 -0.037653 -0.037653",
    "kl": "-0.048696 0.034383 0.036132",
    "is_mean": "1.002224",
    "tis": "0.999651",
    "icepop": "0.434783 0.440079",
    "sequence_ratio": "1.030455 1.061837 0.941765 0.970446 0.941765 1.061837 1.061837 0.970446",
    "geometric_ratio": "1.007528 1.020201 0.970446 0.992528 0.941765 1.030455 1.015113 0.990050",
    "effective_share": "0.998173",
    "chi_squared": "0.006292",
    "value_loss": "0.165217",
    "covariance": "1.004749 0.564577 0.317771",
    "overlong": "0 -0.5 -1 -1",
}


def everything():
    table = dict(advantages)
    table.update({name: value_and_gradient(*loss) for name, loss in LOSSES.items()})
    table.update(others_table)
    return table


def check(path, table):
    text = open(path).read()
    found = {name: [float(x) for x in body.replace("\n", " ").split(",")]
             for name, body in re.findall(r"double (\w+)\[\] = \{([^}]*)\}", text)}
    problems = []
    if found.keys() != table.keys():
        problems.append(f"{path} and this script hold different names: {sorted(found.keys() ^ table.keys())}")
    for name in found.keys() & table.keys():
        if len(found[name]) != len(table[name]) or any(abs(a - b) > 1e-9 for a, b in zip(found[name], table[name])):
            problems.append(f"{name}: {path} has other numbers; is it as `formulas.py` writes it?")
    for name, digits in PUBLISHED.items():
        values = table[name]
        if name in LOSSES:
            values = [values[0], math.sqrt(sum(g * g for g in values[1:]))] + values[1:5]
        want = [float(x) for x in digits.split()]
        if len(want) != len(values) or any(abs(a - b) > 6e-7 for a, b in zip(values, want)):
            problems.append(f"{name}: published {want}, computed {values}")
    return problems, len(found)


def main():
    table = everything()
    if sys.argv[1:2] == ["--check"]:
        problems, count = check(sys.argv[2], table)
        print("\n".join(problems) or f"{count} sets of numbers are what the formulas give")
        return len(problems)
    print("// SPDX-License-Identifier: Apache-2.0\n#pragma once\n\n// Written by tests/golden/formulas.py from formulas alone. A loss is its value and\n"
          "// its derivative by each token's log-prob.\n// clang-format off\n\nnamespace ql::test::formulas {")
    for name, values in table.items():
        lines, line = [], "   "
        for v in values:
            text = f" {v + 0.0:.17g},"
            if len(line) + len(text) > 118:
                lines, line = lines + [line], "   "
            line += text
        print(f"inline constexpr double {name}[] = {{\n" + "\n".join(lines + [line]).rstrip(",") + "};")
    print("}  // namespace ql::test::formulas")
    return 0


if __name__ == "__main__":
    sys.exit(main())
