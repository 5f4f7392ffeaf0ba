# SPDX-License-Identifier: Apache-2.0
"""Starts ranks.cpp with mpirun, kills or freezes a rank, and reads what the others say.

Usage: run.py MPIRUN RANKS laws | same_bits | rows | killed | frozen | left_early | out_of_step
       run.py MPIRUN TRAINING training"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import launch

MPIRUN, PROGRAM, WHAT = sys.argv[1:4]
NAMED_WITHIN = 10  # seconds


def whole(ranks, *arguments):
    """What ranks that nobody disturbs print."""
    done = subprocess.run(launch.command(MPIRUN, ranks, [PROGRAM, *arguments]), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{ranks} ranks:\n{done.stdout}{done.stderr}"
    return done.stdout


class Run:
    """A job that loses a rank. Its lines are kept with the time they came."""

    def __init__(self, ranks, *arguments):
        self.ranks, self.lines = ranks, []
        self.folder = tempfile.TemporaryDirectory(prefix="ql-mpi-")
        command = launch.command(MPIRUN, ranks, [PROGRAM, *arguments], recovers=True, codes=self.folder.name)
        self.job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        self.processes = {int(m[1]): int(m[2]) for _, m in self.wait_for(r"rank (\d+) process (\d+)", ranks, 30)}
        assert len(self.processes) == ranks, f"not all ranks started:\n{self.text()}"

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

    def end(self):
        for process in self.processes.values():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            self.job.wait(20)
        except subprocess.TimeoutExpired:
            self.job.kill()
        self.folder.cleanup()

    def loses(self, victim, act):
        """Does act(process of the victim). Every other rank names it, its process and its host within the limit, and
        ends by itself with the code that says: start me again."""
        others = set(range(self.ranks)) - {victim}
        began = time.monotonic()
        act(self.processes[victim])
        said = self.wait_for(r"rank (\d+) names (-?\d+): (.*)", len(others), NAMED_WITHIN + 5)
        assert {int(m[1]) for _, m in said} == others, f"not all of {others} spoke:\n{self.text()}"
        assert all(int(m[2]) == victim for _, m in said), f"another rank was named:\n{self.text()}"
        where = f"rank {victim} (process {self.processes[victim]} on {socket.gethostname()})"
        assert all(where in m[3] for _, m in said), f"not where it was, {where}:\n{self.text()}"
        slowest = max(when for when, _ in said) - began
        print(f"{len(others)} ranks named {where} within {slowest:.2f} s")
        assert slowest <= NAMED_WITHIN, f"named after {slowest:.1f} s"
        codes = launch.codes(self.folder.name, others)
        assert set(codes.values()) == {launch.REQUEUE}, f"ranks ended with {codes}:\n{self.text()}"


def kill(process):
    os.kill(process, signal.SIGKILL)


def freeze(process):
    os.kill(process, signal.SIGSTOP)


def fault(ranks, victim, argument, act):
    run = Run(ranks, argument)
    try:
        time.sleep(0.3)
        run.loses(victim, act)
    finally:
        run.end()


def hash_of(text):
    return re.search(r"hash (\w{16})", text)[1]


def training():
    """Runs of four ranks lose one, by death and by frost; the others stop, the last checkpoint stands, and two ranks go
    on from it to the weights of a run that one rank did undisturbed."""
    for victim, act in ((2, kill), (0, freeze)):
        with tempfile.TemporaryDirectory() as alone, tempfile.TemporaryDirectory() as folder:
            run = Run(4, folder, 50, 0.3)
            try:
                assert run.wait_for(r"saved 2", 1, 60), run.text()
                run.loses(victim, act)
            finally:
                run.end()
            saved = int(re.findall(r"saved (\d+)", run.text())[-1])
            further = saved + 2
            text = whole(2, folder, further, 0)
            assert int(re.search(r"from step (\d+)", text)[1]) >= saved, text
            assert hash_of(text) == hash_of(whole(1, alone, further, 0)), text


def main():
    if WHAT == "training":
        training()
    elif WHAT == "rows":
        for ranks, how in (2, "rows"), (3, "rows"), (8, "rows"), (2, "heads"), (4, "heads"):
            said = [re.search(r"hash (\w{16}), (\S+)", whole(ranks, how)) for _ in range(2)]
            print(f"{how}, {ranks} ranks: gradients differ from one rank's by {said[0][2]}")
            assert said[0][1] == said[1][1], "gradients of two runs differ"
    elif WHAT == "laws":
        for ranks in (1, 2, 3, 8):
            whole(ranks, "laws")
    elif WHAT == "same_bits":
        hashes = {ranks: hash_of(whole(ranks, "same_bits")) for ranks in (1, 2, 4, 8)}
        print(hashes)
        assert len(set(hashes.values())) == 1, hashes
    elif WHAT == "killed":
        fault(4, 2, "loop", kill)
    elif WHAT == "frozen":
        fault(4, 1, "loop", freeze)
    elif WHAT == "left_early":
        fault(3, 2, "leave", lambda process: None)
    elif WHAT == "out_of_step":
        run = Run(3, "stray")
        try:
            said = run.wait_for(r"rank (\d+) names \d+: .*not at the same place", 1, 15)
            assert said, run.text()
            first = int(said[0][1][1])
            assert launch.codes(run.folder.name, [first]) == {first: launch.REQUEUE}, run.text()
        finally:
            run.end()
    else:
        sys.exit(__doc__)


main()
