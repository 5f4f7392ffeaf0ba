# SPDX-License-Identifier: Apache-2.0
"""Starts ranks.cpp with mpirun, kills or freezes a rank, and reads what the others say.

Usage: run.py MPIRUN RANKS laws | same_bits | rows | killed | frozen | left_early | out_of_step
       run.py MPIRUN TRAINING training"""

import os
import re
import signal
import subprocess
import sys
import tempfile
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
        if WHAT in ("killed", "frozen", "left_early", "out_of_step", "training"):
            options += ["--enable-recovery"]  # or mpirun ends the others before they can say why
    return [MPIRUN, *options, "-n", str(ranks), RANKS, *arguments]


class Run:
    """A job whose lines are kept with the time they came."""

    def __init__(self, ranks, *arguments):
        self.lines = []
        self.job = subprocess.Popen(command(ranks, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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


def training():
    """A run of four ranks loses one; the others stop, the last checkpoint stands, and two ranks go on from it to the
    weights of a run that one rank did undisturbed."""

    def whole(ranks, folder, steps):
        done = subprocess.run(command(ranks, folder, str(steps), "0"), capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, f"{ranks} ranks:\n{done.stdout}{done.stderr}"
        return done.stdout

    with tempfile.TemporaryDirectory() as alone, tempfile.TemporaryDirectory() as folder:
        expected = re.search(r"hash (\w{16})", whole(1, alone, 4))[1]
        run = Run(4, folder, "50", "0.3")
        processes = {int(m[1]): int(m[2]) for _, m in run.wait_for(r"rank (\d+) process (\d+)", 4, 30)}
        assert len(processes) == 4, run.text()
        assert run.wait_for(r"saved 2", 1, 60), run.text()
        began = time.monotonic()
        try:
            os.kill(processes[2], signal.SIGKILL)
            said = run.wait_for(r"rank (\d+) names (-?\d+)", 3, NAMED_WITHIN + 5)
            assert {(int(m[1]), int(m[2])) for _, m in said} == {(0, 2), (1, 2), (3, 2)}, run.text()
            print(f"named within {max(when for when, _ in said) - began:.2f} s")
            run.job.wait(20)
        finally:
            for process in processes.values():
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            run.job.kill()
        saved = int(re.findall(r"saved (\d+)", run.text())[-1])
        if saved < 4:
            text = whole(2, folder, 4)
            assert int(re.search(r"from step (\d+)", text)[1]) >= saved, text
            assert re.search(r"hash (\w{16})", text)[1] == expected, text
        else:  # it was quicker than the kill: compare further on
            further = saved + 2
            text = whole(2, folder, further)
            assert re.search(r"hash (\w{16})", text)[1] == re.search(r"hash (\w{16})", whole(1, alone, further))[1], text


def main():
    if WHAT == "training":
        training()
    elif WHAT == "rows":
        for ranks in (2, 3, 8):
            hashes = []
            for _ in range(2):
                done = subprocess.run(command(ranks, "rows"), capture_output=True, text=True, timeout=100)
                assert done.returncode == 0, f"{ranks} ranks:\n{done.stdout}{done.stderr}"
                hashes.append(re.search(r"hash (\w{16}), (\S+)", done.stdout))
            print(f"{ranks} ranks: gradients differ from one rank's by {hashes[0][2]}")
            assert hashes[0][1] == hashes[1][1], "gradients of two runs differ"
    elif WHAT == "laws":
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
