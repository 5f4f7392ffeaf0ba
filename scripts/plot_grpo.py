# SPDX-License-Identifier: Apache-2.0
"""Draws docs/images/grpo_from_scratch.svg out of what the example printed.

    build/release/examples/ql_example_grpo_from_scratch | python3 scripts/plot_grpo.py > docs/images/grpo_from_scratch.svg
"""
import re
import sys

points = [(int(step), float(reward)) for step, reward in re.findall(r"step\s+(\d+)\s+reward\s+([\d.]+)", sys.stdin.read())]
if len(points) < 2:
    sys.exit("plot_grpo.py: no 'step N reward R' lines on standard input")
width, height, left, bottom, top = 640, 260, 52, 36, 30
last = points[-1][0]
x = lambda step: left + (width - left - 16) * step / last
y = lambda reward: height - bottom - (height - bottom - top) * reward
line = " ".join(f"{x(s):.1f},{y(r):.1f}" for s, r in points)
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">')
print(f'<rect width="{width}" height="{height}" fill="#ffffff"/>')
print(f'<text x="{left}" y="18" font-size="14">GRPO from random weights: mean reward by step (256 answers a step)</text>')
for tick in (0, 0.25, 0.5, 0.75, 1):
    print(f'<line x1="{left}" x2="{width - 16}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#dddddd"/>')
    print(f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>')
for step in range(0, last + 1, 100):
    print(f'<text x="{x(step):.1f}" y="{height - 14}" text-anchor="middle">{step}</text>')
print(f'<polyline points="{line}" fill="none" stroke="#1f6fb2" stroke-width="2.5"/>')
print("</svg>")
