# SPDX-License-Identifier: Apache-2.0
"""Tiny random models of transformers, with their logits and greedy ids: tests/golden/transformers/.

Usage: transformers_models.py [FOLDER], with PyPI's torch and transformers. Each model is a folder as save_pretrained
writes it, and golden.jsonl: {"ids", "last_logits", "logprobs", "greedy_ids"}, computed in float32 by eager attention."""

import json
import pathlib
import sys

import torch
import transformers

VOCABULARY, CONTEXT, ORIGINAL = 96, 128, 32
SHAPE = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=CONTEXT, bos_token_id=1, eos_token_id=2, pad_token_id=0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=ORIGINAL)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=ORIGINAL)
LENGTHS, GREEDY, SURE = (5, 40, 100), 24, 1e-3

# name: (model type, further settings, rope, dtype of the file)
MODELS = {
    "qwen2": ("qwen2", dict(tie_word_embeddings=True), dict(rope_type="default", rope_theta=1e6), "bfloat16"),
    "qwen2_yarn": ("qwen2", dict(), dict(rope_theta=1e6, **YARN), "bfloat16"),
    "qwen3": ("qwen3", dict(head_dim=16, tie_word_embeddings=True), dict(rope_type="default", rope_theta=1e6), "float32"),
    "llama_linear": ("llama", dict(), dict(rope_type="linear", rope_theta=1e4, factor=4.0), "float16"),
    "llama_yarn": ("llama", dict(), dict(rope_theta=1e4, **YARN), "bfloat16"),
    "llama_llama3": ("llama", dict(head_dim=16), dict(rope_theta=5e5, **LLAMA3), "bfloat16"),
}


def randomise(model, generator):
    """Weights, biases and norms that all matter."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if "norm" in name:
            p.data = 1 + 0.2 * noise
        elif name.endswith(".bias"):
            p.data = 0.3 * noise
        elif "embed_tokens" in name:
            p.data = 0.5 * noise
        else:
            p.data = noise * 1.2 / p.shape[-1] ** 0.5


def golden(model, ids):
    """What the model says to ids, and the least gap between the two largest logits on its greedy walk."""
    greedy, gap = list(ids), float("inf")
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
        for _ in range(min(GREEDY, CONTEXT - len(ids))):
            row = model(torch.tensor([greedy])).logits[0, -1]
            top = row.topk(2).values
            gap = min(gap, float(top[0] - top[1]))
            greedy.append(int(row.argmax()))
            if greedy[-1] == SHAPE["eos_token_id"]:
                break
    rows = torch.log_softmax(logits.double(), -1)
    logprobs = [0.0] + [float(rows[i, t]) for i, t in enumerate(ids[1:])]
    number = lambda x: float(f"{x:.8g}")
    return gap, {"ids": ids, "last_logits": [number(float(x)) for x in logits[-1]],
                 "logprobs": [number(x) for x in logprobs], "greedy_ids": greedy[len(ids):]}


def make(folder, kind, settings, rope, dtype, seed):
    """Writes one model; False where some greedy choice is too close to be certain in float."""
    generator = torch.Generator().manual_seed(seed)
    config = transformers.AutoConfig.for_model(kind, **SHAPE, **settings, rope_parameters=rope)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    randomise(model, generator)
    model.tie_weights()
    model = model.to(getattr(torch, dtype))  # the values of the file
    model.save_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    lines = []
    for length in LENGTHS:
        ids = torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()
        gap, line = golden(model, ids)
        if gap < SURE:
            return False
        lines.append(json.dumps(line))
    (folder / "golden.jsonl").write_text("\n".join(lines) + "\n")
    return True


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "transformers"
    torch.set_num_threads(1)
    for name, (kind, settings, rope, dtype) in MODELS.items():
        seed = 1
        while not make(root / name, kind, settings, dict(rope), dtype, seed):
            seed += 1
        print(name, "seed", seed)


if __name__ == "__main__":
    main()
