#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzz targets with AddressSanitizer and UndefinedBehaviorSanitizer, replays their corpora and looks for new
# inputs. Usage: scripts/fuzz.sh [SECONDS [TARGET...]]
#   SECONDS  for each target; auto (the default): 7, with QL_TEST_FULL in the environment 20; 0: builds and replays
# CXX names clang++ (default: clang++-19 or clang++-16), QL_FUZZ_DIR where programs and found inputs go (build/fuzz).
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-auto}
if [ "$seconds" = auto ]; then seconds=$([ -n "${QL_TEST_FULL:-}" ] && echo 20 || echo 7); fi
shift || true
compiler=${CXX:-$(command -v clang++-19 || command -v clang++-16 || true)}
if [ -z "$compiler" ]; then
  echo "fuzz: no clang++-19 or clang++-16 (Debian: clang-19 libclang-rt-19-dev, in scripts/setup.sh --full)" >&2
  exit 1
fi
launcher=()
if command -v ccache > /dev/null; then
  launcher=(ccache)
  export CCACHE_NOHASHDIR=1 # all paths are relative to the repository
fi
work=${QL_FUZZ_DIR:-build/fuzz}
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/*.fuzz.cpp; do targets+=("$(basename "$source" .fuzz.cpp)"); done
fi
flags=(-std=c++20 -O1 -g1 -fno-omit-frame-pointer -fno-sanitize-recover=all -Iinclude -MMD)
sanitizers=address,undefined
mkdir -p "$work/objects"

# stale OBJECT: it is absent, or older than something it was made of
stale() {
  local object=$1 listed=${1%.o}.d file
  [ -e "$object" ] && [ -e "$listed" ] || return 0
  for file in $(sed -e 's/^[^:]*://' -e 's/\\$//' "$listed"); do
    if [ ! -e "$file" ] || [ "$file" -nt "$object" ]; then return 0; fi
  done
  return 1
}
# compile SOURCE SANITIZERS OBJECT
compile() {
  if stale "$3"; then "${launcher[@]}" "$compiler" "${flags[@]}" -fsanitize="$2" -c "$1" -o "$3"; fi
}

# What a target says it needs of src/io/ ("// sources: json file"; nothing said: all of it), with libFuzzer's coverage.
sources_of() {
  if ! grep -q '^// sources: ' "tests/fuzz/$1.fuzz.cpp"; then (cd src/io && ls *.cpp | sed 's|\.cpp$||'); fi
  sed -n 's|^// sources: ||p' "tests/fuzz/$1.fuzz.cpp"
}
exec 9> "$work/lock"
flock 9
for target in "${targets[@]}"; do
  objects=()
  for name in $(sources_of "$target"); do
    compile "src/io/$name.cpp" fuzzer-no-link,$sanitizers "$work/objects/$name.o"
    objects+=("$work/objects/$name.o")
  done
  compile "tests/fuzz/$target.fuzz.cpp" fuzzer-no-link,$sanitizers "$work/objects/$target.fuzz.o"
  objects+=("$work/objects/$target.fuzz.o")
  newest=$(ls -t "${objects[@]}" | head -n 1)
  if [ ! -e "$work/$target" ] || [ "$newest" -nt "$work/$target" ]; then
    "$compiler" -fsanitize=fuzzer,$sanitizers "${objects[@]}" -o "$work/$target" -lsimdjson -lpcre2-8 -lutf8proc -lz \
      -lcurl -pthread
  fi
done
flock --unlock 9

status=0
for target in "${targets[@]}"; do
  mkdir -p "$work/found/$target"
  bound=(-max_total_time="$seconds")
  if [ "$seconds" = 0 ]; then bound=(-runs=0); fi
  echo "fuzz: $target for $seconds s"
  "$work/$target" "${bound[@]}" -timeout=20 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 \
    -artifact_prefix="$work/found/$target-" "$work/found/$target" "tests/fuzz/corpus/$target" > "$work/$target.log" 2>&1 ||
    { status=1; tail -n 40 "$work/$target.log"; }
  grep -aE '^stat::number_of_executed_units|SUMMARY|ERROR:|runtime error' "$work/$target.log" || true
done
exit $status
