# SPDX-License-Identifier: Apache-2.0
"""qwenlong-l1 eval and eval-compare, on the stories model with an invented vocabulary."""

import http.server
import json
import signal
import subprocess
import time
import unittest

import support
from model_test import word_model
from score_test import judge

SETS = ["2wikimultihopqa", "cuad_contracts", "docmath_proxy_financebench", "docmath_proxy_tatqa", "frames", "hotpotqa",
        "kv_retrieval", "multidoc2dial", "musique", "narrativeqa", "nq_longpage", "nq_open_oracle", "qasper", "qasper_oracle"]
SHORT = {"--max-output": 8, "--replicates": 200, "--threads": 1}
http.server.ThreadingHTTPServer.handle_error = lambda *_: None  # a judge that is killed says nothing


def short(*options):
    """The options with those of SHORT that they do not give."""
    return [*options, *(x for name, v in SHORT.items() if name not in options for x in (name, v))]


def questions(f, n=6):
    """Two questions on each document."""
    return support.write_lines(f / "made.jsonl", [
        {"id": f"q{i}", "benchmark": "hotpotqa" if i < 4 else "mine", "context": f"Document {i // 2} . " * 20,
         "question": f"What is w{i} ?", "answers": [f"Answer {i}"]} for i in range(n)])


def lines(path):
    """(header, records by id, the last of each)"""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return rows[0], {row["id"]: row for row in rows[1:]}


class Model(unittest.TestCase):
    def setUp(self):
        self.folder = support.folder()
        self.f = self.folder.__enter__()
        self.addCleanup(self.folder.__exit__, None, None, None)
        (self.f / "model").mkdir()
        self.model = word_model(self.f / "model")

    def eval(self, out, *options, code=0, sets=None):
        sets = [x for s in sets or [questions(self.f)] for x in ("--set", s)]
        return support.run("eval", "--model", self.model, *sets, "--out", self.f / out, *short(*options), code=code)


