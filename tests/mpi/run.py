# SPDX-License-Identifier: Apache-2.0
"""Starts ranks.cpp with mpirun, kills or freezes a rank, and reads what the others say.

Usage: run.py MPIRUN RANKS laws | same_bits | killed | frozen | left_early | out_of_step"""

import os
import re
import signal
import subprocess
import sys
import threading
import time

MPIRUN, RANKS, WHAT = sys.argv[1:4]
NAMED_WITHIN = 10  # seconds


def command(ranks, *arguments):
    version = subprocess.run([MPIRUN, "--version"], capture_output=True, text=True).stdout
    options = []
    if "Open MPI" in version or "open-mpi" in version:
        options = ["--oversubscribe", "--bind-to", "none", "--mca", "btl_vader_single_copy_mechanism", "none"]
        if os.geteuid() == 0:
            options.append("--allow-run-as-root")
        if WHAT in ("killed", "frozen", "left_early", "out_of_step"):
            options += ["--enable-recovery"]  # or mpirun ends the others before they can say why
    return [MPIRUN, *options, "-n", str(ranks), RANKS, *arguments]


class Run:
    """A job whose lines are kept with the time they came."""

    def __init__(self, ranks, argument):
        self.lines = []
        self.job = subprocess.Popen(command(ranks, argument), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.job.stdout:
            self.lines.append((time.monotonic(), line.rstrip()))

    def wait_for(self, pattern, count, seconds):
        """The matches of `pattern`, with their times, as soon as there are `count`."""
        end = time.monotonic() + seconds
        while True:
            found = [(when, m) for when, line in list(self.lines) for m in [re.search(pattern, line)] if m]
            if len(found) >= count or time.monotonic() > end:
                return found
            time.sleep(0.02)

    def text(self):
        return "\n".join(line for _, line in self.lines)


def fault(ranks, victim, argument, act):
    """Does act(process of the victim); every other rank must name it within the limit."""
    run = Run(ranks, argument)
    processes = {int(m[1]): int(m[2]) for _, m in run.wait_for(r"rank (\d+) process (\d+)", ranks, 30)}
    assert len(processes) == ranks, f"not all ranks started:\n{run.text()}"
    time.sleep(0.3)
    began = time.monotonic()
    try:
        act(processes[victim])
        said = run.wait_for(r"rank (\d+) names (-?\d+)", ranks - 1, NAMED_WITHIN + 5)
    finally:
        for process in processes.values():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            run.job.wait(20)
        except subprocess.TimeoutExpired:
            run.job.kill()
    others = set(range(ranks)) - {victim}
    assert {int(m[1]) for _, m in said} == others, f"not all of {others} spoke:\n{run.text()}"
    assert all(int(m[2]) == victim for _, m in said), f"another rank was named:\n{run.text()}"
    slowest = max(when for when, _ in said) - began
    print(f"{len(others)} ranks named rank {victim} within {slowest:.2f} s")
    assert slowest <= NAMED_WITHIN, f"named after {slowest:.1f} s"


def main():
    if WHAT == "laws":
        for ranks in (1, 2, 3, 8):
            done = subprocess.run(command(ranks, "laws"), capture_output=True, text=True, timeout=100)
            assert done.returncode == 0, f"{ranks} ranks:\n{done.stdout}{done.stderr}"
    elif WHAT == "same_bits":
        hashes = {}
        for ranks in (1, 2, 4, 8):
            done = subprocess.run(command(ranks, "same_bits"), capture_output=True, text=True, timeout=100)
            assert done.returncode == 0, f"{ranks} ranks:\n{done.stdout}{done.stderr}"
            hashes[ranks] = re.search(r"hash (\w{16})", done.stdout)[1]
        print(hashes)
        assert len(set(hashes.values())) == 1, hashes
    elif WHAT == "killed":
        fault(4, 2, "loop", lambda process: os.kill(process, signal.SIGKILL))
    elif WHAT == "frozen":
        fault(4, 1, "loop", lambda process: os.kill(process, signal.SIGSTOP))
    elif WHAT == "left_early":
        fault(3, 2, "leave", lambda process: None)
    elif WHAT == "out_of_step":
        run = Run(3, "stray")
        said = run.wait_for(r"rank (\d+) names \d+: .*not at the same place", 1, 15)
        run.job.terminate()
        run.job.wait(20)
        assert said, run.text()
    else:
        sys.exit(__doc__)


main()
