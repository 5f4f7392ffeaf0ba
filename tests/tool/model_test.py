# SPDX-License-Identifier: Apache-2.0
"""qwenlong-l1 logprobs, generate and convert, on small models."""

import filecmp
import json
import shutil
import signal
import subprocess
import time
import unittest

import support


def goldens(model):
    return [json.loads(line) for line in (support.data_file(f"models/{model}") / "golden.jsonl").read_text().splitlines()]


def word_model(f):
    """The stories model with an invented word vocabulary and a chat template."""
    shutil.copytree(support.data_file("models/stories260K"), f, dirs_exist_ok=True)
    vocab = {f"w{i}": i for i in range(510)}
    added = [{"id": 510, "content": "<u>", "special": True}, {"id": 511, "content": "<a>", "special": True}]
    (f / "tokenizer.json").write_text(json.dumps({
        "added_tokens": added, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "w0"}}))
    (f / "tokenizer_config.json").write_text(json.dumps(
        {"chat_template": "{% for m in messages %}<u> {{ m.content }} {% endfor %}<a>"}))
    return f


class Logprobs(unittest.TestCase):
    def test_what_run_c_computed(self):
        model = support.data_file("models/stories260K")
        rows = goldens("stories260K")
        text = "".join(json.dumps({"ids": row["ids"]}) + "\n" for row in rows)
        for dtype, close in (("float", 1e-4), ("bf16", 0.2)):
            out, _ = support.run("logprobs", "--model", model, "--last-logits", "--dtype", dtype, stdin=text)
            for line, row in zip(out.splitlines(), rows, strict=True):
                got = json.loads(line)
                self.assertEqual(got["ids"], row["ids"])
                self.assertEqual(got["logprobs"][0], 0)
                for a, b in zip(got["logprobs"][1:], row["prompt_logprobs"][1:], strict=True):
                    self.assertAlmostEqual(a, b, delta=close)
                for a, b in zip(got["last_logits"], row["last_logits"], strict=True):
                    self.assertAlmostEqual(a, b, delta=close)

    def test_threads_do_not_change_a_bit(self):
        model = support.data_file("models/stories260K")
        text = json.dumps({"ids": list(range(1, 300))}) + "\n"
        one = support.run("logprobs", "--model", model, "--threads", 1, stdin=text)[0]
        self.assertEqual(one, support.run("logprobs", "--model", model, "--threads", 3, stdin=text)[0])

    def test_ids_that_cannot_be(self):
        model = support.data_file("models/stories260K")
        for ids, words in [([1, 512], "0 to 511"), ([-1], "0 and more"), ([], "at least one token"), ([1] * 513, "at most 512"), ("x", "array")]:
            _, err = support.run("logprobs", "--model", model, stdin=json.dumps({"ids": ids}) + "\n", code=2)
            self.assertIn(words, err)


