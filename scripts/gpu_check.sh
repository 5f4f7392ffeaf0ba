#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds ql's CUDA backend on a machine with a GPU, runs every test that needs one (under compute-sanitizer first, at
# tiny sizes), then the figures, with PyTorch as the peer where it is installed. Prints one table and writes JSON.
# Usage: scripts/gpu_check.sh [--dry-run] [BUILD_FOLDER]
#   --dry-run   prints the plan and the commands, runs none of them
# QL_CUDA_ARCHITECTURES sets what is compiled for (default 90a), QL_JOBS the parallel jobs, QL_PYTHON the peer's python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dry=
if [ "${1:-}" = --dry-run ]; then
  dry=1
  shift
fi
case "${1:-}" in
  -*) echo "usage: scripts/gpu_check.sh [--dry-run] [BUILD_FOLDER]" >&2; exit 2 ;;
esac
build="${1:-build/gpu}"
architectures="${QL_CUDA_ARCHITECTURES:-90a}"
jobs="${QL_JOBS:-$(nproc)}"
python="${QL_PYTHON:-python3}"
failed=0

step() { printf '\n== %s\n' "$1"; }
# run LIMIT COMMAND...: at most LIMIT seconds
run() {
  local limit="$1"
  shift
  printf '+ %s\n' "$*"
  if [ -n "$dry" ]; then return 0; fi
  local status=0
  timeout "$limit" "$@" || status=$?
  if [ "$status" -ne 0 ]; then
    echo "gpu_check: ended with $status: $*" >&2
    failed=$((failed + 1))
  fi
}

step "the machine"
if [ -z "$dry" ]; then
  if ! command -v nvidia-smi > /dev/null; then
    echo "gpu_check: no nvidia-smi: this machine has no NVIDIA driver" >&2
    exit 1
  fi
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
fi

step "build for $architectures"
run 300 cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DQL_CUDA=ON "-DQL_CUDA_ARCHITECTURES=$architectures" \
  -DQL_BUILD_EXAMPLES=OFF -DQL_TEST_HOUSE=OFF
programs=(ql_test_cuda_start ql_test_cuda_gpu ql_bench_cuda)
if [ -n "$dry" ] || grep -q ql_test_cuda_fast "$build/build.ninja"; then programs+=(ql_test_cuda_fast); fi # needs cuBLASLt
run 600 cmake --build "$build" --parallel "$jobs" --target "${programs[@]}"

step "does it start"
run 60 "$build/tests/ql_test_cuda_start"
if [ "${#programs[@]}" -eq 4 ]; then run 60 "$build/tests/ql_test_cuda_fast"; fi

step "tiny sizes under compute-sanitizer"
if [ -n "$dry" ] || command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck synccheck initcheck; do
    run 300 compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/tests/ql_test_cuda_gpu" tiny
  done
else
  echo "gpu_check: compute-sanitizer is not installed; the sanitizer runs are left out" >&2
fi

step "every test that needs a GPU"
run 600 ctest --test-dir "$build" --output-on-failure --no-tests=error --label-regex '^gpu$'

step "figures"
run 300 "$build/ql_bench_cuda" "$build/gpu_figures.json"
if [ -n "$dry" ] || "$python" -c 'import torch' 2> /dev/null; then
  run 300 "$python" bench/peers/torch_gpu.py "$build/gpu_figures.json"
else
  echo "gpu_check: PyTorch is not installed for $python; there is no peer beside the figures" >&2
fi

step "result"
if [ "$failed" -ne 0 ]; then
  echo "gpu_check: $failed step(s) failed"
  exit 1
fi
if [ -n "$dry" ]; then echo "gpu_check: nothing was run"; else echo "gpu_check: all steps passed; figures in $build/gpu_figures.json"; fi