class Eval(Model):
    def test_rule_alone(self):
        out, _ = self.eval("a.jsonl", "--summary", self.f / "a.json", "--samples", 4)
        header, records = lines(self.f / "a.jsonl")
        self.assertEqual(sorted(records), [f"q{i}" for i in range(6)])
        self.assertEqual(header["items"], 6)
        summary = json.loads((self.f / "a.json").read_text())
        self.assertEqual([(b["name"], b["proxy"], b["items"], b["documents"], b["samples"]) for b in summary["benchmarks"]],
                         [("hotpotqa_proxy", True, 4, 2, 16), ("mine", False, 2, 1, 8)])
        self.assertIsNone(summary["mean_of_seven"])
        self.assertEqual(summary["all"]["failed"] + summary["all"]["abstained"], 0)
        self.assertEqual(list(summary["all"]["pass_at"]), ["1", "2", "4"])
        self.assertIn("hotpotqa_proxy", out)
        self.assertNotIn("seven", out)
        for r in records.values():
            self.assertEqual(len(r["samples"]), 4)
            self.assertTrue(all(s["score"] == s["rule"] and s["judge"] is None for s in r["samples"]))

    def test_every_set_of_the_test_data(self):
        paths = [support.data_file(f"docqa/{name}.jsonl.gz") for name in SETS]
        with judge(lambda text: "[[YES]]" if "How" in text else "[[NO]]") as (url, seen):
            self.eval("all.jsonl", "--limit", 2, "--judge", url, "--summary", self.f / "s.json", sets=paths)
        summary = json.loads((self.f / "s.json").read_text())
        self.assertEqual([b["items"] for b in summary["benchmarks"]], [2] * 14)
        self.assertTrue(all(b["proxy"] == b["name"].startswith(("2wiki", "docmath", "frames", "hotpot", "musique", "narrative", "qasper"))
                            for b in summary["benchmarks"]))
        self.assertEqual(summary["all"]["abstained"], 0)
        self.assertGreater(len(seen), 10)
        _, records = lines(self.f / "all.jsonl")
        for r in records.values():
            for s in r["samples"]:
                self.assertEqual(s["score"], max(s["rule"], s["judge"] or 0))

    def test_an_interrupted_evaluation_goes_on_to_the_same_answers(self):
        self.eval("whole.jsonl", "--samples", 2)
        whole = (self.f / "whole.jsonl").read_bytes()
        rows = whole.splitlines(keepends=True)
        for kept in (0, 1, 3, 6):
            (self.f / "part.jsonl").write_bytes(b"".join(rows[:kept]) + (rows[kept][:50] if kept else b""))
            self.eval("part.jsonl", "--samples", 2)
            self.assertEqual((self.f / "part.jsonl").read_bytes(), whole)
        out, _ = self.eval("whole.jsonl", "--samples", 2)
        self.assertEqual((self.f / "whole.jsonl").read_bytes(), whole)
        _, err = self.eval("whole.jsonl", "--samples", 3, code=2)
        self.assertIn("protocol.samples: 2 in the file, 3 now", err)

    def test_threads_and_what_stands_beside_change_nothing(self):
        self.eval("a.jsonl", "--samples", 2)
        self.eval("b.jsonl", "--samples", 2, "--threads", 2)
        self.assertEqual((self.f / "a.jsonl").read_bytes(), (self.f / "b.jsonl").read_bytes())

    def judged(self, out, url, *options, code=0):
        self.eval(out, "--judge", url, "--summary", self.f / "s.json", *options, code=code)
        return json.loads((self.f / "s.json").read_text())["all"], lines(self.f / out)[1]

    def test_a_judge_that_is_refused_slow_or_killed_invents_no_score(self):
        def slow(_):
            time.sleep(0.6)
            return "[[YES]]"

        count = []

        def killed(_):
            count.append(1)
            if len(count) > 2:
                raise ConnectionError
            return "[[YES]]"

        with judge(slow) as (url, _):
            self.check_away("slow.jsonl", url, 0, "--mode", "repo", "--judge-timeout", 0.2)
        with judge(killed) as (url, _):
            self.check_away("killed.jsonl", url, 2)
        self.check_away("killed.jsonl", url, 2)  # refused now: nothing new is known

    def check_away(self, out, url, known, *options):
        total, records = self.judged(out, url, "--judge-patience", 1.5, *options)
        samples = [s for r in records.values() for s in r["samples"]]
        unknown = [s for s in samples if s["score"] is None]
        self.assertEqual((len(samples), len(unknown)), (6, 6 - known))
        self.assertTrue(all(s["why"].startswith("judge: ") and s["judge"] is None and s["rule"] == 0 for s in unknown), unknown)
        self.assertEqual((total["items"], total["abstained"]), (6, len(unknown)))
        self.assertAlmostEqual(total["score"]["estimate"], known / 6)
        self.assertAlmostEqual(total["at_most"], 1)

    def test_a_judge_that_comes_back_is_asked_for_what_is_missing(self):
        mood = []

        def says(_):
            if mood:
                return "[[YES]]"
            raise ConnectionError

        with judge(says) as (url, _):
            _, before = self.judged("a.jsonl", url, "--judge-patience", 1)
            mood.append("better")
            total, after = self.judged("a.jsonl", url)
        self.assertEqual(total["abstained"], 0)
        self.assertEqual(total["score"]["estimate"], 1)
        for name, r in after.items():
            self.assertEqual([s["text"] for s in r["samples"]], [s["text"] for s in before[name]["samples"]])
            self.assertEqual([s["judge"] for s in r["samples"]], [1])

    def test_a_signal_leaves_what_is_finished(self):
        command = [support.PROGRAM, "eval", "--model", self.model, "--set", questions(self.f, 60), "--out", self.f / "a.jsonl",
                   *short("--samples", 16, "--max-output", 120)]
        child = subprocess.Popen([str(x) for x in command], stderr=subprocess.PIPE, text=True)
        deadline = time.time() + 60
        while time.time() < deadline and not ((self.f / "a.jsonl").exists() and (self.f / "a.jsonl").read_bytes().count(b"\n") > 3):
            time.sleep(0.005)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
        if child.returncode == 0:
            self.skipTest("it was done before the signal came")
        self.assertEqual(child.returncode, 130, err)
        self.assertIn("the same command goes on there", err)

    def test_what_cannot_be_evaluated(self):
        for options, why in [(("--max-output", 10000), "--max-output"), (("--temperature", 0, "--samples", 2), "protocol.samples"),
                             (("--top-p", 0), "protocol.top_p"), (("--set", self.f / "absent.jsonl"), "absent.jsonl"),
                             (("--samples", 0), "--samples"), (("--judge", "ftp://x"), "http"), (("--journal", "x"), "--judge")]:
            _, err = self.eval("bad.jsonl", *options, code=2)
            self.assertIn(why, err)
        other = support.write_lines(self.f / "other.jsonl", [{"prompt": "x", "label": 1}])
        _, err = self.eval("bad.jsonl", code=2, sets=[other])
        self.assertIn("expected those of LongBench", err)
        _, err = self.eval("bad.jsonl", code=2, sets=[questions(self.f), questions(self.f)])
        self.assertIn("twice", err)

    def test_published_layouts(self):
        rows = [{"input": f"Q{i}?", "context": "c " * 30, "answers": ["a"], "dataset": name, "_id": str(i), "length": 30}
                for i, name in enumerate(("2wikimqa", "hotpotqa", "musique", "narrativeqa", "qasper"))]
        sets = [support.write_lines(self.f / "longbench.jsonl", rows),
                support.write_lines(self.f / "frames.jsonl", [{"Prompt": "Q?", "Answer": "a", "wiki_items": [{"title": "t", "text": "x"}]}]),
                support.write_lines(self.f / "docmath.jsonl", [{"question_id": "m-0", "question": "Q?", "paragraphs": ["p"], "ground_truth": 3.5}])]
        out, _ = self.eval("seven.jsonl", "--summary", self.f / "s.json", sets=sets)
        summary = json.loads((self.f / "s.json").read_text())
        self.assertIsNotNone(summary["mean_of_seven"])
        self.assertFalse(summary["seven_complete"])
        self.assertIn("mean of the seven benchmarks (not all of their items)", out)


class Compare(Model):
    def test_two_seeds(self):
        with judge(lambda text: "[[YES]]" if "w1" in text else "[[NO]]") as (url, _):
            for seed in (1, 2):
                self.eval(f"{seed}.jsonl", "--judge", url, "--seed", seed)
        out, _ = support.run("eval-compare", self.f / "1.jsonl", self.f / "2.jsonl", "--json", self.f / "c.json", "--replicates", 500)
        c = json.loads((self.f / "c.json").read_text())
        self.assertEqual(c["all"]["items"], 6)
        self.assertAlmostEqual(c["all"]["second"] - c["all"]["first"], c["all"]["difference"]["estimate"])
        self.assertIn("p McN", out)
        self.eval("3.jsonl", sets=[questions(self.f, 4)])
        _, err = support.run("eval-compare", self.f / "1.jsonl", self.f / "3.jsonl", code=2)
        self.assertIn("different items", err)
        _, err = support.run("eval-compare", self.f / "made.jsonl", self.f / "3.jsonl", code=2)
        self.assertIn("not the header of an evaluation", err)


if __name__ == "__main__":
    support.main()
