#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, trains a tiny policy by the whole recipe, and prints where the report is.
# Usage: scripts/demo.sh [RUN-FOLDER] [options of 'qwenlong-l1 demo'; see --help]
# The same command again continues a run that was stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

run=demo-run
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then run=$1; shift; fi

scripts/setup.sh --build
if command -v ccache > /dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
fi
cmake -S . -B build/demo -G Ninja -DCMAKE_BUILD_TYPE=Release -DQL_BUILD_TESTS=OFF -DQL_BUILD_EXAMPLES=ON > build-demo.log 2>&1 ||
  { cat build-demo.log; exit 1; }
rm -f build-demo.log
cmake --build build/demo --target qwenlong-l1
exec build/demo/bin/qwenlong-l1 demo "$run" "$@"
