# SPDX-License-Identifier: Apache-2.0
"""The work of ql's benchmarks done in PyTorch and transformers: the peers of docs/performance.md.

    python torch_peer.py [--cases REGEX] [--peers REGEX] [--threads N] [--runs R] [--out FILE]
    python torch_peer.py --list        names of all cases and their peers
    python torch_peer.py --verify      float64 checks that the peers compute what they should

One JSON line per (case, peer). What is inside the clock, and what tok_per_s counts (the C++ side does the same):

    train/SHAPE/DTYPE/BxS     one step: forward, loss on all B*S tokens, backward, AdamW, compute copies; B*S tokens
    decode/.../bB             64 steps of B sequences after prompts of 128 that are already in the cache; B*64 tokens
    prefill/.../512           one prompt of 512 tokens into an empty cache, logits of the last token; 512 tokens
    group_train/..._pP_aA_gG  one step on a prompt and G answers, loss on answer tokens; P + G*A tokens for every peer
    group_rollout/...         prefill P once, then A steps of G sequences (greedy); G*A tokens
    gemm/DTYPE/MxNxK          x[M,K] * w[N,K]^T; reports gflops
    loss/DTYPE/NAME           value and gradient of a policy loss over 2^20 tokens (1024 sequences), eager autograd

Peers: torch (float master weights and moments under bf16 compute copies; fused AdamW; SDPA), torch_pure_bf16 (weights,
gradients and moments in bf16), transformers (Qwen2ForCausalLM, sdpa), torch_shared_prompt (the prompt forwarded once),
torch_onednn_prepacked (inference with weights reordered for oneDNN), torch_compile (training through inductor).
The peers only take the argmax of each row of logits; ql also records log-prob and entropy.
"""
import argparse
import json
import math
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
VENV = pathlib.Path(sys.prefix)


# --- cases -----------------------------------------------------------------------------------------------------------

SHAPES = {
    "tiny": dict(hidden=32, layers=2, heads=4, kv_heads=2, ffn=48, vocab=64),
    "small": dict(hidden=256, layers=4, heads=4, kv_heads=2, ffn=1024, vocab=4096),
    "half": dict(hidden=896, layers=24, heads=14, kv_heads=2, ffn=4864, vocab=8192),
}
GEMM_NK = [(256, 256), (1024, 256), (896, 896), (4864, 896), (896, 4864)]
GEMM_M = [1, 8, 64, 512, 2048]


def all_cases():
    """Every case name with the peers that run it."""
    cases = {}
    for name in ["train/small/float/4x1024", "train/small/bf16/4x1024", "train/half/bf16/1x256",
                 "train/half/bf16/4x512", "train/half/float/1x256"]:
        pure = ["torch_pure_bf16"] if "/bf16/" in name else []
        cases[name] = ["torch", "transformers", "torch_compile"] + pure
    for shape in ["small", "half"]:
        for dtype in ["float", "bf16"]:
            for batch in [1, 8, 16, 64]:
                cases[f"decode/{shape}/{dtype}/b{batch}"] = ["torch", "torch_onednn_prepacked", "transformers"]
    for shape in ["small", "half"]:
        for dtype in ["float", "bf16"]:
            cases[f"prefill/{shape}/{dtype}/512"] = ["torch", "torch_onednn_prepacked", "transformers"]
    for dtype in ["float", "bf16"]:
        cases[f"group_train/small/{dtype}/p4096_a128_g8"] = ["torch", "torch_shared_prompt"]
    for dtype in ["float", "bf16"]:
        cases[f"group_rollout/small/{dtype}/p4096_a128_g8"] = ["torch", "torch_shared_prompt"]
    for dtype in ["float", "bf16"]:
        for n, k in GEMM_NK:
            for m in GEMM_M:
                cases[f"gemm/{dtype}/{m}x{n}x{k}"] = ["torch", "torch_onednn_prepacked"]
    for name in ["clip", "clip_token_masked", "gspo", "clip_kl", "clip_kl_entropy"]:
        cases[f"loss/float/{name}"] = ["torch"]
    return cases


# --- the process: threads, allocator, which MKL kernels ------------------------------------------------------------------

