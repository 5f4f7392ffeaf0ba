#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the fuzz targets under AddressSanitizer and UndefinedBehaviorSanitizer. Usage: scripts/fuzz.sh [SECONDS [TARGET...]]
# CXX names clang++ (default: clang++-16), QL_FUZZ_DIR where programs and found inputs go (default: build/fuzz).
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-10}
shift || true
compiler=${CXX:-clang++-16}
work=${QL_FUZZ_DIR:-build/fuzz}
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/*.fuzz.cpp; do targets+=("$(basename "$source" .fuzz.cpp)"); done
fi
flags=(-std=c++20 -O1 -g1 -fno-omit-frame-pointer -fno-sanitize-recover=all -Iinclude)
sanitizers=address,undefined
mkdir -p "$work/objects"

# The library, with the coverage that libFuzzer needs.
objects=()
newest=$(find include/ql src/io \( -name '*.hpp' \) -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-)
for source in src/io/*.cpp; do
  object="$work/objects/$(basename "$source").o"
  if [ ! -e "$object" ] || [ "$source" -nt "$object" ] || [ "$newest" -nt "$object" ]; then
    "$compiler" "${flags[@]}" -fsanitize=fuzzer-no-link,$sanitizers -c "$source" -o "$object"
  fi
  objects+=("$object")
done

status=0
for target in "${targets[@]}"; do
  "$compiler" "${flags[@]}" -fsanitize=fuzzer,$sanitizers "tests/fuzz/$target.fuzz.cpp" "${objects[@]}" \
    -o "$work/$target" -lsimdjson -lpcre2-8 -lutf8proc -lz -lcurl -pthread
  mkdir -p "$work/found/$target"
  echo "fuzz: $target for $seconds s"
  "$work/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 \
    -artifact_prefix="$work/found/$target/" "$work/found/$target" "tests/fuzz/corpus/$target" > "$work/$target.log" 2>&1 || status=1
  grep -aE '^stat::number_of_executed_units|SUMMARY|ERROR:|runtime error' "$work/$target.log" || true
done
exit $status
