#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares a run's TensorBoard file, read by TensorBoard's own reader, with its metrics.jsonl.

Usage: check_tensorboard.py RUN (in an environment with the PyPI package tensorboard)"""

import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    run = pathlib.Path(sys.argv[1])
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    found = {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
    compared = wrong = 0
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        flat = {f"{row['stage']}/{k}": v for k, v in row.items() if k not in ("step", "stage", "time")}
        flat.update({f"time/{k}": v for k, v in row["time"].items() if k != "wall"})
        for tag, value in flat.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            compared += 1
            if found.get(tag, {}).get(row["step"]) != struct.unpack("f", struct.pack("f", value))[0]:
                wrong += 1
                print(f"{tag} at step {row['step']}: {value} in metrics.jsonl, {found.get(tag, {}).get(row['step'])}")
    print(f"{compared} scalars compared, {wrong} differ")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