def cpu_vendor():
    found = re.search(r"vendor_id\s*:\s*(\S+)", pathlib.Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else "unknown"


def l3_bytes():
    try:
        text = pathlib.Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text().strip()
        return int(text.rstrip("KM")) * (1 << 20 if text.endswith("M") else 1 << 10)
    except OSError:
        return 32 << 20


def tuned_environment(threads, stock):
    """Environment of a measuring process. Unless stock, torch gets what a careful user gives it: an allocator that keeps
    and reuses large blocks (stock glibc maps and unmaps each one: up to 8x slower elementwise operations), and, on a CPU
    that is not Intel's, a shim that lets MKL choose its AVX-512 kernels (measured: bf16 attention twice as fast)."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
                       TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error",
                       TORCHINDUCTOR_CACHE_DIR=str(VENV / "inductor"))
    tuning = []
    if not stock:
        environment["GLIBC_TUNABLES"] = ("glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:"
                                         "glibc.malloc.top_pad=268435456:glibc.malloc.hugetlb=1")
        tuning.append("glibc keeps and reuses large blocks, huge pages")
        shim = VENV / "lib" / "libql_mkl_intel_path.so"
        if cpu_vendor() != "GenuineIntel" and shim.exists():
            environment["LD_PRELOAD"] = str(shim)
            tuning.append("MKL takes its AVX-512 path on this vendor")
    environment["QL_PEER_TUNING"] = "; ".join(tuning) or "stock"
    return environment


def choose_cpus(threads, wanted):
    if wanted:
        return [int(c) for c in wanted.split(",")]
    return sorted(os.sched_getaffinity(0))[-threads:]


# --- measuring -------------------------------------------------------------------------------------------------------------

def measure(step, runs, budget, warm_up=None):
    """One warm-up, then the seconds of up to `runs` calls (more when they are short), within about `budget` seconds."""
    begin = time.perf_counter()
    (warm_up or step)()
    times = []
    while True:
        start = time.perf_counter()
        step()
        end = time.perf_counter()
        times.append(end - start)
        wanted = max(runs, min(7 * runs, math.ceil(1.0 / times[0])))
        if len(times) >= wanted or (end - begin) + times[-1] > budget:
            return times


# --- the model in plain PyTorch ------------------------------------------------------------------------------------------

class Layer:
    NAMES = ["norm1", "q", "q_bias", "k", "k_bias", "v", "v_bias", "o", "norm2", "gate", "up", "down"]


class Model:
    """A Qwen2-shaped decoder: RMSNorm, QKV bias, RoPE, grouped queries, SwiGLU, tied head."""

    def __init__(self, torch, shape, dtype, max_positions, trainable, seed=0):
        self.torch, self.shape, self.dtype = torch, shape, dtype
        h, kv, f = shape["hidden"], shape["kv_heads"], shape["ffn"]
        self.head_dim = d = h // shape["heads"]
        generator = torch.Generator().manual_seed(seed)
        self.parameters = []

        def make(*size, one=False):
            value = torch.ones(size) if one else torch.empty(size).normal_(0.0, 0.02, generator=generator)
            value = value.to(dtype)
            if trainable:
                value = torch.nn.Parameter(value)
            self.parameters.append(value)
            return value

        self.embedding = make(shape["vocab"], h)
        self.layers = []
        for _ in range(shape["layers"]):
            layer = Layer()
            layer.norm1 = make(h, one=True)
            layer.q, layer.q_bias = make(h, h), make(h)
            layer.k, layer.k_bias = make(kv * d, h), make(kv * d)
            layer.v, layer.v_bias = make(kv * d, h), make(kv * d)
            layer.o = make(h, h)
            layer.norm2 = make(h, one=True)
            layer.gate, layer.up, layer.down = make(f, h), make(f, h), make(h, f)
            self.layers.append(layer)
        self.norm = make(h, one=True)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        frequency = 1.0 / (10000.0 ** (torch.arange(0, d, 2, dtype=wide) / d))
        angle = torch.arange(max_positions, dtype=wide)[:, None] * frequency
        self.cos, self.sin = angle.cos().to(dtype), angle.sin().to(dtype)

    def rms(self, x, weight):
        return self.torch.nn.functional.rms_norm(x, (x.shape[-1],), weight, 1e-6)

    def rope(self, x, cos, sin):
        """x [..., tokens, heads, head_dim], cos and sin [tokens, 1, head_dim / 2]."""
        a, b = x.chunk(2, -1)
        return self.torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def decode(self, x, attend, cos, sin):
        """All layers over x [..., tokens, hidden]; attend(i, q, k, v) on [..., tokens, heads, head_dim]."""
        F = self.torch.nn.functional
        d = self.head_dim
        for i, w in enumerate(self.layers):
            n = self.rms(x, w.norm1)
            q = self.rope(F.linear(n, w.q, w.q_bias).unflatten(-1, (-1, d)), cos, sin)
            k = self.rope(F.linear(n, w.k, w.k_bias).unflatten(-1, (-1, d)), cos, sin)
            v = F.linear(n, w.v, w.v_bias).unflatten(-1, (-1, d))
            x = x + F.linear(attend(i, q, k, v).flatten(-2), w.o)
            n = self.rms(x, w.norm2)
            x = x + F.linear(F.silu(F.linear(n, w.gate)) * F.linear(n, w.up), w.down)
        return self.rms(x, self.norm)

    def causal(self, i, q, k, v):
        return self.torch.nn.functional.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True, enable_gqa=True).transpose(1, 2)

    def hidden(self, tokens):
        """Hidden states after the last norm for tokens [sequences, length]."""
        n = tokens.shape[1]
        x = self.torch.nn.functional.embedding(tokens, self.embedding)
        return self.decode(x, self.causal, self.cos[:n, None], self.sin[:n, None])

    def cross_entropy(self, hidden, targets, reduction="mean"):
        F = self.torch.nn.functional
        logits = F.linear(hidden.reshape(-1, hidden.shape[-1]), self.embedding)
        if logits.dtype == self.torch.bfloat16:
            logits = logits.float()
        return F.cross_entropy(logits, targets.reshape(-1), reduction=reduction)


def merged_attention(torch):
    """Attention of answers [G, A] to [shared prompt; own tokens] as two flash calls merged by their log-sum-exp, with the
    exact backward (each part's backward takes the merged output and log-sum-exp): no key of the prompt is copied."""
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

    def fold(x, kv_heads):  # [G, H, A, D] -> [1, KV, (H/KV) * G * A, D]: all queries that share a key head
        g, h, a, d = x.shape
        return x.view(g, kv_heads, h // kv_heads, a, d).permute(1, 2, 0, 3, 4).reshape(1, kv_heads, -1, d)

    def unfold(x, shape):
        g, h, a, d = shape
        kv_heads = x.shape[1]
        return x.view(kv_heads, h // kv_heads, g, a, -1).permute(2, 0, 1, 3, 4).reshape(g, h, a, -1)

    def spread(x, heads):  # [G, KV, A, D] -> [G, H, A, D]
        return x.repeat_interleave(heads // x.shape[1], 1)

    class Merged(torch.autograd.Function):
        @staticmethod
        def forward(ctx, q, k_own, v_own, k_prompt, v_prompt):
            kv = k_own.shape[1]
            q_fold = fold(q, kv)
            k_spread, v_spread = spread(k_own, q.shape[1]), spread(v_own, q.shape[1])
            out_p, lse_p = flash(q_fold, k_prompt, v_prompt)
            out_o, lse_o = flash(q, k_spread, v_spread, is_causal=True)
            out_p = unfold(out_p.contiguous(), q.shape)
            lse_p = unfold(lse_p.contiguous()[..., None], q.shape)[..., 0]
            lse = torch.logaddexp(lse_p, lse_o)
            out = out_p * (lse_p - lse).exp()[..., None] + out_o * (lse_o - lse).exp()[..., None]
            out = out.to(q.dtype)
            ctx.save_for_backward(q, q_fold, k_spread, v_spread, k_prompt, v_prompt, out, lse)
            return out

        @staticmethod
        def backward(ctx, grad):
            q, q_fold, k_spread, v_spread, k_prompt, v_prompt, out, lse = ctx.saved_tensors
            kv = k_prompt.shape[1]
            g, h, a, d = q.shape
            q_o, k_o, v_o = flash_backward(grad, q, k_spread, v_spread, out, lse, 0.0, True)
            q_p, k_p, v_p = flash_backward(fold(grad, kv), q_fold, k_prompt, v_prompt, fold(out, kv),
                                           fold(lse[..., None], kv)[..., 0].contiguous(), 0.0, False)
            k_o = k_o.view(g, kv, h // kv, a, d).sum(2)
            v_o = v_o.view(g, kv, h // kv, a, d).sum(2)
            return q_o + unfold(q_p.contiguous(), q.shape), k_o, v_o, k_p, v_p

    return Merged.apply


def group_loss_shared(model, prompt, answers):
    """Sum of the losses of all answer tokens; prompt [P] is forwarded once, answers [G, A] attend to it."""
    torch = model.torch
    p, (g, a), d = prompt.shape[0], answers.shape, model.head_dim
    kv = model.shape["kv_heads"]
    merged = merged_attention(torch)
    position = torch.cat((torch.arange(p), torch.arange(p, p + a).repeat(g)))
    cos, sin = model.cos[position][:, None], model.sin[position][:, None]
    x = torch.nn.functional.embedding(torch.cat((prompt, answers.reshape(-1))), model.embedding)

    def attend(i, q, k, v):
        def part(t):  # [P, heads, D] and [G, A, heads, D]
            shared, own = t.split((p, g * a))
            return shared.transpose(0, 1)[None], own.view(g, a, -1, d).transpose(1, 2)
        (q_p, q_a), (k_p, k_a), (v_p, v_a) = part(q), part(k), part(v)
        out_p = torch.nn.functional.scaled_dot_product_attention(q_p, k_p, v_p, is_causal=True, enable_gqa=True)
        out_a = merged(q_a, k_a, v_a, k_p, v_p)
        return torch.cat((out_p[0].transpose(0, 1), out_a.transpose(1, 2).reshape(g * a, -1, d)))

    hidden = model.decode(x, attend, cos, sin)
    own = hidden[p:].view(g, a, -1)[:, :-1].reshape(g * (a - 1), -1)
    rows = torch.cat((hidden[p - 1:p].expand(g, -1), own))
    return model.cross_entropy(rows, torch.cat((answers[:, 0], answers[:, 1:].reshape(-1))), "sum")


def group_loss_replicated(model, prompt, answers):
    """The same sum with the prompt in front of every answer; answers may be a micro-batch."""
    torch = model.torch
    p, (g, a) = prompt.shape[0], answers.shape
    tokens = torch.cat((prompt.expand(g, -1), answers), 1)
    hidden = model.hidden(tokens)[:, p - 1:p + a - 1]
    return model.cross_entropy(hidden, answers, "sum")


class Trainer:
    """AdamW on float masters; bf16 compute copies get float gradients of their own and are written back after the step."""

    def __init__(self, torch, parameters, pure):
        self.torch, self.parameters = torch, list(parameters)
        self.masters = None
        if self.parameters[0].dtype == torch.bfloat16 and not pure:
            self.masters = [torch.nn.Parameter(p.detach().float()) for p in self.parameters]
        self.optimizer = torch.optim.AdamW(self.masters or self.parameters, lr=1e-5, betas=(0.9, 0.95),
                                           weight_decay=0.1, fused=True)

    def step(self):
        if self.masters:
            for master, p in zip(self.masters, self.parameters):
                master.grad = p.grad.float()
                p.grad = None
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.masters:
            with self.torch.no_grad():
                self.torch._foreach_copy_(self.parameters, self.masters)


# --- inference --------------------------------------------------------------------------------------------------------------

class Engine:
    """Prefill and decode with a preallocated cache [layer][batch, kv_heads, position, head_dim]. q, k, v are one product,
    gate and up another. The query heads of a group are rows of one attention call, so no key is copied."""

    def __init__(self, torch, shape, dtype, batch, capacity, prepacked=False, shared=None, model=None):
        self.torch, self.prepacked = torch, prepacked
        self.model = model or Model(torch, shape, dtype, capacity + (shared or 0), trainable=False)
        self.batch, self.shared = batch, shared
        m, kv, d = self.model, shape["kv_heads"], self.model.head_dim
        self.kv, self.group, self.position = kv, shape["heads"] // kv, 0
        self.weights = []
        for w in m.layers:
            qkv = torch.cat((w.q, w.k, w.v)).contiguous()
            gate_up = torch.cat((w.gate, w.up)).contiguous()
            self.weights.append((w.norm1, self.pack(qkv), torch.cat((w.q_bias, w.k_bias, w.v_bias)), self.pack(w.o),
                                 w.norm2, self.pack(gate_up), self.pack(w.down)))
            if prepacked or model is None:
                w.q = w.k = w.v = w.o = w.gate = w.up = w.down = None
        m.parameters = []
        self.head = self.pack(m.embedding)
        self.keys = [torch.empty(batch, kv, capacity, d, dtype=dtype) for _ in m.layers]
        self.values = [torch.empty(batch, kv, capacity, d, dtype=dtype) for _ in m.layers]
        if shared:
            self.shared_keys = [torch.empty(1, kv, shared, d, dtype=dtype) for _ in m.layers]
            self.shared_values = [torch.empty(1, kv, shared, d, dtype=dtype) for _ in m.layers]

    def pack(self, weight):
        return self.torch.ops.mkldnn._reorder_linear_weight(weight, self.batch) if self.prepacked else weight

    def linear(self, x, weight, bias=None):
        if self.prepacked:
            return self.torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return self.torch.nn.functional.linear(x, weight, bias)

    def fill(self, length):
        """A cache as if `length` tokens had been prefilled (what decode reads does not depend on the values)."""
        for keys, values in zip(self.keys, self.values):
            keys[:, :, :length].normal_(0.0, 0.3)
            values[:, :, :length].normal_(0.0, 0.3)
        self.position = length

    def run(self, x, cos, sin, attend):
        torch, F, d = self.torch, self.torch.nn.functional, self.model.head_dim
        heads = self.kv * self.group
        for i, (norm1, qkv_w, qkv_b, o_w, norm2, gate_up_w, down_w) in enumerate(self.weights):
            qkv = self.linear(self.model.rms(x, norm1), qkv_w, qkv_b).unflatten(-1, (-1, d))
            qk = self.model.rope(qkv[..., :heads + self.kv, :], cos, sin)
            out = attend(i, qk[..., :heads, :], qk[..., heads:, :], qkv[..., heads + self.kv:, :])
            x = x + self.linear(out, o_w)
            gate, up = self.linear(self.model.rms(x, norm2), gate_up_w).chunk(2, -1)
            x = x + self.linear(F.silu(gate) * up, down_w)
        return self.model.rms(x, self.model.norm)

    def prefill(self, tokens):
        """tokens [b, n] into rows 0..b-1 (or into the shared prompt); logits of the last tokens."""
        torch, F = self.torch, self.torch.nn.functional
        b, n = tokens.shape
        keys = self.shared_keys if self.shared else self.keys
        values = self.shared_values if self.shared else self.values

        def attend(i, q, k, v):
            q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
            keys[i][:b, :, :n] = k
            values[i][:b, :, :n] = v
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True).transpose(1, 2).flatten(2)

        x = F.embedding(tokens, self.model.embedding)
        x = self.run(x, self.model.cos[:n, None], self.model.sin[:n, None], attend)
        self.position = 0 if self.shared else n
        return self.linear(x[:, -1].contiguous(), self.head)

    def step(self, tokens):
        """One token [batch] per sequence; returns the next ones."""
        torch, F = self.torch, self.torch.nn.functional
        b, t, d = self.batch, self.position, self.model.head_dim
        at = t + (self.shared or 0)
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

        def attend(i, q, k, v):
            keys, values = self.keys[i], self.values[i]
            keys[:, :, t] = k
            values[:, :, t] = v
            q = q.reshape(b, self.kv, self.group, d)
            if not self.shared:
                return F.scaled_dot_product_attention(q, keys[:, :, :t + 1], values[:, :, :t + 1]).reshape(b, -1)
            own, lse_o = flash(q, keys[:, :, :t + 1], values[:, :, :t + 1])
            folded = q.transpose(0, 1).reshape(1, self.kv, b * self.group, d)
            out, lse_p = flash(folded, self.shared_keys[i], self.shared_values[i])
            out = out.reshape(self.kv, b, self.group, d).transpose(0, 1)
            lse_p = lse_p.reshape(self.kv, b, self.group).transpose(0, 1)
            share = torch.sigmoid(lse_p - lse_o)[..., None].to(q.dtype)
            return (own + (out - own) * share).reshape(b, -1)

        x = F.embedding(tokens, self.model.embedding)
        x = self.run(x, self.model.cos[at], self.model.sin[at], attend)
        self.position = t + 1
        return self.linear(x, self.head).argmax(-1)


# --- running one case ---------------------------------------------------------------------------------------------------

def transformers_model(torch, shape, dtype):
    from transformers import Qwen2Config, Qwen2ForCausalLM
    config = Qwen2Config(vocab_size=shape["vocab"], hidden_size=shape["hidden"], intermediate_size=shape["ffn"],
                         num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"],
                         num_key_value_heads=shape["kv_heads"], max_position_embeddings=8192,
                         tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    config._attn_implementation = "sdpa"
    return Qwen2ForCausalLM(config).to(dtype)


def tokens_of(torch, vocab, *size):
    return torch.randint(0, vocab, size, generator=torch.Generator().manual_seed(1))


def case_train(torch, peer, shape, dtype, tail, options):
    batch, length = (int(n) for n in tail.split("x"))
    tokens = tokens_of(torch, shape["vocab"], batch, length + 1)
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    if peer == "transformers":
        network = transformers_model(torch, shape, dtype).train()
        parameters = list(network.parameters())

        def loss():
            logits = network(input_ids=inputs, use_cache=False).logits.float()
            return torch.nn.functional.cross_entropy(logits.view(-1, shape["vocab"]), targets.view(-1))
    else:
        model = Model(torch, shape, dtype, length, trainable=True)
        parameters = model.parameters

        def loss():
            return model.cross_entropy(model.hidden(inputs), targets)
        if peer == "torch_compile":
            loss = torch.compile(loss)
    trainer = Trainer(torch, parameters, pure=peer == "torch_pure_bf16")

    def step():
        loss().backward()
        trainer.step()
    if peer == "torch_compile":
        step()  # compiles, outside the clock and outside the budget
    return measure(step, options.runs, options.budget), batch * length


def case_decode(torch, peer, shape, dtype, tail, options):
    batch, prompt, steps = int(tail[1:]), 128, 4 if options.quick else 64
    start = tokens_of(torch, shape["vocab"], batch)
    with torch.inference_mode():
        if peer == "transformers":
            from transformers import StaticCache
            network = transformers_model(torch, shape, dtype).eval()

            def run(count):
                cache = StaticCache(config=network.config, max_cache_len=prompt + count)
                for i in range(shape["layers"]):
                    size = (batch, shape["kv_heads"], prompt, shape["hidden"] // shape["heads"])
                    cache.update(torch.empty(size, dtype=dtype).normal_(0.0, 0.3),
                                 torch.empty(size, dtype=dtype).normal_(0.0, 0.3), i)
                tokens = start[:, None]
                begin = time.perf_counter()
                for _ in range(count):
                    logits = network(input_ids=tokens, past_key_values=cache, use_cache=True).logits
                    tokens = logits[:, -1:].argmax(-1)
                return time.perf_counter() - begin
        else:
            engine = Engine(torch, shape, dtype, batch, prompt + steps, prepacked=peer == "torch_onednn_prepacked")

            def run(count):
                engine.fill(prompt)
                tokens = start
                begin = time.perf_counter()
                for _ in range(count):
                    tokens = engine.step(tokens)
                return time.perf_counter() - begin
        warm = min(steps, 4)
        run(warm)
        times = []
        begin = time.perf_counter()
        while len(times) < options.runs or (sum(times) < 1.0 and len(times) < 7 * options.runs):
            times.append(run(steps))
            if time.perf_counter() - begin + times[-1] > options.budget:
                break
    return times, batch * steps


def case_prefill(torch, peer, shape, dtype, tail, options):
    length = int(tail)
    tokens = tokens_of(torch, shape["vocab"], 1, length)
    with torch.inference_mode():
        if peer == "transformers":
            from transformers import DynamicCache
            network = transformers_model(torch, shape, dtype).eval()

            def step():
                network(input_ids=tokens, past_key_values=DynamicCache(config=network.config), use_cache=True,
                        logits_to_keep=1).logits.argmax(-1)
        else:
            engine = Engine(torch, shape, dtype, 1, length, prepacked=peer == "torch_onednn_prepacked")

            def step():
                engine.prefill(tokens).argmax(-1)
        return measure(step, options.runs, options.budget), length


def group_numbers(tail, options):
    p, a, g = (int(n) for n in re.fullmatch(r"p(\d+)_a(\d+)_g(\d+)", tail).groups())
    return (512, 16, g) if options.quick else (p, a, g)


def case_group_train(torch, peer, shape, dtype, tail, options):
    p, a, g = group_numbers(tail, options)
    prompt, answers = tokens_of(torch, shape["vocab"], p), tokens_of(torch, shape["vocab"], g, a)
    model = Model(torch, shape, dtype, p + a, trainable=True)
    trainer = Trainer(torch, model.parameters, pure=False)

    def step(count=g):
        if peer == "torch_shared_prompt":
            (group_loss_shared(model, prompt, answers) / (g * a)).backward()
        else:
            for first in range(0, count, options.micro_batch):
                part = answers[first:first + options.micro_batch]
                (group_loss_replicated(model, prompt, part) / (g * a)).backward()
        trainer.step()
    warm_up = step if peer == "torch_shared_prompt" else (lambda: step(1))
    return measure(step, options.runs, options.budget, warm_up), p + g * a


def case_group_rollout(torch, peer, shape, dtype, tail, options):
    p, a, g = group_numbers(tail, options)
    prompt = tokens_of(torch, shape["vocab"], 1, p)
    shared = p if peer == "torch_shared_prompt" else None
    with torch.inference_mode():
        engine = Engine(torch, shape, dtype, g, a if shared else p + a, shared=shared)

        def step(count=a):
            tokens = engine.prefill(prompt).argmax(-1).expand(g).contiguous()
            if not shared:
                for keys, values in zip(engine.keys, engine.values):
                    keys[1:, :, :p] = keys[:1, :, :p]
                    values[1:, :, :p] = values[:1, :, :p]
            for _ in range(count):
                tokens = engine.step(tokens)
        return measure(step, options.runs, options.budget, lambda: step(2)), g * a


def case_gemm(torch, peer, dtype, tail, options):
    m, n, k = (int(v) for v in tail.split("x"))
    size = n * k * (2 if dtype == torch.bfloat16 else 4)
    # Decode meets each weight once per token, so for few rows weights rotate through a pool larger than the caches.
    pool = gemm_pool_bytes() if m <= 8 else size
    x = torch.randn(m, k).to(dtype)
    weights = [torch.empty(n, k, dtype=dtype).uniform_(-1, 1) for _ in range(max(1, -(-pool // size)))]
    with torch.inference_mode():
        if peer == "torch_onednn_prepacked":
            weights = [torch.ops.mkldnn._reorder_linear_weight(w, m) for w in weights]
            multiply = lambda w: torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")
        else:
            multiply = lambda w: torch.nn.functional.linear(x, w)
        start = time.perf_counter()
        for w in weights[:2]:
            multiply(w)
        once = (time.perf_counter() - start) / min(2, len(weights))
        count = max(1, min(20000, round((0.005 if options.quick else 0.05) / once)))
        at = 0

        def step():
            nonlocal at
            for _ in range(count):
                multiply(weights[at])
                at = at + 1 if at + 1 < len(weights) else 0
        times = [t / count for t in measure(step, max(5, options.runs), 5.0)]
    return times, 2.0 * m * n * k, dict(weight_gb_per_s=size / statistics.median(times) / 1e9,
                                        pool_bytes=size * len(weights))


def loss_value(torch, name, b):
    """The work of bench/rl/loss.bench.cpp: rows are sequences of one length."""
    d = b["logp"] - b["old"]
    if name == "gspo":
        r = d.mean(1, keepdim=True).exp()
        low, high = 3e-4, 4e-4
    else:
        r = d.exp()
        low, high = 0.2, 0.2
    a = b["each"] if name == "clip_token_masked" else b["advantage"]
    loss = -torch.min(r * a, r.clamp(1 - low, 1 + high) * a)
    if "kl" in name:
        u = b["ref"] - b["logp"]
        loss = loss + 0.01 * (u.exp() - u - 1)
    if "entropy" in name:
        loss = loss - 0.001 * b["entropy"]
    if name == "clip_token_masked":
        return (loss * b["mask"]).sum() / b["mask"].sum()
    return loss.mean()


def case_loss(torch, name, options):
    rows, length, count = 1024, 1024, 8
    batches = []
    for _ in range(count):
        old = torch.empty(rows, length).uniform_(-3, -0.01)
        near = lambda: (old + torch.empty_like(old).uniform_(-0.3, 0.3))
        batches.append(dict(old=old, logp=near().requires_grad_(), ref=near(), each=torch.empty_like(old).uniform_(-1, 1),
                            entropy=torch.rand_like(old).requires_grad_("entropy" in name),
                            mask=(torch.rand_like(old) < 0.9).float(), advantage=torch.empty(rows, 1).uniform_(-1, 1)))
    at = 0

    def step():
        nonlocal at
        b = batches[at % count]
        at += 1
        b["logp"].grad = b["entropy"].grad = None
        loss_value(torch, name, b).backward()
    return measure(step, max(9, options.runs), 5.0), rows * length


def gemm_pool_bytes():
    return min(1536 << 20, max(256 << 20, 2 * l3_bytes()))


def run_case(torch, name, peer, options):
    kind, *rest = name.split("/")
    dtypes = {"float": torch.float32, "bf16": torch.bfloat16}
    record = dict(name=name, peer=peer)
    if kind == "gemm":
        times, flops, extra = case_gemm(torch, peer, dtypes[rest[0]], rest[1], options)
        record.update(seconds=statistics.median(times), gflops=flops / statistics.median(times) / 1e9, **extra)
    elif kind == "loss":
        times, tokens = case_loss(torch, rest[1], options)
        record.update(seconds=statistics.median(times), tok_per_s=tokens / statistics.median(times), tokens=tokens)
    else:
        function = dict(train=case_train, decode=case_decode, prefill=case_prefill, group_train=case_group_train,
                        group_rollout=case_group_rollout)[kind]
        times, tokens = function(torch, peer, SHAPES[rest[0]], dtypes[rest[1]], rest[2], options)
        record.update(seconds=statistics.median(times), tok_per_s=tokens / statistics.median(times), tokens=tokens)
    record.update(runs=len(times), min=min(times), max=max(times))
    return record


# --- checks -----------------------------------------------------------------------------------------------------------------

def verify(torch):
    """The peers agree with each other, in float64 on a tiny shape."""
    shape, double = SHAPES["tiny"], torch.float64
    failures = []

    def check(what, error, bound):
        print(f"{'ok  ' if error <= bound else 'FAIL'} {what}: {error:.2e} (bound {bound:.0e})")
        if not error <= bound:
            failures.append(what)

    def relative(a, b):
        return float((a - b).abs().max() / b.abs().max().clamp_min(1e-300))

    torch.manual_seed(0)
    p, g, a = 37, 3, 11
    prompt, answers = tokens_of(torch, 64, p), torch.randint(0, 64, (g, a))
    model = Model(torch, shape, double, 64, trainable=True)
    with torch.no_grad():
        for t in model.parameters:  # so that attention and biases matter
            t += 0.2 * torch.randn_like(t)

    def gradients(*losses):
        for t in model.parameters:
            t.grad = None
        total = 0.0
        for make in losses:
            loss = make()
            loss.backward()
            total += loss.item()
        return total, [t.grad.clone() for t in model.parameters]

    loss_r, grad_r = gradients(lambda: group_loss_replicated(model, prompt, answers))
    loss_m, grad_m = gradients(*[lambda i=i: group_loss_replicated(model, prompt, answers[i:i + 1]) for i in range(g)])
    loss_s, grad_s = gradients(lambda: group_loss_shared(model, prompt, answers))
    check("loss, shared prompt against replicated", abs(loss_s - loss_r) / abs(loss_r), 1e-12)
    check("gradients, shared prompt against replicated", max(map(relative, grad_s, grad_r)), 1e-10)
    check("gradients, micro-batches against one batch", max(map(relative, grad_m, grad_r)), 1e-10)

    # One finite difference along a random direction.
    direction = [torch.randn_like(t) for t in model.parameters]
    slope = sum(float((d * s).sum()) for d, s in zip(direction, grad_s))
    epsilon, values = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2):
            for t, d in zip(model.parameters, direction):
                t += sign * epsilon * d
            values.append(group_loss_shared(model, prompt, answers).item())
        for t, d in zip(model.parameters, direction):
            t += epsilon * d
    check("finite difference of the shared loss", abs((values[0] - values[1]) / (2 * epsilon) - slope) / abs(slope), 1e-6)

    network = transformers_model(torch, shape, double)
    names = dict(norm1="input_layernorm", q="self_attn.q_proj", k="self_attn.k_proj", v="self_attn.v_proj",
                 o="self_attn.o_proj", norm2="post_attention_layernorm", gate="mlp.gate_proj", up="mlp.up_proj",
                 down="mlp.down_proj")
    state = {"model.embed_tokens.weight": model.embedding, "model.norm.weight": model.norm,
             "lm_head.weight": model.embedding}
    for i, layer in enumerate(model.layers):
        for ours, theirs in names.items():
            state[f"model.layers.{i}.{theirs}.weight"] = getattr(layer, ours)
            if ours in "qkv":
                state[f"model.layers.{i}.{theirs}.bias"] = getattr(layer, ours + "_bias")
    network.load_state_dict({k: v.detach() for k, v in state.items()})
    tokens = tokens_of(torch, 64, 2, 20)
    with torch.no_grad():
        logits = model.hidden(tokens) @ model.embedding.T
        # transformers computes its norms and angles in float32 whatever the dtype
        check("logits against transformers", relative(network(input_ids=tokens).logits, logits), 1e-5)

        def copy(dtype):
            other = Model(torch, shape, dtype, 64, trainable=False)
            for to, source in zip(other.parameters, model.parameters):
                to.copy_(source)
            return other
        engine = Engine(torch, shape, double, 2, 40, model=copy(double))
        check("prefill against the training forward", relative(engine.prefill(tokens), logits[:, -1]), 1e-10)

        def follow(engine, tokens, count):
            out = []
            for _ in range(count):
                tokens = engine.step(tokens)
                out.append(tokens)
            return torch.stack(out, 1)
        drawn = follow(engine, engine.prefill(tokens).argmax(-1), 12)
        full = torch.cat((tokens, engine_first(engine, tokens)[:, None], drawn), 1)
        greedy = (model.hidden(full) @ model.embedding.T).argmax(-1)[:, tokens.shape[1] - 1:-1]
        check("greedy decode against the training forward", float((greedy != full[:, tokens.shape[1]:]).sum()), 0)

        plain = Engine(torch, shape, double, 3, 60, model=copy(double))
        first = torch.tensor([3, 7, 9])
        plain.prefill(prompt[None].expand(3, -1))
        plain_tokens = follow(plain, first, 15)
        forked = Engine(torch, shape, double, 3, 20, shared=p, model=copy(double))
        forked.prefill(prompt[None])
        check("greedy decode, shared prompt against copied",
              float((follow(forked, first, 15) != plain_tokens).sum()), 0)
        for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 5e-2)):
            packed = Engine(torch, shape, dtype, 2, 40, prepacked=True, model=copy(dtype))
            check(f"prefill, oneDNN prepacked {dtype}", relative(packed.prefill(tokens).double(), logits[:, -1]), bound)
    print("verify:", "FAILED" if failures else "all equal")
    return 1 if failures else 0


def engine_first(engine, tokens):
    return engine.prefill(tokens).argmax(-1)


# --- command line --------------------------------------------------------------------------------------------------------

def versions(torch):
    import numpy
    import transformers
    show = torch.__config__.show()

    def find(pattern):
        found = re.search(pattern, show)
        return found.group(1) if found else None
    return dict(python=sys.version.split()[0], torch=torch.__version__, transformers=transformers.__version__,
                numpy=numpy.__version__, mkl=find(r"Math Kernel Library Version (\S+)"), onednn=find(r"MKL-DNN (v\S+)"),
                capability=torch.backends.cpu.get_cpu_capability(), tuning=os.environ.get("QL_PEER_TUNING", "stock"))


def child(options):
    """Runs in a process of its own: a list of [case, peer]."""
    import torch
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    if options.verify:
        return verify(torch)
    known = versions(torch)
    for name, peer in json.loads(options.child):
        start = time.time()
        try:
            record = run_case(torch, name, peer, options)
            record["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        except Exception as error:  # one case must not end the run; the table shows the gap
            record = dict(name=name, peer=peer, error=f"{type(error).__name__}: {error}"[:500])
        record.update(threads=options.threads, quick=options.quick, versions=known, wall=round(time.time() - start, 2))
        print("QLPEER " + json.dumps(record), flush=True)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=".*", help="regular expression on case names")
    parser.add_argument("--peers", default=".*", help="regular expression on peer names")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpus", default="", help="cores to pin to, as 0,1 (default: the last N allowed)")
    parser.add_argument("--runs", type=int, default=3, help="timed runs a case, of which the median is reported")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a case may take before runs are cut")
    parser.add_argument("--micro-batch", type=int, default=1, help="sequences a micro-batch in group_train, replicated")
    parser.add_argument("--quick", action="store_true", help="few steps and short prompts: checks that cases run")
    parser.add_argument("--stock", action="store_true", help="no allocator tuning and no MKL shim")
    parser.add_argument("--out", default="", help="file that JSON lines are appended to")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--show", action="store_true", help="print torch.__config__.show() first")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options)
    if options.quick:
        options.runs = 1
    work = [(name, peer) for name, peers in all_cases().items() if re.search(options.cases, name)
            for peer in peers if re.search(options.peers, peer)]
    if options.list:
        print("\n".join(f"{name}  {peer}" for name, peer in work))
        return 0
    environment = tuned_environment(options.threads, options.stock)
    cpus = choose_cpus(options.threads, options.cpus)
    arguments = [sys.executable, str(pathlib.Path(__file__).resolve()), "--threads", str(options.threads),
                 "--runs", str(options.runs), "--budget", str(options.budget),
                 "--micro-batch", str(options.micro_batch)] + (["--quick"] if options.quick else [])

    def start(*extra):
        return subprocess.Popen(arguments + list(extra), env=environment, stdout=subprocess.PIPE, text=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    if options.show:
        subprocess.run([sys.executable, "-c", "import torch; print(torch.__config__.show())"], env=environment)
    if options.verify:
        process = start("--verify", "--child", "[]")
        print(process.communicate()[0], end="")
        return process.returncode
    # A process for each case and peer (one for all products), so that neither memory nor caches pass between them.
    batches = [[w] for w in work if not w[0].startswith("gemm/")]
    products = [w for w in work if w[0].startswith("gemm/")]
    batches += [products] if products else []
    failed = 0
    for batch in batches:
        process = start("--child", json.dumps(batch))
        seen = set()
        for line in process.stdout:
            if not line.startswith("QLPEER "):
                continue
            record = json.loads(line[7:])
            record["command"] = " ".join(sys.argv)
            record["cpus"] = cpus
            seen.add((record["name"], record["peer"]))
            failed += "error" in record
            rate = (record.get("error") or (f"{record['gflops']:10.1f} GF/s" if "gflops" in record
                    else f"{record['tok_per_s']:10.1f} tok/s") + f"  {record['seconds']:.4g} s x {record['runs']}")
            print(f"{record['name']:42s} {record['peer']:24s} {rate}", file=sys.stderr, flush=True)
            if options.out:
                with open(options.out, "a") as out:
                    out.write(json.dumps(record) + "\n")
            else:
                print(json.dumps(record), flush=True)
        process.wait()
        for name, peer in batch:
            if (name, peer) not in seen:
                failed += 1
                print(f"{name:42s} {peer:24s} the process ended with {process.returncode}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
