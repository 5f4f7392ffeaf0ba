#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/rl/support/optimizer_goldens.hpp: ten steps of other libraries' optimizers in double precision.

  optimizers.py [--bitsandbytes DIR] > tests/rl/support/optimizer_goldens.hpp

Needs torch 2.15 and transformers 5.23 (bench/peers/install.sh makes such an environment). DIR is an unpacked wheel of
bitsandbytes 0.50.2, of which two functions are run without its compiled library. Weights begin as cos(i), the gradient of
step k = 1..10 is sin(1 + k + 1.7 i) / k."""
import argparse
import ast
import math
import sys
import types

import torch
import torch.optim._muon as torch_muon
from transformers.optimization import Adafactor

torch.set_default_dtype(torch.float64)


def run(make, shape):
    n = math.prod(shape)
    w = torch.nn.Parameter(torch.tensor([math.cos(i) for i in range(n)]).reshape(shape))
    opt = make([w])
    for k in range(1, 11):
        w.grad = torch.tensor([math.sin(1 + k + 1.7 * i) / k for i in range(n)]).reshape(shape)
        opt.step()
    return w.detach().reshape(-1).tolist()


class InDouble:
    """torch, whose bfloat16 is double: PyTorch's Muon orthogonalises in that type."""
    bfloat16 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def functions_of(path, wanted, scope):
    """The named functions of a file on their own, without decorators and annotations."""
    for node in ast.walk(ast.parse(open(path).read())):
        if isinstance(node, ast.FunctionDef) and node.name in wanted:
            node.decorator_list, node.returns = [], None
            for a in node.args.args + node.args.kwonlyargs:
                a.annotation = None
            exec(compile(ast.Module([node], []), path, "exec"), scope)
    return types.SimpleNamespace(**scope)


def show(name, values, kind="double", form=lambda v: f"{v:.17g}"):
    lines, line = [], "   "
    for v in values:
        text = f" {form(v)},"
        if len(line) + len(text) > 118:
            lines.append(line)
            line = "   "
        line += text
    print(f"inline constexpr {kind} {name}[] = {{\n" + "\n".join(lines + [line]).rstrip(",") + "};")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bitsandbytes", required=True)
    options = p.parse_args()
    print("// SPDX-License-Identifier: Apache-2.0\n#pragma once\n\n"
          f"// Written by tests/golden/optimizers.py with torch {torch.__version__.split('+')[0]}, transformers and bitsandbytes.\n"
          "// clang-format off\n\n#include <cstdint>\n\nnamespace ql::test::goldens {")

    torch_muon.torch = InDouble()
    muon = torch.optim.Muon
    show("muon_wide", run(lambda w: muon(w, lr=0.02), (3, 5)))
    show("muon_tall_plain", run(lambda w: muon(w, lr=0.02, nesterov=False, weight_decay=0.0,
                                               adjust_lr_fn="match_rms_adamw"), (5, 3)))
    show("muon_spectral", run(lambda w: muon(w, lr=0.02, ns_steps=3, adjust_lr_fn="spectral_unclamped"), (4, 6)))
    torch_muon.torch = torch
    show("muon_wide_bfloat16", run(lambda w: muon(w, lr=0.02), (3, 5)))  # as it is

    fixed = dict(relative_step=False, warmup_init=False)
    show("adafactor_matrix", run(lambda w: Adafactor(w, lr=0.01, **fixed), (3, 5)))
    show("adafactor_plain", run(lambda w: Adafactor(w, lr=0.01, scale_parameter=False, **fixed), (5, 3)))
    show("adafactor_moment", run(lambda w: Adafactor(w, lr=0.01, beta1=0.9, weight_decay=0.1, clip_threshold=0.5,
                                                     decay_rate=-0.5, **fixed), (3, 5)))
    show("adafactor_vector", run(lambda w: Adafactor(w, lr=0.01, weight_decay=0.01, **fixed), (7,)))

    adamw = dict(betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    show("adamw", run(lambda w: torch.optim.AdamW(w, lr=0.003, **adamw), (7,)))
    show("sgd", run(lambda w: torch.optim.SGD(w, lr=0.003, momentum=0.9, weight_decay=0.1, nesterov=True), (7,)))

    # 8 bits: bitsandbytes' code maps, its rule of nearest codes, and its step, on 600 weights (blocks of 256, 256, 88)
    f = options.bitsandbytes + "/bitsandbytes"
    maps = functions_of(f"{f}/functional.py", {"create_dynamic_map"}, {"torch": torch})
    torch.set_default_dtype(torch.float32)
    signed, unsigned = maps.create_dynamic_map(True), maps.create_dynamic_map(False)
    torch.set_default_dtype(torch.float64)
    show("signed_code", signed.tolist(), "float", lambda v: f"{v:.9g}f" if "." in f"{v:.9g}" or "e" in f"{v:.9g}" else f"{v:.1f}f")
    show("unsigned_code", unsigned.tolist(), "float", lambda v: f"{v:.9g}f" if "." in f"{v:.9g}" or "e" in f"{v:.9g}" else f"{v:.1f}f")
    steps = functions_of(f"{f}/backends/triton/kernels_optim.py",
                         {"optimizer_update_8bit_blockwise_pytorch", "_dequantize_blockwise_pytorch",
                          "_quantize_blockwise_pytorch"}, {"torch": torch, "math": math})
    n, blocks = 600, 3
    w = torch.tensor([math.cos(i) for i in range(n)], dtype=torch.float32)
    m = torch.full((n,), int((signed == 0).nonzero()[0, 0]), dtype=torch.uint8)
    v = torch.zeros(n, dtype=torch.uint8)
    m_scale, v_scale = torch.zeros(blocks, dtype=torch.float32), torch.zeros(blocks, dtype=torch.float32)
    for k in range(1, 11):
        g = torch.tensor([math.sin(1 + k + 1.7 * i) / k for i in range(n)], dtype=torch.float32)
        steps.optimizer_update_8bit_blockwise_pytorch(
            w, g, m, v, 0.9, 0.95, 0.0, 0.0, 1e-8, k, 0.003, signed, unsigned, m_scale, v_scale, 0.1, 1.0, False,
            optimizer_name="adam")
    show("adamw_8bit", w.tolist()[::7])
    show("adamw_8bit_m", m.tolist()[::7], "std::uint8_t", str)
    show("adamw_8bit_v", v.tolist()[::7], "std::uint8_t", str)
    show("adamw_8bit_m_scale", m_scale.tolist())
    show("adamw_8bit_v_scale", v_scale.tolist())
    print("}  // namespace ql::test::goldens")


if __name__ == "__main__":
    sys.exit(main())
