#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds ql's benchmarks, runs them and the peers in turn, and prints one table of ratios.
#   scripts/bench.sh [--quick] [--cases REGEX] [--threads N] [--runs R] [--no-ql] [--no-peers] [--peers REGEX] [--wait S]
# --cases is searched in case names (train/small/float/4x1024, decode/half/bf16/b8, ...; grep -E and Python syntax alike).
# --quick shows that every case runs; its figures mean nothing. Everything: one to two hours; results in build/bench/results/.
# QL_PEERS_VENV: where the peers are installed (default /opt/ql-peers). QL_BENCH_THREADS tells the C++ side the thread count.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
said="scripts/bench.sh $*"
quick=""; cases='.*'; threads=1; runs=3; ql=1; peers=1; which_peers='.*'; wait=300
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=--quick; runs=1 ;;
    --cases) cases=$2; shift ;;
    --threads) threads=$2; shift ;;
    --runs) runs=$2; shift ;;
    --no-ql) ql=0 ;;
    --no-peers) peers=0 ;;
    --peers) which_peers=$2; shift ;;
    --wait) wait=$2; shift ;;
    -h|--help) sed -n '3,8s/^# //p' "$0"; exit 0 ;;
    *) echo "bench.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

venv=${QL_PEERS_VENV:-/opt/ql-peers}
if [ $peers = 1 ]; then
  if ! { mkdir -p "$venv" 2>/dev/null && [ -w "$venv" ]; }; then
    venv=$HOME/.cache/ql-peers
    echo "bench.sh: the peers go to $venv" >&2
  fi
  bench/peers/install.sh "$venv"
fi
build=build/bench
programs=()
if [ $ql = 1 ]; then
  cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Release -DQL_BUILD_BENCH=ON -DQL_BUILD_TESTS=OFF
  cmake --build $build
  for program in $build/bench/ql_bench_*; do
    if [ -f "$program" ] && [ -x "$program" ]; then programs+=("$program"); fi
  done
  [ ${#programs[@]} -gt 0 ] || echo "bench.sh: no program $build/bench/ql_bench_*" >&2
fi

stamp=$(date -u +%Y%m%dT%H%M%SZ)
results=$build/results/$stamp
mkdir -p "$results"
# The last N cores, for both sides.
cpus=$(python3 -c "import os; print(','.join(map(str, sorted(os.sched_getaffinity(0))[-$threads:])))")
export QL_BENCH_THREADS=$threads OMP_NUM_THREADS=$threads

matches() { grep -E -- "$cases"; }
# Groups are small, so that a drift of the machine hits both sides of a ratio.
groups=()
if [ $peers = 1 ]; then
  mapfile -t names < <("$venv/bin/python" bench/peers/torch_peer.py --list | awk '{print $1}' | uniq | matches || true)
else
  names=()
fi
for program in "${programs[@]}"; do
  while IFS= read -r line; do
    if [ -n "$line" ]; then names+=("$line"); fi
  done < <("$program" --benchmark_list_tests 2>/dev/null |
    sed -E 's#/(real_time|process_time|manual_time|(threads|iterations|repeats|min_time|min_warmup_time):[^/]*)##g' | matches || true)
done
declare -A members=()
for name in "${names[@]}"; do
  case $name in
    gemm/*) group="gemm/$(echo "$name" | cut -d/ -f2)" ;;
    *) group=$name ;;
  esac
  if [ -z "${members[$group]:-}" ]; then groups+=("$group"); members[$group]=$name; continue; fi
  case "|${members[$group]}|" in *"|$name|"*) ;; *) members[$group]+="|$name" ;; esac
done
[ ${#groups[@]} -gt 0 ] || { echo "bench.sh: no case matches '$cases'" >&2; exit 2; }

index=0
for group in "${groups[@]}"; do
  index=$((index + 1))
  echo "== [$index/${#groups[@]}] $group" >&2
  python3 bench/compare.py --idle-report --wait "$([ -n "$quick" ] && echo 0 || echo "$wait")" --out "$results/idle.jsonl" >&2 ||
    echo "bench.sh: the cores are not idle; the table will say so" >&2
  pattern="^(${members[$group]})\$"
  filter="^(${members[$group]})(/real_time|/process_time|/manual_time|/[a-z_]+:.*)*\$"
  for program in "${programs[@]}"; do
    out=$results/ql_$(printf '%03d' $index)_$(basename "$program").json
    [ -n "$("$program" --benchmark_list_tests --benchmark_filter="$filter" 2>/dev/null | grep -E '^[a-z]' || true)" ] || continue
    taskset -c "$cpus" "$program" --benchmark_filter="$filter" --benchmark_repetitions="$runs" \
      --benchmark_out_format=json --benchmark_out="$out" >&2 || echo "bench.sh: $program failed on $group" >&2
  done
  if [ $peers = 1 ]; then
    "$venv/bin/python" bench/peers/torch_peer.py --cases "$pattern" --peers "$which_peers" --threads "$threads" \
      --cpus "$cpus" --runs "$runs" $quick --out "$results/peers.jsonl" || echo "bench.sh: a peer failed on $group" >&2
  fi
done

arguments=(--command "$said" --idle "$results/idle.jsonl" --out "$results/table.md")
for file in "$results"/ql_*.json; do if [ -s "$file" ]; then arguments+=(--ql "$file"); fi; done
if [ -s "$results/peers.jsonl" ]; then arguments+=(--peers "$results/peers.jsonl"); fi
python3 bench/compare.py "${arguments[@]}"
echo "results: $results" >&2
