#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Llama in GGUF, as llama.cpp writes it, to a Hugging Face folder. Usage: gguf_to_hf.py FILE.gguf FOLDER [--float]

Needs PyPI's gguf, numpy and safetensors. Knows the architecture llama with a byte-level BPE vocabulary of the kind
"smollm" (digits one by one, then GPT-2's rule) or "gpt-2"; refuses anything else. Quantised tensors are expanded by
gguf's own code; the weights are written as bfloat16, or as float32 with --float."""

import json
import pathlib
import sys

import gguf
import numpy
from safetensors.numpy import save_file

TENSORS = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}
TOP = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
       "output.weight": "lm_head.weight"}
CONTROL, USER_DEFINED = 3, 4  # kinds of tokens


def half_rotation(w, heads):
    """llama.cpp keeps the rotated pairs side by side; Hugging Face keeps first halves, then second halves."""
    pairs = w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:])
    return pairs.swapaxes(1, 2).reshape(w.shape)


def bfloat16(w):
    """Rounded to nearest even, as the upper half of a float32."""
    bits = numpy.ascontiguousarray(w, dtype=numpy.float32).view(numpy.uint32).astype(numpy.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)


def write_bfloat16(tensors, path):
    """safetensors' numpy interface has no bfloat16; the format is a length, a JSON header and the bytes."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    names = sorted(tensors)
    for name in names:
        size = tensors[name].size * 2
        header[name] = {"dtype": "BF16", "shape": list(tensors[name].shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            out.write(bfloat16(tensors[name]).tobytes())


def main():
    arguments = [a for a in sys.argv[1:] if a != "--float"]
    if len(arguments) != 2:
        sys.exit(__doc__.splitlines()[0])
    reader = gguf.GGUFReader(arguments[0])
    folder = pathlib.Path(arguments[1])

    def field(key, default=None):
        found = reader.get_field(key)
        if found is None:
            if default is None:
                sys.exit(f"gguf_to_hf: no field {key}")
            return default
        return found.contents()

    kind = field("general.architecture")
    rule = field("tokenizer.ggml.pre")
    if kind != "llama" or field("tokenizer.ggml.model") != "gpt2" or rule not in ("smollm", "gpt-2"):
        sys.exit(f"gguf_to_hf: architecture {kind} with vocabulary {field('tokenizer.ggml.model')}/{rule} is not supported")
    heads, kv_heads = field("llama.attention.head_count"), field("llama.attention.head_count_kv")
    tokens, kinds = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")

    tensors = {}
    for t in reader.tensors:
        values = gguf.quants.dequantize(t.data, t.tensor_type).astype(numpy.float32)
        if t.name in TOP:
            name = TOP[t.name]
        else:
            block, layer, rest = t.name.split(".", 2)
            if block != "blk" or rest not in TENSORS:
                sys.exit(f"gguf_to_hf: tensor {t.name} is not known")
            name = f"model.layers.{int(layer)}.{TENSORS[rest]}"
            if rest == "attn_q.weight":
                values = half_rotation(values, heads)
            if rest == "attn_k.weight":
                values = half_rotation(values, kv_heads)
        tensors[name] = numpy.ascontiguousarray(values)
    vocabulary, hidden = tensors["model.embed_tokens.weight"].shape

    folder.mkdir(parents=True, exist_ok=True)

    def write(name, value):
        (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    ids = {key: int(field(f"tokenizer.ggml.{key}_token_id", field("tokenizer.ggml.eos_token_id"))) for key in ("bos", "eos", "padding")}
    write("config.json", {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": ids["bos"],
        "eos_token_id": ids["eos"],
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": int(field("llama.feed_forward_length")),
        "max_position_embeddings": int(field("llama.context_length")),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": int(heads),
        "num_hidden_layers": int(field("llama.block_count")),
        "num_key_value_heads": int(kv_heads),
        "pad_token_id": ids["padding"],
        "rms_norm_eps": float(f"{field('llama.attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_scaling": None,
        "rope_theta": float(field("llama.rope.freq_base", 10000.0)),
        "tie_word_embeddings": "lm_head.weight" not in tensors,
        "torch_dtype": "float32" if "--float" in sys.argv else "bfloat16",
        "vocab_size": vocabulary,
    })
    write("generation_config.json", {"bos_token_id": ids["bos"], "eos_token_id": ids["eos"], "pad_token_id": ids["padding"]})
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = [{"type": "Digits", "individual_digits": True}] if rule == "smollm" else []
    write("tokenizer.json", {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": k == CONTROL}
                         for i, (t, k) in enumerate(zip(tokens, kinds)) if k in (CONTROL, USER_DEFINED)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*digits, byte_level]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": list(field("tokenizer.ggml.merges"))},
    })
    write("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[ids["bos"]],
        "eos_token": tokens[ids["eos"]],
        "pad_token": tokens[ids["padding"]],
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(field("llama.context_length")),
        "chat_template": field("tokenizer.chat_template"),
    })
    # the weights last: a folder that has them is complete
    part = folder / "model.safetensors.part"
    if "--float" in sys.argv:
        save_file(tensors, str(part), metadata={"format": "pt"})
    else:
        write_bfloat16(tensors, part)
    part.rename(folder / "model.safetensors")
    print(f"gguf_to_hf: {sum(t.size for t in tensors.values())} parameters, {len(tokens)} tokens")


if __name__ == "__main__":
    main()
