# SPDX-License-Identifier: Apache-2.0
"""`plan`: bytes and seconds of a recipe before weights are read; what does not fit is named with what would make it fit.
The figures themselves are held against measured ones in tests/model/memory_plan.test.cpp."""

import json
import re
import unittest

import support

CONFIG = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 1536,
    "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
    "hidden_act": "silu", "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "tie_word_embeddings": True, "use_sliding_window": False, "torch_dtype": "bfloat16", "eos_token_id": 151645,
}
RECIPE = """
preset = "paper_grpo"
[sft]
epochs = 0
[rl]
train_groups = 2
updates_per_batch = 1
kl_every = 0
keep = "%s"
[[rl.phases]]
name = "short"
up_to = 2000
max_response_tokens = 100
steps = 10
batch = 2
"""


class Plan(unittest.TestCase):
    def folder(self, keep="inputs"):
        f = support.folder()
        path = f.__enter__()
        self.addCleanup(f.__exit__, None, None, None)
        (path / "config.json").write_text(json.dumps(CONFIG))
        (path / "recipe.toml").write_text(RECIPE % keep)
        return path

    def plan(self, path, *more, code=0):
        out, _ = support.run("plan", "--model", path, "--recipe", path / "recipe.toml", "--device", "h100-80g", "--json",
                             *more, code=code)
        return json.loads(out)

    def test_a_model_of_which_there_is_only_the_config(self):
        said = self.plan(self.folder())
        parameters = 1_543_714_304
        phase = said["phases"][0]
        self.assertEqual(said["compute"], "bf16")
        self.assertEqual(phase["bytes"]["weights"], 4 * parameters)
        self.assertEqual(phase["bytes"]["optimizer"], 8 * parameters)
        self.assertEqual(phase["bytes"]["total"], sum(v for k, v in phase["bytes"].items() if k != "total"))
        self.assertTrue(said["fits"])
        seconds = phase["seconds"]
        self.assertAlmostEqual(seconds["step"], seconds["reading"] + seconds["sampling"] + seconds["update"])
        # 6 operations a weight and trained token, recomputed layers 2 more
        trained = 2 * (2000 + 100 * 8)
        self.assertGreater(seconds["update"], 6 * 1.3e9 * trained / 400e12)
        self.assertLess(seconds["update"], 12 * 1.6e9 * trained / 400e12)

    def test_what_does_not_fit_is_named_with_what_would(self):
        path = self.folder("everything")
        all_kept = self.plan(path)["phases"][0]["bytes"]["total"]
        inputs = self.plan(path, "--set", "rl.keep=inputs")["phases"][0]["bytes"]["total"]
        self.assertLess(inputs, all_kept)
        between = (inputs + all_kept) / 2 / 1e9
        said = self.plan(path, "--memory", between, code=1)
        self.assertFalse(said["fits"])
        change = said["phases"][0]["would_fit"]
        self.assertRegex(change, r"rl\.|--ranks")
        settings = [x for pair in change.split(", ") for x in pair.split(" = ")]
        extra = []
        for key, value in zip(settings[::2], settings[1::2]):
            extra += ["--set", f"{key}={value.strip(chr(34))}"]
        self.assertTrue(self.plan(path, "--memory", between, *extra)["fits"])
        text, _ = support.run("plan", "--model", path, "--recipe", path / "recipe.toml", "--memory", between, code=1)
        self.assertRegex(text, r"does not fit; with .*it would")

    def test_ranks(self):
        path = self.folder()
        alone = self.plan(path)["phases"][0]
        rows = self.plan(path, "--ranks", 4, "--split", "rows")["phases"][0]
        self.assertLess(rows["bytes"]["activations"], 0.3 * alone["bytes"]["activations"])
        self.assertLess(rows["seconds"]["update"], 0.3 * alone["seconds"]["update"])
        self.assertEqual(rows["bytes"]["optimizer"], alone["bytes"]["optimizer"] // 4)

    def test_bad_use(self):
        path = self.folder()
        _, err = support.run("plan", "--model", path, "--recipe", path / "recipe.toml", "--ranks", 0, code=2)
        self.assertRegex(err, r"--ranks: expected 1 to 4096")
        _, err = support.run("plan", "--recipe", "paper_grpo", code=2)
        self.assertRegex(err, r"--model")


if __name__ == "__main__":
    support.main()
