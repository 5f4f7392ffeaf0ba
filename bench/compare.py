# SPDX-License-Identifier: Apache-2.0
"""One Markdown table of ratios out of one run: ql's Google Benchmark JSON against the peers' JSON lines.

    python3 bench/compare.py --ql FILE.json [--ql FILE.json ...] --peers FILE.jsonl [--idle FILE.json] [--command TEXT]
    python3 bench/compare.py --idle-report [--wait SECONDS] [--out FILE]     are the cores idle? (exit 1 if not)

Rates are GF/s for gemm cases, else tokens per second; a ratio is ql's rate over the peer's. The best peer is the fastest of
those that the goal of a case names; the others stand in the table and do not count. A C++ case
gemm_lifted/... (ql's kernels without the row rule) stands as peer ql_rules_lifted of gemm/.... Standard library only.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

# What a case is judged by: (pattern, goal ratio or None, goal rate on cpu.md's machine or None, peers that count).
# Rates: one thread of a Xeon with AMX. None: reported.
TRAIN = r"torch|transformers|torch_compile"
INFER = r"torch|transformers|torch_onednn_prepacked"
GOALS = [
    (r"train/small/float/4x1024", 2.0, 4500, TRAIN),
    (r"train/small/bf16/4x1024", 3.0, 11500, TRAIN),
    (r"train/half/bf16/.*", 2.5, 220, TRAIN),
    (r"train/half/float/.*", None, 70, TRAIN),
    (r"decode/half/bf16/b1", 1.5, 21, INFER),
    (r"decode/half/bf16/b8", 2.0, 160, INFER),
    (r"decode/half/bf16/b16", None, 310, INFER),
    (r"decode/half/bf16/b64", None, 900, INFER),
    (r"decode/half/float/b1", None, 10.8, INFER),
    (r"decode/half/float/b8", None, 62, INFER),
    (r"decode/small/float/b1", None, 1250, INFER),
    (r"decode/small/float/b8", None, 7500, INFER),
    (r"decode/small/bf16/b8", None, 13000, INFER),
    (r"decode/.*", None, None, INFER),
    (r"prefill/half/bf16/512", 1.5, 1400, INFER),
    (r"prefill/half/float/512", None, 250, INFER),
    (r"prefill/.*", None, None, INFER),
    (r"group_train/.*", 5.0, None, r"torch"),      # replicated prompts; the shared one tells tree and kernels apart
    (r"group_rollout/.*", None, None, r"torch"),
    (r"loss/.*", 5.0, None, r"torch"),
    (r"gemm/.*", 0.9, None, r"torch_onednn_prepacked|ql_rules_lifted"),
]
SUFFIX = re.compile(r"^(real_time|process_time|manual_time|(threads|iterations|repeats|min_time|min_warmup_time):.*)$")
UNIT = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
ORDER = ["train", "prefill", "decode", "group_rollout", "group_train", "loss", "gemm"]


def goal_of(name):
    for pattern, ratio, rate, peers in GOALS:
        if re.fullmatch(pattern, name):
            return ratio, rate, re.compile(peers)
    return None, None, re.compile(".*")


def case_name(text):
    text = re.sub(r"_(mean|median|stddev|cv)$", "", text)
    return "/".join(part for part in text.split("/") if not SUFFIX.match(part))


def rate_of(name, record):
    if name.startswith(("gemm/", "gemm_lifted/")):
        return record.get("gflops") or record.get("GF/s")
    return record.get("tok_per_s")


def read_ql(paths):
    """Case name -> {rate, seconds}; the median over repetitions. Also the contexts of the files, and what failed."""
    samples, contexts, problems = {}, [], []
    for path in paths:
        try:
            data = json.loads(pathlib.Path(path).read_text())
        except (OSError, ValueError) as error:
            problems.append(f"{path}: {error}")
            continue
        contexts.append(data.get("context", {}))
        for b in data.get("benchmarks", []):
            if b.get("error_occurred"):
                problems.append(f"{b.get('name')}: {b.get('error_message')}")
                continue
            if b.get("run_type") == "aggregate":
                continue
            name = case_name(b.get("run_name") or b["name"])
            sample = dict(seconds=b["real_time"] * UNIT[b.get("time_unit", "ns")], tok_per_s=b.get("tok_per_s"),
                          gflops=b.get("gflops") or b.get("GF/s"))
            if sample["gflops"] and sample["gflops"] > 1e6:  # a counter in flop/s
                sample["gflops"] /= 1e9
            samples.setdefault(name, []).append(sample)
    cases = {}
    for name, list_ in samples.items():
        rates = [r for r in (rate_of(name, s) for s in list_) if r]
        cases[name] = dict(seconds=statistics.median(s["seconds"] for s in list_),
                           rate=statistics.median(rates) if rates else None)
    return cases, contexts, problems


def read_peers(paths):
    """Case name -> peer -> record; where a case was run more than once, the better run stands."""
    cases, problems = {}, []
    for path in paths:
        for line in pathlib.Path(path).read_text().splitlines():
            record = json.loads(line)
            if "error" in record:
                problems.append(f"{record['name']} {record['peer']}: {record['error']}")
                continue
            peers = cases.setdefault(record["name"], {})
            known = peers.get(record["peer"])
            if known is None or rate_of(record["name"], record) > rate_of(record["name"], known):
                peers[record["peer"]] = record
    return cases, problems


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cpu_model():
    fields = dict(re.findall(r"^(vendor_id|model name|cpu family|model|flags)\s*:\s*(.*)$",
                             pathlib.Path("/proc/cpuinfo").read_text(), re.M))
    wanted = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"]
    flags = fields.get("flags", "").split()
    return (f"{fields.get('model name', '?')} ({fields.get('vendor_id', '?')} family {fields.get('cpu family', '?')} model "
            f"{fields.get('model', '?')}; " + ", ".join(f"{f} {'yes' if f in flags else 'no'}" for f in wanted) + ")")


def idle_report(seconds=1.0):
    """Busy share of each core over `seconds`, and the load averages."""
    def read():
        cores = {}
        for line in pathlib.Path("/proc/stat").read_text().splitlines():
            if re.match(r"cpu\d+ ", line):
                name, *ticks = line.split()
                ticks = [int(t) for t in ticks]
                cores[name] = (sum(ticks[:8]), ticks[3] + ticks[4], ticks[7] if len(ticks) > 7 else 0)
        return cores
    first = read()
    time.sleep(seconds)
    second = read()
    busy, steal = {}, {}
    for name in first:
        total = max(1, second[name][0] - first[name][0])
        busy[name] = round(1.0 - (second[name][1] - first[name][1]) / total, 3)
        steal[name] = round((second[name][2] - first[name][2]) / total, 3)
    load = [float(v) for v in pathlib.Path("/proc/loadavg").read_text().split()[:3]]
    return dict(busy=busy, steal=steal, loadavg=load, idle=max(busy.values()) < 0.1,
                at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"))


def wait_for_idle(limit):
    deadline = time.monotonic() + limit
    while True:
        report = idle_report()
        if report["idle"] or time.monotonic() >= deadline:
            return report
        time.sleep(4)


def table(options):
    ql, contexts, problems = read_ql(options.ql)
    peers, more = read_peers(options.peers)
    problems += more
    for name in [n for n in ql if n.startswith("gemm_lifted/")]:  # ql's own kernels without the row rule: a peer of gemm
        lifted, name = ql.pop(name), name.replace("gemm_lifted/", "gemm/", 1)
        peers.setdefault(name, {})["ql_rules_lifted"] = dict(gflops=lifted["rate"], seconds=lifted["seconds"])
    names = sorted(set(ql) | set(peers), key=lambda n: (ORDER.index(n.split("/")[0]) if n.split("/")[0] in ORDER else 99,
                                                        [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", n)]))
    out = []
    records = [r for p in peers.values() for r in p.values()]
    quick = any(r.get("quick") for r in records)
    out.append(f"# ql against its peers, {datetime.date.today().isoformat()}\n")
    if quick:
        out.append("**A quick run: shortened work, one run a case. It shows that the cases run, not how fast.**\n")
    out.append(f"- machine: {platform.node()}, {os.cpu_count()} cores, {cpu_model()}, {platform.system()} {platform.release()}")
    threads = sorted({str(r['threads']) for r in records if 'threads' in r})
    out.append(f"- threads of the peers: {', '.join(threads) or '-'}")
    for key in sorted({json.dumps(r["versions"], sort_keys=True) for r in records if "versions" in r}):
        out.append("- peers: " + ", ".join(f"{k} {v}" for k, v in json.loads(key).items()))
    for context in contexts:
        kept = {k: context[k] for k in ("executable", "library_build_type", "ql_build_type", "ql_kernels", "ql_commit",
                                        "ql_compiler", "num_cpus", "mhz_per_cpu") if k in context}
        out.append("- ql: " + ", ".join(f"{k} {v}" for k, v in kept.items()))
    commit = subprocess.run(["git", "log", "-1", "--format=%h %cI"], capture_output=True, text=True,
                            cwd=pathlib.Path(__file__).parent).stdout.strip()
    out.append(f"- commit: {commit or 'none'}")
    for path in options.idle:
        reports = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
        worst = max((max(r["busy"].values()) for r in reports), default=None)
        busy = [r for r in reports if not r["idle"]]
        out.append(f"- cores before each group of cases ({len(reports)} looks over 1 s each): "
                   f"{'idle' if not busy else f'NOT idle at {len(busy)}'}; busiest core {worst:.0%}; load averages "
                   f"{', '.join(str(r['loadavg'][0]) for r in reports)}")
    for command in options.command:
        out.append(f"- command: `{command}`")
    out.append("\nRates are tokens/s (gemm: GF/s), medians. Ratio: ql / best of the peers that the goal counts "
               "(marked *). Goal rate: cpu.md 6, a Xeon with AMX; met if either goal is.\n")
    out.append("| case | ql | peers (ql / peer) | best counted | ratio | goal ratio | goal rate | met |")
    out.append("|---|---:|---|---|---:|---:|---:|---|")
    missed = []
    for name in names:
        goal_ratio, goal_rate, counted = goal_of(name)
        mine = ql.get(name, {}).get("rate")
        cells, best = [], None
        for peer, record in sorted(peers.get(name, {}).items(), key=lambda p: -rate_of(name, p[1])):
            rate = rate_of(name, record)
            counts = counted.fullmatch(peer) is not None
            if counts and (best is None or rate > best[1]):
                best = (peer, rate)
            cells.append(f"{peer}{'*' if counts else ''} {number(rate)}" + (f" ({mine / rate:.2f}x)" if mine else ""))
        ratio = mine / best[1] if mine and best else None
        met = ""
        if mine and (goal_ratio or goal_rate):
            by_ratio = goal_ratio is not None and ratio is not None and ratio >= goal_ratio
            by_rate = goal_rate is not None and mine >= goal_rate
            met = "yes" if by_ratio or by_rate else "no" if goal_ratio else "reported"
            if met == "no":
                missed.append(name)
        # The same work must be in both clocks: rates and seconds must tell the same ratio.
        if mine and best and name.split("/")[0] in ("train", "prefill", "group_train", "group_rollout"):
            by_time = peers[name][best[0]]["seconds"] / ql[name]["seconds"]
            if not 0.95 < by_time / ratio < 1.05:
                problems.append(f"{name}: ratio by rate {ratio:.2f}, by time {by_time:.2f}: is the same work counted?")
        out.append(f"| {name} | {number(mine)} | {', '.join(cells) or '-'} | {best[0] if best else '-'} | "
                   f"{f'{ratio:.2f}x' if ratio else '-'} | {f'{goal_ratio}x' if goal_ratio else '-'} | "
                   f"{number(goal_rate)} | {met} |")
    out.append("")
    if missed:
        out.append(f"Missed: {', '.join(missed)}.")
    if problems:
        out.append("Problems:\n" + "\n".join(f"- {p}" for p in problems))
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ql", action="append", default=[], help="Google Benchmark JSON (may be repeated)")
    parser.add_argument("--peers", action="append", default=[], help="JSON lines of the peers (may be repeated)")
    parser.add_argument("--idle", action="append", default=[], help="JSON lines of --idle-report, taken before the runs")
    parser.add_argument("--command", action="append", default=[], help="a command line to state above the table")
    parser.add_argument("--out", default="", help="also write the table (or the idle report, appended) here")
    parser.add_argument("--idle-report", action="store_true")
    parser.add_argument("--wait", type=float, default=0.0, help="with --idle-report: wait so long for idle cores")
    options = parser.parse_args()
    if options.idle_report:
        report = wait_for_idle(options.wait)
        print(json.dumps(report))
        if options.out:
            with open(options.out, "a") as out:
                out.write(json.dumps(report) + "\n")
        return 0 if report["idle"] else 1
    text = table(options)
    print(text, end="")
    if options.out:
        pathlib.Path(options.out).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
