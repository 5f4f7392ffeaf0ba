# SPDX-License-Identifier: Apache-2.0
"""qwenlong-l1 inspect."""

import json
import shutil
import unittest

import support


class Inspect(unittest.TestCase):
    def test_a_published_model(self):
        found = json.loads(support.run("inspect", "--json", support.data_file("models/stories260K"))[0])
        self.assertEqual(found["architecture"], "Llama")
        self.assertEqual(found["parameters"], 260032)
        self.assertEqual(found["bytes"], 4 * 260032)
        self.assertEqual(found["dtypes"], {"F32": 260032})
        self.assertEqual(found["context"], 512)
        self.assertTrue(any("tokenizer" in w for w in found["warnings"]))  # the folder has none

    def test_plain_text_and_warnings(self):
        with support.folder() as f:
            source = support.data_file("models/verl_digit_completion")
            config = json.loads((source / "config.json").read_text())
            config["num_hidden_layers"] += 1
            config["eos_token_id"] = 1000
            (f / "config.json").write_text(json.dumps(config))
            shutil.copy(source / "model.safetensors", f)
            out, _ = support.run("inspect", f)
            self.assertRegex(out, r"architecture: +Llama\n")
            self.assertRegex(out, r'warning: +weights: "model.layers.4.input_layernorm.weight" is missing')
            self.assertRegex(out, r"warning: +eos_token_id 1000 is outside the model's vocabulary")

    def test_an_empty_folder_is_all_warnings(self):
        with support.folder() as f:
            found = json.loads(support.run("inspect", "--json", f)[0])
            self.assertGreaterEqual(len(found["warnings"]), 3)

    def test_text_from_files_cannot_reach_the_terminal_raw(self):
        with support.folder() as f:
            (f / "config.json").write_text('{"architectures": ["\\u001b[31mRed"]}')
            out, _ = support.run("inspect", f)
            self.assertNotIn("\x1b", out)


if __name__ == "__main__":
    support.main()