class Generate(unittest.TestCase):
    def test_greedy_ids_of_run_c(self):
        rows = goldens("stories260K")
        with support.folder() as f:
            word_model(f)
            given = support.write_lines(f / "in.jsonl", [{"ids": row["ids"]} for row in rows])
            support.run("generate", "--model", f, "--in", given, "--out", f / "out.jsonl.gz", "--greedy", "--max-new-tokens", 96)
            for got, row in zip(support.read_lines(f / "out.jsonl.gz"), rows, strict=True):
                (answer,) = got["answers"]
                self.assertEqual(answer["ids"], row["greedy_ids"])
                self.assertEqual(answer["finish"], "length")
                self.assertEqual(answer["text"], " ".join(f"w{i}" for i in answer["ids"]))

    def test_same_seed_same_answers_whatever_is_beside_them(self):
        with support.folder() as f:
            word_model(f)
            given = support.write_lines(f / "in.jsonl", [{"prompt": "w5 w6"}, {"messages": [{"role": "user", "content": "w7"}]}])
            def answers(*options):
                support.run("generate", "--model", f, "--in", given, "--out", f / "o", "--max-new-tokens", 12, "--logprobs", *options)
                return [row["answers"] for row in support.read_lines(f / "o")]
            three = answers("--n", 3, "--seed", 7)
            self.assertEqual(three, answers("--n", 3, "--seed", 7, "--threads", 1))
            self.assertEqual([row[:2] for row in three], answers("--n", 2, "--seed", 7))
            self.assertNotEqual(three, answers("--n", 3, "--seed", 8))
            self.assertNotEqual(three[0][0]["ids"], three[0][1]["ids"])
            # the recorded log-probs are those of scoring
            row = three[0][1]
            prompt = json.loads(support.run("tokenize", "--model", f, stdin='{"text": "<u> w5 w6 <a>"}\n')[0])["ids"]
            self.assertEqual(prompt, [510, 5, 6, 511])
            scored = json.loads(support.run("logprobs", "--model", f, stdin=json.dumps({"ids": prompt + row["ids"]}) + "\n")[0])
            self.assertEqual(scored["logprobs"][len(prompt):], row["logprobs"])

    def test_a_prompt_is_answered_live(self):
        with support.folder() as f:
            word_model(f)
            out, err = support.run("generate", "--model", f, "--prompt", "w9", "--greedy", "--max-new-tokens", 5)
            self.assertRegex(out, r"^(w\d+ ?)+\n$")
            self.assertRegex(err, r"prompt: 3 tokens in .* tokens/s\); answer: 5 tokens in .* tokens/s\); ended by length\n")
            two, err = support.run("generate", "--model", f, "--prompt", "w9", "--greedy", "--max-new-tokens", 5, "--n", 2)
            self.assertEqual(two, f"--- answer 1\n{out}--- answer 2\n{out}")
            self.assertIn("answers: 10 tokens", err)
            raw, err = support.run("generate", "--model", f, "--prompt", "w9", "--raw", "--greedy", "--max-new-tokens", 5)
            self.assertIn("prompt: 1 tokens", err)
            stop = int(out.split()[1][1:])
            (f / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, stop]}))
            short, err = support.run("generate", "--model", f, "--prompt", "w9", "--greedy", "--max-new-tokens", 5)
            self.assertEqual(short.split(), out.split()[:2])
            self.assertIn("ended by stop", err)

    def test_what_cannot_be_asked(self):
        with support.folder() as f:
            word_model(f)
            for options, words in [
                ([], "either --prompt or --in"),
                (["--prompt", "w1", "--temperature", -1], "temperature"),
                (["--prompt", "w1", "--top-p", 1.5], "top_p"),
                (["--prompt", "w1", "--n", 0], "--n"),
                (["--prompt", "w1", "--max-new-tokens", 0], "--max-new-tokens"),
                (["--prompt", "w1 " * 600], "fewer than 512 tokens"),
                (["--prompt", "w1", "--dtype", "int4"], "--dtype"),
                (["--prompt", "w1", "--threads", 5000], "--threads"),
            ]:
                _, err = support.run("generate", "--model", f, *options, code=2)
                self.assertIn(words, err)

    def test_an_interrupt_ends_it_cleanly(self):
        with support.folder() as f:
            word_model(f)
            given = support.write_lines(f / "in.jsonl", [{"prompt": "w1"}] * 100_000)
            process = subprocess.Popen([support.PROGRAM, "generate", "--model", f, "--in", given, "--out", f / "o", "--max-new-tokens", "400"],
                                       stderr=subprocess.PIPE, text=True)
            outputs = lambda: sorted(p.name for p in f.iterdir() if p.name.startswith("o"))
            while not outputs() and process.poll() is None:  # it has begun to write
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130, err)
            self.assertIn("interrupted", err)
            self.assertEqual(outputs(), [])


class Convert(unittest.TestCase):
    def test_keep_is_byte_for_byte(self):
        source = support.data_file("models/verl_digit_completion")
        with support.folder() as f:
            support.run("convert", "--in", source, "--out", f / "same")
            for name in ("model.safetensors", "config.json", "generation_config.json", "tokenizer_config.json"):
                self.assertTrue(filecmp.cmp(source / name, f / "same" / name, shallow=False), name)

    def test_to_float_in_shards_and_back(self):
        source = support.data_file("models/verl_digit_completion")
        with support.folder() as f:
            out, _ = support.run("convert", "--in", source, "--out", f / "float", "--dtype", "float", "--shard", "500KB")
            self.assertGreater(len(list((f / "float").glob("model-*-of-*.safetensors"))), 3)
            self.assertEqual(json.loads((f / "float" / "config.json").read_text())["torch_dtype"], "float32")
            found = json.loads(support.run("inspect", "--json", f / "float")[0])
            self.assertEqual(list(found["dtypes"]), ["F32"])
            support.run("convert", "--in", f / "float", "--out", f / "back", "--dtype", "bf16", "--shard", "1GB")
            self.assertEqual((f / "back" / "config.json").read_bytes(), (source / "config.json").read_bytes())
            row = json.dumps({"ids": [3, 4, 5, 6, 7]}) + "\n"
            said = [support.run("logprobs", "--model", m, "--last-logits", stdin=row)[0] for m in (source, f / "back")]
            self.assertEqual(said[0], said[1])
            for dtype in ("float", "bf16"):
                self.assertEqual(support.run("logprobs", "--model", f / "float", "--dtype", dtype, stdin=row)[0],
                                 support.run("logprobs", "--model", source, "--dtype", dtype, stdin=row)[0])

    def test_what_cannot_be(self):
        source = support.data_file("models/verl_digit_completion")
        with support.folder() as f:
            _, err = support.run("convert", "--in", source, "--out", source, code=2)
            self.assertIn("another folder", err)
            _, err = support.run("convert", "--in", source, "--out", f, "--shard", "5 apples", code=2)
            self.assertIn("a size such as", err)
            (f / "model.safetensors.index.json").write_text("{}")
            _, err = support.run("convert", "--in", source, "--out", f, code=2)
            self.assertIn("left of another checkpoint", err)


if __name__ == "__main__":
    support.main()
