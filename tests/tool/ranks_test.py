# SPDX-License-Identifier: Apache-2.0
"""`train` by processes that mpirun started: the weights and rows of one process, bit for bit; one of them writes and
speaks; interrupted or killed they stop as one with 75 and go on in any number. Usage: ranks_test.py PROGRAM DATA"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mpi"))
import launch
from documents import make_all
from support import run_rows, same_run

program = sys.argv[1]
mpirun = shutil.which("mpirun")


def train(root, run, *more):
    return [program, "train", str(root / "recipe.toml"), str(run), "--threads", "1", *more]


def launched(rank, size):
    """The environment that torchrun gives a process."""
    return {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}


def refused(command, saying):
    """Two processes that cannot work together: one of them says why, both end with 2."""
    done = [subprocess.run(command, capture_output=True, text=True, env=launched(r, 2), timeout=60) for r in range(2)]
    assert [d.returncode for d in done] == [2, 2], [(d.returncode, d.stderr) for d in done]
    assert done[1].stderr == "", done[1].stderr
    assert all(s in done[0].stderr for s in ("2 processes, started by torchrun", *saying)), done[0].stderr


class Job:
    def __init__(self, ranks, command):
        self.folder = tempfile.TemporaryDirectory(prefix="ql-ranks-")
        self.ranks, self.command = ranks, command
        self.job = subprocess.Popen(launch.command(mpirun, ranks, command, recovers=True, codes=self.folder.name),
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def process(self, rank):
        """The process of a rank."""
        for p in pathlib.Path("/proc").iterdir():
            try:
                if not p.name.isdigit() or (p / "cmdline").read_bytes().split(b"\0")[:2] != [program.encode(), b"train"]:
                    continue
                environment = (p / "environ").read_bytes().split(b"\0")
                if self.command[3].encode() in (p / "cmdline").read_bytes().split(b"\0") and any(
                        f"{name}={rank}".encode() in environment for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK")):
                    return int(p.name)
            except OSError:
                pass
        raise AssertionError(f"no process of rank {rank}")

    def until(self, what):
        said = ""
        for line in self.job.stdout:
            said += line
            if what in line:
                return
        raise AssertionError(f"'{what}' was not said:\n{said}")

    def end(self, *expected):
        """What was said until the end; every rank must end with one of the codes."""
        said = self.job.stdout.read()
        self.job.wait(60)
        codes = launch.codes(self.folder.name, range(self.ranks))
        assert set(codes.values()) <= set(expected), (codes, said)
        self.folder.cleanup()
        return said


with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    make_all(root)

    with_mpi = "built without MPI" not in subprocess.run(
        train(root, root / "refused"), capture_output=True, text=True, env=launched(0, 2)).stderr
    refused(train(root, root / "refused"), ["mpirun -n N" if with_mpi else "-DQL_MPI=ON", "MPI"])
    refused([program, "sft", str(root / "recipe.toml"), str(root / "refused")], ["only `train`"])
    assert not (root / "refused").exists(), "nothing is left of what was refused"
    if mpirun is None or not with_mpi:
        print("no mpirun" if with_mpi else "the program was built without MPI", "- what ranks do is not tested")
        sys.exit(0)

    alone = root / "alone"
    one = subprocess.run(train(root, alone), capture_output=True, text=True, timeout=250)
    assert one.returncode == 0, one.stderr

    three = root / "three"
    said = Job(3, train(root, three)).end(0)
    same_run(alone, three)
    for name in ("validation", "change.json", "summary.json", "verdicts.jsonl", "warm_up"):
        assert (alone / name).exists() == (three / name).exists(), name
    for f in (alone / "validation").iterdir():
        assert f.read_text() == (three / "validation" / f.name).read_text(), f.name
    assert said.count("report: ") == 1 and said.count("(rl)") == one.stderr.count("(rl)"), said

    # what is wrong is said once
    said = Job(2, train(root, root / "wrong", "--set", "rl.group_sise=4")).end(2)
    assert said.count("group_sise") == 1 and not (root / "wrong").exists(), said
    said = Job(2, train(root, root / "heads", "--split", "heads")).end(2)
    assert said.count("divide the model's 1 key-value heads") == 1 and not (root / "heads").exists(), said

    if os.environ.get("QL_TEST_BRIEF"):
        sys.exit(0)

    # rows are split: another order of sums, the same everywhere
    rows = [root / "rows_1", root / "rows_2"]
    for run in rows:
        Job(2, train(root, run, "--split", "rows")).end(0)
    same_run(*rows)
    assert (rows[0] / "policy/model.safetensors").read_bytes() != (alone / "policy/model.safetensors").read_bytes()
    mine, other = [run_rows(r / "metrics.jsonl") for r in (alone, rows[0])]
    assert [s["stage"] for s in mine] == [s["stage"] for s in other]
    mine, other = [[s["loss"] for s in steps if s["stage"] == "sft"] for steps in (mine, other)]
    assert mine[0] == other[0] and all(abs(a - b) < 1e-3 for a, b in zip(mine, other)), (mine, other)

    # any rank may be interrupted; another number of ranks goes on
    stopped = root / "stopped"
    job = Job(2, train(root, stopped))
    job.until("(rl)")
    os.kill(job.process(1), signal.SIGTERM)
    job.end(launch.REQUEUE)
    Job(3, train(root, stopped)).end(0)
    same_run(alone, stopped)

    # a rank dies: the other says which and ends with 75, one process goes on from the last checkpoint
    dying = root / "dying"
    job = Job(2, train(root, dying))
    job.until("(rl)")
    victim = job.process(1)
    os.kill(victim, signal.SIGKILL)
    said = job.end(launch.REQUEUE, 128 + signal.SIGKILL)
    assert "rank 0: mpi::exchange" in said and f"rank 1 (process {victim} on {socket.gethostname()})" in said, said
    last = subprocess.run(train(root, dying), capture_output=True, text=True, timeout=250)
    assert last.returncode == 0, last.stderr
    same_run(alone, dying)
