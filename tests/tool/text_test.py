# SPDX-License-Identifier: Apache-2.0
"""qwenlong-l1 tokenize, detokenize and render."""

import gzip
import json
import shutil
import unittest

import support


def tokenizer_folder(f, name="qwen3"):
    for file in support.data_file(f"tokenizers/{name}").iterdir():
        shutil.copy(file, f)
    return f


def vectors(path, count):
    with gzip.open(support.data_file(path), "rt", encoding="utf-8") as lines:
        return [json.loads(line) for _, line in zip(range(count), lines)]


class Tokenize(unittest.TestCase):
    def test_vectors_there_and_back_in_every_kind_of_file(self):
        rows = [row for row in vectors("tokenizers/vectors/qwen3.jsonl.gz", 390) if "bytes_hex" not in row and "ids_alt" not in row]
        self.assertGreater(len(rows), 300)
        with support.folder() as f:
            tokenizer_folder(f)
            texts = [{"id": i, "text": row["text"]} for i, row in enumerate(rows)]
            wanted = [{"id": i, "ids": row["ids"]} for i, row in enumerate(rows)]
            back = [{"id": i, "text": row["decoded"]} for i, row in enumerate(rows)]
            for ending in ("jsonl", "jsonl.gz"):
                given = support.write_lines(f / f"in.{ending}", texts)
                support.run("tokenize", "--model", f, "--in", given, "--out", f / f"ids.{ending}")
                self.assertEqual(support.read_lines(f / f"ids.{ending}"), wanted)
                support.run("detokenize", "--model", f, "--in", f / f"ids.{ending}", "--out", f / f"text.{ending}")
                self.assertEqual(support.read_lines(f / f"text.{ending}"), back)
            out, _ = support.run("tokenize", "--model", f, stdin=(f / "in.jsonl").read_text())
            self.assertEqual([json.loads(line) for line in out.splitlines()], wanted)

    def test_options(self):
        with support.folder() as f:
            tokenizer_folder(f)
            row = json.dumps({"text": "<|im_end|> né"}) + "\n"
            special = json.loads(support.run("tokenize", "--model", f, "--offsets", stdin=row)[0])
            self.assertEqual(special["ids"][0], 151645)
            self.assertEqual(special["offsets"][0], [0, 10])
            plain = json.loads(support.run("tokenize", "--model", f, "--plain", stdin=row)[0])
            self.assertNotIn(151645, plain["ids"])
            row = json.dumps({"ids": special["ids"]}) + "\n"
            kept = json.loads(support.run("detokenize", "--model", f, stdin=row)[0])
            self.assertEqual(kept["text"], "<|im_end|> né")
            left = json.loads(support.run("detokenize", "--model", f, "--skip-special-tokens", stdin=row)[0])
            self.assertEqual(left["text"], " né")

    def test_bad_lines_are_named_and_counted(self):
        with support.folder() as f:
            tokenizer_folder(f)
            good = [{"text": "a"}] * 298
            given = support.write_lines(f / "in.jsonl", [*good, '{"text": 5}', "", '{"text": "a"', {"text": "b"}])
            _, err = support.run("tokenize", "--model", f, "--in", given, "--out", f / "out.jsonl")
            self.assertIn(f"{given}:299: ", err)
            self.assertIn(f"{given}:301: ", err)
            self.assertEqual(len(support.read_lines(f / "out.jsonl")), 299)
            given = support.write_lines(f / "in.jsonl", [*good[:100], '{"text": 5}', '{"ids": [1]}'])
            _, err = support.run("tokenize", "--model", f, "--in", given, "--out", f / "none.jsonl", code=2)
            self.assertIn("2 of 102 lines are bad", err)
            self.assertFalse((f / "none.jsonl").exists())

    def test_files_that_are_not_there(self):
        with support.folder() as f:
            _, err = support.run("tokenize", "--model", f, "--in", f / "x", code=2)
            self.assertIn("holds neither tokenizer.json nor vocab.json", err)
            tokenizer_folder(f)
            _, err = support.run("tokenize", "--model", f, "--in", f / "x", code=2)
            self.assertIn("cannot open: No such file", err)
            row = json.dumps({"text": "a"}) + "\n"
            _, err = support.run("tokenize", "--model", f, "--out", f / "no" / "x", stdin=row, code=2)
            self.assertIn("cannot create", err)


class Render(unittest.TestCase):
    def test_the_renderings_of_jinja2(self):
        rows = [row for row in vectors("chat_templates/renderings.jsonl.gz", 480) if row["template"] in ("qwen3", "deepseek_r1_distill_qwen")]
        with support.folder() as f:
            for template in ("qwen3", "deepseek_r1_distill_qwen"):
                mine = [row for row in rows if row["template"] == template and row["expected"] is not None]
                self.assertGreater(len(mine), 30)
                source = support.data_file(f"chat_templates/{template}.jinja").read_text()
                special = {k: v for k, v in (mine[0]["vars"] or {}).items() if isinstance(v, str)}
                (f / "tokenizer_config.json").write_text(json.dumps({"chat_template": source, **special}))
                given = support.write_lines(f / "in.jsonl", [
                    {"n": i, "messages": row["messages"], "options": row["options"], **({"tools": row["tools"]} if row.get("tools") else {})}
                    for i, row in enumerate(mine)])
                support.run("render", "--model", f, "--in", given, "--out", f / "out.jsonl.gz")
                out = support.read_lines(f / "out.jsonl.gz")
                self.assertEqual(len(out), len(mine))
                for got, row in zip(out, mine):
                    self.assertEqual(got["text"], row["expected"], row["name"])
                    self.assertEqual(got.get("opens_thinking", False), row["expected"].rstrip().endswith("<think>"))
                    self.assertLessEqual(set(got), {"n", "text", "opens_thinking"})

    def test_a_template_that_raises(self):
        with support.folder() as f:
            (f / "chat_template.jinja").write_text("{{ raise_exception('no system messages') }}")
            _, err = support.run("render", "--model", f, stdin='{"messages": []}\n', code=2)
            self.assertIn("no system messages", err)
            (f / "chat_template.jinja").write_text("{% import 'os' as os %}")
            _, err = support.run("render", "--model", f, stdin='{"messages": []}\n', code=2)
            self.assertIn("import", err)


if __name__ == "__main__":
    support.main()
