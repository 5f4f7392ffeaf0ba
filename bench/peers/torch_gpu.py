# SPDX-License-Identifier: Apache-2.0
"""PyTorch's times for the shapes that bench/cuda/figures.cpp timed, beside them. Usage: torch_gpu.py FIGURES.json

Attention is timed twice: the default of scaled_dot_product_attention, and cuDNN where it can be forced."""

import json
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def least(work):
    work()
    torch.cuda.synchronize()
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def product(rows, depth, columns):
    x = torch.rand(rows, depth, device="cuda", dtype=torch.bfloat16) - 0.5
    w = torch.rand(columns, depth, device="cuda", dtype=torch.bfloat16) - 0.5
    return {"torch": least(lambda: torch.nn.functional.linear(x, w))}


def attention(tokens, rows, heads, kv_heads, head_dim):
    q = torch.rand(1, heads, rows, head_dim, device="cuda", dtype=torch.bfloat16) - 0.5
    k, v = (torch.rand(1, kv_heads, tokens, head_dim, device="cuda", dtype=torch.bfloat16) - 0.5 for _ in range(2))
    call = lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=rows == tokens, enable_gqa=True)
    times = {"torch default SDPA": least(call)}
    try:
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            times["torch cuDNN SDPA"] = least(call)
    except RuntimeError as error:
        print(f"cuDNN SDPA refused {tokens} x {rows}: {error}", file=sys.stderr)
    return times


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        report = json.load(file)
    report["torch"] = torch.__version__
    for figure in report["figures"]:
        figure["peers"] = (product if figure["name"].startswith("product") else attention)(*figure["shape"])
        peers = "  ".join(f"{name} {1e3 * seconds:.3f} ms ({seconds / figure['seconds']:.2f} x)"
                          for name, seconds in figure["peers"].items())
        print(f"{figure['name']:22} {str(figure['shape']):34} ql {1e3 * figure['seconds']:.3f} ms  {peers}")
    with open(sys.argv[1], "w") as file:
        json.dump(report, file, indent=1)
