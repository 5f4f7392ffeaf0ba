# SPDX-License-Identifier: Apache-2.0
"""How tests start ranks: mpirun with more ranks than cores, and what each rank itself ended with."""

import os
import pathlib
import subprocess
import time

REQUEUE = 75  # what a rank ends with that is to be started again
# mpirun has a code of its own: each rank's is written to a file
WRAPPER = 'folder=$1; shift; "$@"; code=$?; echo $code > "$folder/${OMPI_COMM_WORLD_RANK:-$PMI_RANK}"; exit $code'

# Open MPI frees not all of its components; that is no leak of the program, which other tests look for.
os.environ["ASAN_OPTIONS"] = "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")


def command(mpirun, ranks, program, recovers=False, codes=None):
    """`program` (a list) on so many ranks. recovers: mpirun does not end the others when one is lost, before they can say
    why. codes: the folder where each rank's exit code goes."""
    version = subprocess.run([mpirun, "--version"], capture_output=True, text=True).stdout
    options = []
    if "Open MPI" in version or "open-mpi" in version:
        options = ["--oversubscribe", "--bind-to", "none", "--mca", "btl_vader_single_copy_mechanism", "none"]
        if os.geteuid() == 0:
            options.append("--allow-run-as-root")
        if recovers:
            options.append("--enable-recovery")
    wrapped = ["sh", "-c", WRAPPER, "rank", str(codes)] if codes else []
    return [mpirun, *options, "-n", str(ranks), *wrapped, *map(str, program)]


def codes(folder, ranks, seconds=10):
    """What these ranks ended with; None for those that have not within the time."""
    files = {r: pathlib.Path(folder) / str(r) for r in ranks}
    said = lambda f: f.read_text().strip() if f.exists() else ""
    end = time.monotonic() + seconds
    while not all(said(f) for f in files.values()) and time.monotonic() < end:
        time.sleep(0.02)
    return {r: int(said(f)) if said(f) else None for r, f in files.items()}
