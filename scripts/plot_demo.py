# SPDX-License-Identifier: Apache-2.0
"""Draws docs/images/demo.svg out of the summary of a demonstration run.

    python3 scripts/plot_demo.py demo-run/summary.json > docs/images/demo.svg
"""
import json
import sys

summary = json.load(open(sys.argv[1]))
moments = [m for m in summary["accuracy"] if m["by_length"]]
colours = ["#98a2b3", "#2f6fde", "#c2570c", "#0e8a5f", "#7a3db8"]
names = ["before RL"] + [f"after RL phase {i}" for i in range(1, len(moments))]
width, height, left, bottom, top = 720, 320, 56, 44, 64
lengths = [x["length"] for x in moments[0]["by_length"]]
x = lambda i, k: left + (width - left - 40) * (i + 0.5 + (k - len(moments) / 2) * 0.07) / len(lengths)
y = lambda a: height - bottom - (height - bottom - top) * a
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">')
print(f'<rect width="{width}" height="{height}" fill="#ffffff"/>')
items = moments[0]["by_length"][0]["items"]
print(f'<text x="{left}" y="20" font-size="14">Accuracy on held-out documents, {items} questions a length, with 95 % intervals</text>')
for k, name in enumerate(names):
    print(f'<circle cx="{left + 6 + 150 * k}" cy="38" r="5" fill="{colours[k]}"/><text x="{left + 16 + 150 * k}" y="42">{name}</text>')
for tick in (0, 0.25, 0.5, 0.75, 1):
    print(f'<line x1="{left}" x2="{width - 16}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#e4e7ec"/>')
    print(f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.0%}</text>')
for i, length in enumerate(lengths):
    print(f'<text x="{x(i, len(moments) / 2):.1f}" y="{height - 22}" text-anchor="middle">up to {length} tokens</text>')
for k, moment in enumerate(moments):
    points = [(x(i, k), v) for i, v in enumerate(moment["by_length"])]
    line = " ".join(f'{px:.1f},{y(v["accuracy"]):.1f}' for px, v in points)
    print(f'<polyline points="{line}" fill="none" stroke="{colours[k]}" stroke-opacity="0.4"/>')
    for px, v in points:
        print(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{y(v["low"]):.1f}" y2="{y(v["high"]):.1f}" stroke="{colours[k]}" stroke-width="2"/>')
        print(f'<circle cx="{px:.1f}" cy="{y(v["accuracy"]):.1f}" r="4" fill="{colours[k]}"><title>{names[k]}, up to {v["length"]} tokens: {v["accuracy"]:.1%}</title></circle>')
print("</svg>")
