#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets up, configures, builds and tests ql; the last lines are ctest's summary. Usage: scripts/test.sh [--full]
#   (none)   g++ Release, all tests but those labelled "full"
#   --full   also the sanitizers (clang 19), clang 16, clang-tidy, and the tests labelled "full"
# QL_JOBS sets the number of parallel jobs (default: all cores).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

full=()
settings=()
presets=(release)
select=(--label-exclude '^full$')
case "${1:-}" in
  "") ;;
  --full)
    full=(--full)
    presets+=(debug-asan-ubsan debug-tsan clang-16 clang-19)
    select=()
    settings=("-DQL_CUDA_ARCHITECTURES=80;90a;100a") # read where nvcc is found
    export QL_TEST_FULL=1
    ;;
  *) echo "usage: scripts/test.sh [--full]" >&2; exit 2 ;;
esac
jobs="${QL_JOBS:-$(nproc)}"

scripts/setup.sh "${full[@]}"

if command -v ccache > /dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
fi

failed=()
tested=build/tested
mkdir -p "$tested"
: > "$tested/CTestTestfile.cmake"
for preset in "${presets[@]}"; do
  echo "== $preset"
  cmake --preset "$preset" "${settings[@]}"
  launched=()
  if [ "$preset" = release ] && [ -n "${full[*]}" ]; then # what each compile costs, for house.budget.tests
    launched=(env CCACHE_PREFIX="$PWD/tests/house/compile_cost.sh")
  fi
  "${launched[@]}" cmake --build "build/$preset" --parallel "$jobs" -- -k 0 || failed+=("$preset")
  echo "subdirs(../$preset)" >> "$tested/CTestTestfile.cmake" # one ctest run, and one summary, over all builds
done

status=0
ctest --test-dir "$tested" --output-on-failure --no-tests=error --parallel "$jobs" "${select[@]}" || status=$?
if [ ${#failed[@]} -ne 0 ]; then
  echo "test: the build failed for: ${failed[*]}"
  exit 1
fi
exit "$status"
