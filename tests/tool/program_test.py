# SPDX-License-Identifier: Apache-2.0
"""What holds for every verb: help, exit codes, errors in plain words."""

import re
import unittest

import support


class Program(unittest.TestCase):
    def verbs(self):
        out, _ = support.run("--help")
        return re.findall(r"^  ([a-z-]+) {2,}", out.split("Subcommands:")[1], re.MULTILINE)

    def test_every_verb_has_help(self):
        verbs = self.verbs()
        self.assertIn("inspect", verbs)
        for verb in verbs:
            out, err = support.run(verb, "--help")
            self.assertIn("Usage: qwenlong-l1 " + verb, out)
            self.assertEqual(err, "")

    def test_version(self):
        self.assertRegex(support.run("--version")[0], r"^qwenlong-l1 \d+\.\d+\.\d+\n$")

    def test_usage_errors_exit_with_2_and_say_where_help_is(self):
        for arguments, words in [
            ([], "subcommand is required"),
            (["inspekt"], "there is no verb 'inspekt'; did you mean 'inspect'?"),
            (["frobnicate", "--help"], "there is no verb 'frobnicate'\n"),
            (["inspect"], "model is required"),
            (["inspect", "a", "--nonsense"], "--nonsense"),
        ]:
            out, err = support.run(*arguments, code=2)
            self.assertEqual(out, "")
            self.assertIn(words, err)
            self.assertIn("--help", err)


if __name__ == "__main__":
    support.main()
