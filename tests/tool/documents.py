# SPDX-License-Identifier: Apache-2.0
"""A model folder, rows and a recipe for the tests of `train`: random weights, a byte for a token, two phases."""

import array
import json
import random
import struct


def bytes_to_characters():
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in kept]
    return {**{b: chr(b) for b in kept}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def make_model(folder, context=1024):
    folder.mkdir()
    characters = bytes_to_characters()
    vocabulary = {characters[b]: b for b in range(256)}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": [{"id": 256, "content": "<|end|>", "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary,
                  "merges": []},
    }
    hidden, ffn, head, words = 32, 64, 16, 257
    config = {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": words, "hidden_size": hidden,
        "intermediate_size": ffn, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "hidden_act": "silu", "max_position_embeddings": context, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "use_sliding_window": False, "torch_dtype": "float32", "eos_token_id": 256,
    }
    draw = random.Random(7)
    tensors = {"model.embed_tokens.weight": (words, hidden), "model.norm.weight": (hidden,)}
    for i in range(2):
        at = f"model.layers.{i}."
        tensors |= {
            at + "input_layernorm.weight": (hidden,), at + "post_attention_layernorm.weight": (hidden,),
            at + "self_attn.q_proj.weight": (2 * head, hidden), at + "self_attn.q_proj.bias": (2 * head,),
            at + "self_attn.k_proj.weight": (head, hidden), at + "self_attn.k_proj.bias": (head,),
            at + "self_attn.v_proj.weight": (head, hidden), at + "self_attn.v_proj.bias": (head,),
            at + "self_attn.o_proj.weight": (hidden, 2 * head), at + "mlp.gate_proj.weight": (ffn, hidden),
            at + "mlp.up_proj.weight": (ffn, hidden), at + "mlp.down_proj.weight": (hidden, ffn),
        }
    header, body = {}, b""
    for name, shape in tensors.items():
        size = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [1.0] * size if name.endswith("norm.weight") else [draw.gauss(0, 0.15) for _ in range(size)]
        data = array.array("f", values).tobytes()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    (folder / "config.json").write_text(json.dumps(config))
    # many tokens end an answer: lengths differ from the first step on, and so do rewards with their length penalty
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [256, *range(100, 150)]}))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def make_rows(path, count, seed, length):
    draw = random.Random(seed)
    names = ["Ada", "Ben", "Cleo", "Dan", "Eve", "Finn"]
    with path.open("w") as f:
        for i in range(count):
            name, town = draw.choice(names), draw.choice(["Rome", "Oslo", "Lima", "Bonn"])
            context = f"{name} {seed}-{i} lives in {town}. " + "It rains. " * (length // 10)
            f.write(json.dumps({"id": f"{seed}-{i}", "benchmark": "towns", "context": context,
                                "question": f"Where does {name} live?", "answers": [town],
                                "cot": f"The text says {town}."}) + "\n")


RECIPE = """
model = "model"
seed = 3
checkpoint_every = 1
[data]
train = ["short.jsonl", "long.jsonl"]
validation = ["held_out.jsonl"]
warm_up = ["warm_up.jsonl"]
held_out = 0.2
[sft]
epochs = 2
batch = 4
short_answers = 3
think_tags = false
learning_rate = 1e-3
checkpoint_every = 1
[reward]
thinking = false
judge.url = "equivalence"
[validation]
every = 1
replicates = 200
questions = 5
[rl]
group_size = 4
updates_per_batch = 2
refill_rounds = 1
dynamic_sampling = false
overlong = 1.0
retention = "weighted"
temperature = 1.0
top_p = 1.0
learning_rate = 1e-3
kl_every = 1
audit = "whole_batch"
[[rl.phases]]
name = "short"
up_to = 400
max_response_tokens = 12
steps = 2
batch = 4
[[rl.phases]]
name = "long"
above = 400
up_to = 600
max_response_tokens = 12
steps = 2
batch = 4
retention.fraction = 0.5
"""


def make_all(root):
    """A model, documents of each kind, and recipe.toml."""
    make_model(root / "model")
    make_rows(root / "short.jsonl", 12, 1, 20)
    make_rows(root / "long.jsonl", 12, 2, 250)
    make_rows(root / "held_out.jsonl", 4, 4, 30)
    make_rows(root / "warm_up.jsonl", 6, 5, 20)
    (root / "recipe.toml").write_text(RECIPE)
