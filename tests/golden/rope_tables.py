#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/model/support/rope_tables.hpp from the published formulas, in decimal arithmetic of 50 digits.
Run: python3 tests/golden/rope_tables.py > tests/model/support/rope_tables.hpp

Sources: RoFormer, arXiv 2104.09864 (plain); Chen et al., arXiv 2306.15595 (linear); Peng et al., arXiv 2309.00071,
section 3.4 and appendix B (YaRN); Llama 3.1's rope_scaling (llama3)."""
from decimal import Decimal as D
from decimal import getcontext

getcontext().prec = 50


def arctan_inverse(n):
    """arctan(1 / n)"""
    total, term, k = D(0), D(1) / n, 0
    while abs(term) > D(10) ** -55:
        total += term / (2 * k + 1) * (-1) ** k
        term /= n * n
        k += 1
    return total


PI = 4 * (4 * arctan_inverse(D(5)) - arctan_inverse(D(239)))


def cos_sin(x):
    x = x % (2 * PI)
    cos, sin, term, k = D(0), D(0), D(1), 0
    while abs(term) > D(10) ** -45 or k < 10:
        part = term if k % 4 < 2 else -term
        if k % 2 == 0:
            cos += part
        else:
            sin += part
        k += 1
        term = term * x / k
    return cos, sin


def frequencies(c):
    dim, base, factor = D(c["dim"]), D(c["theta"]), D(str(c.get("factor", 1)))
    original = D(c.get("original", 0))
    plain = [(-(2 * D(i) / dim) * base.ln()).exp() for i in range(c["dim"] // 2)]
    kind = c["kind"]
    if kind == "plain":
        return plain
    if kind == "linear":
        return [f / factor for f in plain]
    if kind == "yarn":
        # the pair that turns `turns` times over the original context: L base^(-2i/d) / (2 pi) = turns
        def pair(turns):
            return dim * (original / (D(turns) * 2 * PI)).ln() / (2 * base.ln())

        low = max(pair(c["beta_fast"]).to_integral_value(rounding="ROUND_FLOOR"), D(0))
        high = min(pair(c["beta_slow"]).to_integral_value(rounding="ROUND_CEILING"), dim - 1)
        if low == high:
            high += D("0.001")
        out = []
        for i, f in enumerate(plain):
            ramp = min(max((D(i) - low) / (high - low), D(0)), D(1))
            out.append(f / factor * ramp + f * (1 - ramp))
        return out
    out = []  # llama3
    slow, fast = D(str(c["low"])), D(str(c["high"]))
    for f in plain:
        wave = 2 * PI / f
        if wave < original / fast:
            out.append(f)
        elif wave > original / slow:
            out.append(f / factor)
        else:
            smooth = (original / wave - slow) / (fast - slow)
            out.append((1 - smooth) * f / factor + smooth * f)
    return out


def scale(c):
    if c["kind"] != "yarn":
        return D(1)
    if c.get("attention"):
        return D(str(c["attention"]))
    return D("0.1") * D(c["factor"]).ln() + 1


CASES = [
    dict(kind="plain", dim=8, theta=10000),
    dict(kind="plain", dim=64, theta=1000000),
    dict(kind="linear", dim=16, theta=10000, factor=8),
    dict(kind="yarn", dim=128, theta=1000000, factor=4, original=32768, beta_fast=32, beta_slow=1),
    dict(kind="yarn", dim=128, theta=10000, factor=16, original=4096, beta_fast=32, beta_slow=1),
    dict(kind="yarn", dim=16, theta=100, factor=8, original=64, beta_fast=4, beta_slow=1, attention=1.25),
    dict(kind="yarn", dim=4, theta=10000, factor=2, original=8, beta_fast=32, beta_slow=32),
    dict(kind="llama3", dim=128, theta=500000, factor=8, original=8192, low=1, high=4),
    dict(kind="llama3", dim=64, theta=500000, factor=32, original=8192, low=1, high=4),
    dict(kind="llama3", dim=8, theta=100, factor=4, original=64, low=1, high=4),
]
FIELDS = [
    ("factor", "factor"),
    ("original_context", "original"),
    ("beta_fast", "beta_fast"),
    ("beta_slow", "beta_slow"),
    ("attention_factor", "attention"),
    ("low_frequency_factor", "low"),
    ("high_frequency_factor", "high"),
]
POSITIONS = [0, 1, 63, 4095, 131071]


def number(x):
    return repr(float(x))


print("""// SPDX-License-Identifier: Apache-2.0
#pragma once

// Written by tests/golden/rope_tables.py; do not edit.

#include <ql/model/config.hpp>

#include <array>
#include <vector>

namespace ql::test {

struct rope_golden {
  model::rope_config config;
  std::int64_t head_dim;
  double scale;
  std::vector<double> frequencies;
  std::vector<std::vector<double>> cosines, sines;  // by rope_positions, not scaled
};
""")
shown = ", ".join(map(str, POSITIONS))
print(f"inline constexpr std::array<std::int64_t, {len(POSITIONS)}> rope_positions{{{shown}}};\n")
print("// clang-format off\ninline const std::vector<rope_golden>& rope_goldens() {")
print("  static const std::vector<rope_golden> all{")
for c in CASES:
    f = frequencies(c)
    fields = [f".kind = model::rope_kind::{c['kind']}", f".theta = {c['theta']}"]
    for field, key in FIELDS:
        if key in c:
            fields.append(f".{field} = {c[key]}")
    first, second = ", ".join(fields[:4]), ", ".join(fields[4:])
    print("    {{" + first + (",\n      " + second if second else "") + "},")
    print(f"     {c['dim']}, {number(scale(c))},")

    def rows(values):
        return "{" + ", ".join(values) + "}"

    def wrapped(values):
        lines, line = [], "     "
        for v in values:
            if len(line) + len(v) + 2 > 117:
                lines.append(line)
                line = "     "
            line += " " + v + ","
        return "\n".join(lines + [line.rstrip(",")])

    print("     {\n" + wrapped([number(x) for x in f]) + "},")
    shown = f if len(f) <= 8 else f[:: len(f) // 8]  # some columns of wide tables
    for which in (0, 1):
        print("     {")
        for p in POSITIONS:
            print("      {\n" + wrapped([number(cos_sin(D(p) * D(float(x)))[which]) for x in shown]) + "},")
        print("     }," if which == 0 else "     }},")
print("  };\n  return all;\n}\n// clang-format on\n\n}  // namespace ql::test")
